"""Write what became of a batch, in the OpenAI Batch output format: a line a job, in the order of the input.

A call that the provider answered has its `response`, whatever the status; one that got no answer has an `error`. Lines
that the sandbox answered say so.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID

import orjson
from sqlalchemy import Engine

from pressroom.batches.ahead import ahead
from pressroom.batches.downloads import contact_sheet_for, download_images
from pressroom.batches.pages import ArtifactRow, JobRow, batch_facts, job_pages
from pressroom.operations.image_generate import asked_format
from pressroom.storage import ObjectStore

__all__ = ["ArtifactRow", "OutputSummary", "contact_sheet_for", "download_images", "write_output"]

_THREADS = 8
_OK = 200
_UNFINISHED = ("blocked", "queued", "leased", "running")
_MESSAGES = {
    "cancelled": "The job was cancelled before it was done.",
    "expired": "The job could not be done before its deadline.",
    "worker_lost": "The worker stopped while the call was on its way.",
}

Link = Callable[[ArtifactRow], str]


@dataclass(slots=True)
class OutputSummary:
    """Lines written, by how their jobs ended; `unfinished` jobs have no line. `images` counts pictures in them."""

    lines: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    unfinished: int = 0
    images: int = 0


def write_output(
    engine: Engine,
    batch_id: UUID,
    file: BinaryIO,
    *,
    store: ObjectStore | None = None,
    link: Link | None = None,
) -> OutputSummary:
    """Write a line for every job that has ended, in flat memory.

    Pictures become a `url` by `link` (`s3://bucket/key` without it), or `b64_json` read from `store` where the request
    asked for that and a store is given. Raises NotFound, and StorageError for a picture that cannot be read.
    """
    batch_facts(engine, batch_id)
    summary = OutputSummary()
    writer = _LineWriter(store, link)
    for jobs, pictures in job_pages(engine, batch_id):
        ended = [(job, pictures.get(job.id, [])) for job in jobs if job.state not in _UNFINISHED]
        summary.unfinished += len(jobs) - len(ended)
        # Only pictures that may have to be read are worth the threads.
        lines = (
            ahead(writer.line, ended, threads=_THREADS) if pictures and store is not None else map(writer.line, ended)
        )
        for line, (job, of_job) in zip(lines, ended, strict=True):
            file.write(line)
            summary.lines += 1
            summary.images += len(of_job)
            setattr(summary, job.state, getattr(summary, job.state) + 1)
    return summary


class _LineWriter:
    """Puts one line together. Thread-safe, as the store is."""

    def __init__(self, store: ObjectStore | None, link: Link | None) -> None:
        self._store = store
        self._link = link if link is not None else _default_link(store)

    def line(self, ended: tuple[JobRow, list[ArtifactRow]]) -> bytes:
        """The line, with its line end."""
        job, pictures = ended
        response, error = self._answer(job, pictures)
        row = {
            "id": f"batch_req_{job.id.hex}",
            "custom_id": job.custom_id,
            "response": response,
            "error": error,
        }
        if job.is_sandbox:
            row["sandbox"] = True
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)

    def _answer(self, job: JobRow, pictures: list[ArtifactRow]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        if job.state == "succeeded":
            return _response(job, self._body(job, pictures)), None
        if job.state == "failed" and job.status_code not in (None, _OK):
            body = _one_line(job.body) if job.body is not None else {"error": _error_of(job)}
            return _response(job, body), None
        error = _error_of(job)
        return None, {"code": error["code"], "message": error["message"]}

    def _body(self, job: JobRow, pictures: list[ArtifactRow]) -> Any:
        if job.request is None:
            return _one_line(job.body or "null")
        body = orjson.loads(job.body)
        as_base64 = self._store is not None and asked_format(orjson.loads(job.request)) == "b64_json"
        by_position = {picture.position: picture for picture in pictures}
        for position, entry in enumerate(body.get("data", [])):
            picture = by_position.get(position)
            if picture is None:
                continue
            if as_base64:
                entry["b64_json"] = self._read(picture)
            else:
                entry["url"] = self._link(picture)
        return body

    def _read(self, picture: ArtifactRow) -> str:
        if self._store is None:
            raise ValueError("pictures can only be written as base64 with a store to read them from")
        return base64.b64encode(self._store.get(picture.key, max_bytes=picture.byte_size)).decode()


def _default_link(store: ObjectStore | None) -> Link:
    prefix = f"s3://{store.bucket}/" if store is not None else ""
    return lambda picture: prefix + picture.key


def _response(job: JobRow, body: Any) -> dict[str, Any]:
    return {"status_code": job.status_code, "request_id": job.request_id, "body": body}


def _one_line(text: str) -> Any:
    """Stored JSON as it is, unless it spans lines."""
    return orjson.Fragment(text) if "\n" not in text and "\r" not in text else orjson.loads(text)


def _error_of(job: JobRow) -> dict[str, Any]:
    """The error that ended the job. A cancelled or expired one is that, whatever its last call came to."""
    if job.state != "failed":
        return {"code": job.state, "message": _MESSAGES[job.state]}
    error = orjson.loads(job.error) if job.error is not None else {}
    code = error.get("code") or job.error_code or "failed"
    return {**error, "code": code, "message": error.get("message") or _MESSAGES.get(code, f"The job failed: {code}.")}
