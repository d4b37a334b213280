"""Who is logged in where: one seat a browser, on the server, named by a random id in a cookie.

The browser never holds a token of the API. A seat ends with a logout, after a day without a look, when its person has
too many, or when the page ends; the session at the API ends with it, and every open page of it is told.
Neighbours: ``door`` opens and closes seats, ``shell`` finds that of a script run, ``sockets`` are its open pages.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from finetune30.client import Client, Person
from finetune30.errors import Finetune30Error

_IDLE_S = 24 * 3600.0
_MOST = 2000
_MOST_OF_ONE = 20
_LEAVING = 8


@dataclass(eq=False)
class Seat:
    """One browser that is logged in.

    Attributes:
        client: Asks the API as this person; several threads may use it.
        language: ``en`` or ``zh-TW``; changed on the page.
        said: Why it ended, as the door says it.
        sessions: Those of Streamlit that were begun from it; no other seat may take them up.
    """

    client: Client
    person: Person
    language: str = "en"
    id: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    seen_at: float = field(default_factory=time.monotonic)
    said: str = "ended"
    sessions: set[str] = field(default_factory=set, repr=False)
    _at_end: set[Callable[[], object]] = field(default_factory=set, repr=False)
    _over: bool = field(default=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def way_out(self) -> str:
        """Where a browser goes whose seat this was."""
        return f"/logout?said={self.said}&language={self.language}"

    def at_end(self, act: Callable[[], object]) -> None:
        """Have this done when it ends, in whatever thread that is; at once where it has."""
        with self._lock:
            if not self._over:
                self._at_end.add(act)
                return
        act()

    def forget(self, act: Callable[[], object]) -> None:
        """It need not be done any more."""
        with self._lock:
            self._at_end.discard(act)

    def end(self, said: str = "ended") -> None:
        """It is nobody's any more."""
        with self._lock:
            self.said, self._over = said, True
            acts, self._at_end = self._at_end, set()
        for act in acts:
            act()

    @property
    def is_admin(self) -> bool:
        """Whether pages for admins are shown."""
        return self.person.role == "admin"


def leave(seat: Seat) -> None:
    """End the session of a seat that was closed."""
    with suppress(Finetune30Error):  # the API is away; the session ends by itself
        seat.client.logout()
    seat.client.close()


def leave_soon(seats: Iterable[Seat]) -> list[threading.Thread]:
    """The same for several, a few at a time, without waiting: the API may be away."""
    waiting: queue.SimpleQueue[Seat] = queue.SimpleQueue()
    for one in seats:
        waiting.put(one)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                leave(waiting.get_nowait())

    threads = [
        threading.Thread(target=work, name="leaving", daemon=True) for _ in range(min(_LEAVING, waiting.qsize()))
    ]
    for thread in threads:
        thread.start()
    return threads


class Seats:
    """All of one process; the longest unused are given up beyond ``most``, and beyond ``most_of_one`` of a person.

    Args:
        clock: Seconds, for tests.
    """

    def __init__(
        self, most: int = _MOST, clock: Callable[[], float] = time.monotonic, most_of_one: int = _MOST_OF_ONE
    ) -> None:
        self._seats: OrderedDict[str, Seat] = OrderedDict()
        self._lock = threading.Lock()
        self._most = most
        self._most_of_one = most_of_one
        self._clock = clock

    def open(self, client: Client, person: Person, language: str) -> Seat:
        """A seat for somebody who has just logged in."""
        seat = Seat(client, person, language, seen_at=self._clock())
        with self._lock:
            self._seats[seat.id] = seat
            old = self._beyond(seat)
            for one in old:
                self._seats.pop(one.id, None)
        _end(old)
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

    def close(self, seat_id: str | None, said: str = "ended") -> Seat | None:
        """Take the seat away and tell its pages; its session is the caller's to end: ``leave``."""
        with self._lock:
            seat = self._seats.pop(seat_id, None) if seat_id else None
        if seat is not None:
            seat.end(said)
        return seat

    def sweep(self) -> None:
        """Give up those nobody has looked from for a day."""
        with self._lock:
            old = [one for one in self._seats.values() if self._is_over(one)]
            for one in old:
                del self._seats[one.id]
        _end(old)

    def close_all(self, patience_s: float) -> None:
        """The page ends: so do the sessions at the API, as many as that time allows."""
        with self._lock:
            old = list(self._seats.values())
            self._seats.clear()
        until = time.monotonic() + patience_s
        for thread in _end(old):
            thread.join(max(0.0, until - time.monotonic()))

    def __iter__(self) -> Iterator[Seat]:
        with self._lock:
            return iter(list(self._seats.values()))

    def __len__(self) -> int:
        return len(self._seats)

    def _beyond(self, newest: Seat) -> list[Seat]:
        """Those to give up, now that there is one more."""
        old = [one for one in self._seats.values() if self._is_over(one)]
        hers = [one for one in self._seats.values() if one.person.user_id == newest.person.user_id and one not in old]
        old += hers[: max(0, len(hers) - self._most_of_one)]
        left = [one for one in self._seats.values() if one not in old]
        return old + left[: max(0, len(left) - self._most)]

    def _is_over(self, seat: Seat) -> bool:
        return self._clock() - seat.seen_at > _IDLE_S


def _end(seats: list[Seat]) -> list[threading.Thread]:
    for one in seats:
        one.end()
    return leave_soon(seats)


SEATS = Seats()
"""Those of this process: Streamlit runs scripts in threads of it, the door in its event loop."""
