"""The bell of one machine: a worker that looks into the database by itself.

Promise: a place that became free looks at once, an idle worker every ``period_s`` or so, reading
only where nothing waits. Neighbours: ``shop`` takes what there is, ``serve`` chooses the period.
"""

from __future__ import annotations

import random
import time

from finetune30.worker.office import Orders
from finetune30.worker.shop import Shop

# A signal is noticed within that time; its handler may do nothing but note it.
_TICK_S = 0.2
# So often a worker that can carry out nothing looks whether that is over.
_REST_S = 1.0


def poll(shop: Shop, orders: Orders, period_s: float) -> None:
    """Fill the shop until the worker is to end."""
    look_at = 0.0
    while not orders.drain:
        if time.monotonic() >= look_at:
            while shop.take_one():
                pass
            # Many workers that were started together must not ask together for ever.
            pause_s = min(period_s, _REST_S) if shop.resting else period_s
            look_at = time.monotonic() + pause_s * random.uniform(0.75, 1.25)  # noqa: S311
        left = look_at - time.monotonic()
        if shop.wait(min(max(left, 0.0), _TICK_S)):
            look_at = 0.0
