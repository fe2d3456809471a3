"""Which jobs: the conditions of a list, as a program writes them and as they go over the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

from pressroom.client.records import Batch, JobState


class JobFilter(TypedDict, total=False):
    """All that is given must hold. Times need a UTC offset."""

    state: JobState | Sequence[JobState]
    model: str
    batch: Batch | str
    tag: str
    error_code: str
    url: str
    custom_id: str
    created_after: datetime
    created_before: datetime
    finished_after: datetime
    finished_before: datetime


def filtered(which: JobFilter) -> dict[str, Any]:
    """As query parameters."""
    params: dict[str, Any] = {}
    for name, value in which.items():
        if isinstance(value, datetime):
            params[name] = value.isoformat()
        elif name == "batch":
            params["batch_id"] = value.id if isinstance(value, Batch) else value
        else:
            params[name] = value
    return params
