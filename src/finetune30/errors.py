"""Every error a user can meet, as one family.

An error says what is, what was expected, where, and what to do next. Its ``code`` is stable:
scripts, the database and the documentation name it. Nothing here speaks HTTP; the command line
turns a class into an exit code, the API into a status, the client a status into a class.

    Finetune30Error
    ├── BadInput              exit 2: nothing was started, nothing was made
    │   ├── UsageError        usage               the command line itself
    │   ├── ConfigError       config_invalid      the experiment configuration
    │   ├── FilterError       filter_invalid      a filter, such as of runs list --where
    │   ├── DataError         data_invalid        the dataset
    │   │   ├── QualityError  data_quality        it can be read, but is not fit for training
    │   │   └── DataTooLarge  data_too_large      it unpacks to more than anybody should read
    │   ├── ModelError        model_invalid       the base model or an adapter
    │   ├── SettingsError     settings_invalid    environment and .env
    │   ├── NotFound          not_found           no such experiment, user or model
    │   ├── StateError        state_conflict      the state of an experiment, user or model forbids it
    │   │   └── AlreadyClaimed  already_claimed   another process runs it
    │   ├── QuotaExceeded     quota_exceeded      this user has too many unfinished jobs
    │   │   └── UploadCount   upload_quota        this user has as many uploads as one may have
    │   ├── TooLarge          too_large           a file is larger than is taken
    │   │   └── UploadSpace   upload_space        this user's uploads would take more than one may have
    │   ├── IdempotencyConflict  idempotency_conflict  the key was used for something else
    │   ├── UserInvalid       user_invalid        a name or password no user may have
    │   ├── WebhookInvalid    webhook_invalid     an address no webhook may have
    │   ├── LoginRefused      login_refused       wrong name or password, which of them is not said
    │   ├── TokenRefused      token_refused       a token that is not, or no longer, good
    │   ├── Forbidden         forbidden           this user may not do that
    │   ├── Busy              busy                too much of this at once; try again soon
    │   └── StorageError      storage_unusable    results folder or database cannot be used
    ├── Aborted               exit 1: aborted     a question was not answered with yes
    ├── Interrupted           exit 130: interrupted  Ctrl+C; 143 by SIGTERM
    ├── RemoteError           exit 3: remote_error   a server that was asked; trying again may help
    │   ├── Unreachable       unreachable         no answer came
    │   ├── ServerFault       server_fault        it cannot do this, or not now
    │   ├── WrongServer       exit 2: wrong_server   what answered is not our API
    │   └── Refused           exit 2: refused     it says no; its own code and reason
    │       ├── LoginNeeded   a TokenRefused      log in first, or again
    │       ├── Denied        a Forbidden
    │       ├── Missing       a NotFound
    │       ├── Conflict      a StateError
    │       └── Limited       a Busy              too often, or too many at once
    └── RunFailed             exit 1: run_failed   a run that had started ended without a result
        ├── DiskFull          disk_full
        ├── OutOfMemory       out_of_memory
        ├── Diverged          diverged            the loss is no longer a finite number
        ├── CheckpointRejected  checkpoint_rejected  no checkpoint is whole
        ├── ParityError       parity_failed       the saved adapter answers differently
        ├── LeaseLost         lease_lost          another process took the run over
        ├── Killed            killed              its process was ended from outside, too often
        ├── Lost              lost                its worker fell silent, too often
        ├── TimedOut          timed_out           it ran longer than it was allowed to
        └── Crashed           crashed             anything we did not foresee
"""

from __future__ import annotations

from collections.abc import Sequence


class Finetune30Error(Exception):
    """What is wrong, where it is, and what to do about it.

    Args:
        message: What is and what was expected, one sentence.
        where: File, key path or row, such as ``config/sst2.yaml: lora.r``.
        hint: The next step for the person who reads it.
    """

    code: str = "error"
    exit_code: int = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{advice}"

    def to_dict(self) -> dict[str, str | None]:
        """The four parts by name, as ``--json`` and the database keep them."""
        return {
            "code": self.code,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
        }


class BadInput(Finetune30Error):
    """Refused before anything was started; nothing was made."""

    code = "bad_input"
    exit_code = 2


class UsageError(BadInput):
    """The command line has no such verb or option, or lacks an argument."""

    code = "usage"


class ConfigError(BadInput):
    """The experiment configuration is wrong. One error carries every fault found."""

    code = "config_invalid"


class FilterError(BadInput):
    """A filter of lists cannot be read; nothing of it is repeated in the message.

    Args:
        at: The character where it went wrong, the first one is 1.
    """

    code = "filter_invalid"

    def __init__(self, message: str, *, at: int, hint: str | None = None) -> None:
        super().__init__(message, where=f"character {at} of the filter", hint=hint)
        self.at = at


class DataError(BadInput):
    """The dataset is missing, unreadable or unfit for training."""

    code = "data_invalid"


class QualityError(DataError):
    """A check of the data says FAIL."""

    code = "data_quality"


class DataTooLarge(DataError):
    """A compressed file or an archive that unpacks to far more than it should."""

    code = "data_too_large"


class ModelError(BadInput):
    """The base model or an adapter is missing, unsafe or does not fit."""

    code = "model_invalid"


class SettingsError(BadInput):
    """An environment variable or a line of ``.env`` is wrong."""

    code = "settings_invalid"


class NotFound(BadInput):
    """No experiment, user or model is called so."""

    code = "not_found"


class StateError(BadInput):
    """The state of the experiment, user or model forbids what was asked."""

    code = "state_conflict"


class AlreadyClaimed(StateError):
    """Another living process runs this experiment."""

    code = "already_claimed"


class QuotaExceeded(BadInput):
    """The user has as many unfinished jobs as one user may have."""

    code = "quota_exceeded"


class UploadCount(QuotaExceeded):
    """The user has as many uploads as one user may have."""

    code = "upload_quota"


class TooLarge(BadInput):
    """A file is larger than is taken."""

    code = "too_large"


class UploadSpace(TooLarge):
    """The user's uploads together would take more bytes than one user may have."""

    code = "upload_space"


class IdempotencyConflict(BadInput):
    """The idempotency key belongs to another submission of this user."""

    code = "idempotency_conflict"


class UserInvalid(BadInput):
    """A name or password that no user may have."""

    code = "user_invalid"


class WebhookInvalid(BadInput):
    """An address no webhook may have; the message never repeats it, nor what its name resolves to."""

    code = "webhook_invalid"


class LoginRefused(BadInput):
    """Wrong name or password; the same for users that are unknown or disabled."""

    code = "login_refused"


class TokenRefused(BadInput):
    """A token that is not good: forged, expired, used up, or its user logged out.

    Attributes:
        user_id: Whose session was ended because a used refresh token came again; else None.
    """

    code = "token_refused"
    user_id: str | None = None


class Forbidden(BadInput):
    """This user may not do that."""

    code = "forbidden"


class Busy(BadInput):
    """Too much of this is asked at once; try again soon."""

    code = "busy"


class StorageError(BadInput):
    """The results folder or the database cannot be used."""

    code = "storage_unusable"


class Aborted(Finetune30Error):
    """A question was not answered with yes; nothing was done."""

    code = "aborted"


class Interrupted(Finetune30Error):
    """Stopped by Ctrl+C, or by SIGTERM."""

    code = "interrupted"
    exit_code = 130


class RemoteError(Finetune30Error):
    """A server was asked, and did not do it.

    Args:
        status: Of HTTP; None where no answer came.
        code: The server's own, which then stands for that of the class.
        request_id: Under which the server's log and its audit log know the request.
        faults: Place and fault of each thing wrong with the request, where there are several.
        retry_after_s: So long the server asks to be left alone.
        uncertain: Whether it may have been done all the same: it was sent, and the answer is missing.
    """

    code = "remote_error"
    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        faults: Sequence[tuple[str, str]] = (),
        retry_after_s: float | None = None,
        uncertain: bool = False,
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status
        self.code = code or self.code
        self.request_id = request_id
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s
        self.uncertain = uncertain

    def to_dict(self) -> dict[str, str | None]:
        """As of every error, and the request's id."""
        return {**super().to_dict(), "request_id": self.request_id}


class Unreachable(RemoteError):
    """No answer came from the server: it is down, too slow, or something stands between."""

    code = "unreachable"


class ServerFault(RemoteError):
    """The server cannot do this, or not just now (5xx)."""

    code = "server_fault"


class WrongServer(RemoteError):
    """What answered is not the API of finetune30: another service, a proxy, a web page."""

    code = "wrong_server"
    exit_code = 2


class Refused(RemoteError):
    """The server says no (4xx), and why; its code stands for this one."""

    code = "refused"
    exit_code = 2


class LoginNeeded(Refused, TokenRefused):
    """Nobody is logged in, or the session has ended."""

    code = "token_refused"


class Denied(Refused, Forbidden):
    """This user may not do that, says the server."""

    code = "forbidden"


class Missing(Refused, NotFound):
    """The server knows nothing by this id."""

    code = "not_found"


class Conflict(Refused, StateError):
    """Its state forbids it, says the server."""

    code = "state_conflict"


class Limited(Refused, Busy):
    """The server wants to be asked less often, or to do less at once."""

    code = "busy"


class RunFailed(Finetune30Error):
    """A run that had started ended without a result.

    Attributes:
        experiment_id: Whose row says FAILURE; None while the run is not known.
    """

    code = "run_failed"
    exit_code = 1
    experiment_id: str | None = None


class DiskFull(RunFailed):
    """The disk is full; what was whole before stays whole."""

    code = "disk_full"


class OutOfMemory(RunFailed):
    """Not even a batch of one fits into memory."""

    code = "out_of_memory"


class Diverged(RunFailed):
    """The loss or the weights are no longer finite numbers."""

    code = "diverged"


class CheckpointRejected(RunFailed):
    """No checkpoint of the run verifies against its manifest."""

    code = "checkpoint_rejected"


class ParityError(RunFailed):
    """The saved adapter, loaded in a fresh process, answers differently."""

    code = "parity_failed"


class LeaseLost(RunFailed):
    """Another process took the run over; this one stopped writing."""

    code = "lease_lost"


class Killed(RunFailed):
    """The training process was ended by a signal from outside."""

    code = "killed"


class Lost(RunFailed):
    """The worker that ran it fell silent, more often than is tried again."""

    code = "lost"


class TimedOut(RunFailed):
    """The run was ended because it took longer than it was allowed to."""

    code = "timed_out"


class Crashed(RunFailed):
    """Something we did not foresee; the log holds the details."""

    code = "crashed"
