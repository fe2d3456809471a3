"""`/v1/models` on the wire: the provider's shapes."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pressroom.jobs.offered import OfferedModel


class ModelObject(BaseModel):
    """A model that jobs may ask for."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "gpt-4o-mini",
                "object": "model",
                "created": 1721260800,
                "owned_by": "openai",
                "shutdown_date": "2027-01-14",
            }
        }
    )

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    shutdown_date: str | None = Field(description="When its provider ends it, as YYYY-MM-DD; null if not announced.")


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: Sequence[ModelObject]


def model_object(model: OfferedModel) -> ModelObject:
    """A model as the provider shows one."""
    return ModelObject(
        id=model.name,
        created=int(datetime.combine(model.since, time(), UTC).timestamp()),
        owned_by=model.owned_by,
        shutdown_date=model.shutdown.isoformat() if model.shutdown is not None else None,
    )
