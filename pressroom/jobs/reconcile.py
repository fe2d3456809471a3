"""Hold our books against a file of the provider's, and settle by it what is at risk."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from pressroom.catalog.load import catalog
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.ids import new_id
from pressroom.jobs.at_risk import AtRisk, Settled, at_risk_between, settle_at_risk
from pressroom.money.export_file import Export, read_export
from pressroom.money.price_book import load_price_book
from pressroom.money.reconciling import (
    Booked,
    Line,
    Risk,
    Tolerance,
    Verdict,
    compare,
    exported_by_day,
    family,
    share_out,
)

_ZERO = Decimal(0)

_DEPLOYMENTS = text(
    """
    SELECT id, model FROM deployments WHERE base_url = :base_url
      AND (CAST(:account AS text) IS NULL OR account = :account) ORDER BY id
    """
)

_BOOKED = text(
    """
    SELECT c.day, d.model, sum(c.answered)::bigint AS calls, sum(c.input_tokens)::bigint AS input_tokens,
      sum(c.output_tokens)::bigint AS output_tokens, sum(c.images)::bigint AS images, sum(c.cost_usd) AS usd,
      sum(c.at_risk_usd) AS at_risk_usd
    FROM daily_costs c JOIN deployments d ON d.id = c.deployment_id
    WHERE c.deployment_id = ANY(:deployments) AND c.day BETWEEN :first AND :last GROUP BY 1, 2
    """
)

# Those settled before count too: the provider counted the calls that it billed, whenever we came to know.
_UNKNOWN = text(
    """
    SELECT (a.finished_at AT TIME ZONE 'UTC')::date AS day, d.model, count(*)::int AS calls
    FROM (SELECT id, deployment_id, finished_at FROM attempts WHERE at_risk_usd IS NOT NULL AND outcome = 'unknown'
      UNION ALL SELECT a.id, a.deployment_id, a.finished_at FROM settlements s JOIN attempts a ON a.id = s.attempt_id
        WHERE s.cost_usd > 0 AND a.outcome = 'unknown') a
    JOIN deployments d ON d.id = a.deployment_id
    WHERE a.deployment_id = ANY(:deployments)
      AND (a.finished_at AT TIME ZONE 'UTC')::date BETWEEN :first AND :last GROUP BY 1, 2
    """
)

_RECORD = text(
    """
    INSERT INTO reconciliations (id, sha256, file_name, base_url, first_day, last_day, exported_usd, booked_usd,
      at_risk_usd, posted_usd, voided_usd, attempts, lines)
    VALUES (:id, :sha256, :file_name, :base_url, :first_day, :last_day, :exported_usd, :booked_usd, :at_risk_usd, 0, 0,
      0, CAST(:lines AS jsonb))
    ON CONFLICT (sha256) DO NOTHING RETURNING id
    """
)

_COMPLETE = text(
    "UPDATE reconciliations SET posted_usd = :posted, voided_usd = :voided, attempts = :attempts WHERE id = :id"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose calls the file is about: those to `base_url`, through one account or (None) all of them there."""

    base_url: str
    account: str | None = None
    projects: Sequence[str] = ()
    """As the provider names them; all that are in the file where none is given."""
    tolerance: Tolerance = field(default_factory=Tolerance)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A file beside our books, on the days that it is about."""

    file_name: str
    sha256: str
    first_day: date
    last_day: date
    lines: Sequence[Line]
    ignored: dict[str, int]
    applied_at: datetime | None
    """When this very file was applied, if it was."""

    @property
    def differs(self) -> bool:
        """Whether any figure is off by more than the tolerance and what is at risk."""
        return any(line.verdict is Verdict.DIFFERS for line in self.lines)

    @property
    def exported_usd(self) -> Decimal:
        """The provider's total, of the lines that have one."""
        return sum((line.exported.usd for line in self.lines if line.exported.usd is not None), _ZERO)

    @property
    def booked_usd(self) -> Decimal:
        """Ours."""
        return sum((line.booked.usd for line in self.lines), _ZERO)

    @property
    def at_risk_usd(self) -> Decimal:
        """What may have been billed on top of ours."""
        return sum((line.booked.at_risk_usd for line in self.lines), _ZERO)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a file settled. `left_alone` are models at risk of which it has no costs."""

    settled: Sequence[Settled]
    left_alone: Sequence[str]

    @property
    def posted_usd(self) -> Decimal:
        """What turned out to be billed."""
        return sum((one.cost_usd for one in self.settled), _ZERO)

    @property
    def voided_usd(self) -> Decimal:
        """What turned out not to be."""
        return sum((max(_ZERO, one.at_risk_usd - one.cost_usd) for one in self.settled), _ZERO)


def compare_file(conn: Connection, path: Path, scope: Scope) -> Comparison:
    """Read the file and put it beside our books. Raises InvalidInput, NotFound when no call was ever made there."""
    export = read_export(path, projects=scope.projects)
    digest = _sha256(path)
    query = text("SELECT created_at FROM reconciliations WHERE sha256 = :sha256")
    applied_at = conn.execute(query, {"sha256": digest}).scalar_one_or_none()
    first, last = min(export.days), max(export.days)
    lines = _lines(conn, export, scope, (first, last))
    return Comparison(path.name, digest, first, last, lines, export.ignored, applied_at)


def apply_file(conn: Connection, found: Comparison, scope: Scope, *, today: date | None = None) -> Applied:
    """Settle by the file what is at risk on days that are over, in the caller's transaction; the same file once only.

    Of each model that the file has costs of, what its total exceeds ours by is posted on the calls at risk, oldest
    first, and the rest of them is not billed. Raises InvalidInput for a file without costs.
    """
    if all(line.exported.usd is None for line in found.lines):
        remedy = "Export costs, or usage of models whose price is known here (`pressroom prices list`)"
        raise InvalidInput([Problem("--apply", "needs a file with costs", remedy)], source=found.file_name)
    before_today = (today or datetime.now(UTC).date()).toordinal() - 1
    last = min(found.last_day, date.fromordinal(before_today))
    record = _record(conn, found, scope) if last >= found.first_day else None
    if record is None:
        return Applied([], [])
    deployments = [row.id for row in _deployments(conn, scope)]
    risks: dict[str, list[AtRisk]] = {}
    for one in at_risk_between(conn, deployments, found.first_day, last):
        risks.setdefault(family(one.model, catalog()), []).append(one)
    usd, left_alone = _shares(risks, found, last)
    settled = settle_at_risk(conn, usd, reconciliation_id=record) if usd else []
    applied = Applied(settled, left_alone)
    totals = {"posted": applied.posted_usd, "voided": applied.voided_usd, "attempts": len(settled)}
    conn.execute(_COMPLETE, totals | {"id": record})
    return applied


def _shares(risks: dict[str, list[AtRisk]], found: Comparison, last: date) -> tuple[dict[UUID, Decimal], list[str]]:
    usd: dict[UUID, Decimal] = {}
    left_alone = []
    for model, calls in sorted(risks.items()):
        lines = [line for line in found.lines if line.model == model and line.day <= last]
        excess = {line.day: line.difference_usd for line in lines if line.difference_usd is not None}
        # A model that the file never names may have been left out of it; one with figures but no costs says nothing.
        if not any(line.exported.usd for line in lines) or any(line.exported.usd is None for line in lines):
            left_alone.append(model)
            continue
        each = [Risk(one.id, one.called_at.astimezone(UTC).date(), one.at_risk_usd) for one in calls]
        usd |= share_out(excess, each).usd
    return usd, left_alone


def _record(conn: Connection, found: Comparison, scope: Scope) -> UUID | None:
    """The record's id; None when this file was applied before. Whoever else applies it now is waited for."""
    row = {
        "id": new_id(),
        "sha256": found.sha256,
        "file_name": found.file_name.encode("utf-8", "replace").decode(),
        "base_url": scope.base_url,
        "first_day": found.first_day,
        "last_day": found.last_day,
        "exported_usd": found.exported_usd,
        "booked_usd": found.booked_usd,
        "at_risk_usd": found.at_risk_usd,
        "lines": orjson.dumps([line_record(line) for line in found.lines], default=str).decode(),
    }
    made: UUID | None = conn.execute(_RECORD, row).scalar_one_or_none()
    return made


def line_record(line: Line) -> dict[str, Any]:
    """A line for a machine; amounts are exact decimals."""
    ours, theirs = line.booked, line.exported
    return {
        "day": line.day.isoformat(),
        "model": line.model,
        "verdict": line.verdict.value,
        "off": list(line.off),
        "difference_usd": line.difference_usd,
        "booked": {
            "calls": ours.calls,
            "unknown_calls": ours.unknown_calls,
            "input_tokens": ours.input_tokens,
            "output_tokens": ours.output_tokens,
            "images": ours.images,
            "usd": ours.usd,
            "at_risk_usd": ours.at_risk_usd,
        },
        "exported": {
            "calls": theirs.calls,
            "input_tokens": theirs.input_tokens,
            "output_tokens": theirs.output_tokens,
            "images": theirs.images,
            "usd": theirs.usd,
        },
    }


def _lines(conn: Connection, export: Export, scope: Scope, days: tuple[date, date]) -> list[Line]:
    known = catalog()
    bound = {"deployments": [row.id for row in _deployments(conn, scope)], "first": days[0], "last": days[1]}
    unknown: dict[tuple[date, str], int] = {}
    for row in conn.execute(_UNKNOWN, bound):
        key = (row.day, family(row.model, known))
        unknown[key] = unknown.get(key, 0) + row.calls
    booked: dict[tuple[date, str], Booked] = {}
    for row in conn.execute(_BOOKED, bound):
        key = (row.day, family(row.model, known))
        booked[key] = _added(booked.get(key, Booked(unknown_calls=unknown.get(key, 0))), row)
    exported = exported_by_day(export.lines, known, load_price_book(conn))
    return compare(booked, exported, scope.tolerance)


def _added(to: Booked, row: Any) -> Booked:
    names = ("calls", "input_tokens", "output_tokens", "images", "usd", "at_risk_usd")
    return Booked(
        unknown_calls=to.unknown_calls, **{name: getattr(to, name) + (getattr(row, name) or 0) for name in names}
    )


def _deployments(conn: Connection, scope: Scope) -> Iterable[Any]:
    rows = conn.execute(_DEPLOYMENTS, {"base_url": scope.base_url, "account": scope.account}).all()
    if not rows:
        whose = scope.base_url if scope.account is None else f"account {scope.account} at {scope.base_url}"
        raise NotFound(f"no call was ever made to {whose}: `pressroom deployments list` shows where calls went")
    return rows


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
