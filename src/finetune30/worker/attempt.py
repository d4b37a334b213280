"""The main of an attempt process: ``python -P -m finetune30.worker.attempt``, started by a supervisor.

Promises: it listens before it imports anything that takes seconds; it knows neither database nor
broker; how it ends is said over the line, and by the exit code where the line is gone.
Neighbours: ``line`` is its hold on the row, ``pipeline.execute`` does the work.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from finetune30.errors import BadInput, Finetune30Error, LeaseLost
from finetune30.standby import Standby, importing, may_copy
from finetune30.worker.line import Line
from finetune30.worker.verdict import BAD_INPUT, CRASHED, EXIT_CODES, STOPPED

# Its name, not the module: this process must not load torch before it has started that one.
CHECKER = "finetune30.modeling.parity"


def main() -> int:
    """Carry out the order; the exit code."""
    signal.signal(signal.SIGTERM, _end)
    order, hold = Line.from_environment()
    with hold, Standby(CHECKER, waits=may_copy()) as checker:
        try:
            return _carry_out(order, hold, checker)
        except KeyboardInterrupt:
            return STOPPED
        except LeaseLost:
            return EXIT_CODES[LeaseLost.code]
        except Finetune30Error as error:
            return EXIT_CODES.get(error.code, BAD_INPUT if isinstance(error, BadInput) else CRASHED)


def _carry_out(order: dict[str, Any], hold: Line, checker: Standby) -> int:
    with importing():
        from finetune30.config import from_mapping
        from finetune30.pipeline import Order, execute
    checker.imported()

    try:
        config = from_mapping(order["config"], where=f"the configuration of {order['id']}")
    except Finetune30Error as error:
        hold.failed(error.to_dict())
        raise
    stopped = execute(
        Order(
            experiment_id=order["id"],
            attempt=order["attempt"],
            config=config,
            results_dir=Path(order["results_dir"]),
            data_dir=Path(order["data_dir"]),
            tz=order["tz"],
            takes_over=order["resumed_from"],
            dataset_hash=order["dataset_hash"],
        ),
        hold,
        checker,
    )
    return STOPPED if stopped else 0


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is said and on disk; taking torch apart would take seconds
