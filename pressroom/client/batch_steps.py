"""Batches: upload, make, wait, and read results as they come."""

import itertools
import json
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from pressroom.client import job_steps
from pressroom.client.asking import Asked, JobRequest, batch_line
from pressroom.client.calls import Calls
from pressroom.client.errors import BadReference, JobNotSucceeded
from pressroom.client.progress import Counts, ProgressOption, Shown
from pressroom.client.records import Artifact, Batch, Job, JobError, StoredFile
from pressroom.client.results import answer_text
from pressroom.client.steps import Item, Outcome, Pause, Request, Steps, Stream, Upload

PATH = "/v1/batches"
_POLL_SECONDS = 0.25
_LAST_POLL_SECONDS = 3.0
_COMMIT_SKEW = timedelta(seconds=10)
"""A job may be seen this much later than it says that it ended."""

BatchInput: TypeAlias = StoredFile | Path | str | Iterable[Asked]
"""An uploaded file or its id, a file on disk, or requests."""


@dataclass(frozen=True, slots=True)
class LineResult:
    """What came of one line of a batch: the provider's answer, or why there is none."""

    custom_id: str
    body: Mapping[str, Any] | None = field(repr=False)
    error: JobError | None

    @property
    def has_succeeded(self) -> bool:
        """Whether there is an answer."""
        return self.error is None and self.body is not None

    @property
    def answer(self) -> Mapping[str, Any]:
        """The provider's answer. Raises JobNotSucceeded."""
        if self.body is None or self.error is not None:
            raise JobNotSucceeded(f"{self.custom_id} has no answer ({self.error})")
        return self.body

    @property
    def text(self) -> str:
        """The words of a chat completion or a response. Raises JobNotSucceeded."""
        return answer_text(self.answer)

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> "LineResult":
        """From a line of an output or error file."""
        response = line.get("response") or {}
        body, told = response.get("body"), line.get("error")
        if told is None and response.get("status_code", 200) >= 400:
            told = (body or {}).get("error") or {"message": f"status {response['status_code']}"}
        error = None if told is None else JobError(told.get("code"), told.get("message"), told.get("param"))
        return cls(line["custom_id"], body, error)


def upload(calls: Calls, given: Path | str | Iterable[Asked], purpose: str) -> Steps[StoredFile]:
    """Upload a file from disk, or requests as a batch file."""
    if isinstance(given, str | Path):
        path = Path(given)
        if not path.is_file():
            raise BadReference(f"there is no file {str(path)!r}")
        return StoredFile.of((yield from calls.upload("/v1/files", Upload(path, {"purpose": purpose}))))
    with tempfile.TemporaryDirectory(prefix="pressroom-client-") as folder:
        path = Path(folder, "requests.jsonl")
        with path.open("wb") as file:
            file.writelines(batch_line(JobRequest.of(one), n) for n, one in enumerate(given, start=1))
        return StoredFile.of((yield from calls.upload("/v1/files", Upload(path, {"purpose": purpose}))))


def create(calls: Calls, given: BatchInput, options: Mapping[str, Any], *, key: str | None) -> Steps[Batch]:
    """Make a batch; whatever is not uploaded is uploaded first. Without an `endpoint`, that of the first request."""
    endpoint = options.get("endpoint")
    if isinstance(given, str) and given.startswith("file-"):
        file_id = given
    elif isinstance(given, StoredFile):
        file_id = given.id
    else:
        if endpoint is None:
            endpoint, given = _first_endpoint(given)
        file_id = (yield from upload(calls, given, "batch")).id
    if endpoint is None:
        raise BadReference("of a file that is uploaded already, say the endpoint: endpoint='/v1/chat/completions'")
    body = {"completion_window": "24h", **options, "endpoint": endpoint, "input_file_id": file_id}
    return Batch.of((yield from calls.post(PATH, {k: v for k, v in body.items() if v is not None}, key=key)))


def find(calls: Calls, batch: Batch | str) -> Steps[Batch]:
    """A batch as it is now."""
    return Batch.of((yield from calls.get(f"{PATH}/{_id(batch)}")))


def cancel(calls: Calls, batch: Batch | str) -> Steps[Batch]:
    """Start nothing more of it; what was paid for is kept."""
    return Batch.of((yield from calls.post(f"{PATH}/{_id(batch)}/cancel")))


def wait(calls: Calls, batch: Batch | str, *, timeout_seconds: float | None, progress: ProgressOption) -> Steps[Batch]:
    """Until it is over and its files are written. Raises StillRunning."""
    deadline, pause = calls.deadline(timeout_seconds), _POLL_SECONDS
    with ExitStack() as stack:
        shown = stack.enter_context(Shown(progress))
        while True:
            found = yield from find(calls, batch)
            shown(_counts(found))
            if found.has_ended:
                return found
            yield from calls.pause(pause, deadline, f"{found.id} ({found.status})")
            pause = min(_LAST_POLL_SECONDS, pause * 1.3)


def results(
    calls: Calls, batch: Batch | str, *, timeout_seconds: float | None, progress: ProgressOption
) -> Stream[LineResult]:
    """Every line's result, as soon as it is there; when the batch is over, the rest from its files."""
    deadline = calls.deadline(timeout_seconds)
    seen: set[str] = set()
    since: datetime | None = None
    with ExitStack() as stack:
        shown = stack.enter_context(Shown(progress))
        while True:
            found = yield from find(calls, batch)
            shown(_counts(found))
            if found.has_ended:
                break
            since = yield from _just_ended(calls, found, seen, since)
            yield from calls.pause(_POLL_SECONDS * 2, deadline, f"{found.id} ({found.status})")
        for file_id in (found.output_file_id, found.error_file_id):
            if file_id is not None:
                yield from _from_file(calls, file_id, seen)


def download_images(calls: Calls, batch: Batch | str, folder: Path) -> Steps[list[Path]]:
    """Every picture that the batch has made by now."""
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    paths: list[Path] = []
    pages = calls.pages(job_steps.PATH, Job.of, batch_id=_id(batch), state="succeeded")
    for job in (yield from _collected(pages)):
        names[job.id] = job.custom_id or job.id
    pictures = calls.pages("/v1/artifacts", _owned, batch_id=_id(batch), kind="image")
    for owner, image in (yield from _collected(pictures)):
        paths.append((yield from job_steps.save_image(calls, image, folder, names.get(owner, owner))))
    return paths


def _just_ended(
    calls: Calls, batch: Batch, seen: set[str], since: datetime | None
) -> Generator[Request | Pause | Item[LineResult], Outcome, datetime | None]:
    """Those that ended since the last look; returns from when on to look the next time."""
    filters = {"batch_id": batch.id, "finished_after": None if since is None else (since - _COMMIT_SKEW).isoformat()}
    ended = calls.pages(job_steps.PATH, Job.of, state=["succeeded", "failed", "cancelled", "expired"], **filters)
    for job in (yield from _collected(ended)):
        name = job.custom_id or job.id
        if name in seen:
            continue
        seen.add(name)
        since = max(filter(None, (since, job.finished_at)), default=None)
        detailed = job if job.has_succeeded else (yield from job_steps.find(calls, job))
        came = yield from job_steps.result(calls, detailed)
        yield Item(LineResult(name, came.body, detailed.error))
    return since


def _from_file(calls: Calls, file_id: str, seen: set[str]) -> Stream[LineResult]:
    with tempfile.TemporaryDirectory(prefix="pressroom-client-") as folder:
        path = yield from calls.save(f"/v1/files/{file_id}/content", Path(folder, "results.jsonl"))
        with path.open("rb") as file:
            for line in file:
                one = LineResult.of_line(json.loads(line))
                if one.custom_id not in seen:
                    yield Item(one)


def _collected(stream: Stream[Any]) -> Steps[list[Any]]:
    """All items of a stream, where the next step needs them together."""
    items: list[Any] = []
    outcome = None
    while True:
        try:
            wanted = stream.send(outcome)
        except StopIteration:
            return items
        outcome = None
        if isinstance(wanted, Item):
            items.append(wanted.value)
        else:
            outcome = yield wanted


def _first_endpoint(given: Path | str | Iterable[Asked]) -> tuple[str, Path | Iterable[Asked]]:
    """The `url` of the first request, and what was given, whole."""
    if isinstance(given, str | Path):
        path = Path(given)
        if not path.is_file():
            raise BadReference(f"there is no file {str(path)!r}")
        with path.open("rb") as file:
            return _line_url(file), path
    stream: Iterator[Asked] = iter(given)
    first = next(stream, None)
    if first is None:
        raise BadReference("there are no requests: a batch needs at least one")
    return JobRequest.of(first).url, itertools.chain([first], stream)


def _line_url(lines: Iterable[bytes]) -> str:
    try:
        return str(json.loads(next(iter(lines)))["url"])
    except (StopIteration, ValueError, KeyError, TypeError):
        raise BadReference("the file's first line has no `url`: see docs/batch-format.md") from None


def _id(batch: Batch | str) -> str:
    found = batch.id if isinstance(batch, Batch) else batch
    if not found or "/" in found:
        raise BadReference(f"not a batch, nor the id of one: {found!r}")
    return found


def _owned(raw: Mapping[str, Any]) -> tuple[str, Artifact]:
    return str(raw["job_id"]), Artifact.of(raw)


def _counts(batch: Batch) -> Counts:
    return Counts(batch.completed + batch.failed, batch.total, batch.failed)
