"""Passwords: what one may be, its hash, and checking it at the same cost for everybody.

Argon2id by pwdlib with the parameters OWASP calls the minimum (19 MiB, two passes, one lane): stronger ones cost
memory for every login that is tried. Only so many are computed at once in a process: a flood of logins waits or is
turned away instead of taking the machine. Neighbours: ``users`` keeps the hashes.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from pwdlib.hashers.argon2 import Argon2Hasher

from finetune30.errors import Busy, UserInvalid

SHORTEST, LONGEST = 12, 1024
_HASHER = Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Of a password that nobody knows: an unknown user costs what a wrong password costs.
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$Uzh4UNqoTrEYGRKEzuJjlw$iwe7Y3GrcTli4T6GHqnyUhpYBXZ3cGMYhFSIvcwsamA"
AT_ONCE = max(1, min(4, os.cpu_count() or 1))
WAIT_S = 2.0
lanes = threading.BoundedSemaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """The argon2id hash, its salt and parameters in it.

    Raises: UserInvalid if no user may have this password; Busy.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UserInvalid(
            f"the password has {len(password)} characters, expected {SHORTEST} to {LONGEST}",
            where="password",
            hint="several words in a row are long and easy to keep in mind; there is no other rule",
        )
    data = _bytes(password)
    if data is None:
        raise UserInvalid("the password holds half a character, expected Unicode text", where="password")
    with _lane():
        return _HASHER.hash(data)


def is_password(password: str, hashed: str) -> bool:
    """Whether ``hashed`` was made of this password.

    Raises: Busy.
    """
    # Nobody's password is so long, and whose it is was not asked yet.
    data = _bytes(password) if len(password) <= LONGEST else None
    if data is None:
        return False
    with _lane():
        return _HASHER.verify(data, hashed)


def _bytes(password: str) -> bytes | None:
    """As it is hashed: what looks the same on two keyboards is the same (NIST SP 800-63B, 3.1.1.2)."""
    try:
        return unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:
        return None


@contextmanager
def _lane() -> Iterator[None]:
    if not lanes.acquire(timeout=WAIT_S):
        raise Busy("too many passwords are being checked just now", hint="try again in some seconds")
    try:
        yield
    finally:
        lanes.release()
