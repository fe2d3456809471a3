"""Jobs, one by one and many at once: submit, look, wait, fetch answers and pictures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pressroom.client.asking import MAX_JOBS, Asked, JobRequest, Treatment, chunks, job_id, wire_job
from pressroom.client.calls import Calls, new_key
from pressroom.client.progress import Counts, ProgressOption, Shown, in_notebook
from pressroom.client.records import Artifact, Job
from pressroom.client.results import Result, Results
from pressroom.client.steps import Request, Steps, Stream

PATH = "/v1/jobs"
_FIRST_POLL_SECONDS = 0.1
_LAST_POLL_SECONDS = 2.0
_SHOWN_PICTURES = 24


def submit(calls: Calls, request: JobRequest, treatment: Treatment, *, key: str | None) -> Steps[Job]:
    """Put one job on the books."""
    return Job.of((yield from calls.post(PATH, wire_job(request, treatment), key=key)))


def submit_many(calls: Calls, requests: Iterable[Asked], treatment: Treatment, *, key: str | None) -> Steps[list[Job]]:
    """Put many on the books, a thousand at a time: all of a thousand, or none of them.

    After an error the same call with the same key goes on where it stopped: what was stored is found again.
    """
    base = key or new_key()
    jobs: list[Job] = []
    for number, chunk in enumerate(chunks(map(JobRequest.of, requests), MAX_JOBS)):
        body = {"jobs": [wire_job(request, treatment) for request in chunk]}
        answer = yield from calls.post(PATH, body, key=f"{base}-{number}")
        jobs += [Job.of(one) for one in answer["data"]]
    return jobs


def find(calls: Calls, job: Job | str) -> Steps[Job]:
    """A job with all its details, as it is now."""
    return Job.of((yield from calls.get(f"{PATH}/{job_id(job)}")))


def listed(calls: Calls, filters: Mapping[str, Any]) -> Stream[Job]:
    """Jobs by state, model, batch and so on."""
    yield from calls.pages(PATH, Job.of, **filters)


def act(calls: Calls, job: Job | str, verb: str, body: Any = None) -> Steps[Job]:
    """`cancel`, `retry` or `reprioritise` one job."""
    return Job.of((yield from calls.post(f"{PATH}/{job_id(job)}/{verb}", body)))


def wait(
    calls: Calls, jobs: Sequence[Job | str], *, timeout_seconds: float | None, progress: ProgressOption
) -> Steps[list[Job]]:
    """Until all have ended; with their details, in order. Raises StillRunning."""
    deadline = calls.deadline(timeout_seconds)
    ended: list[Job] = []
    with ExitStack() as stack:
        shown = stack.enter_context(Shown(progress))
        for job in jobs:
            pause = _FIRST_POLL_SECONDS
            while not (found := (yield from find(calls, job))).has_ended:
                shown(_counts(ended, len(jobs)))
                yield from calls.pause(pause, deadline, f"{found.id} ({found.state})")
                pause = min(_LAST_POLL_SECONDS, pause * 1.5)
            ended.append(found)
            shown(_counts(ended, len(jobs)))
    return ended


def result(calls: Calls, job: Job) -> Steps[Result]:
    """What came of a job that has ended, of which the details are known."""
    if not job.has_succeeded:
        return Result(job, None)
    answer = yield from calls.send(Request("GET", f"{PATH}/{job.id}/result", is_repeatable=True))
    return Result(job, json.loads(answer.content))


def results(
    calls: Calls, jobs: Sequence[Job | str], *, timeout_seconds: float | None, progress: ProgressOption
) -> Steps[Results]:
    """Wait for jobs and fetch their answers, in order; in a notebook with some of their pictures."""
    items: list[Result] = []
    for job in (yield from wait(calls, jobs, timeout_seconds=timeout_seconds, progress=progress)):
        items.append((yield from result(calls, job)))
    thumbnails: dict[str, bytes] = {}
    if in_notebook():
        for image in _first_images(items):
            if image.thumbnail_path is not None:
                thumbnails[image.id] = yield from calls.read(image.thumbnail_path)
    return Results(items, thumbnails)


def download_images(calls: Calls, jobs: Sequence[Job], folder: Path) -> Steps[list[Path]]:
    """Every picture of the jobs, in files called by the job and the place; one that is there is not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for job in jobs:
        detailed = job if job.artifacts else (yield from find(calls, job))
        for image in detailed.images:
            paths.append((yield from save_image(calls, image, folder, job.custom_id or job.id)))
    return paths


def jobs_in(what: Job | Result | Results | Sequence[Job]) -> list[Job]:
    """The jobs of whatever holds some."""
    match what:
        case Job():
            return [what]
        case Result():
            return [what.job]
        case Results():
            return [one.job for one in what]
        case _:
            return list(what)


def save_image(calls: Calls, image: Artifact, folder: Path, name: str) -> Steps[Path]:
    """One picture, in a file called after `name`; by its size it is known to be there."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".")[:120]
    path = folder / f"{safe or image.id}-{image.position + 1}{image.suffix}"
    if path.exists() and path.stat().st_size == image.size_bytes:
        return path
    return (yield from calls.save(image.content_path, path))


def _first_images(items: Sequence[Result]) -> list[Artifact]:
    return [image for one in items for image in one.job.images][:_SHOWN_PICTURES]


def _counts(ended: Sequence[Job], total: int) -> Counts:
    return Counts(len(ended), total, sum(not one.has_succeeded for one in ended))
