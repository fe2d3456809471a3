"""Every family of the provider's faults: who waits, who fails, who is tried again, and what it costs."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.accounts import assert_books_and_calls_agree
from tests.fixtures.system import System

HIT = 6
TRIED_AGAIN = ["http_500", "http_503", "overloaded", "cut", "cut_after", "truncated", "timeout"]
WAITED_FOR = ["rate_limit_requests", "rate_limit_tokens", "slow_down"]


def rule(fault: str, **match: Any) -> dict[str, Any]:
    """The first calls meet the fault."""
    fields: dict[str, Any] = {"fault": fault, "times": HIT, "match": {"endpoint": "chat", **match}}
    return fields | ({"seconds": 1} if fault.startswith("rate_limit") else {})


def attempts_by(system: System) -> dict[tuple[str, str | None], int]:
    """Attempts by outcome and error code."""
    with system.engine.connect() as conn:
        rows = conn.execute(text("SELECT outcome::text, error_code, count(*)::int FROM attempts GROUP BY 1, 2")).all()
    return {(row[0], row[1]): row[2] for row in rows}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_faults_are_tried_again_and_refusals_waited_out(system: System) -> None:
    system.sandbox.configure(faults=[rule(fault) for fault in (*TRIED_AGAIN, *WAITED_FOR)])
    [worker] = system.start_workers(1, request_timeout_seconds=2, breaker_calls=10_000)
    batch_id = system.submit(texts=200, max_attempts=10)

    system.wait_for_batch(batch_id, 120)

    assert system.counts("jobs", "state") == {"succeeded": 200}
    outcomes = system.counts("attempts", "outcome")
    assert outcomes["succeeded"] == 200
    assert outcomes["rejected"] == HIT * len(WAITED_FOR)
    assert outcomes["failed"] == HIT * 3
    assert outcomes["unknown"] == HIT * 4
    assert system.scalar("SELECT sum(attempts_used) FROM jobs") == 200 + HIT * len(TRIED_AGAIN)
    assert system.scalar("SELECT at_risk_usd > 0 FROM batches")
    assert worker.stop() == 0
    assert_books_and_calls_agree(system)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_the_provider_refuses_fails_at_once_with_its_own_words(system: System) -> None:
    system.sandbox.configure(
        faults=[
            {"fault": "bad_request", "times": 3, "match": {"endpoint": "chat"}},
            {"fault": "moderation", "times": 3, "match": {"endpoint": "images"}},
            {"fault": "http_500", "match": {"endpoint": "chat", "contains": "number 19."}},
        ]
    )
    [worker] = system.start_workers(1)
    batch_id = system.submit(texts=20, pictures=10, max_attempts=2)

    system.wait_for_batch(batch_id, 60)

    assert system.counts("jobs", "state") == {"succeeded": 23, "failed": 7}
    with system.engine.connect() as conn:
        failed = conn.execute(
            text(
                "SELECT j.error_code, j.attempts_used, r.status_code, r.body IS NOT NULL FROM jobs j"
                " JOIN job_results r ON r.job_id = j.id WHERE j.state = 'failed'"
            )
        ).all()
    codes = {row[0] for row in failed}
    assert codes >= {"content_policy_violation"}
    assert {(row[1], row[2]) for row in failed} == {(1, 400), (2, 500)}
    assert all(row[3] for row in failed)
    assert worker.stop() == 0
    assert_books_and_calls_agree(system)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", ["insufficient_quota", "billing_hard_limit", "auth"])
def test_a_stop_of_the_account_pauses_the_deployment_and_its_jobs_stay_queued(system: System, fault: str) -> None:
    system.sandbox.configure(faults=[{"fault": fault, "match": {"endpoint": "chat"}}])
    [worker] = system.start_workers(1)
    batch_id = system.submit(texts=200, pictures=40)

    paused = "SELECT paused_at IS NOT NULL FROM deployments WHERE model = 'gpt-4o-mini'"
    system.wait_until("the deployment is paused", lambda: bool(system.scalar(paused)), 30)
    pictures = "SELECT count(*) = 40 FROM jobs WHERE state = 'succeeded'"
    system.wait_until("other deployments go on", lambda: bool(system.scalar(pictures)), 40)
    query = "SELECT count(*) = 200 FROM jobs WHERE state = 'queued'"
    system.wait_until("all its jobs are queued again", lambda: bool(system.scalar(query)), 20)
    assert system.scalar("SELECT sum(attempts_used) FROM jobs") == 40

    system.sandbox.replace_config({"latency": {"chat": {"kind": "fixed", "seconds": 0.02}}})
    system.resume()

    system.wait_for_batch(batch_id, 60)
    assert system.counts("jobs", "state") == {"succeeded": 240}
    assert worker.stop() == 0
    assert_books_and_calls_agree(system)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_removed_model_fails_what_was_called_and_pauses_the_rest(system: System) -> None:
    system.sandbox.configure(faults=[{"fault": "model_removed", "match": {"endpoint": "chat"}}])
    [worker] = system.start_workers(1)
    system.submit(texts=900)

    paused = "SELECT paused_at IS NOT NULL FROM deployments WHERE model = 'gpt-4o-mini'"
    system.wait_until("the deployment is paused", lambda: bool(system.scalar(paused)), 30)
    query = "SELECT count(*) = 900 FROM jobs WHERE state IN ('queued', 'failed')"
    system.wait_until("nothing is out", lambda: bool(system.scalar(query)), 20)

    states = system.counts("jobs", "state")
    assert states["queued"] > 0
    assert system.scalar("SELECT pause_reason LIKE '%model_not_found%' FROM deployments WHERE paused_at IS NOT NULL")
    assert worker.stop() == 0
    assert_books_and_calls_agree(system)
