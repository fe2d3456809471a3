"""The blocking client. Its twin, which differs by `await`, is asynchronous.py; what both do is in the steps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from pressroom.client import batch_steps, job_steps
from pressroom.client.asking import CHAT, Asked, JobRequest, Row, Template, Treatment, mapped
from pressroom.client.batch_steps import BatchInput, LineResult
from pressroom.client.calls import Calls
from pressroom.client.filters import JobFilter, filtered
from pressroom.client.progress import ProgressOption
from pressroom.client.records import Batch, Job, StoredFile, Work
from pressroom.client.results import Result, Results
from pressroom.client.retrying import RetryPolicy
from pressroom.client.setup import find_setup
from pressroom.client.transport import BlockingTransport

if TYPE_CHECKING:
    import httpx2

    from pressroom.client.direct import Direct
    from pressroom.settings import Settings


class Pressroom:
    """A client of Pressroom's API. Safe to use from several threads; close it, or use it as a context manager.

    `url` and `api_key` default to PRESSROOM_API_URL and PRESSROOM_API_KEY. Every request that may be repeated is, up to
    `max_retries` times; a submission carries an idempotency key, so a retry never makes a second job. Everything raised
    is a ClientError.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        max_retries: int = 5,
        http_client: "httpx2.Client | None" = None,
    ) -> None:
        self._transport = BlockingTransport(find_setup(url, api_key), http_client)
        self._calls = Calls(RetryPolicy(max_retries=max_retries))

    @staticmethod
    def direct(settings: "Settings | None" = None, *, project: str | None = None) -> "Direct":
        """Hand jobs in on the database itself, without HTTP. Settings from the environment if None."""
        from pressroom.client.direct import Direct  # brings SQLAlchemy and Celery, which HTTP does not need

        return Direct(settings, project=project)

    def submit(
        self,
        url: str,
        body: Mapping[str, Any],
        *,
        custom_id: str | None = None,
        idempotency_key: str | None = None,
        **treatment: Unpack[Treatment],
    ) -> Job:
        """Put one job on the books, and return at once."""
        request = JobRequest(url, body, custom_id)
        return self._transport.run(job_steps.submit(self._calls, request, treatment, key=idempotency_key))

    def submit_many(
        self, requests: Iterable[Asked], *, idempotency_key: str | None = None, **treatment: Unpack[Treatment]
    ) -> list[Job]:
        """Put many jobs on the books, a thousand at a time; all are treated alike. Millions belong in a batch.

        With a key of your own, the same call after an error goes on where it stopped and stores nothing twice.
        """
        return self._transport.run(job_steps.submit_many(self._calls, requests, treatment, key=idempotency_key))

    def map(
        self,
        template: Template,
        rows: Iterable[Row],
        *,
        model: str,
        url: str = CHAT,
        body: Mapping[str, Any] | None = None,
        timeout_seconds: float | None = None,
        progress: ProgressOption = None,
        idempotency_key: str | None = None,
        **treatment: Unpack[Treatment],
    ) -> Results:
        """Ask the same of every row, wait, and return the answers in the rows' order; failed ones are among them.

        A template is text with `{name}`s, filled from the row (a word by itself is `{row}`), or a function that makes
        the text, or the body, of a row. `body` is what all requests have in common.
        """
        requests = mapped(template, rows, model=model, url=url, body=body or {})
        jobs = self.submit_many(requests, idempotency_key=idempotency_key, **treatment)
        return self.results_of(jobs, timeout_seconds=timeout_seconds, progress=progress)

    def job(self, job: Job | str) -> Job:
        """A job with all its details, as it is now."""
        return self._transport.run(job_steps.find(self._calls, job))

    def jobs(self, **which: Unpack[JobFilter]) -> Iterator[Job]:
        """Jobs by state, model, batch and so on, page after page."""
        return self._transport.stream(job_steps.listed(self._calls, filtered(which)))

    @overload
    def wait(self, what: Job, *, timeout_seconds: float | None = None, progress: ProgressOption = None) -> Job: ...
    @overload
    def wait(self, what: Batch, *, timeout_seconds: float | None = None, progress: ProgressOption = None) -> Batch: ...
    @overload
    def wait(
        self, what: Sequence[Job | str], *, timeout_seconds: float | None = None, progress: ProgressOption = None
    ) -> list[Job]: ...
    def wait(
        self,
        what: Job | Batch | Sequence[Job | str],
        *,
        timeout_seconds: float | None = None,
        progress: ProgressOption = None,
    ) -> Job | Batch | list[Job]:
        """Until it has ended, however it did; as it is then. Raises StillRunning after `timeout_seconds`."""
        if isinstance(what, Batch):
            return self._transport.run(
                batch_steps.wait(self._calls, what, timeout_seconds=timeout_seconds, progress=progress)
            )
        jobs = [what] if isinstance(what, Job) else what
        ended = self._transport.run(
            job_steps.wait(self._calls, jobs, timeout_seconds=timeout_seconds, progress=progress)
        )
        return ended[0] if isinstance(what, Job) else ended

    def result(self, job: Job | str, *, timeout_seconds: float | None = None) -> Result:
        """Wait for a job and fetch its answer."""
        return self.results_of([job], timeout_seconds=timeout_seconds, progress=False)[0]

    def results_of(
        self, jobs: Sequence[Job | str], *, timeout_seconds: float | None = None, progress: ProgressOption = None
    ) -> Results:
        """Wait for jobs and fetch their answers, in order."""
        return self._transport.run(
            job_steps.results(self._calls, jobs, timeout_seconds=timeout_seconds, progress=progress)
        )

    def results(
        self, batch: Batch | str, *, timeout_seconds: float | None = None, progress: ProgressOption = None
    ) -> Iterator[LineResult]:
        """Every line's result as soon as it is there, in the order in which they end."""
        return self._transport.stream(
            batch_steps.results(self._calls, batch, timeout_seconds=timeout_seconds, progress=progress)
        )

    def cancel(self, what: Work) -> Work:
        """Start it no more. A call on its way finishes, and a result that was paid for is kept."""
        if isinstance(what, Batch):
            return self._transport.run(batch_steps.cancel(self._calls, what))
        return self._transport.run(job_steps.act(self._calls, what, "cancel"))

    def retry(self, job: Job | str) -> Job:
        """A new job in the place of one that did not succeed."""
        return self._transport.run(job_steps.act(self._calls, job, "retry"))

    def reprioritise(
        self,
        job: Job | str,
        *,
        priority_class: Literal["interactive", "normal", "bulk"] | None = None,
        priority: int | None = None,
    ) -> Job:
        """Another class, priority, or both, while it waits."""
        urgency = {"class": priority_class, "priority": priority}
        body = {name: value for name, value in urgency.items() if value is not None}
        return self._transport.run(job_steps.act(self._calls, job, "reprioritise", body))

    def upload(self, requests: str | Path | Iterable[Asked], *, purpose: str = "batch") -> StoredFile:
        """Upload a file from disk, or requests as a batch file."""
        return self._transport.run(batch_steps.upload(self._calls, requests, purpose))

    def create_batch(
        self,
        requests: BatchInput,
        *,
        endpoint: str | None = None,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Make a batch of an uploaded file, a file on disk, or requests; without `endpoint`, that of the first."""
        options = {"endpoint": endpoint, "completion_window": completion_window, "metadata": metadata}
        return self._transport.run(batch_steps.create(self._calls, requests, options, key=idempotency_key))

    def batch(self, batch: Batch | str) -> Batch:
        """A batch as it is now."""
        return self._transport.run(batch_steps.find(self._calls, batch))

    def batches(self) -> Iterator[Batch]:
        """All batches, newest first, page after page."""
        return self._transport.stream(self._calls.pages(batch_steps.PATH, Batch.of))

    def download(self, file_id: str, path: "str | PathLike[str]") -> Path:
        """Save a file's contents; it appears when it is complete."""
        return self._transport.run(self._calls.save(f"/v1/files/{file_id}/content", Path(path)))

    def download_images(
        self, what: Job | Result | Batch | Results | Sequence[Job], folder: "str | PathLike[str]"
    ) -> list[Path]:
        """Save every picture, called by `custom_id` (or id) and place; what is there already is not fetched again."""
        if isinstance(what, Batch):
            return self._transport.run(batch_steps.download_images(self._calls, what, Path(folder)))
        return self._transport.run(job_steps.download_images(self._calls, job_steps.jobs_in(what), Path(folder)))

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
