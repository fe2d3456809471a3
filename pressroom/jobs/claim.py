"""Take ready jobs of a pool's stakes, each its due, locked for the caller's transaction: one look at most at a time.

Nothing here waits for anybody, and nothing is charged: `dispatch` does that at its end, in the order of locks.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text

from pressroom.jobs.array import array
from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.fill import NOTHING_SECONDS, Claimant, in_turn, portions
from pressroom.jobs.rates import Rates
from pressroom.jobs.sleep import ELIGIBLE

NOMINAL_SECONDS = 0.001
"""What a job of a pool without limits is charged: turns are still taken by weight."""

_MOST_LOOKS = 40
_LEAST_STAKES = 16
_JOBS_OF_STAKE = 4
"""A claim serves a quarter as many stakes as it takes jobs, where there are that many: each costs as much as some jobs.

So the quantum of fairness is some four jobs of a stake, and what it got too early it waits for later.
"""

_WIDEN_AT_MOST = 64


class Lane(enum.Enum):
    """Which of a pool's flows take part."""

    INTERACTIVE = "interactive"
    LATE = "late"
    ALL = "all"
    PROBE = "probe"
    """Those of stakes that sleep too: their deployment is stopped, and is to be tried."""


_STAKES_OF = dict.fromkeys(Lane, " AND s.active") | {
    Lane.INTERACTIVE: " AND s.active AND s.priority_class = 'interactive'",
    Lane.PROBE: "",
}
_FLOWS_OF = dict.fromkeys(Lane, "") | {Lane.LATE: " AND f.late"}

# The least served stakes, and what their next job is expected to take: null for those that have nothing to give, which
# only a turn of everybody asks for, to put them to sleep.
_CANDIDATES = """
    SELECT s.id, s.weight, s.vtime, s.priority_class = 'interactive' AS urgent, next.seconds
    FROM stakes s {join} LATERAL (
      SELECT greatest(:request_charge, :token_charge * r.ratio * f.tokens_in / greatest(f.jobs_in, 1),
          :image_charge * f.images_in / greatest(f.jobs_in, 1))::float8 AS seconds
      FROM flows f CROSS JOIN LATERAL (SELECT token_ratio AS ratio FROM deployments WHERE id = f.deployment_id) r
      WHERE f.stake_id = s.id AND {eligible}{flows} ORDER BY f.priority, f.deadline, f.id LIMIT 1) next ON true
    WHERE s.pool_id = :pool AND s.id <> ALL(CAST(:skip AS bigint[])){stakes}
    ORDER BY s.vtime LIMIT {limit}
"""

# Of each stake its next `rows` jobs, in its flows' order; `in_turn` says which of them are taken. A job that is being
# cancelled, or claimed, is passed over. The order is that of the nested loop, which a LATERAL with a LIMIT leaves no
# other way to run.
# BETWEEN, and the flow in the order: where most jobs are of one flow, the planner takes `flow_id = f.id` for hardly a
# condition and walks the primary key, past all of them, to the few of another. Only the index of ready jobs is in this
# order.
_LOOK = """
    SELECT x.ctid, x.id, x.flow_id, x.deployment_id, x.project_id, x.batch_id, x.api_key_id, x.calls, x.est_cost_usd,
      x.seconds, x.pace_seconds, p.stake_id, EXISTS (SELECT 1 FROM budgets) AS is_budgeted
    FROM unnest(CAST(:stakes AS bigint[]), CAST(:rows AS int[])) AS p (stake_id, rows) CROSS JOIN LATERAL (
      SELECT j.*,
        greatest(:request_charge, :token_charge * f.ratio * j.est_tokens, :image_charge * j.est_images)::float8
          AS seconds,
        greatest(:request_seconds, :token_seconds * f.ratio * j.est_tokens, :image_seconds * j.est_images)::float8
          AS pace_seconds
      FROM (
        SELECT f.id, (SELECT token_ratio FROM deployments WHERE id = f.deployment_id) AS ratio
        FROM flows f WHERE f.stake_id = p.stake_id AND {eligible}{flows}
        ORDER BY f.priority, f.deadline, f.id) f
      CROSS JOIN LATERAL (
        SELECT ctid, id, flow_id, deployment_id, project_id, batch_id, api_key_id, calls, est_cost_usd, est_tokens,
          est_images
        FROM jobs WHERE flow_id BETWEEN f.id AND f.id AND state = 'queued' AND run_at IS NULL
          AND (jobs.deadline IS NULL OR jobs.deadline > now()) AND id <> ALL(CAST(:taken AS uuid[]))
        ORDER BY flow_id, id LIMIT p.rows FOR NO KEY UPDATE SKIP LOCKED) j
      LIMIT p.rows) x
"""

_JOIN_OF = dict.fromkeys(Lane, "JOIN") | {Lane.ALL: "LEFT JOIN"}


# The limit is written out, in powers of two: of a bound one the planner would have to make a new plan each time.
@cache
def _candidates_of(lane: Lane, limit: int) -> TextClause:
    stakes, join = _STAKES_OF[lane], _JOIN_OF[lane]
    return text(_CANDIDATES.format(eligible=ELIGIBLE, flows=_FLOWS_OF[lane], stakes=stakes, join=join, limit=limit))


_LOOK_OF = {lane: text(_LOOK.format(eligible=ELIGIBLE, flows=_FLOWS_OF[lane])) for lane in Lane}


@dataclass(slots=True)
class Room:
    """What may still be taken: seconds of the pool, and jobs."""

    seconds: float
    jobs: int

    @property
    def is_open(self) -> bool:
        """Whether one more job may go out, and at most that one beyond the room."""
        return self.jobs > 0 and self.seconds > NOTHING_SECONDS


@dataclass(slots=True)
class Claims:
    """What one turn at one pool takes. The pool's row is locked, so nobody else claims here."""

    pool_id: int
    rates: Rates
    open_deployments: Sequence[int]
    jobs: list[ClaimedJob] = field(default_factory=list)
    drained: set[int] = field(default_factory=set)
    """Stakes that gave all they had."""
    looked_at: int = 0
    """Rows of jobs that were read and locked."""
    is_budgeted: bool = False
    """Whether there was any budget at all when they were."""
    _charged: dict[int, float] = field(default_factory=dict)
    _urgent: set[int] = field(default_factory=set)

    def take(self, conn: Connection, lane: Lane, room: Room) -> float:
        """Fill `room` from the lane's flows, in virtual time; returns the seconds of the pool that were taken."""
        widen, taken = 1, 0.0
        empty = set(self.drained)
        for _ in range(_MOST_LOOKS):
            if not room.is_open:
                break
            claimants, idle = self._candidates(conn, lane, room.jobs, empty)
            empty |= idle
            if not claimants:
                if idle:
                    continue
                break
            got, drained = self._look(conn, lane, claimants, room, widen=widen)
            if not got and not drained:
                break
            empty |= drained
            widen = min(_WIDEN_AT_MOST, widen * 2)
            seconds = sum(job.pace_seconds for job in got)
            room.jobs -= len(got)
            room.seconds -= seconds
            taken += seconds
        if lane is Lane.ALL:
            self.drained = empty
        return taken

    def _candidates(self, conn: Connection, lane: Lane, jobs: int, skip: set[int]) -> tuple[list[Claimant], set[int]]:
        """Stakes by virtual time, and those met on the way that have nothing to give."""
        # Those charged in this turn are further on than their rows say, and leave their places to others.
        limit = max(_LEAST_STAKES, -(-jobs // _JOBS_OF_STAKE)) + len(self._charged)
        statement = _candidates_of(lane, 1 << (limit - 1).bit_length())
        bound = {"pool": self.pool_id, "skip": array(sorted(skip))}
        rows = conn.execute(statement, {**bound, **self._figures()}).all()[:limit]
        self._urgent.update(row.id for row in rows if row.urgent)
        found = [
            Claimant(row.id, row.weight, row.vtime + self._charged.get(row.id, 0.0) / row.weight, row.seconds)
            for row in rows
            if row.seconds is not None
        ]
        return sorted(found, key=lambda claimant: claimant.vtime), {row.id for row in rows if row.seconds is None}

    def _look(
        self, conn: Connection, lane: Lane, claimants: Sequence[Claimant], room: Room, *, widen: int
    ) -> tuple[list[ClaimedJob], set[int]]:
        """One look: the jobs that are due, and the stakes that have nothing else to give."""
        shown = portions(claimants, seconds=room.seconds, jobs=room.jobs, widen=widen)
        bound = {
            "stakes": array(p.claimant.stake_id for p in shown),
            "rows": array(p.rows for p in shown),
            "taken": array(job.id for job in self.jobs),
        }
        rows = conn.execute(_LOOK_OF[lane], {**bound, **self._figures()}).all()
        seen: dict[int, list[ClaimedJob]] = {p.claimant.stake_id: [] for p in shown}
        for *job, stake, is_budgeted in rows:
            seen[stake].append(ClaimedJob._make((*job, stake in self._urgent)))
            self.is_budgeted = is_budgeted
        turn = in_turn([(p, seen[p.claimant.stake_id]) for p in shown], seconds=room.seconds, jobs=room.jobs)
        for stake, seconds in turn.charged.items():
            self._charged[stake] = self._charged.get(stake, 0.0) + seconds
        self.looked_at += len(rows)
        self.jobs += turn.jobs
        return turn.jobs, turn.drained

    def _figures(self) -> Mapping[str, Any]:
        rates = self.rates
        least = NOMINAL_SECONDS if rates.unlimited else 0.0
        # A request that takes nothing of what is limited is charged something all the same: turns are divided by it.
        least_charge = max(least, NOTHING_SECONDS)
        return {
            "open": array(self.open_deployments),
            "request_seconds": max(least, rates.request_seconds),
            "token_seconds": rates.token_seconds,
            "image_seconds": rates.image_seconds,
            "request_charge": max(least_charge, rates.request_charge),
            "token_charge": rates.token_charge,
            "image_charge": rates.image_seconds,
        }
