"""`/v1/batches` on the wire: the provider's shapes, and what we know on top."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.files import unix
from api.schemas.values import Usd
from pressroom.batches.status import BatchStatus, BatchView
from pressroom.ids import show_id

_FILE = "file-01993f2c6ad07c2f9a3e5d8b1c0f4e21"
_BATCH = "batch_01993f2c6ad07c2f9a3e5d8b1c0f4e21"


class ExpiresAfter(BaseModel):
    """From when on, and for how long files are kept."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000)


class CreateBatch(BaseModel):
    """What makes a batch of an uploaded file."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "input_file_id": _FILE,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                "metadata": {"team": "prints"},
            }
        }
    )

    input_file_id: str = Field(max_length=100)
    endpoint: str = Field(max_length=200, description="What the `url` of every line must be.")
    completion_window: str = Field(
        max_length=20, description="`24h`, or any hours or days up to 30 days: jobs not started by then expire."
    )
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchProblem(BaseModel):
    """One thing that is wrong with the input file."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrors(BaseModel):
    """Why a file was refused."""

    object: Literal["list"] = "list"
    data: Sequence[BatchProblem]


class RequestCounts(BaseModel):
    """`failed` are all lines of the error file: `cancelled` and `expired` ones are among them."""

    total: int
    completed: int
    failed: int
    cancelled: int
    expired: int


class BatchObject(BaseModel):
    """A batch. Fields from `cost_usd` on are ours."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _BATCH,
                "object": "batch",
                "endpoint": "/v1/chat/completions",
                "model": "gpt-4o-mini",
                "errors": None,
                "input_file_id": _FILE,
                "completion_window": "24h",
                "status": "in_progress",
                "output_file_id": _FILE,
                "error_file_id": None,
                "created_at": 1795516200,
                "in_progress_at": 1795516202,
                "expires_at": 1795602600,
                "finalizing_at": None,
                "completed_at": None,
                "failed_at": None,
                "expired_at": None,
                "cancelling_at": None,
                "cancelled_at": None,
                "request_counts": {"total": 100, "completed": 40, "failed": 0, "cancelled": 0, "expired": 0},
                "usage": None,
                "metadata": {"team": "prints"},
                "cost_usd": "0.00123",
                "at_risk_usd": "0",
                "est_cost_usd": "0.02",
                "eta": 1795516209,
                "paused": False,
                "sandbox": False,
                "name": "requests.jsonl",
            }
        }
    )

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str | None = Field(description="Null where the lines, handed in on the command line, go to several.")
    model: str | None = Field(description="Null where the lines ask for several.")
    errors: BatchErrors | None
    input_file_id: str | None = Field(description="Null for a batch that was handed in on the command line.")
    completion_window: str | None
    status: BatchStatus
    output_file_id: str | None = Field(description="From the first line on; it can be read before the batch is over.")
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: dict[str, Any] | None
    metadata: dict[str, Any] | None
    cost_usd: Usd = Field(description="Spent so far.")
    at_risk_usd: Usd = Field(description="What calls of unknown fate may have cost on top.")
    est_cost_usd: Usd = Field(description="What it may cost at most.")
    eta: int | None = Field(description="When it ends if it goes on as so far.")
    paused: bool
    sandbox: bool = Field(description="Whether the sandbox answers, and not a model.")
    name: str = Field(description="Of the input file.")


class BatchPage(BaseModel):
    """A page of batches. `after=<last_id>` gives the next one."""

    object: Literal["list"] = "list"
    data: Sequence[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def batch_object(view: BatchView) -> BatchObject:
    """A batch as it is now."""
    errors = [BatchProblem(**error) for error in view.errors] if view.errors is not None else None
    return BatchObject(
        id=show_id("batch", view.id),
        endpoint=view.endpoint,
        model=view.model,
        errors=BatchErrors(data=errors) if errors is not None else None,
        input_file_id=show_id("file", view.input_file_id) if view.input_file_id is not None else None,
        completion_window=view.completion_window,
        status=view.status,
        output_file_id=show_id("file", view.output_file_id) if view.has_output else None,
        error_file_id=show_id("file", view.error_file_id) if view.unsuccessful else None,
        created_at=int(view.created_at.timestamp()),
        in_progress_at=unix(view.in_progress_at),
        expires_at=unix(view.deadline),
        finalizing_at=unix(view.finalizing_at),
        completed_at=unix(view.over_as(BatchStatus.COMPLETED)),
        failed_at=unix(view.over_as(BatchStatus.FAILED)),
        expired_at=unix(view.over_as(BatchStatus.EXPIRED)),
        cancelling_at=unix(view.cancelling_at),
        cancelled_at=unix(view.over_as(BatchStatus.CANCELLED)),
        request_counts=RequestCounts(
            total=view.total,
            completed=view.succeeded,
            failed=view.unsuccessful,
            cancelled=view.cancelled,
            expired=view.expired,
        ),
        usage=view.usage,
        metadata=view.metadata or None,
        cost_usd=view.cost_usd,
        at_risk_usd=view.at_risk_usd,
        est_cost_usd=view.est_cost_usd,
        eta=unix(view.eta),
        paused=view.paused_at is not None,
        sandbox=view.is_sandbox,
        name=view.input_name,
    )
