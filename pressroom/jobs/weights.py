"""Projects and their weights: how much of every pool each may have where there is not enough for all."""

import math
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from models import CLASS_WEIGHTS
from pressroom.errors import Conflict, InvalidInput, Problem
from pressroom.ids import new_id

_MOST = 1_000_000.0
_MAX_NAME_CHARACTERS = 100

_LIST = text(
    """
    SELECT p.id, p.name, p.weight, p.paused_at, p.created_at,
      coalesce((SELECT sum(f.queued) FROM flows f WHERE f.project_id = p.id), 0)::bigint AS queued
    FROM projects p ORDER BY p.name
    """
)
_SET = text("UPDATE projects SET weight = :weight WHERE id = :id")
_LOCK_STAKES = text("SELECT 1 FROM stakes WHERE project_id = :id ORDER BY id FOR NO KEY UPDATE")
_SET_STAKES = text(
    """
    UPDATE stakes s SET weight = :weight * t.weight
    FROM unnest(CAST(:classes AS text[]), CAST(:weights AS float8[])) AS t (class, weight)
    WHERE s.project_id = :id AND s.priority_class::text = t.class
    """
)


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project, and how many of its jobs are queued."""

    id: UUID
    name: str
    weight: float
    paused_at: datetime | None
    created_at: datetime
    queued: int


def list_projects(conn: Connection) -> list[ProjectRow]:
    """All of them, by name."""
    return [ProjectRow(**row._mapping) for row in conn.execute(_LIST)]


def create_project(conn: Connection, name: str, weight: float = 1.0) -> UUID:
    """A new project. Raises InvalidInput, or Conflict for a name that is taken."""
    if not name.strip() or len(name) > _MAX_NAME_CHARACTERS:
        remedy = f"Give a name of 1 to {_MAX_NAME_CHARACTERS} characters"
        raise InvalidInput([Problem("name", "is not a project's name", remedy, value=name[:_MAX_NAME_CHARACTERS])])
    _check(weight)
    project_id = new_id()
    query = text("INSERT INTO projects (id, name, weight) VALUES (:id, :name, :weight) ON CONFLICT (name) DO NOTHING")
    if conn.execute(query, {"id": project_id, "name": name, "weight": weight}).rowcount == 0:
        raise Conflict(f"there is a project {name!r} already: `pressroom projects list` shows all")
    return project_id


def set_weight(conn: Connection, project_id: UUID, weight: float) -> None:
    """Change the project's weight in every pool from now on, whatever is queued. Raises InvalidInput."""
    _check(weight)
    conn.execute(_SET, {"id": project_id, "weight": weight})
    conn.execute(_LOCK_STAKES, {"id": project_id})
    classes = {"classes": [kind.value for kind in CLASS_WEIGHTS], "weights": list(CLASS_WEIGHTS.values())}
    conn.execute(_SET_STAKES, {"id": project_id, "weight": weight, **classes})


def _check(weight: float) -> None:
    if not math.isfinite(weight) or not 1 / _MOST <= weight <= _MOST:
        remedy = f"Give a number from {1 / _MOST:f} to {_MOST:,.0f}: 2 is twice the share of 1"
        raise InvalidInput([Problem("weight", "is not a weight", remedy, value=f"{weight:g}")])
