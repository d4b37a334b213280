"""The postman: sends what waits, in threads of its own.

Every API and every worker has one; they need not know each other, for the table says who sends what. A receiver that
is slow holds up one of a few threads and nothing else: no lease, no bell, no request waits for it.
Promises: an outage of the database is said once and survived; nothing of a message, an address's query or a secret
is ever said. Neighbours: ``outbox`` has the deliveries, ``carrying`` the connection; ``jobs.keeper`` is alike.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType

from finetune30.errors import Finetune30Error, WebhookInvalid
from finetune30.webhooks import carrying, messages, places
from finetune30.webhooks.carrying import Answer
from finetune30.webhooks.outbox import PER_OWNER, Letter, Outbox
from finetune30.webhooks.store import Webhooks

AT_ONCE = 8
_LOOK_S = 1.0
_SWEEP_S = 600.0
_LAST_S = 3.0
_UNSIGNED = Answer(None, "the server has another key than when the webhook was made")

# Sends to addresses that were looked at.
Carrier = Callable[..., Answer]


class Postman:
    """Rounds in a thread while the ``with`` block runs, each message in another.

    Args:
        say: Told in a sentence when something fails, and when it works again.
        tls: Whose certificates are believed; None: those this machine trusts.
        carry: Sends one message.
    """

    def __init__(
        self,
        webhooks: Webhooks,
        say: Callable[[str], None],
        *,
        tls: ssl.SSLContext | None = None,
        look_s: float = _LOOK_S,
        carry: Carrier = carrying.carry,
    ) -> None:
        self.outbox = Outbox(webhooks.engine)
        self._webhooks = webhooks
        self._say = say
        self._given_tls = tls
        self._look_s = look_s
        self._carry = carry
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._hands = threading.Condition()
        self._busy: Counter[str] = Counter()
        self._troubled: set[str] = set()
        self._sweep_at = 0.0
        self._thread = threading.Thread(target=self._walk, name="postman", daemon=True)

    def __enter__(self) -> Postman:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=self._look_s)
        # What is still under way then is sent again later, with the same id, by whoever is there.
        with self._hands:
            self._hands.wait_for(lambda: not self._busy.total(), timeout=_LAST_S)

    def round(self) -> None:
        """Begin to send what is due, as far as hands are free. Never raises: an outage is said, once."""
        try:
            if time.monotonic() >= self._sweep_at:
                self.outbox.sweep()
                self._sweep_at = time.monotonic() + _SWEEP_S
            due = self.outbox.due()
            if due:
                _ = self._webhooks.key  # a key that is missing is told here, before anything is claimed
            for number, owner in due:
                if self._takes(owner):
                    self._send_aside(number, owner)
            self._tell("looking", None)
        except Finetune30Error as fault:
            self._tell("looking", fault.message)
        except Exception as fault:  # noqa: BLE001 - a postman that ended would never be missed
            self._tell("looking", f"unexpected {type(fault).__name__}")

    def send(self, number: int) -> bool:
        """Send one delivery here and now, if it is due and nobody else does; whether it was.

        Raises: StorageError, SettingsError.
        """
        letter = self.outbox.claim(number, self._webhooks.key)
        if letter is None:
            return False
        why = self.outbox.settle(letter, self._answer(letter))
        if why is not None:
            self._say(f"webhook {letter.webhook_id} of {letter.owner} was disabled: {why}")
        return True

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    def _answer(self, letter: Letter) -> Answer:
        if letter.secret is None:
            return _UNSIGNED
        try:
            place = places.place_of(letter.url)
            # Again: what the name leads to may have changed since, and what is allowed, too.
            addresses = places.addresses_of(place, self._webhooks.policy, self._webhooks.resolve)
        except WebhookInvalid as refusal:
            return Answer(None, refusal.message)
        headers = messages.headers_of(letter.message_id, letter.body, letter.secret, datetime.now(UTC))
        return self._carry(place, addresses, letter.body, headers, self._tls)

    def _walk(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.round()
            self._wake.wait(self._look_s)

    def _takes(self, owner: str) -> bool:
        """Whether a hand is free for this owner; if so, it is taken."""
        with self._hands:
            if self._stop.is_set() or self._busy.total() >= AT_ONCE or self._busy[owner] >= PER_OWNER:
                return False
            self._busy[owner] += 1
            return True

    def _send_aside(self, number: int, owner: str) -> None:
        def work() -> None:
            try:
                self.send(number)
                self._tell("sending", None)
            except Finetune30Error as fault:
                self._tell("sending", fault.message)
            except Exception as fault:  # noqa: BLE001 - as above
                self._tell("sending", f"unexpected {type(fault).__name__}")
            finally:
                with self._hands:
                    self._busy[owner] -= 1
                    self._busy += Counter()  # forgets who has none
                    self._hands.notify_all()
                self._wake.set()

        threading.Thread(target=work, name=f"postman-{number}", daemon=True).start()

    def _tell(self, what: str, trouble: str | None) -> None:
        """Say that something began or ceased to be in trouble."""
        with self._hands:
            news = (trouble is not None) != (what in self._troubled)
            (self._troubled.discard if trouble is None else self._troubled.add)(what)
        if news:
            self._say(f"webhooks, {what}: {trouble or 'going on'}")
