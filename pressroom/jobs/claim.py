"""Take ready jobs of a pool's stakes, each its due, locked for the caller's transaction: one look at most at a time.

Nothing here waits for anybody, and nothing is charged: `dispatch` does that at its end, in the order of locks.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text

from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.fill import Claimant, portions
from pressroom.jobs.rates import Rates
from pressroom.jobs.sleep import ELIGIBLE

NOMINAL_SECONDS = 0.001
"""What a job of a pool without limits is charged: turns are still taken by weight."""

NOTHING_SECONDS = 1e-6
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

# Of each stake its next `rows` jobs, in its flows' order, with the virtual time at which each is served: the stake's,
# plus what stands before it there by weight. A job that is being cancelled, or claimed, is passed over.
# A stake that has shown `rows` jobs may have more: nothing that comes after its next one is taken (`seen`).
# MATERIALIZED: a LIMIT under a nested loop could otherwise be run again and lock more rows than it returns. The order
# of flows is that of the nested loop, which a LATERAL with a LIMIT leaves no other way to run.
# BETWEEN, and the flow in the order: where most jobs are of one flow, the planner takes `flow_id = f.id` for hardly a
# condition and walks the primary key, past all of them, to the few of another. Only the index of ready jobs is in this
# order.
_CLAIM = """
    WITH p AS MATERIALIZED (
      SELECT * FROM unnest(CAST(:stakes AS bigint[]), CAST(:weights AS float8[]), CAST(:vtimes AS float8[]),
        CAST(:rows AS int[])) AS p (stake_id, weight, vtime, rows)
    ), locked AS MATERIALIZED (
      SELECT x.*, p.stake_id, p.weight, p.vtime FROM p CROSS JOIN LATERAL (
        SELECT j.*, f.priority, f.deadline,
          greatest(:request_charge, :token_charge * f.ratio * j.est_tokens, :image_charge * j.est_images)::float8
            AS seconds,
          greatest(:request_seconds, :token_seconds * f.ratio * j.est_tokens, :image_seconds * j.est_images)::float8
            AS pace_seconds
        FROM (
          SELECT f.id, f.priority, f.deadline,
            (SELECT token_ratio FROM deployments WHERE id = f.deployment_id) AS ratio
          FROM flows f WHERE f.stake_id = p.stake_id AND {eligible}{flows}
          ORDER BY f.priority, f.deadline, f.id) f
        CROSS JOIN LATERAL (
          SELECT id, flow_id, deployment_id, project_id, batch_id, api_key_id, calls, est_cost_usd, est_tokens,
            est_images
          FROM jobs WHERE flow_id BETWEEN f.id AND f.id AND state = 'queued' AND run_at IS NULL
            AND (jobs.deadline IS NULL OR jobs.deadline > now()) AND id <> ALL(CAST(:taken AS uuid[]))
          ORDER BY flow_id, id LIMIT p.rows FOR NO KEY UPDATE SKIP LOCKED) j
        LIMIT p.rows) x
    ), served AS (
      SELECT *, vtime + (sum(seconds) OVER in_stake - seconds) / weight AS served_at FROM locked
      WINDOW in_stake AS (PARTITION BY stake_id ORDER BY priority, deadline, flow_id, id)
    ), seen AS (
      SELECT p.stake_id, p.vtime + sum(l.seconds) / p.weight AS ends, count(l.id) AS n, count(l.id) = p.rows AS has_more
      FROM p LEFT JOIN locked l USING (stake_id) GROUP BY p.stake_id, p.vtime, p.weight, p.rows
    ), picked AS (
      SELECT * FROM (
        SELECT *, sum(pace_seconds) OVER (ORDER BY served_at, id) - pace_seconds AS ahead FROM served
        WHERE served_at <= coalesce((SELECT min(ends) FROM seen WHERE has_more), 'infinity')) r
      WHERE ahead < :room_seconds ORDER BY served_at, id LIMIT :jobs
    )
    SELECT id, flow_id, deployment_id, project_id, batch_id, api_key_id, calls, est_cost_usd, seconds, pace_seconds,
      stake_id, (SELECT count(*) FROM locked) AS looked_at, served_at, true AS is_job,
      EXISTS (SELECT 1 FROM budgets) AS is_budgeted FROM picked
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, stake_id, 0, NULL, false, false
    FROM seen WHERE NOT has_more AND n = (SELECT count(*) FROM picked WHERE picked.stake_id = seen.stake_id)
    ORDER BY served_at, id
"""

_JOIN_OF = dict.fromkeys(Lane, "JOIN") | {Lane.ALL: "LEFT JOIN"}


# The limit is written out, in powers of two: of a bound one the planner would have to make a new plan each time.
@cache
def _candidates_of(lane: Lane, limit: int) -> TextClause:
    stakes, join = _STAKES_OF[lane], _JOIN_OF[lane]
    return text(_CANDIDATES.format(eligible=ELIGIBLE, flows=_FLOWS_OF[lane], stakes=stakes, join=join, limit=limit))


_CLAIM_OF = {lane: text(_CLAIM.format(eligible=ELIGIBLE, flows=_FLOWS_OF[lane])) for lane in Lane}


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
        bound = {"pool": self.pool_id, "skip": sorted(skip)}
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
            "stakes": [p.claimant.stake_id for p in shown],
            "weights": [p.claimant.weight for p in shown],
            "vtimes": [p.claimant.vtime for p in shown],
            "rows": [p.rows for p in shown],
            "taken": [job.id for job in self.jobs],
            "room_seconds": room.seconds - NOTHING_SECONDS,
            "jobs": room.jobs,
        }
        rows = conn.execute(_CLAIM_OF[lane], {**bound, **self._figures()}).all()
        got: list[ClaimedJob] = []
        drained = {row.stake_id for row in rows if not row.is_job}
        for row in rows:
            if row.is_job:
                fields: tuple[Any, ...] = (*row[:10], row.stake_id in self._urgent)
                got.append(ClaimedJob(*fields))
                self.is_budgeted = row.is_budgeted
                self._charged[row.stake_id] = self._charged.get(row.stake_id, 0.0) + row.seconds
        self.looked_at += max((row.looked_at for row in rows), default=0)
        self.jobs += got
        return got, drained

    def _figures(self) -> Mapping[str, Any]:
        rates = self.rates
        least = NOMINAL_SECONDS if rates.unlimited else 0.0
        # A request that takes nothing of what is limited is charged something all the same: turns are divided by it.
        least_charge = max(least, NOTHING_SECONDS)
        return {
            "open": list(self.open_deployments),
            "request_seconds": max(least, rates.request_seconds),
            "token_seconds": rates.token_seconds,
            "image_seconds": rates.image_seconds,
            "request_charge": max(least_charge, rates.request_charge),
            "token_charge": rates.token_charge,
            "image_charge": rates.image_seconds,
        }
