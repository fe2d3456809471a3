"""What a worker process knows of the tokens that calls really take: asked before a call, told after it."""

import threading
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from pressroom.jobs.lane import LaneJob
from pressroom.jobs.lease import ClaimedLease, LeasedJob
from pressroom.limits.calibration import Key, Learned, Seen, clamped, job_kind, merge_seen, read_learned
from pressroom.limits.costs import Cost
from pressroom.money.usage import Usage

_ENOUGH_CALLS = 10.0
_MOST_PROJECTS = 200
"""Projects of which a process keeps means of their own; the jobs of others go by those of all projects together."""


class TokenBook:
    """One per process. Its own calls are added to the table every few seconds, and the table's means read back.

    `flush` is for another thread than all the rest, which is for the engine's loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Mapping[tuple[Key, UUID | None], Learned] = {}
        self._seen: dict[tuple[Key, UUID | None], Seen] = {}
        self._deployments: set[int] = set()
        self._projects: set[UUID] = set()

    def lane_job(self, job: LeasedJob, lease: ClaimedLease) -> LaneJob:
        """The job with what the limiter is asked for."""
        if lease.deployment_id not in self._deployments:
            self._deployments = self._deployments | {lease.deployment_id}
        key = (lease.deployment_id, job.url, job_kind(job.body))
        ratio = self.expected_ratio(key, job.project_id, otherwise=lease.token_ratio)
        return LaneJob(job, lease, Cost(1.0, ratio * job.est_tokens, float(job.est_images)), key)

    def expected_ratio(self, key: Key, project_id: UUID, *, otherwise: float) -> float:
        """Tokens expected over tokens estimated; `otherwise` while nothing is known of jobs like this."""
        known = self._known
        shared = known.get((key, None))
        if shared is None:
            return clamped(otherwise)
        own = known.get((key, project_id))
        if own is None:
            return clamped(shared.ratio)
        trust = own.samples / (own.samples + _ENOUGH_CALLS)
        return clamped(shared.ratio + trust * (own.ratio - shared.ratio))

    def learn(self, job: LaneJob, usage: Usage) -> None:
        """A call that succeeded."""
        self.observe(
            job.key,
            job.job.project_id,
            estimated=float(job.job.est_tokens),
            actual=float(usage.input_tokens + usage.output_tokens),
            output_tokens=float(usage.output_tokens),
        )

    def observe(self, key: Key, project_id: UUID, *, estimated: float, actual: float, output_tokens: float) -> None:
        """A call's tokens. Requests whose tokens were not estimated teach nothing."""
        if estimated <= 0:
            return
        with self._lock:
            self._of(key, None).add(estimated, actual, output_tokens)
            if project_id in self._projects or len(self._projects) < _MOST_PROJECTS:
                self._projects.add(project_id)
                self._of(key, project_id).add(estimated, actual, output_tokens)

    def flush(self, conn: Connection) -> None:
        """Add what was seen to the table, and read what all processes know. A commit that fails loses those seconds."""
        with self._lock:
            seen = self._seen
            self._seen = {}
        try:
            merge_seen(conn, seen)
            self._known = read_learned(conn, sorted(self._deployments))
        except BaseException:
            self._take_back(seen)
            raise

    def _take_back(self, unwritten: Mapping[tuple[Key, UUID | None], Seen]) -> None:
        with self._lock:
            for name, seen in unwritten.items():
                self._of(*name).include(seen)

    def _of(self, key: Key, project_id: UUID | None) -> Seen:
        seen = self._seen.get((key, project_id))
        if seen is None:
            seen = self._seen[key, project_id] = Seen()
        return seen
