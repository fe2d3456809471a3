"""A deployment's breaker, step by step: opens, waits, tries a few calls, and closes or opens again."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import redis

from models import StopKind
from pressroom.ids import new_id
from pressroom.jobs import workers
from pressroom.jobs.alerts import list_alerts
from pressroom.jobs.breaker import PROBES, BreakerPolicy, note_health, probe
from pressroom.jobs.deployments import resume_deployment
from pressroom.jobs.health import Seen
from pressroom.jobs.stop_deployment import Stop, stop_deployment
from pressroom.limits.redis_limiter import LimiterAdmin
from tests.fixtures.desk import Desk, success

POLICY = BreakerPolicy(calls=20, retry_seconds=15)
POOL = "sandbox/gpt-4o-mini"


@pytest.fixture
def limiter(redis_url: str) -> Iterator[LimiterAdmin]:
    """The operator's side of the limiter."""
    with redis.Redis.from_url(redis_url) as client:
        yield LimiterAdmin(client)


def deployment(desk: Desk) -> Any:
    """The row of the one deployment there is."""
    with desk.engine.connect() as conn:
        return conn.exec_driver_sql(
            "SELECT *, extract(epoch FROM retry_at - now())::float8 AS retry_in FROM deployments"
        ).one()


def tell(desk: Desk, limiter: LimiterAdmin, calls: int, failed: int, *, lease: UUID | None = None) -> None:
    """What one process saw of the deployment."""
    seen = Seen(deployment(desk).id, lease or new_id(), calls, failed, last_error="server_error: oh")
    with desk.engine.begin() as conn:
        note_health(conn, limiter, [seen], POLICY)


def due(desk: Desk) -> None:
    """Let its time to try have come."""
    desk.execute("UPDATE deployments SET retry_at = now() - interval '1 second'")


def test_it_opens_when_more_than_half_of_enough_calls_failed(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.deployment()
    tell(desk, limiter, 19, 19)
    assert deployment(desk).paused_at is None, "too few calls"
    tell(desk, limiter, 19, 0)
    tell(desk, limiter, 1, 1)
    assert deployment(desk).paused_at is not None, "20 of 39"

    row = deployment(desk)

    assert row.stop_kind == StopKind.FAILURES
    assert row.pause_reason == "20 of the last 39 calls failed, the last with server_error: oh"
    assert row.retry_in == pytest.approx(15, abs=2)
    assert limiter.status(POOL).stopped_reason == row.pause_reason
    with desk.engine.connect() as conn:
        [alert] = list_alerts(conn)
    assert (alert.kind, alert.subject, alert.message) == ("deployment_failures", POOL, row.pause_reason)


def test_it_stays_closed_while_half_of_the_calls_come_through(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.deployment()
    tell(desk, limiter, 1000, 500)
    assert deployment(desk).paused_at is None


def test_old_failures_do_not_count(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.deployment()
    tell(desk, limiter, 1000, 1000 // 2)
    desk.execute("UPDATE health_windows SET since = since - interval '6 minutes', failed = calls")
    tell(desk, limiter, 19, 19)
    assert deployment(desk).paused_at is None


def test_few_calls_are_judged_over_a_longer_time(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.deployment()
    for _ in range(9):
        tell(desk, limiter, 2, 2)
        desk.execute("UPDATE health_windows SET since = since - interval '31 seconds'")
    assert deployment(desk).paused_at is None, "18 calls in 279 seconds"
    tell(desk, limiter, 2, 1)
    assert deployment(desk).paused_at is None, "half of the last ones came through"
    tell(desk, limiter, 1, 1)
    assert deployment(desk).pause_reason == "20 of the last 21 calls failed, the last with server_error: oh"


def test_while_it_is_open_nothing_is_leased_and_a_few_calls_when_its_time_has_come(
    desk: Desk, limiter: LimiterAdmin
) -> None:
    desk.submit(50)
    tell(desk, limiter, 20, 20)
    assert desk.dispatch() == []
    assert probe(desk.engine, limiter, desk.postbox, desk.policy) == 0, "not yet"
    due(desk)

    assert probe(desk.engine, limiter, desk.postbox, desk.policy) > 0

    assert desk.states() == {"leased": PROBES, "queued": 50 - PROBES}
    assert limiter.status(POOL).stopped_reason is None, "they get start times"
    assert probe(desk.engine, limiter, desk.postbox, desk.policy) == 0, "while those are out, no more"
    worker = desk.worker()
    leases = [lease for lease in desk.postbox.messages if desk.claim(lease, worker) is not None]
    with desk.engine.connect() as conn:
        assert workers.stopped_leases(conn, worker) == []
    assert set(leases) == set(deployment(desk).probe_leases)
    assert desk.faults() == {}


def test_an_answer_closes_it(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.submit(50)
    tell(desk, limiter, 20, 20)
    due(desk)
    probe(desk.engine, limiter, desk.postbox, desk.policy)
    worker = desk.worker()
    jobs = [job for lease in desk.postbox.messages for job in getattr(desk.claim(lease, worker), "jobs", [])]
    attempts = desk.start(jobs, worker)
    desk.settle(*(success(job, attempts[job.id]) for job in jobs))

    tell(desk, limiter, 1, 0, lease=jobs[0].lease_id)

    row = deployment(desk)
    assert (row.paused_at, row.stop_kind, row.retry_at, row.probe_leases) == (None, None, None, [])
    assert len(desk.take(worker)) == 50 - len(jobs)
    tell(desk, limiter, 19, 19)
    assert deployment(desk).paused_at is None, "what failed before is paid for"
    assert desk.faults() == {}


def test_a_failure_opens_it_again_for_twice_as_long(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.submit(50)
    tell(desk, limiter, 20, 20)
    for wait in (30, 60, 120):
        due(desk)
        probe(desk.engine, limiter, desk.postbox, desk.policy)
        tell(desk, limiter, 1, 1, lease=deployment(desk).probe_leases[0])
        assert deployment(desk).retry_in == pytest.approx(wait, abs=3)
        desk.execute("UPDATE jobs SET state = 'queued', lease_id = NULL WHERE lease_id IS NOT NULL")
        desk.execute("DELETE FROM leases")
    assert deployment(desk).pause_reason == "a call to try it failed with server_error: oh"


def test_what_was_called_before_it_opened_is_no_verdict(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.submit(50)
    tell(desk, limiter, 20, 20)
    due(desk)
    probe(desk.engine, limiter, desk.postbox, desk.policy)

    tell(desk, limiter, 5, 0)
    tell(desk, limiter, 5, 5)

    assert (deployment(desk).stop_kind, deployment(desk).trips) == (StopKind.FAILURES, 1)


def test_a_probe_that_was_lost_is_made_again(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.submit(50)
    tell(desk, limiter, 20, 20)
    due(desk)
    probe(desk.engine, limiter, desk.postbox, desk.policy)
    worker = desk.worker()
    for lease in desk.postbox.messages:
        desk.claim(lease, worker)
    desk.lose(worker)
    due(desk)

    assert probe(desk.engine, limiter, desk.postbox, desk.policy) > 0


@pytest.mark.parametrize("kind", [StopKind.MODEL_REMOVED, StopKind.BILLING])
def test_what_cannot_get_well_by_itself_is_not_tried(desk: Desk, limiter: LimiterAdmin, kind: StopKind) -> None:
    desk.submit(50)
    with desk.engine.begin() as conn:
        assert stop_deployment(conn, limiter, deployment(desk).id, Stop(kind, "gone"))
        assert not stop_deployment(conn, limiter, deployment(desk).id, Stop(StopKind.FAILURES, "ill"))
    assert (deployment(desk).pause_reason, deployment(desk).retry_at) == ("gone", None)
    assert probe(desk.engine, limiter, desk.postbox, desk.policy) == 0


def test_a_person_has_the_last_word(desk: Desk, limiter: LimiterAdmin) -> None:
    desk.submit(50)
    id_ = deployment(desk).id
    with desk.engine.begin() as conn:
        stop_deployment(conn, limiter, id_, Stop(StopKind.FAILURES, "ill", 0.001))
        assert stop_deployment(conn, limiter, id_, "let it be")
    row = deployment(desk)
    assert (row.stop_kind, row.pause_reason, row.retry_at) == (StopKind.BY_HAND, "let it be", None)
    with desk.engine.begin() as conn:
        assert resume_deployment(conn, id_)
    assert (deployment(desk).paused_at, deployment(desk).trips) == (None, 0)
