"""The Python client: `from pressroom.client import Pressroom, AsyncPressroom`.

Over HTTP, typed, blocking and async. `Direct` (or `Pressroom.direct`) hands jobs in on the database itself; it is
loaded when it is first named, because it brings SQLAlchemy and Celery, which HTTP does not need.
"""

from typing import TYPE_CHECKING, Any

from pressroom.client.asking import JobRequest
from pressroom.client.asynchronous import AsyncPressroom
from pressroom.client.batch_steps import LineResult
from pressroom.client.blocking import Pressroom
from pressroom.client.errors import (
    AnsweredError,
    BadReference,
    ClientError,
    JobNotSucceeded,
    KeyRefused,
    NoAnswer,
    NoSuchThing,
    NotSetUp,
    RequestRefused,
    ServerFault,
    StateConflict,
    StillRunning,
    TooManyRequests,
)
from pressroom.client.progress import Counts
from pressroom.client.records import Artifact, Batch, Job, JobError, StoredFile, Waits
from pressroom.client.results import Result, Results

if TYPE_CHECKING:
    from pressroom.client.direct import Direct

__all__ = [
    "AnsweredError",
    "Artifact",
    "AsyncPressroom",
    "BadReference",
    "Batch",
    "ClientError",
    "Counts",
    "Direct",
    "Job",
    "JobError",
    "JobNotSucceeded",
    "JobRequest",
    "KeyRefused",
    "LineResult",
    "NoAnswer",
    "NoSuchThing",
    "NotSetUp",
    "Pressroom",
    "RequestRefused",
    "Result",
    "Results",
    "ServerFault",
    "StateConflict",
    "StillRunning",
    "StoredFile",
    "TooManyRequests",
    "Waits",
]


def __getattr__(name: str) -> Any:
    if name == "Direct":
        from pressroom.client.direct import Direct

        return Direct
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
