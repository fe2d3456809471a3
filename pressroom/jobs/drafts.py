"""Jobs as a client asks for them, one by one or many at once: everything that is wrong is told, by index and field."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from models import PriorityClass
from pressroom.errors import InvalidInput, Problem
from pressroom.ids import parse_id
from pressroom.jobs.check import NewJobDraft
from pressroom.jobs.dependencies import find_cycle
from pressroom.operations import checks

MAX_NEEDS = 10_000
"""Dependencies in one request."""

MAX_TOLD = 100
"""Problems that are told of one request; the others are counted."""

_FARTHEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class JobDraft:
    """One job that a client asks for: well formed, its contents not yet checked.

    `text` is the body as JSON. `depends_on` are ids of jobs, or names (`custom_id`) of others in the same request.
    """

    url: str
    body: Mapping[str, Any]
    text: str
    custom_id: str | None = None
    priority_class: PriorityClass = PriorityClass.NORMAL
    priority: int = 0
    run_at: datetime | None = None
    deadline: datetime | None = None
    max_attempts: int = 5
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    depends_on: Sequence[str] = ()
    run_on_failure: bool = False


@dataclass(frozen=True, slots=True)
class CheckedDraft:
    """A draft that can be accepted. `needs` are ids of jobs, and places in the request of others of its jobs."""

    draft: JobDraft
    priced: NewJobDraft
    needs: Sequence[UUID | int]


Check = Callable[[JobDraft], NewJobDraft | list[Problem]]
"""Prices a draft, or says what is wrong with its request; the fields of its body are named from the body's root."""


def check_drafts(
    drafts: Sequence[JobDraft | Sequence[Problem]], check: Check, *, now: datetime, alone: bool
) -> list[CheckedDraft]:
    """All of a request's drafts, checked. What could not even be read comes as the problems found with it.

    `alone`: the request was one job and no list, so fields need no index. Raises InvalidInput with everything wrong.
    """
    names = _Names(drafts)
    problems: list[Problem] = []
    checked: list[CheckedDraft] = []
    for index, draft in enumerate(drafts):
        found = list(draft) if not isinstance(draft, JobDraft) else [*_bad_fields(draft, now), *names.bad(index, draft)]
        if isinstance(draft, JobDraft):
            priced = check(draft)
            if isinstance(priced, NewJobDraft):
                checked.append(CheckedDraft(draft, priced, names.needs(draft)))
            else:
                found += [one if one.field == "url" else replace(one, field=f"body.{one.field}") for one in priced]
        problems += [one if alone else replace(one, field=f"jobs[{index}].{one.field}") for one in found]
    problems += names.bad_together(alone=alone)
    if problems:
        raise InvalidInput(problems[:MAX_TOLD], more=max(0, len(problems) - MAX_TOLD))
    return checked


class _Names:
    """The names that a request gives its jobs, and who needs whom by them."""

    def __init__(self, drafts: Sequence[JobDraft | Sequence[Problem]]) -> None:
        self._first: dict[str, int] = {}
        self._needed: dict[str, list[str]] = {}
        self._count = 0
        for index, draft in enumerate(drafts):
            if not isinstance(draft, JobDraft):
                continue
            self._count += len(draft.depends_on)
            if draft.custom_id is not None and draft.custom_id not in self._first:
                self._first[draft.custom_id] = index
                self._needed[draft.custom_id] = list(draft.depends_on)

    def needs(self, draft: JobDraft) -> list[UUID | int]:
        """What it needs, each once; only after `bad` found nothing is it complete."""
        found: dict[UUID | int, None] = {}
        for name in draft.depends_on:
            need: UUID | int | None = self._first.get(name)
            need = _id(name) if need is None else need
            if need is not None:
                found[need] = None
        return list(found)

    def bad(self, index: int, draft: JobDraft) -> Iterator[Problem]:
        """A name that another job has already, and needs that name nothing."""
        if draft.custom_id is not None and self._first[draft.custom_id] != index:
            reason = f"is the custom_id of jobs[{self._first[draft.custom_id]}] already"
            remedy = "Give every job of a request a name of its own, or none"
            yield Problem("custom_id", reason, remedy, value=checks.shown(draft.custom_id), code="duplicate_custom_id")
        for place, name in enumerate(draft.depends_on):
            if name not in self._first and _id(name) is None:
                reason = "is neither a custom_id of this request nor the id of a job"
                remedy = "Give a job's id (job_…), or the custom_id of another job of this request"
                yield Problem(f"depends_on[{place}]", reason, remedy, value=checks.shown(name))

    def bad_together(self, *, alone: bool) -> Iterator[Problem]:
        """Jobs that wait for one another, and more dependencies than are taken at once."""
        if self._count > MAX_NEEDS:
            reason = f"are {self._count:,} in all, more than the {MAX_NEEDS:,} that one request may have"
            yield Problem("depends_on", reason, "Submit the jobs in several requests")
        cycle = find_cycle(self._needed)
        if cycle:
            index = self._first[cycle[0]]
            remedy = "Leave one of these dependencies out"
            shown = checks.shortened(" → ".join(cycle))
            field = "depends_on" if alone else f"jobs[{index}].depends_on"
            yield Problem(field, "goes round in a circle", remedy, value=shown, code="dependency_cycle")


def _bad_fields(draft: JobDraft, now: datetime) -> Iterator[Problem]:
    problem = checks.metadata("metadata", dict(draft.metadata))
    if problem is not None:
        yield problem
    texts = [("custom_id", draft.custom_id or ""), *((f"tags[{n}]", tag) for n, tag in enumerate(draft.tags))]
    texts += [("metadata", f"{name}{value}") for name, value in draft.metadata.items() if isinstance(value, str)]
    for name, value in texts:
        if "\0" in value:
            yield Problem(name, "contains the character NUL", "Leave it out", value=checks.shown(value))
    for name, moment in (("run_at", draft.run_at), ("deadline", draft.deadline)):
        if moment is not None and moment > now + _FARTHEST:
            yield Problem(name, "is more than ten years away", "Give an earlier time", value=moment.isoformat())
    if draft.deadline is not None:
        if draft.deadline <= now:
            yield Problem("deadline", "has passed", "Give a later time", value=draft.deadline.isoformat())
        if draft.run_at is not None and draft.run_at >= draft.deadline:
            remedy = "Give a later deadline, or an earlier run_at"
            yield Problem("deadline", "is not after run_at", remedy, value=draft.deadline.isoformat())


def _id(shown: str) -> UUID | None:
    """The job's id, if it is one."""
    try:
        return parse_id("job", shown)
    except InvalidInput:
        return None
