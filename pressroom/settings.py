"""Settings: one frozen object, built once at a door from the environment and handed down."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pressroom.errors import ProviderUnavailable

OPENAI_BASE_URL = "https://api.openai.com/v1"
SANDBOX = "sandbox:"
"""The base URL under which the sandbox's deployments are booked; its port changes at every start."""

Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Everything that can be set, with defaults. Every field is `PRESSROOM_<NAME>` in the environment.

    Where `database_url`, `redis_url` or `s3_bucket` is not set, the local stack in `data_dir` provides it. The
    provider is what the OpenAI SDK reads: `OPENAI_API_KEY` and `OPENAI_BASE_URL`; without a key, the sandbox.
    """

    model_config = SettingsConfigDict(env_prefix="PRESSROOM_", frozen=True, extra="forbid")

    data_dir: Path = Path(".pressroom")
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    redis_prefix: str = "pressroom:"
    s3_endpoint_url: str | None = None
    s3_bucket: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = Field(default=None, validation_alias=AliasChoices("AWS_ACCESS_KEY_ID"))
    s3_secret_access_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("AWS_SECRET_ACCESS_KEY"))
    openai_api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("OPENAI_API_KEY"))
    openai_base_url: str = Field(default=OPENAI_BASE_URL, validation_alias=AliasChoices("OPENAI_BASE_URL"))
    sandbox_url: str | None = None

    dispatch_ahead_seconds: Seconds = 2.5
    dispatch_interval_seconds: Seconds = 0.25
    lease_max_jobs: int = Field(default=50, ge=1, le=100)
    unlimited_ahead_jobs: int = Field(default=600, ge=1)
    worker_threads: int = Field(default=4, ge=1, le=64)
    worker_max_in_flight: int = Field(default=400, ge=1, le=5000)
    heartbeat_interval_seconds: Seconds = 2.0
    worker_dead_after_seconds: Seconds = 10.0
    unclaimed_resend_seconds: Seconds = 5.0
    drain_seconds: Seconds = 25.0
    settle_interval_seconds: Seconds = 0.03
    request_timeout_seconds: Seconds = 120.0
    max_attempts: int = Field(default=5, ge=1, le=100)
    image_memory_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    max_image_bytes: int = Field(default=50 * 1024 * 1024, ge=1024)
    max_image_pixels: int = Field(default=40_000_000, ge=1024)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _dead_after_several_heartbeats(self) -> "Settings":
        if self.worker_dead_after_seconds < 3 * self.heartbeat_interval_seconds:
            raise ValueError(
                f"PRESSROOM_WORKER_DEAD_AFTER_SECONDS={self.worker_dead_after_seconds:g} must be at least three times "
                f"PRESSROOM_HEARTBEAT_INTERVAL_SECONDS={self.heartbeat_interval_seconds:g}: live workers would lose "
                "their leases"
            )
        return self

    @property
    def uses_sandbox(self) -> bool:
        """Whether jobs go to the sandbox, because there is no API key."""
        return self.openai_api_key is None

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
