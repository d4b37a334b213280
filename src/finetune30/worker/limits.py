"""What the system allows one worker: files it may have open.

Promise: a worker that begins can open what its attempts need; else it says how many it could have.
Neighbour: ``serve`` asks before anything is begun.
"""

from __future__ import annotations

import resource

from finetune30.errors import UsageError

# An attempt: a line and its waking (3), a guard (1), its output (2), a connection to the database, and twice
# that for a moment while its process is started.
_EACH = 14
_OWN = 96  # the worker's own: database, broker, modules that are read


def make_room(concurrency: int) -> None:
    """Raise the limit of open files as far as this user may.

    Raises: UsageError where that is too little for so many attempts at once.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # macOS has a lower limit than it says
            pass
    if soft == resource.RLIM_INFINITY or _OWN + _EACH * concurrency <= soft:
        return
    most = (soft - _OWN) // _EACH
    raise UsageError(
        f"--concurrency is {concurrency}, expected at most {max(most, 0)}: {soft} files may be open at once here",
        hint="raise the limit (ulimit -n, LimitNOFILE of the service) or start more workers",
    )
