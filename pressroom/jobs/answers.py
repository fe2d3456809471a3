"""What a finished job answers to whoever called for it: the provider's own status and body, pictures put back in."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pressroom.ids import show_id
from pressroom.jobs.finished import FinishedJob, Picture
from pressroom.operations.image_generate import asked_format
from pressroom.storage import ObjectStore

_OK = 200
_TIMED_OUT = frozenset({"timeout", "connection_lost"})


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """Status and JSON body. `retrying_helps` is false where the same job has failed for good."""

    status: int
    body: bytes
    retrying_helps: bool = True


Link = Callable[[Picture], str]


def answer_of(job: FinishedJob, request: Mapping[str, Any], *, store: ObjectStore, link: Link) -> ProviderAnswer:
    """The answer to `request`, whose job has ended. Blocking where pictures are to be read from the store.

    Raises StorageError for a picture that cannot be read; the job keeps it.
    """
    if job.state == "succeeded":
        body = _with_pictures(job, request, store, link) if job.pictures else (job.body or "null").encode()
        return ProviderAnswer(job.status_code or _OK, body)
    if job.state != "failed":
        return ProviderAnswer(*_ended_early(job), retrying_helps=False)
    if job.status_code not in (None, _OK) and job.body is not None:
        return ProviderAnswer(job.status_code, job.body.encode(), retrying_helps=False)
    error = job.error or {}
    code = error.get("code") or job.error_code or "failed"
    message = error.get("message") or f"The job failed: {code}."
    status = job.status_code if job.status_code not in (None, _OK) else 504 if code in _TIMED_OUT else 502
    return ProviderAnswer(
        status, _error(message, error.get("type") or "server_error", code, error.get("param")), retrying_helps=False
    )


def _ended_early(job: FinishedJob) -> tuple[int, bytes]:
    shown = show_id("job", job.id)
    if job.state == "expired":
        message = f"The job could not be started before its deadline; `GET /v1/jobs/{shown}` has the details."
        return 504, _error(message, "server_error", "expired", None)
    message = f"The job was cancelled before it was done; `GET /v1/jobs/{shown}` has the details."
    return 409, _error(message, "invalid_request_error", "cancelled", None)


def _error(message: str, kind: str, code: str, param: str | None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _with_pictures(job: FinishedJob, request: Mapping[str, Any], store: ObjectStore, link: Link) -> bytes:
    body = orjson.loads(job.body or "{}")
    as_base64 = asked_format(request) == "b64_json"
    by_position = {picture.position: picture for picture in job.pictures}
    for position, entry in enumerate(body.get("data", [])):
        picture = by_position.get(position)
        if picture is None:
            continue
        if as_base64:
            entry["b64_json"] = base64.b64encode(store.get(picture.key, max_bytes=picture.byte_size)).decode()
        else:
            entry["url"] = link(picture)
    return orjson.dumps(body)
