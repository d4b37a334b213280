"""Who is logged in where: one seat a browser, on the server, named by a random id in a cookie.

The browser never holds a token of the API. A seat ends with a logout, after a day without a look, or when the page
ends. Neighbours: ``door`` opens and closes seats, ``shell`` finds that of a script run.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from finetune30.client import Client, Person
from finetune30.errors import Finetune30Error

_IDLE_S = 24 * 3600.0
_MOST = 2000


@dataclass(eq=False)
class Seat:
    """One browser that is logged in.

    Attributes:
        client: Asks the API as this person; several threads may use it.
        language: ``en`` or ``zh-TW``; changed on the page.
    """

    client: Client
    person: Person
    language: str = "en"
    id: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    seen_at: float = field(default_factory=time.monotonic)

    @property
    def is_admin(self) -> bool:
        """Whether pages for admins are shown."""
        return self.person.role == "admin"


def leave(seat: Seat) -> None:
    """End the session of a seat that was closed."""
    with suppress(Finetune30Error):  # the API is away; the session ends by itself
        seat.client.logout()
    seat.client.close()


class Seats:
    """All of one process; the longest unused are given up beyond ``most``.

    Args:
        clock: Seconds, for tests.
    """

    def __init__(self, most: int = _MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._seats: OrderedDict[str, Seat] = OrderedDict()
        self._lock = threading.Lock()
        self._most = most
        self._clock = clock

    def open(self, client: Client, person: Person, language: str) -> Seat:
        """A seat for somebody who has just logged in."""
        seat = Seat(client, person, language, seen_at=self._clock())
        with self._lock:
            self._seats[seat.id] = seat
            old = [one for one in self._seats.values() if self._is_over(one)]
            old += list(self._seats.values())[: max(0, len(self._seats) - len(old) - self._most)]
            for one in old:
                self._seats.pop(one.id, None)
        for one in old:
            one.client.close()
        return seat

    def find(self, seat_id: str | None) -> Seat | None:
        """The seat of this id; it counts as used."""
        if not seat_id:
            return None
        with self._lock:
            seat = self._seats.get(seat_id)
            if seat is None or self._is_over(seat):
                return None
            seat.seen_at = self._clock()
            self._seats.move_to_end(seat_id)
            return seat

    def close(self, seat_id: str | None) -> Seat | None:
        """Take the seat away; its session is the caller's to end: ``leave``."""
        with self._lock:
            return self._seats.pop(seat_id, None) if seat_id else None

    def __len__(self) -> int:
        return len(self._seats)

    def _is_over(self, seat: Seat) -> bool:
        return self._clock() - seat.seen_at > _IDLE_S


SEATS = Seats()
"""Those of this process: Streamlit runs scripts in threads of it, the door in its event loop."""
