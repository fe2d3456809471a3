"""Settings: one frozen object, built once at a door from the environment and handed down."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pressroom.errors import ProviderUnavailable
from pressroom.net.addresses import Network, parse_networks

OPENAI_BASE_URL = "https://api.openai.com/v1"
SANDBOX = "sandbox:"
"""The base URL under which the sandbox's deployments are booked; its port changes at every start."""

Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Everything that can be set, with defaults. Every field is `PRESSROOM_<NAME>` in the environment.

    Where `database_url`, `redis_url` or `s3_bucket` is not set, the local stack in `data_dir` provides it. The
    provider is what the OpenAI SDK reads: `OPENAI_API_KEY` and `OPENAI_BASE_URL`; without a key, the sandbox.
    """

    model_config = SettingsConfigDict(
        env_prefix="PRESSROOM_",
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    data_dir: Path = Path(".pressroom")
    """Where the local stack, and pictures that wait for the store, are kept."""
    database_url: SecretStr | None = None
    """PostgreSQL 18, as `postgresql+psycopg://user:password@host:5432/name`. Not set: the local stack."""
    redis_url: SecretStr | None = None
    """Redis 7 or Valkey 8 and newer, as `redis://:password@host:6379/0`. Not set: the local stack."""
    redis_prefix: str = "pressroom:"
    """Put before every key, so that several installations can share a server."""
    s3_endpoint_url: str | None = None
    """Address of an S3-compatible store. Not set, with a bucket set: AWS."""
    s3_bucket: str | None = None
    """Where pictures and files go. Not set: the local stack."""
    s3_region: str = "us-east-1"
    """Region of the bucket."""
    s3_access_key_id: str | None = Field(default=None, validation_alias=AliasChoices("AWS_ACCESS_KEY_ID"))
    """Not set: boto3 finds credentials its own way (profile, instance role)."""
    s3_secret_access_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("AWS_SECRET_ACCESS_KEY"))
    """Goes with `AWS_ACCESS_KEY_ID`."""
    openai_api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("OPENAI_API_KEY"))
    """Key of the account that pays. Not set: the sandbox, and every screen says so."""
    openai_base_url: str = Field(default=OPENAI_BASE_URL, validation_alias=AliasChoices("OPENAI_BASE_URL"))
    """Any endpoint that speaks the same API."""
    sandbox_url: str | None = None
    """Address of a running sandbox, as `http://127.0.0.1:8399/v1`; used only without a key."""

    dispatch_ahead_seconds: Seconds = 2.5
    """How many seconds of a pool's rate may be leased and not yet started."""
    dispatch_interval_seconds: Seconds = 0.25
    """How often each worker process dispatches."""
    lease_max_jobs: int = Field(default=50, ge=1, le=100)
    """Jobs in one lease, and so in one message."""
    unlimited_ahead_jobs: int = Field(default=600, ge=1)
    """Jobs leased and not yet started in a pool without known limits."""
    worker_threads: int = Field(default=4, ge=1, le=64)
    """Leases that one worker process takes in at a time."""
    worker_max_in_flight: int = Field(default=400, ge=1, le=5000)
    """Calls that one worker process makes at a time."""
    heartbeat_interval_seconds: Seconds = 2.0
    """How often a worker process says that it lives."""
    worker_dead_after_seconds: Seconds = 10.0
    """Silence after which a worker is given up and its jobs run again."""
    unclaimed_resend_seconds: Seconds = 5.0
    """Age at which a lease that nobody claimed is sent again."""
    drain_seconds: Seconds = 25.0
    """How long a worker that is told to stop waits for its calls."""
    settle_interval_seconds: Seconds = 0.03
    """How long finished jobs wait for company before they are committed."""
    request_timeout_seconds: Seconds = 120.0
    """Longest time for one call, from sending to the last byte."""
    max_attempts: int = Field(default=5, ge=1, le=100)
    """Calls that may fail before a job does; 429s do not count."""
    breaker_calls: int = Field(default=20, ge=1)
    """Calls of a deployment within half a minute of which more than half must fail for its breaker to open."""
    breaker_retry_seconds: Seconds = 15.0
    """How long an open breaker waits before it tries a few calls; twice as long each time, up to ten minutes."""
    uncertain_hold_seconds: Seconds = 86_400.0
    """How long budgets keep money reserved for a call of which nobody learns what it cost; then it counts as spent."""
    image_memory_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Pictures that wait in memory while the store is down; more go to disk."""
    max_image_bytes: int = Field(default=50 * 1024 * 1024, ge=1024)
    """Largest picture taken from the provider."""
    max_image_pixels: int = Field(default=40_000_000, ge=1024)
    """Largest picture, in pixels, that is decoded."""
    api_host: str = "127.0.0.1"
    """Address that the API listens on. There is no TLS: put a proxy before it where others can reach it."""
    api_port: int = Field(default=8400, ge=0, le=65535)
    """Port of the API; 0 takes a free one."""
    api_processes: int = Field(default=1, ge=1, le=64)
    """Processes of the API behind its port; one keeps about one core busy."""
    api_max_upload_bytes: int = Field(default=2 * 1024**3, ge=1024)
    """Largest file that `/v1/files` takes."""
    api_max_body_bytes: int = Field(default=32 * 1024**2, ge=1024)
    """Largest body of any other request."""
    api_max_json_depth: int = Field(default=64, ge=4, le=500)
    """How deep JSON bodies may nest."""
    api_cors_origins: str = ""
    """Origins whose pages may call the API from a browser, separated by spaces; none as shipped."""
    api_drain_seconds: Seconds = 20.0
    """How long the API, told to stop, waits for the requests that it is answering."""
    api_longest_wait_seconds: Seconds = 600.0
    """How long a synchronous call is held open for its job; then it is answered 202, with the job's address."""
    max_batch_lines: int = Field(default=1_000_000, ge=1)
    """Most lines of a file that a batch is made of by the API."""
    event_keep_seconds: Seconds = 604_800.0
    """How long events are kept: a stream can be taken up again, and a webhook's events sent again, for so long."""
    event_streams_max: int = Field(default=1000, ge=1)
    """Streams of events that one API process holds open."""
    event_stream_seconds: Seconds = 3600.0
    """How long a stream of events is held open; clients then go on where they were, with a key that is still valid."""
    webhook_allow_private: str = ""
    """Networks of your own, as `10.1.0.0/16,192.168.1.7`, that webhooks may go to, by plain http and any port too."""
    webhook_ports: str = "443,8443"
    """Ports that webhooks may go to on the internet."""
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=15)] = 10.0
    """Longest time for one delivery, from looking up the name to the answer."""
    webhook_disable_after_seconds: Seconds = 259_200.0
    """An endpoint whose every delivery has failed for so long is disabled, with an alert."""
    artifact_redirects: bool | None = None
    """Whether `/v1/artifacts/{id}/content` sends clients to the store itself. Not set: if the store is AWS."""
    confirm_above_usd: Decimal = Field(default=Decimal(10), ge=0)
    """An input that may cost more than this is asked about before it is submitted; scripts give `--yes`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe lines that are logged."""

    @model_validator(mode="after")
    def _dead_after_several_heartbeats(self) -> "Settings":
        if self.worker_dead_after_seconds < 3 * self.heartbeat_interval_seconds:
            raise ValueError(
                f"PRESSROOM_WORKER_DEAD_AFTER_SECONDS={self.worker_dead_after_seconds:g} must be at least three times "
                f"PRESSROOM_HEARTBEAT_INTERVAL_SECONDS={self.heartbeat_interval_seconds:g}: live workers would lose "
                "their leases"
            )
        return self

    @field_validator("webhook_allow_private", "webhook_ports")
    @classmethod
    def _lists_can_be_read(cls, given: str, info: ValidationInfo) -> str:
        if info.field_name == "webhook_ports":
            if not all(part.isdigit() and 0 < int(part) < 65536 for part in _parts(given)):
                raise ValueError("must be ports from 1 to 65535, separated by commas")
        else:
            parse_networks(_parts(given))
        return given

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """`webhook_allow_private` as networks."""
        return parse_networks(_parts(self.webhook_allow_private))

    @property
    def webhook_port_numbers(self) -> frozenset[int]:
        """`webhook_ports` as numbers."""
        return frozenset(int(part) for part in _parts(self.webhook_ports))

    @property
    def uses_sandbox(self) -> bool:
        """Whether jobs go to the sandbox, because there is no API key."""
        return self.openai_api_key is None

    @property
    def redirects_to_store(self) -> bool:
        """Whether clients are sent to the store for pictures. One with an address of its own may be out of reach."""
        return self.s3_endpoint_url is None if self.artifact_redirects is None else self.artifact_redirects

    @property
    def provider(self) -> str:
        """The base URL under which new jobs' deployments are booked."""
        return SANDBOX if self.uses_sandbox else self.openai_base_url.rstrip("/")

    def provider_address(self) -> str:
        """The address to call. Raises ProviderUnavailable when the sandbox should be used and none is running."""
        if not self.uses_sandbox:
            return self.openai_base_url.rstrip("/")
        if self.sandbox_url is None:
            raise ProviderUnavailable(
                "no OPENAI_API_KEY is set and no sandbox is running: set the key, or start `pressroom sandbox` and set "
                "PRESSROOM_SANDBOX_URL (`pressroom up` and `pressroom run` do it by themselves)"
            )
        return self.sandbox_url.rstrip("/")


def _parts(given: str) -> list[str]:
    return given.replace(",", " ").split()
