"""Where the money went. The sandbox's play money is never added to real money: every row is one or the other."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.errors import InvalidInput, Problem
from pressroom.ids import show_id
from pressroom.operations.checks import shortened


class CostsBy(enum.StrEnum):
    """What a row of costs stands for."""

    MODEL = "model"
    DAY = "day"
    PROJECT = "project"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class CostRow:
    """Known cost, and cost at risk: calls that ended without an answer and may have been billed.

    `key` holds the values of the dimensions asked for, in their order. `calls` and the units are null by batch.
    """

    key: tuple[str, ...]
    is_sandbox: bool
    cost_usd: Decimal
    at_risk_usd: Decimal
    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    images: int | None = None


@dataclass(frozen=True, slots=True)
class ModelCost:
    """One model's part of a batch."""

    model: str
    jobs: int
    succeeded: int
    cost_usd: Decimal
    at_risk_usd: Decimal


_COLUMNS = {CostsBy.MODEL: "d.model", CostsBy.DAY: "c.day::text", CostsBy.PROJECT: "p.name"}
_KEPT = {CostsBy.DAY: "c.day", CostsBy.PROJECT: "c.project_id"}
_JOIN = "JOIN projects p ON p.id = c.project_id"

_BY_BATCH = """
    SELECT b.id, b.cost_usd, b.at_risk_usd, coalesce((SELECT d.is_sandbox FROM jobs j JOIN deployments d
      ON d.id = j.deployment_id WHERE j.batch_id = b.id ORDER BY j.line_no LIMIT 1), false) AS is_sandbox
    FROM batches b
    WHERE (CAST(:project_id AS uuid) IS NULL OR b.project_id = :project_id)
      AND (CAST(:since AS date) IS NULL OR b.created_at >= CAST(:since AS date))
      AND (CAST(:until AS date) IS NULL OR b.created_at < CAST(:until AS date))
    ORDER BY b.id DESC
"""

_BY_MODEL_OF_BATCH = text(
    """
    WITH doubt AS (
      SELECT d.model, sum(a.at_risk_usd) AS at_risk_usd FROM attempts a JOIN jobs j ON j.id = a.job_id
        JOIN deployments d ON d.id = a.deployment_id
      WHERE a.at_risk_usd IS NOT NULL AND j.batch_id = :batch GROUP BY 1
    )
    SELECT d.model, count(*) FILTER (WHERE j.superseded_by IS NULL)::int AS jobs,
      (count(*) FILTER (WHERE j.state = 'succeeded'))::int AS succeeded,
      coalesce(sum(j.cost_usd), 0) AS cost_usd, coalesce(max(doubt.at_risk_usd), 0) AS at_risk_usd
    FROM jobs j JOIN deployments d ON d.id = j.deployment_id LEFT JOIN doubt ON doubt.model = d.model
    WHERE j.batch_id = :batch GROUP BY d.model ORDER BY d.model
    """
)


def parse_dimensions(asked: str) -> list[CostsBy]:
    """`model,day` → dimensions. Raises InvalidInput for unknown ones, and for `batch` together with others."""
    names = [name.strip() for name in asked.split(",") if name.strip()]
    known = ", ".join(by.value for by in CostsBy)
    for name in names:
        if name not in list(CostsBy):
            raise InvalidInput(
                [Problem("--by", "is not a dimension of costs", f"Use any of {known}", value=shortened(name))]
            )
    if not names or len(set(names)) != len(names):
        raise InvalidInput(
            [Problem("--by", "must name each dimension once", f"Use any of {known}", value=shortened(asked))]
        )
    if CostsBy.BATCH in names and len(names) > 1:
        remedy = "Ask for batch by itself; costs by day and model are kept for all work together"
        raise InvalidInput([Problem("--by", "cannot combine batch with others", remedy, value=shortened(asked))])
    return [CostsBy(name) for name in names]


def costs(
    conn: Connection,
    by: Sequence[CostsBy],
    *,
    project_id: UUID | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[CostRow]:
    """Totals by these dimensions; all projects when none is given. Days are UTC; `until` is not included."""
    bound: dict[str, Any] = {"project_id": project_id, "since": since, "until": until}
    if list(by) == [CostsBy.BATCH]:
        return [
            CostRow((show_id("batch", row.id),), row.is_sandbox, row.cost_usd, row.at_risk_usd)
            for row in conn.execute(text(_BY_BATCH), bound)
        ]
    columns = [_COLUMNS[dimension] for dimension in by]
    kept = ", ".join(["c.deployment_id", *(_KEPT[dimension] for dimension in by if dimension in _KEPT)])
    # Added up before names are looked up: a year has a row for each day, project and deployment.
    query = f"""
        SELECT {", ".join(columns)}, d.is_sandbox, sum(c.cost_usd), sum(c.at_risk_usd), sum(c.calls)::bigint,
          sum(c.input_tokens)::bigint, sum(c.output_tokens)::bigint, sum(c.images)::bigint
        FROM (
          SELECT {kept}, sum(c.cost_usd) AS cost_usd, sum(c.at_risk_usd) AS at_risk_usd, sum(c.calls) AS calls,
            sum(c.input_tokens) AS input_tokens, sum(c.output_tokens) AS output_tokens, sum(c.images) AS images
          FROM daily_costs c
          WHERE (CAST(:project_id AS uuid) IS NULL OR c.project_id = :project_id)
            AND (CAST(:since AS date) IS NULL OR c.day >= :since)
            AND (CAST(:until AS date) IS NULL OR c.day < :until)
          GROUP BY {kept}) c
        JOIN deployments d ON d.id = c.deployment_id {_JOIN if CostsBy.PROJECT in by else ""}
        GROUP BY {", ".join(columns)}, d.is_sandbox ORDER BY d.is_sandbox, {", ".join(columns)}
    """  # noqa: S608  (columns come from the table above, values are bound)
    width = len(columns)
    return [CostRow(tuple(row[:width]), *row[width:]) for row in conn.execute(text(query), bound)]


def batch_costs(conn: Connection, batch_id: UUID) -> list[ModelCost]:
    """A batch's cost by model. Reads every job of the batch: for its end, not for watching it."""
    return [ModelCost(**row._mapping) for row in conn.execute(_BY_MODEL_OF_BATCH, {"batch": batch_id})]
