"""Running totals that a transaction adds to: a batch's counters and cost, and spending by day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, text

from models import AttemptOutcome
from pressroom.events.outbox import WANTS_JOBS, record_batches
from pressroom.jobs.outcome import Outcome

# The batch ends in the transaction that ends its last job. One with files of results is over when they are written
# (`pressroom/batches/finalize.py`): it is told then, and whoever looked at it before, somebody looks again at once.
_BATCHES = text(
    f"""
    UPDATE batches b SET succeeded = b.succeeded + t.succeeded, failed = b.failed + t.failed,
      cancelled = b.cancelled + t.cancelled, expired = b.expired + t.expired,
      cost_usd = b.cost_usd + t.cost_usd, at_risk_usd = b.at_risk_usd + t.at_risk_usd,
      state = CASE WHEN t.ended < b.total - b.succeeded - b.failed - b.cancelled - b.expired THEN b.state
        WHEN b.state = 'in_progress' THEN 'completed' WHEN b.state = 'cancelling' THEN 'cancelled' ELSE b.state END,
      finished_at = CASE WHEN t.ended >= b.total - b.succeeded - b.failed - b.cancelled - b.expired
        THEN coalesce(b.finished_at, now()) END,
      clerk_until = CASE WHEN b.finished_at IS NOT NULL
        OR t.ended < b.total - b.succeeded - b.failed - b.cancelled - b.expired THEN b.clerk_until END
    FROM (SELECT *, succeeded + failed + cancelled + expired AS ended FROM unnest(
      CAST(:ids AS uuid[]), CAST(:succeeded AS int[]), CAST(:failed AS int[]), CAST(:cancelled AS int[]),
      CAST(:expired AS int[]), CAST(:cost_usd AS numeric[]), CAST(:at_risk_usd AS numeric[]))
      AS t (id, succeeded, failed, cancelled, expired, cost_usd, at_risk_usd)) t
    WHERE b.id = t.id
    RETURNING b.id, old.state <> new.state AND new.input_file_id IS NULL AS moved, {WANTS_JOBS} AS wants_jobs
    """  # noqa: S608  (a constant)
)

# Not against those who only refer to a batch: who writes its flow twice does, holding what we wait for next.
_LOCK_BATCHES = text("SELECT 1 FROM batches WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")

_DAILY = text(
    """
    INSERT INTO daily_costs AS d (day, project_id, deployment_id, calls, answered, input_tokens, output_tokens, images,
      cost_usd, at_risk_usd)
    VALUES (coalesce(CAST(:day AS date), (now() AT TIME ZONE 'UTC')::date), :project_id, :deployment_id, :calls,
      :answered, :input_tokens, :output_tokens, :images, :cost_usd, :at_risk_usd)
    ON CONFLICT (day, project_id, deployment_id) DO UPDATE SET calls = d.calls + excluded.calls,
      answered = d.answered + excluded.answered,
      input_tokens = d.input_tokens + excluded.input_tokens, output_tokens = d.output_tokens + excluded.output_tokens,
      images = d.images + excluded.images, cost_usd = d.cost_usd + excluded.cost_usd,
      at_risk_usd = d.at_risk_usd + excluded.at_risk_usd
    """
)

_ZERO = Decimal(0)


@dataclass(slots=True)
class BatchChange:
    """What one transaction adds to a batch."""

    ends: dict[str, int] = field(default_factory=dict)
    cost_usd: Decimal = _ZERO
    at_risk_usd: Decimal = _ZERO


@dataclass(slots=True)
class DayChange:
    """What one transaction adds to a day's spending of a project on a deployment."""

    calls: int = 0
    answered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    cost_usd: Decimal = _ZERO
    at_risk_usd: Decimal = _ZERO


DayKey = tuple[UUID, int, date | None]
"""Project, deployment, and the UTC day; None is the day of the transaction."""


@dataclass(slots=True)
class Books:
    """Collects changes, then writes each row once, in key order so that two writers cannot deadlock."""

    batches: dict[UUID, BatchChange] = field(default_factory=dict)
    wanted: set[UUID] = field(default_factory=set)
    """After `write`: those of the batches of whose jobs somebody wants events."""
    _moved: list[UUID] = field(default_factory=list)
    days: dict[DayKey, DayChange] = field(default_factory=dict)

    def add_end(self, batch_id: UUID | None, state: str, count: int = 1) -> None:
        """Count jobs of a batch that reached a final state; other states count nothing."""
        if batch_id is not None and state in ("succeeded", "failed", "cancelled", "expired"):
            ends = self.batches.setdefault(batch_id, BatchChange()).ends
            ends[state] = ends.get(state, 0) + count

    def add_attempt(
        self,
        outcome: Outcome,
        batch_id: UUID | None,
        *,
        was_unknown: bool = False,
        was_at_risk: Decimal = _ZERO,
        booked_on: date | None = None,
    ) -> None:
        """Book a settled attempt.

        `was_at_risk` is what it was already booked with on the day `booked_on`, if it `was_unknown` before: the truth
        takes its place there, so that a day says what that day's calls cost, whenever that became known.
        """
        is_call = outcome.attempt is not AttemptOutcome.RELEASED
        if not is_call and not was_unknown:
            return
        key = (outcome.project_id, outcome.deployment_id, booked_on)
        day = self.days.setdefault(key, DayChange())
        day.calls += int(is_call) - int(was_unknown)
        day.answered += int(outcome.attempt is AttemptOutcome.SUCCEEDED)
        if outcome.usage is not None:
            day.input_tokens += outcome.usage.input_tokens
            day.output_tokens += outcome.usage.output_tokens
            day.images += outcome.usage.images
        self.add_money(
            key,
            batch_id,
            cost=outcome.cost_usd or _ZERO,
            at_risk=(outcome.at_risk_usd or _ZERO) - was_at_risk,
        )

    def add_doubt(self, place: tuple[UUID, int], batch_id: UUID | None, *, at_risk: Decimal) -> None:
        """Book a call of a project on a deployment whose fate is unknown, at its estimate."""
        day = (*place, None)
        self.days.setdefault(day, DayChange()).calls += 1
        self.add_money(day, batch_id, cost=_ZERO, at_risk=at_risk)

    def add_money(self, day: DayKey, batch_id: UUID | None, *, cost: Decimal, at_risk: Decimal) -> None:
        """Add known cost and cost at risk to a day and a batch."""
        change = self.days.setdefault(day, DayChange())
        change.cost_usd += cost
        change.at_risk_usd += at_risk
        if batch_id is not None and (cost or at_risk):
            batch = self.batches.setdefault(batch_id, BatchChange())
            batch.cost_usd += cost
            batch.at_risk_usd += at_risk

    def write(self, conn: Connection) -> None:
        """Write everything that was added."""
        self._write_batches(conn, self.batches)
        for key in sorted(self.days, key=_in_order):
            project_id, deployment_id, on = key
            day = self.days[key]
            conn.execute(
                _DAILY,
                {
                    "day": on,
                    "project_id": project_id,
                    "deployment_id": deployment_id,
                    "calls": day.calls,
                    "answered": day.answered,
                    "input_tokens": day.input_tokens,
                    "output_tokens": day.output_tokens,
                    "images": day.images,
                    "cost_usd": day.cost_usd,
                    "at_risk_usd": day.at_risk_usd,
                },
            )

    def tells_of(self, batch_id: UUID | None) -> bool:
        """After `write`: whether jobs of this batch, or outside batches, get events."""
        return batch_id is None or batch_id in self.wanted

    def tell(self, conn: Connection) -> None:
        """Events of the batches that changed their state, at the end of the transaction."""
        record_batches(conn, self._moved)

    def _write_batches(self, conn: Connection, batches: Mapping[UUID, BatchChange]) -> None:
        ids = sorted(batches)
        if not ids:
            return
        conn.execute(_LOCK_BATCHES, {"ids": ids})
        ends = {
            state: [batches[i].ends.get(state, 0) for i in ids]
            for state in ("succeeded", "failed", "cancelled", "expired")
        }
        rows = conn.execute(
            _BATCHES,
            {
                "ids": ids,
                **ends,
                "cost_usd": [batches[i].cost_usd for i in ids],
                "at_risk_usd": [batches[i].at_risk_usd for i in ids],
            },
        )
        for row in rows:
            if row.wants_jobs:
                self.wanted.add(row.id)
            if row.moved:
                self._moved.append(row.id)


def _in_order(key: DayKey) -> tuple[UUID, int, date]:
    """Past days before the transaction's own, whichever that is."""
    return key[0], key[1], key[2] or date.max
