"""Changes to jobs that are on the books, one or by filter: cancel, retry, reprioritise."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter

from api.auth import Caller, Submits
from api.job_selection import filter_selection
from api.routes.jobs import job_detail, refuse_state
from api.schemas.jobs import JobDetail, JobFilter, Reprioritise, Selected, Urgency
from api.services import Services, Serving
from api.threads import in_long_thread, in_thread
from api.wire_ids import path_id
from models import JobState, PriorityClass
from pressroom.errors import InvalidInput, Problem
from pressroom.jobs import reprioritise as reprioritising
from pressroom.jobs.end_early import cancel_selected
from pressroom.jobs.job_lists import count_jobs
from pressroom.jobs.retry import retry_selected
from pressroom.jobs.selection import UNSUCCESSFUL, Selection

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_UNFINISHED = (JobState.BLOCKED, JobState.QUEUED, JobState.LEASED, JobState.RUNNING)
_UNSTARTED = (JobState.BLOCKED, JobState.QUEUED, JobState.LEASED)


@router.post("/cancel", summary="Cancel jobs by filter")
async def cancel_jobs(given: JobFilter, services: Serving, caller: Submits) -> Selected:
    """Those that have not ended. Calls on their way finish, and a paid result is kept."""

    def work(which: Selection) -> Selected:
        done = cancel_selected(services.database, which)
        return Selected(dry_run=False, matched=None, exact=True, changed=done.cancelled, running=done.asked)

    return await _by_filter(services, caller, given, states=_UNFINISHED, work=work)


@router.post("/retry", summary="Retry jobs by filter")
async def retry_jobs(given: JobFilter, services: Serving, caller: Submits) -> Selected:
    """Those that failed, were cancelled or expired run again, as new jobs in their places, at new cost."""

    def work(which: Selection) -> Selected:
        return _changed(retry_selected(services.database, which))

    return await _by_filter(services, caller, given, states=tuple(UNSUCCESSFUL), work=work)


@router.post("/reprioritise", summary="Reprioritise jobs by filter")
async def reprioritise_jobs(given: Reprioritise, services: Serving, caller: Submits) -> Selected:
    """Those that wait get another class, priority, or both."""

    to = _urgency(given)

    def work(which: Selection) -> Selected:
        return _changed(reprioritising.reprioritise(services.database, which, to))

    return await _by_filter(services, caller, given, states=_UNSTARTED, work=work)


@router.post("/{job_id}/cancel", summary="Cancel a job")
async def cancel_job(job_id: str, services: Serving, caller: Submits) -> JobDetail:
    """At once, if it has not started; else it ends with its call. One that is cancelled already stays so."""

    def work() -> JobDetail:
        job = job_detail(services, caller, job_id)
        if job.state in ("succeeded", "failed", "expired"):
            raise refuse_state(job, "cancelled", "what has ended stays as it is")
        cancel_selected(services.database, _one(caller, job_id))
        return job_detail(services, caller, job_id)

    return await in_thread(work)


@router.post("/{job_id}/retry", summary="Retry a job")
async def retry_job(job_id: str, services: Serving, caller: Submits) -> JobDetail:
    """One that failed, was cancelled or expired. Answers with the new job that takes its place."""

    def work() -> JobDetail:
        retry_selected(services.database, _one(caller, job_id))
        job = job_detail(services, caller, job_id)
        if job.superseded_by is None:
            raise refuse_state(job, "retried", "only what failed, was cancelled or expired can be")
        return job_detail(services, caller, job.superseded_by)

    return await in_thread(work)


@router.post("/{job_id}/reprioritise", summary="Reprioritise a job")
async def reprioritise_job(job_id: str, given: Urgency, services: Serving, caller: Submits) -> JobDetail:
    """One that waits gets another class, priority, or both."""

    def work() -> JobDetail:
        job_detail(services, caller, job_id)
        changed = reprioritising.reprioritise(services.database, _one(caller, job_id), _urgency(given))
        job = job_detail(services, caller, job_id)
        if not changed:
            raise refuse_state(job, "reprioritised", "only what waits can be")
        return job

    return await in_thread(work)


async def _by_filter(
    services: Services,
    caller: Caller,
    given: JobFilter,
    *,
    states: Sequence[JobState],
    work: Callable[[Selection], Selected],
) -> Selected:
    """`states`: those that it concerns, which a dry run counts."""
    which = filter_selection(caller, given)

    def count() -> Selected:
        with services.database.connect() as conn:
            found = count_jobs(conn, which, states)
        matched = {state.value: n for state, n in found.by_state.items()}
        return Selected(dry_run=True, matched=matched, exact=found.exact, changed=0, running=0)

    return await (in_thread(count) if given.dry_run else in_long_thread(work, which))


def _one(caller: Caller, job_id: str) -> Selection:
    return Selection(caller.project_id, ids=[path_id("job", job_id)])


def _changed(count: int) -> Selected:
    return Selected(dry_run=False, matched=None, exact=True, changed=count, running=0)


def _urgency(given: Urgency) -> reprioritising.Urgency:
    """Raises InvalidInput where it says nothing."""
    if given.priority_class is None and given.priority is None:
        remedy = "Give `class`, `priority`, or both"
        raise InvalidInput([Problem("class", "is missing, and so is priority", remedy)])
    kind = PriorityClass(given.priority_class) if given.priority_class is not None else None
    return reprioritising.Urgency(kind, given.priority)
