"""How a call of the program ends: what people read, what scripts read, the exit code.

People read standard error; with ``--json`` the last line of standard output is the same error as an
object. Once standard output cannot be written, nothing more goes there. Neighbours: the verbs raise,
``errors`` holds the family they raise from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import typer

from finetune30.errors import Aborted, BadInput, Finetune30Error, Interrupted, RunFailed, UsageError

_SERVER = {"argon2", "fastapi", "jwt", "pwdlib", "uvicorn"}
# click's UsageError: some versions of typer bring a click of their own, and all show only this child of it.
_Misuse = cast(type[typer.BadParameter], typer.BadParameter.__base__)


def exit_code_of(work: Callable[[], object]) -> int:
    """Do the work, tell what went wrong; the exit code.

    Raises: whatever is no error of ours, where FINETUNE30_DEBUG is set.
    """
    try:
        code = _told(work)
        # Here, and not when the interpreter ends: nobody could tell the error there.
        if sys.stdout:
            sys.stdout.flush()
    except OSError as cause:
        return _nowhere_to_write(cause)
    return code


def _told(work: Callable[[], object]) -> int:
    """As above.

    Raises: OSError when standard output cannot be written.
    """
    try:
        work()
    except typer.Exit as end:
        return end.exit_code
    except _Misuse as misuse:
        with suppress(OSError):
            misuse.show()
        return _answered(_usage(misuse))
    except (Exception, KeyboardInterrupt) as cause:  # noqa: BLE001 - no traceback meets a user
        if isinstance(cause, OSError):
            _check_output()
        error = _ours(cause)
        _tell(error)
        return _answered(error)
    return 0


def _ours(cause: BaseException) -> Finetune30Error:
    if isinstance(cause, Finetune30Error):
        return cause
    if isinstance(cause, KeyboardInterrupt):
        return Interrupted("stopped by Ctrl+C")
    if isinstance(cause, typer.Abort):
        return Aborted("nothing was done: nobody answered yes", hint="--yes answers for you")
    if isinstance(cause, ModuleNotFoundError):
        # The base package holds no torch; who wants to train must be told what to install.
        what, extra = (
            ("users and tokens", "server") if cause.name in _SERVER else ("training and predicting", "builtin")
        )
        return BadInput(f"{cause.name} is not installed", hint=f"{what} need: pip install 'finetune30[{extra}]'")
    if os.environ.get("FINETUNE30_DEBUG"):
        raise cause
    return Finetune30Error(
        f"unexpected {type(cause).__name__}: {cause}",
        hint="this is a bug in finetune30. FINETUNE30_DEBUG=1 shows the traceback; "
        "send it with the output of: finetune30 env",
    )


def _usage(misuse: typer.BadParameter) -> UsageError:
    verb = misuse.ctx.command_path if misuse.ctx else "finetune30"
    return UsageError(misuse.format_message(), where=verb, hint=f"see: {verb} --help")


def _tell(error: Finetune30Error) -> None:
    """One message for people."""
    with suppress(OSError):  # a full standard error must not cost scripts their answer
        typer.secho("error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
        typer.echo(str(error), err=True)


def _answered(error: Finetune30Error) -> int:
    """One line of JSON for scripts that asked for it."""
    if "--json" in sys.argv:
        import json

        answer: dict[str, object] = {"error": error.to_dict()}
        if isinstance(error, RunFailed):
            answer |= {"id": error.experiment_id, "status": "FAILURE"}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    return error.exit_code


def _check_output() -> None:
    """Raise again what a verb met, if it met it here. Buffers do not tell: a large write leaves nothing in them."""
    if sys.stdout:
        sys.stdout.write("\n")
        sys.stdout.flush()


def _nowhere_to_write(cause: OSError) -> int:
    # What is left to flush must not fail once more when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(cause, BrokenPipeError):  # the reader (such as head) has enough
        return 141
    _tell(Finetune30Error(f"standard output cannot be written: {cause.strerror}"))
    return 1
