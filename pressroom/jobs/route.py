"""Routes: which deployments may serve a requested model name, and in what proportion."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.jobs.deployments import DeploymentRow, list_deployments
from pressroom.jobs.resolve import DeploymentRef
from pressroom.jobs.share import Share
from pressroom.operations.checks import shortened

MAX_WEIGHT = 1000

# A deployment whose breaker may try again counts: without jobs nothing could close it.
_TARGETS = text(
    """
    SELECT d.id, d.pool_id, d.model, d.base_url, r.weight, r.fallback,
      p.paused_at IS NULL AND (d.paused_at IS NULL OR d.retry_at <= now()) AS healthy
    FROM routes r JOIN deployments d ON d.id = r.deployment_id JOIN pools p ON p.id = d.pool_id
    WHERE r.model = :model AND r.project_id IS NOT DISTINCT FROM
      (SELECT o.project_id FROM routes o WHERE o.model = :model AND (o.project_id = :project OR o.project_id IS NULL)
       ORDER BY o.project_id NULLS LAST LIMIT 1)
    ORDER BY r.fallback NULLS FIRST, r.id
    """
)

_ENDPOINTS = text(
    """
    SELECT DISTINCT r.model, d.base_url FROM routes r JOIN deployments d ON d.id = r.deployment_id
    WHERE r.project_id = :project OR (r.project_id IS NULL
      AND NOT EXISTS (SELECT 1 FROM routes o WHERE o.model = r.model AND o.project_id = :project))
    """
)

_LIST = text(
    """
    SELECT r.model, r.project_id, j.name AS project, r.deployment_id, r.weight, r.fallback
    FROM routes r LEFT JOIN projects j ON j.id = r.project_id
    ORDER BY r.model, j.name NULLS FIRST, r.fallback NULLS FIRST, r.id
    """
)

_INSERT = text(
    "INSERT INTO routes (project_id, model, deployment_id, weight, fallback)"
    " VALUES (:project, :model, :deployment, :weight, :fallback)"
)

_REMOVE = text("DELETE FROM routes WHERE model = :model AND project_id IS NOT DISTINCT FROM CAST(:project AS uuid)")


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment of a route: with a weight, or as the `fallback`-th to step in."""

    deployment: DeploymentRow
    weight: int | None
    fallback: int | None


@dataclass(frozen=True, slots=True)
class RouteRow:
    """A route as people see it. `project` is null for the installation's."""

    model: str
    project: str | None
    targets: Sequence[Target]


def find_share(conn: Connection, project_id: UUID, model: str) -> Share | None:
    """How the project's jobs for the model are dealt out now; None where no route names it.

    By weight among the targets that can take jobs; if none can, to the first fallback that can; and if nothing can, by
    weight again, to wait there.
    """
    rows = conn.execute(_TARGETS, {"model": model, "project": project_id}).all()
    if not rows:
        return None
    weighted = [row for row in rows if row.weight is not None]
    chosen = [row for row in weighted if row.healthy]
    if not chosen:
        chosen = [row for row in rows if row.weight is None and row.healthy][:1] or weighted
    targets = [(DeploymentRef(row.id, row.pool_id, row.model, row.base_url), row.weight or 1) for row in chosen]
    return Share(targets, phase=random.randrange(MAX_WEIGHT * MAX_WEIGHT))


def routed_endpoints(conn: Connection, project_id: UUID) -> dict[str, list[str]]:
    """By model with a route for the project: the base URLs that may serve it."""
    found: dict[str, list[str]] = {}
    for row in conn.execute(_ENDPOINTS, {"project": project_id}):
        found.setdefault(row.model, []).append(row.base_url)
    return found


def list_routes(conn: Connection) -> list[RouteRow]:
    """All routes, by model, the installation's before the projects'."""
    known = {row.id: row for row in list_deployments(conn)}
    routes: list[RouteRow] = []
    targets: dict[tuple[str, UUID | None], list[Target]] = {}
    for row in conn.execute(_LIST):
        key = (row.model, row.project_id)
        if key not in targets:
            targets[key] = []
            routes.append(RouteRow(row.model, row.project, targets[key]))
        targets[key].append(Target(known[row.deployment_id], row.weight, row.fallback))
    return routes


def parse_weights(given: Sequence[str]) -> dict[str, int]:
    """`b@sandbox=3` → target names with weights, 1 where none is given. Raises InvalidInput."""
    weights: dict[str, int] = {}
    for one in given:
        name, equals, weight = one.rpartition("=")
        if not equals:
            name, weight = one, "1"
        if not weight.isascii() or not weight.isdigit() or not 1 <= int(weight) <= MAX_WEIGHT:
            remedy = f"Write TARGET=WEIGHT with a whole number from 1 to {MAX_WEIGHT}"
            raise InvalidInput([Problem("target", "has no such weight", remedy, value=one)])
        if name in weights:
            raise InvalidInput([Problem("target", "is given twice", "Name each target once", value=one)])
        weights[name] = int(weight)
    return weights


def set_route(
    conn: Connection, model: str, weights: Mapping[str, int], fallbacks: Sequence[str], *, project_id: UUID | None
) -> RouteRow:
    """Make this the model's route, of one project or (None) of the installation. Raises InvalidInput, NotFound."""
    if not weights:
        remedy = "Name at least one TARGET; a fallback only steps in for others"
        raise InvalidInput([Problem("target", "is missing", remedy)])
    known = list_deployments(conn)
    targets = [Target(_find_target(known, model, name), weight, None) for name, weight in weights.items()]
    targets += [Target(_find_target(known, model, name), None, n) for n, name in enumerate(fallbacks, start=1)]
    names = [target.deployment.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput([Problem("target", "is named twice", "Name each deployment once", value=name)])
    if len({target.deployment.is_sandbox for target in targets}) > 1:
        remedy = "Use either: nothing may pass from one to the other unseen"
        raise InvalidInput([Problem("target", "mixes sandbox and real accounts", remedy)])
    conn.execute(_REMOVE, {"model": model, "project": project_id})
    for target in targets:
        row = {"weight": target.weight, "fallback": target.fallback, "deployment": target.deployment.id}
        conn.execute(_INSERT, row | {"model": model, "project": project_id})
    return RouteRow(model, None, targets)


def remove_route(conn: Connection, model: str, *, project_id: UUID | None) -> None:
    """Jobs submitted from now on go to the configured provider. Raises NotFound."""
    if conn.execute(_REMOVE, {"model": model, "project": project_id}).rowcount == 0:
        whose = "the installation" if project_id is None else "this project"
        raise NotFound(f"{whose} has no route for {shortened(model)!r}: `pressroom routes list` shows all there are")


def _find_target(known: Sequence[DeploymentRow], model: str, name: str) -> DeploymentRow:
    """By its whole name, by `ACCOUNT@ENDPOINT` or `ENDPOINT`, or by its account alone where that says which."""
    for row in known:
        if row.name == name and row.model != model:
            remedy = (
                f"Name a deployment of {model}. A route to another model needs its requests and answers translated, "
                "which this version does not do"
            )
            raise InvalidInput([Problem("target", f"is a deployment of {row.model}", remedy, value=name)])
    own = [row for row in known if row.model == model]
    found = [row for row in own if name in (row.name, row.name.removesuffix(f"/{model}"))]
    found = found or [row for row in own if row.account == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(row.name for row in found or own) or "none yet"
    if found:
        raise InvalidInput([Problem("target", "could be several", f"Give one of {names}", value=shortened(name))])
    raise NotFound(
        f"no deployment of {shortened(model)!r} is called {shortened(name)!r}; known: {names} "
        f"(`pressroom deployments add {shortened(model)} --account NAME …` makes one)"
    )
