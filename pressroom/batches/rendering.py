"""What became of a job, as a line of the OpenAI Batch output format. Lines that the sandbox answered say so.

A call that the provider answered has its `response`, whatever the status; one that got no answer has an `error`.
"""

import base64
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from pressroom.batches.ahead import ahead
from pressroom.batches.pages import ArtifactRow, JobRow
from pressroom.operations.image_generate import asked_format
from pressroom.storage import ObjectStore

_THREADS = 8
_WAITING_BYTES = 64 * 1024 * 1024
"""Pictures fetched ahead, at most: they are the only large thing in a line."""
_OK = 200

Link = Callable[[ArtifactRow], str]
Words = Mapping[str, tuple[str, str]]
"""Code and message of an error that we give: by how the job ended, or by its error code."""

OUR_WORDS: Words = {
    "cancelled": ("cancelled", "The job was cancelled before it was done."),
    "expired": ("expired", "The job could not be done before its deadline."),
    "worker_lost": ("worker_lost", "The worker stopped while the call was on its way."),
}
PROVIDER_WORDS: Words = {
    **OUR_WORDS,
    "cancelled": ("batch_cancelled", "This request was cancelled before it could be executed."),
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
}

Segment = bytes | ArtifactRow
"""A piece of a line: text, or a picture that comes in its place as base64."""


class LineRenderer:
    """Pictures become a `url` by `link`, or `b64_json` read from `store` where the request asked for that."""

    def __init__(self, store: ObjectStore | None = None, link: Link | None = None, *, words: Words = OUR_WORDS) -> None:
        self._store = store
        self._link = link if link is not None else _default_link(store)
        self._words = words
        self._mark = f"picture-{secrets.token_hex(16)}-"

    def lines(
        self, ended: Sequence[tuple[JobRow, list[ArtifactRow]]]
    ) -> Iterator[tuple[JobRow, list[ArtifactRow], Iterable[bytes]]]:
        """Each job's line in pieces, with its line end. A line's pieces must be taken before the next line is.

        Raises StorageError for a picture that cannot be read.
        """
        drafts = [self._draft(job, pictures) for job, pictures in ended]
        wanted = [segment for draft in drafts for segment in draft if isinstance(segment, ArtifactRow)]
        contents = ahead(
            self._fetch, wanted, threads=_THREADS, weigh=lambda picture: picture.byte_size, most=_WAITING_BYTES
        )
        for (job, pictures), draft in zip(ended, drafts, strict=True):
            yield job, pictures, _pieces(draft, contents)

    def _draft(self, job: JobRow, pictures: list[ArtifactRow]) -> list[Segment]:
        places: list[ArtifactRow] = []
        response, error = self._answer(job, pictures, places)
        row = {
            "id": f"batch_req_{job.id.hex}",
            "custom_id": job.custom_id,
            "response": response,
            "error": error,
        }
        if job.is_sandbox:
            row["sandbox"] = True
        text = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        draft: list[Segment] = []
        for number, picture in enumerate(places):
            before, _, text = text.partition(f"{self._mark}{number}.".encode())
            draft += [before, picture]
        return [*draft, text]

    def _answer(
        self, job: JobRow, pictures: list[ArtifactRow], places: list[ArtifactRow]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        if job.state == "succeeded":
            return _response(job, self._body(job, pictures, places)), None
        if job.state == "failed" and job.status_code not in (None, _OK):
            body = _one_line(job.body) if job.body is not None else {"error": self._error(job)}
            return _response(job, body), None
        error = self._error(job)
        return None, {"code": error["code"], "message": error["message"]}

    def _body(self, job: JobRow, pictures: list[ArtifactRow], places: list[ArtifactRow]) -> Any:
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
                entry["b64_json"] = f"{self._mark}{len(places)}."
                places.append(picture)
            else:
                entry["url"] = self._link(picture)
        return body

    def _error(self, job: JobRow) -> dict[str, Any]:
        """The error that ended the job. A cancelled or expired one is that, whatever its last call came to."""
        if job.state != "failed":
            code, message = self._words[job.state]
            return {"code": code, "message": message}
        error = orjson.loads(job.error) if job.error is not None else {}
        code = error.get("code") or job.error_code or "failed"
        ours = self._words.get(code, (code, f"The job failed: {code}."))[1]
        return {**error, "code": code, "message": error.get("message") or ours}

    def _fetch(self, picture: ArtifactRow) -> bytes:
        if self._store is None:
            raise ValueError("pictures can only be written as base64 with a store to read them from")
        return base64.b64encode(self._store.get(picture.key, max_bytes=picture.byte_size))


def _pieces(draft: list[Segment], contents: Iterator[bytes]) -> Iterator[bytes]:
    for segment in draft:
        yield segment if isinstance(segment, bytes) else next(contents)


def _default_link(store: ObjectStore | None) -> Link:
    prefix = f"s3://{store.bucket}/" if store is not None else ""
    return lambda picture: prefix + picture.key


def _response(job: JobRow, body: Any) -> dict[str, Any]:
    return {"status_code": job.status_code, "request_id": job.request_id, "body": body}


def _one_line(text: str) -> Any:
    """Stored JSON as it is, unless it spans lines."""
    return orjson.Fragment(text) if "\n" not in text and "\r" not in text else orjson.loads(text)
