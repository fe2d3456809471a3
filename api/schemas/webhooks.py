"""`/v1/webhooks` on the wire."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.schemas.values import Moment
from pressroom.webhooks.endpoints import Endpoint
from pressroom.webhooks.replay import DeliveryRow

_LONGEST_OVERLAP_SECONDS = 604_800
_EXAMPLE_ID = "we_019304e29b6c7aa29e5a0c1d2e3f4a5b"

Patterns = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=60)]],
    Field(min_length=1, max_length=50, description="Types of events, each with one `*` at most.", examples=[["job.*"]]),
]
Description = Annotated[str, Field(max_length=512, description="For people.")]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="https, and open to the internet.",
        examples=["https://example.com/hooks"],
    ),
]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewWebhook(_Given):
    """An address that wants to hear of the project's events."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://example.com/hooks", "events": ["batch.*", "job.failed"]}]}
    )

    url: Url
    events: Patterns = ["*"]
    description: Description = ""
    batch_jobs: bool = Field(
        False, strict=True, description="Hear `job.*` of jobs in batches, too: as many as a batch has jobs."
    )


class WebhookChanges(_Given):
    """What is to be otherwise; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": ["batch.*"], "enabled": True}]})

    url: Url | None = None
    events: Patterns | None = None
    description: Description | None = None
    batch_jobs: Annotated[bool, Field(strict=True)] | None = None
    enabled: Annotated[bool, Field(strict=True)] | None = Field(
        None, description="Enabled again, what waited goes out, and failures of before are forgotten."
    )


class Rotation(_Given):
    """How the old secret ends."""

    overlap_seconds: int = Field(
        86_400, ge=0, le=_LONGEST_OVERLAP_SECONDS, strict=True, description="The old one signs, too, for so long."
    )


class ReplayEvent(_Given):
    """This event, whatever types the endpoint asks for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"event_id": "evt_512"}]})

    event_id: str = Field(pattern=r"^evt_[0-9]{1,18}$")


class ReplaySince(_Given):
    """All that the endpoint asks for since then."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"since": "2026-11-24T00:00:00Z"}]})

    since: AwareDatetime = Field(description="With a UTC offset.")


class Webhook(BaseModel):
    """An endpoint. Its secret is shown once, when it is made or rotated."""

    object: Literal["webhook"] = "webhook"
    id: str = Field(examples=[_EXAMPLE_ID])
    url: str
    description: str
    events: list[str]
    batch_jobs: bool
    status: Literal["enabled", "failing", "disabled"]
    disabled_reason: str | None
    failing_since: Moment | None
    previous_secret_until: Moment | None = Field(description="Until then deliveries are signed with both secrets.")
    created_at: Moment

    @classmethod
    def of(cls, endpoint: Endpoint, **more: Any) -> "Webhook":
        """As it is shown."""
        return cls(
            id=endpoint.name,
            url=endpoint.url,
            description=endpoint.description,
            events=endpoint.events,
            batch_jobs=endpoint.batch_jobs,
            status=endpoint.status,
            disabled_reason=endpoint.disabled_reason,
            failing_since=endpoint.failing_since,
            previous_secret_until=endpoint.previous_until,
            created_at=endpoint.created_at,
            **more,
        )


class WebhookWithSecret(Webhook):
    """The one time that the secret is shown."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class WebhookList(BaseModel):
    """A page, newest first."""

    object: Literal["list"] = "list"
    data: list[Webhook]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedWebhook(BaseModel):
    """It is gone."""

    object: Literal["webhook"] = "webhook"
    id: str
    deleted: Literal[True] = True


class Delivery(BaseModel):
    """One event's way to one endpoint."""

    object: Literal["webhook.delivery"] = "webhook.delivery"
    id: str = Field(description="The event's, and the header `webhook-id`.", examples=["evt_512"])
    type: str
    state: Literal["waiting", "delivered", "given_up"]
    attempts: int
    last_status: int | None
    last_error: str | None
    next_at: Moment | None
    delivered_at: Moment | None
    created_at: Moment

    @classmethod
    def of(cls, row: DeliveryRow) -> "Delivery":
        """As it is shown."""
        return cls(
            id=row.name,
            type=row.type,
            state=row.state,
            attempts=row.attempts,
            last_status=row.last_status,
            last_error=row.last_error,
            next_at=row.next_at,
            delivered_at=row.delivered_at,
            created_at=row.created_at,
        )


class DeliveryList(BaseModel):
    """A page, newest first."""

    object: Literal["list"] = "list"
    data: list[Delivery]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Replayed(BaseModel):
    """How many deliveries are due now."""

    object: Literal["webhook.replay"] = "webhook.replay"
    deliveries: int


class Tested(BaseModel):
    """The event that was made for it."""

    object: Literal["webhook.test"] = "webhook.test"
    event_id: str = Field(examples=["evt_513"])
