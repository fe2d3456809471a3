"""Hand jobs in without HTTP, for producers that reach the database: the same checks, prices and promises.

The one module of the client that knows the house (docs/decisions). It is loaded when it is asked for, so that a
producer that talks HTTP needs neither its imports nor its servers.
"""

import json
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, Unpack
from uuid import UUID

from sqlalchemy import Connection, Engine

from models import PriorityClass
from pressroom.client.asking import MAX_JOBS, Asked, JobRequest, Treatment, chunks, job_id
from pressroom.client.calls import new_key
from pressroom.client.errors import NotSetUp
from pressroom.client.records import Job, Waits
from pressroom.database import connect
from pressroom.ids import parse_id, show_id
from pressroom.jobs.accept import Acceptor, Submitter
from pressroom.jobs.dispatch import DispatchPolicy
from pressroom.jobs.drafts import JobDraft
from pressroom.jobs.idempotency import repeatable
from pressroom.jobs.publish import CeleryPublisher
from pressroom.jobs.queries import JobRow, find_project, list_jobs
from pressroom.jobs.selection import Selection
from pressroom.settings import Settings

_STORED = 201


class Direct:
    """`submit` and `submit_many` on the database itself. From any thread; connects when first used.

    Jobs belong to `project` (by name; None: the default one). Raises InvalidInput, NotFound, Conflict and what an
    unreachable database raises.
    """

    def __init__(self, settings: Settings | None = None, *, project: str | None = None) -> None:
        settings = settings or Settings()
        if settings.database_url is None or settings.redis_url is None:
            raise NotSetUp(
                "to enqueue directly, set PRESSROOM_DATABASE_URL and PRESSROOM_REDIS_URL to the servers in use"
            )
        self._max_attempts = settings.max_attempts
        self._engine: Engine = connect(settings.database_url.get_secret_value(), application="pressroom-direct")
        self._publisher = CeleryPublisher(settings.redis_url.get_secret_value(), settings.redis_prefix)
        self._acceptor = Acceptor(self._engine, self._publisher, DispatchPolicy.of(settings))
        self._project = project
        self._project_id: UUID | None = None

    def submit(
        self,
        url: str,
        body: Any,
        *,
        custom_id: str | None = None,
        idempotency_key: str | None = None,
        **treatment: Unpack[Treatment],
    ) -> Job:
        """Put one job on the books and send it on its way."""
        request = JobRequest(url, body, custom_id)
        return self._accept([request], treatment, idempotency_key or new_key(), alone=True)[0]

    def submit_many(
        self, requests: Iterable[Asked], *, idempotency_key: str | None = None, **treatment: Unpack[Treatment]
    ) -> list[Job]:
        """Put many on the books, a thousand in a transaction; again with the same key goes on where it stopped."""
        key = idempotency_key or new_key()
        return [
            job
            for number, chunk in enumerate(chunks(map(JobRequest.of, requests), MAX_JOBS))
            for job in self._accept(chunk, treatment, f"{key}-{number}", alone=False)
        ]

    def close(self) -> None:
        """Give the connections back."""
        self._publisher.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self, requests: Sequence[JobRequest], treatment: Treatment, key: str, *, alone: bool) -> list[Job]:
        drafts = [self._draft(request, treatment) for request in requests]
        project_id = self._find_project()
        said = json.dumps([[d.url, d.text, d.custom_id, repr(sorted(treatment.items(), key=str))] for d in drafts])
        answer = self._acceptor.accept(
            drafts, Submitter(project_id), alone=alone, render=_ids, repeat=repeatable(project_id, key, "direct", said)
        )
        if answer.pools:
            self._acceptor.dispatch(answer.pools)
        ids = [parse_id("job", one) for one in json.loads(answer.body)]
        with self._engine.connect() as conn:
            rows = {row.id: row for row in list_jobs(conn, Selection(project_id, ids=ids), limit=len(ids))}
        return [_job(rows[one]) for one in ids]

    def _draft(self, request: JobRequest, treatment: Treatment) -> JobDraft:
        needs = [*request.depends_on, *treatment.get("depends_on", ())]
        return JobDraft(
            url=request.url,
            body=request.body,
            text=json.dumps(request.body, ensure_ascii=False),
            custom_id=request.custom_id,
            priority_class=PriorityClass(treatment.get("priority_class", "normal")),
            priority=treatment.get("priority", 0),
            run_at=treatment.get("run_at"),
            deadline=treatment.get("deadline"),
            max_attempts=treatment.get("max_attempts", self._max_attempts),
            tags=treatment.get("tags", ()),
            metadata=treatment.get("metadata", {}),
            depends_on=[job_id(one) for one in needs],
            run_on_failure=treatment.get("on_dependency_failure") == "run",
        )

    def _find_project(self) -> UUID:
        if self._project_id is None:
            with self._engine.connect() as conn:
                self._project_id = find_project(conn, self._project)
        return self._project_id


def _ids(_: Connection, ids: Sequence[UUID]) -> tuple[int, bytes]:
    return _STORED, json.dumps([show_id("job", one) for one in ids]).encode()


def _job(row: JobRow) -> Job:
    waits = None
    if row.waiting_for is not None:
        waits = Waits(row.waiting_for, row.waiting_because or "", row.jobs_ahead, row.estimated_start)
    return Job(
        id=show_id("job", row.id),
        state=row.state,  # type: ignore[arg-type]
        url=row.url,
        model=row.model,
        is_sandbox=row.is_sandbox,
        custom_id=row.custom_id,
        batch_id=show_id("batch", row.batch_id) if row.batch_id else None,
        priority_class=row.priority_class,
        priority=row.priority,
        tags=tuple(row.tags),
        metadata=dict(row.metadata),
        est_cost_usd=row.est_cost_usd,
        cost_usd=row.cost_usd,
        at_risk_usd=row.at_risk_usd,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        waits=waits,
        error=None,
        artifacts=(),
        raw={},
    )
