"""What one project has on its way, and what it spent today: few rows each, however many jobs there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, text

_PROJECT = text("SELECT name, weight, paused_at FROM projects WHERE id = :project_id")

# Flows count their own jobs; only those that wait are there to be added up.
_QUEUED = text(
    """
    SELECT f.deployment_id, s.priority_class::text AS class, sum(f.queued)::bigint AS jobs
    FROM stakes s JOIN flows f ON f.stake_id = s.id
    WHERE s.project_id = :project_id AND f.queued > 0 GROUP BY 1, 2
    """
)

# Jobs that are out are few, and have an index of their own.
_OUT = text(
    """
    SELECT j.deployment_id, j.state::text AS state, count(*)::bigint AS jobs
    FROM jobs j WHERE j.lease_id IS NOT NULL AND j.project_id = :project_id GROUP BY 1, 2
    """
)

_TODAY = text(
    """
    SELECT d.is_sandbox, sum(c.calls)::bigint AS calls, sum(c.cost_usd) AS cost_usd, sum(c.at_risk_usd) AS at_risk_usd
    FROM daily_costs c JOIN deployments d ON d.id = c.deployment_id
    WHERE c.day = (now() AT TIME ZONE 'UTC')::date AND c.project_id = :project_id GROUP BY 1 ORDER BY 1
    """
)


@dataclass(frozen=True, slots=True)
class SpentToday:
    """Since midnight UTC, of real money or of the sandbox's."""

    is_sandbox: bool
    calls: int
    cost_usd: Decimal
    at_risk_usd: Decimal


@dataclass(frozen=True, slots=True)
class OwnWork:
    """A project's jobs that have not ended, counted."""

    name: str
    weight: float
    paused_at: datetime | None
    queued_by_class: Mapping[str, int]
    waiting_by_deployment: Mapping[int, int]
    """Queued, or leased and not yet started."""
    running: int
    today: Sequence[SpentToday]

    @property
    def queued(self) -> int:
        """All that are queued."""
        return sum(self.queued_by_class.values())


def own_work(conn: Connection, project_id: UUID) -> OwnWork:
    """What the project has on its way."""
    bound = {"project_id": project_id}
    project = conn.execute(_PROJECT, bound).one()
    by_class: dict[str, int] = {}
    waiting: dict[int, int] = {}
    running = 0
    for row in conn.execute(_QUEUED, bound):
        by_class[row[1]] = by_class.get(row[1], 0) + row.jobs
        waiting[row.deployment_id] = waiting.get(row.deployment_id, 0) + row.jobs
    for row in conn.execute(_OUT, bound):
        if row.state == "running":
            running += row.jobs
        else:
            waiting[row.deployment_id] = waiting.get(row.deployment_id, 0) + row.jobs
    return OwnWork(
        name=project.name,
        weight=project.weight,
        paused_at=project.paused_at,
        queued_by_class=by_class,
        waiting_by_deployment=waiting,
        running=running,
        today=[SpentToday(**row._mapping) for row in conn.execute(_TODAY, bound)],
    )
