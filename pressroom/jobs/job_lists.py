"""Find the newest of the selected jobs, and count them, on books of millions: by the index that has just these.

Jobs that wait, that are out and that have ended are in indexes of their own, each by project, deployment and age. So a
list looks at the newest of each, and never walks through what others have. Counts end at a bound.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models import FINAL_STATES, JobState
from pressroom.jobs.selection import OUT, UNSUCCESSFUL, Selection

COUNT_AT_MOST = 10_000

# BETWEEN, and the columns in the order: only the index that is meant is in this order, whatever the planner thinks of
# how many jobs there are. It would otherwise walk back through everybody's to the few that are asked for.
_OF_BATCH = """
    SELECT j.id, j.state FROM jobs j WHERE {where} AND j.batch_id BETWEEN :batch_id AND :batch_id
    ORDER BY j.batch_id DESC, j.id DESC LIMIT :limit
"""
_BY_DEPLOYMENT = """
    SELECT t.id, t.state FROM unnest(CAST(:deployments AS bigint[])) AS d (id) CROSS JOIN LATERAL (
      SELECT j.id, j.state FROM jobs j WHERE {where} AND {kind} AND j.project_id BETWEEN :project_id AND :project_id
        AND j.deployment_id BETWEEN d.id AND d.id
      ORDER BY j.project_id DESC, j.deployment_id DESC, j.id DESC LIMIT :limit) t
"""
_TAGGED = """
    SELECT j.id, j.state FROM job_tags g JOIN jobs j ON j.id = g.job_id
    WHERE {where} AND g.project_id BETWEEN :project_id AND :project_id AND g.tag BETWEEN :tag AND :tag
    ORDER BY g.project_id DESC, g.tag DESC, g.job_id DESC LIMIT :limit
"""
_NAMED = """
    SELECT j.id, j.state FROM jobs j WHERE {where} AND j.project_id BETWEEN :project_id AND :project_id
      AND j.custom_id BETWEEN :custom_id AND :custom_id
    ORDER BY j.project_id DESC, j.custom_id DESC, j.id DESC LIMIT :limit
"""
_PLAIN = "SELECT j.id, j.state FROM jobs j WHERE {where} AND {kind} ORDER BY j.id DESC LIMIT :limit"

_KINDS = (
    (frozenset({JobState.BLOCKED}), _PLAIN, "j.state = 'blocked'"),
    (frozenset({JobState.QUEUED}), _BY_DEPLOYMENT, "j.state = 'queued'"),
    (OUT, _PLAIN, "j.lease_id IS NOT NULL"),
    (UNSUCCESSFUL, _PLAIN, "j.state IN ('failed', 'cancelled', 'expired')"),
    (FINAL_STATES, _BY_DEPLOYMENT, "j.state IN ('succeeded', 'failed', 'cancelled', 'expired')"),
)
"""Of each kind an index has no others. The last two are one or the other, as successful jobs are asked for or not."""

_MOST = frozenset({JobState.QUEUED, JobState.SUCCEEDED})
"""Of these there may be millions."""

_UNFINISHED = text(
    "SELECT total > succeeded + failed + cancelled + expired FROM batches"
    " WHERE id = :batch_id AND project_id = :project_id"
)
_DEPLOYMENTS = text("SELECT id FROM deployments WHERE CAST(:model AS text) IS NULL OR model = :model")
_QUEUED = text(
    """
    SELECT coalesce(sum(queued), 0)::bigint FROM flows WHERE project_id = :project_id AND queued > 0
      AND (CAST(:batch_id AS uuid) IS NULL OR batch_id = :batch_id)
      AND deployment_id = ANY(CAST(:deployments AS bigint[]))
    """
)


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Jobs by state. A number above `COUNT_AT_MOST` that is not `exact` says only that there are more."""

    by_state: dict[JobState, int]
    exact: bool

    @property
    def total(self) -> int:
        """Of all states."""
        return sum(self.by_state.values())


def newest(conn: Connection, which: Selection, *, limit: int, before: UUID | None = None) -> list[UUID]:
    """Ids of the newest of the selected jobs, below `before` where that is given; the newest first."""
    found = [row.id for row in _rows(conn, which, limit=limit, beyond=before)]
    return sorted(found, reverse=True)[:limit]


def oldest(conn: Connection, which: Selection, *, limit: int, after: UUID | None = None) -> list[UUID]:
    """The same from the other end."""
    found = [row.id for row in _rows(conn, which, limit=limit, beyond=after, oldest_first=True)]
    return sorted(found)[:limit]


def count_jobs(conn: Connection, which: Selection, states: Iterable[JobState]) -> JobCounts:
    """How many of the selected jobs are in one of these states: to 10,000, and beyond where a counter says it."""
    wanted = set(states) & _states(which)
    counted: dict[JobState, int] = {}
    if JobState.QUEUED in wanted and replace(which, states=()).is_of_flows:
        deployments = _deployments(conn, which.model)
        bound = {"project_id": which.project_id, "batch_id": which.batch_id, "deployments": deployments}
        counted[JobState.QUEUED] = int(conn.execute(_QUEUED, bound).scalar_one())
        wanted.remove(JobState.QUEUED)
    by_state = "SELECT state, count(*) AS n FROM {found} f GROUP BY state"
    which = replace(which, states=sorted(wanted))
    rows = _rows(conn, which, limit=COUNT_AT_MOST + 1, ask=by_state) if wanted else []
    counted |= {JobState(row.state): row.n for row in rows}
    exact = sum(row.n for row in rows) <= COUNT_AT_MOST
    return JobCounts({state: n for state, n in counted.items() if n}, exact=exact)


def _states(which: Selection) -> frozenset[JobState]:
    """Those that it may select."""
    if which.states:
        return frozenset(which.states)
    return frozenset(JobState) if which.error_code is None else UNSUCCESSFUL


def _rows(
    conn: Connection,
    which: Selection,
    *,
    limit: int,
    beyond: UUID | None = None,
    oldest_first: bool = False,
    ask: str = "SELECT id FROM {found} f",
) -> Sequence[Row[Any]]:
    """The newest, or oldest, `limit` of every kind of jobs that is asked for, more than that in all; or what `ask`
    says of them, {found}, by `id` and `state`.
    """
    states = _states(which)
    where, bound = replace(which, model=None).where()
    bound |= {"limit": limit, "deployments": _deployments(conn, which.model)}
    if which.model is not None:
        where += " AND j.deployment_id = ANY(CAST(:deployments AS bigint[]))"
    if beyond is not None:
        where, bound["beyond"] = f"{where} AND j.id {'>' if oldest_first else '<'} :beyond", beyond
    if which.tag is not None:
        query = _TAGGED.format(where=where)
    elif which.custom_id is not None and which.batch_id is None:
        query = _NAMED.format(where=where)
    elif which.ids:
        query = _PLAIN.format(where=where, kind="true")
    elif which.batch_id is not None and states & _MOST:
        if not states & FINAL_STATES and not _is_unfinished(conn, which):
            return []
        query = _OF_BATCH.format(where=where)
    else:
        not_taken = UNSUCCESSFUL if JobState.SUCCEEDED in states else FINAL_STATES
        kinds = [kind for kind in _KINDS if kind[0] & states and kind[0] != not_taken]
        query = " UNION ALL ".join(f"({part.format(where=where, kind=kind)})" for _, part, kind in kinds)
    # Every index is read as well from its other end.
    query = query.replace(" DESC", "") if oldest_first else query
    used = {name: value for name, value in bound.items() if f":{name}" in query}
    return conn.execute(text(ask.format(found=f"({query})")), used).all()


def _is_unfinished(conn: Connection, which: Selection) -> bool:
    bound = {"batch_id": which.batch_id, "project_id": which.project_id}
    return bool(conn.execute(_UNFINISHED, bound).scalar_one_or_none())


def _deployments(conn: Connection, model: str | None) -> list[int]:
    return list(conn.execute(_DEPLOYMENTS, {"model": model}).scalars())
