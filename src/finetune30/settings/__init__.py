"""What the operator sets: environment variables and ``.env``, never part of a result.

Every field is a variable that code reads; its name in capitals is the variable's name. A wrong
value is one SettingsError that names the variable and says what was expected.
Neighbours: everyone may read these; the experiment configuration is another thing (``config``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from finetune30.errors import SettingsError
from finetune30.settings import values

_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.names)]


class Settings(BaseSettings):
    """The operator's choices, checked.

    Attributes:
        results_dir: Holds the database, its files, one folder per run, and in ``.access`` the keys a development
            machine made; nothing else.
        data_dir: Datasets and caches.
        database_url: None means SQLite in ``results_dir``. May hold a password.
        tz: Zone of the times people read and of the date in an experiment's id.
        lease_s: A run whose process was silent for so many seconds may be taken over.
        heartbeat_s: Seconds between two signs of life; less than half of ``lease_s``.
        broker_url: Redis or RabbitMQ for workers on many machines; None: workers ask the database. May hold a password.
        queues: Queues a job may be submitted to; the first is where it goes unless it says otherwise.
        max_attempts: A job whose process was killed or lost is tried so often in all.
        max_jobs_per_user: Jobs of one user that may wait or run at once; 0 for any number.
        max_running_per_user: Jobs of one user that run at once, the others wait; 0 for any number.
        max_runtime_s: Longest time of an attempt, unless the job asks for less; 0 for no limit.
        poll_s: Seconds between two looks of an idle worker for work in the database.
        ring_again_s: A waiting job whose message may be lost is announced again after so many seconds, then ever rarer.
        retry_delay_s: Seconds before a killed attempt is tried again; doubles each time.
        stop_grace_s: Seconds a cancelled or timed out attempt gets for a last checkpoint.
        drain_s: Seconds attempts get for a last checkpoint when their worker is stopped.
        environment: ``production`` refuses what is only good for one's own machine, such as keys nobody set.
        jwt_secret: Signs tokens; 32 random characters or more. None: made once in ``results_dir``, in development.
        token_expire_minutes: Life of an access token; a refresh token brings the next one.
        audit_key: Signs the audit log, as ``jwt_secret``; another one, and for the life of the log.
        audit_anchor: File that knows how far the audit log reached, best on another disk than the database;
            None means in ``results_dir``.
        api_host: Address the API listens on; 127.0.0.1 is reached from this machine only.
        api_port: Port of the API.
        allowed_hosts: Names the API answers to, beside localhost and ``api_host``.
        cors_origins: Web pages elsewhere that may call the API from a browser.
        forwarded_allow_ips: Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
        tls_certfile: Certificate (chain) in PEM; with it the API speaks HTTPS.
        tls_keyfile: Its private key.
        plain_http: Production may speak plain HTTP on an address others reach: a proxy before it speaks HTTPS.
            The client may send tokens over plain HTTP to another machine.
        metrics_token: Bearer token with which a monitor reads ``/metrics``; without one only admins do.
        page_key: Who sends it in X-Finetune30-Key, as the web page does, may name its client's address in
            X-Finetune30-Client; 32 random characters or more. None: nobody is believed.
        api_replicas: Processes of the API that serve at once; more than one want PostgreSQL in production.
        debug: Refused in production.
        reads_per_minute: GET requests of a user, and of an address; 0 for any number.
        writes_per_minute: Other requests of a user, and of an address; 0 for any number.
        serving_host, serving_port: Where predictions are served.
        serving_device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        serving_precision: ``auto`` is bfloat16 where the hardware has it.
        serving_memory_mb: Adapters beyond this are let go, those used longest ago first; bases are not counted.
        serving_queue: Texts that may wait; more are refused with 429.
        serving_batch_tokens: Tokens of a batch, padding included.
        serving_poll_s: Seconds between two looks whether an alias was moved.
        serving_merge: The adapter that nearly everybody asks is merged into a copy of its base.
        predictions_per_minute: Requests from one address; 0 for any number.
        login_failures: Wrong passwords for one name within 15 minutes before it has to wait.
        model_allowlist: Hub models the API accepts, beside the built-in ones.
        dataset_allowlist: Hub datasets the API accepts, beside built-in ones and stored versions.
        webhook_key: Secrets of webhooks are derived from it, as ``audit_key``; a new one ends all webhooks.
        webhook_hosts: Hosts and networks webhooks may reach although they are private; by plain HTTP, too.
        max_webhooks_per_user: Webhooks of one user.
        upload_max_mb: MiB of one file that is sent; 0 for any number.
        uploads_mb_per_user: MiB of all files one user keeps; 0 for any number.
        uploads_per_user: Files one user keeps; 0 for any number.
        api_url: The API that ``finetune30.client`` and the verbs for a server ask (``client.address`` checks it);
            None: the one logged in to last, else the one on this machine.
        serving_url: The service that predicts, for the client.
        api_ca_file: Certificates in PEM that the client trusts instead of the usual ones.
        api_proxy: Proxy the client goes through; those of ``HTTPS_PROXY`` are not used. May hold a password.
        ui_host: Address the web page listens on; 127.0.0.1 is reached from this machine only.
        ui_port: Port of the web page.
        ui_upload_max_mb: MiB of one file sent through the page, which holds it in memory; ``upload_max_mb`` where
            that is less.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # "DATABASE_URL=" in .env means: not set
        extra="ignore",  # .env is shared with the services, each reads its own
        frozen=True,
    )

    results_dir: Annotated[Path, AfterValidator(values.folder)] = Path("results")
    data_dir: Annotated[Path, AfterValidator(values.folder)] = Path("data")
    database_url: Annotated[str, AfterValidator(values.database)] | None = Field(default=None, repr=False)
    tz: Annotated[str, AfterValidator(values.time_zone)] = "Asia/Taipei"
    lease_s: float = Field(default=60, gt=0, le=86_400, allow_inf_nan=False)
    heartbeat_s: float = Field(default=10, gt=0, allow_inf_nan=False)
    broker_url: Annotated[str, AfterValidator(values.broker)] | None = Field(default=None, repr=False)
    queues: Annotated[_Names, AfterValidator(values.queues)] = ("train",)
    max_attempts: int = Field(default=3, ge=1, le=100)
    max_jobs_per_user: int = Field(default=1000, ge=0, le=1_000_000)
    max_running_per_user: int = Field(default=0, ge=0, le=1_000_000)
    max_runtime_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    poll_s: float = Field(default=0.5, ge=0.01, le=60, allow_inf_nan=False)
    ring_again_s: float = Field(default=60, gt=0, le=900, allow_inf_nan=False)
    retry_delay_s: float = Field(default=5, ge=0, le=3600, allow_inf_nan=False)
    stop_grace_s: float = Field(default=10, ge=0, le=3600, allow_inf_nan=False)
    drain_s: float = Field(default=60, ge=0, le=3600, allow_inf_nan=False)
    environment: Literal["development", "production"] = "development"
    jwt_secret: str | None = Field(default=None, repr=False)
    token_expire_minutes: int = Field(default=30, ge=1, le=1440)
    audit_key: str | None = Field(default=None, repr=False)
    audit_anchor: Annotated[Path, AfterValidator(values.folder)] | None = None
    api_host: Annotated[str, AfterValidator(values.listener)] = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65_535)
    serving_host: Annotated[str, AfterValidator(values.listener)] = "127.0.0.1"
    serving_port: int = Field(default=8002, ge=0, le=65_535)
    serving_device: Annotated[str, AfterValidator(values.device)] = "auto"
    serving_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    serving_memory_mb: int = Field(default=1024, ge=1, le=1_000_000)
    serving_queue: int = Field(default=2048, ge=512, le=1_000_000)
    serving_batch_tokens: int = Field(default=4096, ge=64, le=1_000_000)
    serving_merge: bool = True
    serving_poll_s: float = Field(default=1, ge=0.05, le=3600, allow_inf_nan=False)
    predictions_per_minute: int = Field(default=0, ge=0, le=10_000_000)
    allowed_hosts: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(values.names), AfterValidator(values.hosts)
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(values.names), AfterValidator(values.origins)
    ] = ()
    forwarded_allow_ips: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(values.names), AfterValidator(values.proxies)
    ] = ()
    tls_certfile: Annotated[Path, AfterValidator(values.folder)] | None = None
    tls_keyfile: Annotated[Path, AfterValidator(values.folder)] | None = None
    plain_http: bool = False
    metrics_token: Annotated[str, AfterValidator(values.token)] | None = Field(default=None, repr=False)
    page_key: Annotated[str, AfterValidator(values.key)] | None = Field(default=None, repr=False)
    api_replicas: int = Field(default=1, ge=1, le=10_000)
    debug: bool = False
    reads_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    writes_per_minute: int = Field(default=60, ge=0, le=1_000_000)
    login_failures: int = Field(default=10, ge=1, le=1000)
    model_allowlist: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(values.names), AfterValidator(values.hub_ids)
    ] = (
        "distilbert-base-uncased",
        "roberta-base",
        "albert-base-v2",
        "bert-base-chinese",
    )
    dataset_allowlist: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(values.names), AfterValidator(values.hub_ids)
    ] = (
        "nyu-mll/glue",
        "stanfordnlp/sst2",
        "lansinuote/ChnSentiCorp",
    )
    webhook_key: str | None = Field(default=None, repr=False)
    webhook_hosts: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(values.names), AfterValidator(values.receivers)
    ] = ()
    max_webhooks_per_user: int = Field(default=10, ge=0, le=1000)

    upload_max_mb: int = Field(default=2048, ge=0, le=1 << 20)
    uploads_mb_per_user: int = Field(default=10_240, ge=0, le=1 << 30)
    uploads_per_user: int = Field(default=100, ge=0, le=100_000)
    api_url: str | None = None
    serving_url: str = "http://127.0.0.1:8002"
    api_ca_file: Annotated[Path, AfterValidator(values.folder)] | None = None
    api_proxy: str | None = Field(default=None, repr=False)
    ui_host: Annotated[str, AfterValidator(values.listener)] = "127.0.0.1"
    ui_port: int = Field(default=8501, ge=0, le=65_535)
    ui_upload_max_mb: int = Field(default=200, ge=1, le=4096)

    @model_validator(mode="after")
    def _two_heartbeats_fit_into_a_lease(self) -> Settings:
        # One lost heartbeat must not cost the run.
        if self.heartbeat_s >= self.lease_s / 2:
            raise ValueError(
                f"HEARTBEAT_S is {self.heartbeat_s:g}, expected less than half of "
                f"LEASE_S ({self.lease_s:g}), that is below {self.lease_s / 2:g}"
            )
        return self

    @property
    def resolved_database_url(self) -> str:
        """Where the records are: ``DATABASE_URL``, else a SQLite file in the results folder."""
        return self.database_url or f"sqlite:///{self.results_dir.absolute() / 'experiments.db'}"

    @property
    def zone(self) -> ZoneInfo:
        """``tz`` as the standard library takes it."""
        return ZoneInfo(self.tz)


def secret_variables() -> frozenset[str]:
    """Names, in capitals, of the variables that may hold a password or a key: the fields that no ``repr`` shows.

    No error repeats their values, and no process that reads what strangers sent is given them.
    """
    return frozenset(name.upper() for name, field in Settings.model_fields.items() if not field.repr)


def without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The environment ``env`` without those, in whatever spelling."""
    secret = secret_variables()
    return {name: value for name, value in env.items() if name.upper() not in secret}


def knows_secrets(settings: Settings) -> bool:
    """Whether any of them is set, by a variable or in ``.env``."""
    return any(getattr(settings, name.lower()) is not None for name in secret_variables())


def get_settings() -> Settings:
    """The settings as environment and ``.env`` say now.

    Raises: SettingsError naming each wrong variable and what it should be.
    """
    try:
        return Settings()
    except ValidationError as cause:
        faults = "; ".join(_fault(error) for error in cause.errors())
        raise SettingsError(faults, where="environment or .env", hint="see .env.example") from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise SettingsError(
            "cannot be read, expected a text file in UTF-8", where=".env", hint="see .env.example"
        ) from cause


def _fault(error: ErrorDetails) -> str:
    """One pydantic error in our words: variable, value found, value expected."""
    if not error["loc"]:  # the check across fields says everything itself
        return str(error["ctx"]["error"])
    name = str(error["loc"][0])
    found = "" if name.upper() in secret_variables() else f"{str(error['input'])!r}, "
    expected = str(error.get("ctx", {}).get("error", error["msg"]))
    return f"{name.upper()} is {found}{expected[0].lower()}{expected[1:]}"
