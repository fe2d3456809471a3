"""Two accounts behind one route, with real workers: shared by weight, taken over when one fails, and back again."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID
from pressroom.batches.ingest import IngestOptions, ingest
from pressroom.jobs import queries
from pressroom.jobs.alerts import list_alerts
from pressroom.jobs.deployments import Place, add_deployment, change_limits, ensure_deployment
from pressroom.jobs.route import set_route
from pressroom.jobs.selection import Selection
from pressroom.settings import SANDBOX
from tests.fixtures.system import TEXT, System

MODEL = "gpt-4o-mini"
A, B = f"{MODEL}@a", f"{MODEL}@b"
NAMES = {f"a@sandbox/{MODEL}": A, f"b@sandbox/{MODEL}": B}


def make_route(system: System, *, rpm: Mapping[str, float] | None = None, **weights: int) -> None:
    """Accounts `a` and `b`, by weight; one without a weight stands by. `rpm` is set by account."""
    with system.engine.begin() as conn:
        for account in "ab":
            row = add_deployment(conn, Place(SANDBOX, account), MODEL)
            change_limits(conn, row, {"rpm": (rpm or {}).get(account)})
        fallbacks = [account for account in "ab" if account not in weights]
        set_route(conn, MODEL, weights, fallbacks, project_id=None)


def submit(system: System, count: int, *, max_attempts: int = 5) -> UUID:
    """A batch of texts for the route."""
    path = system.directory / f"{count}.jsonl"
    lines = [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": TEXT,
            "body": {"model": MODEL, "messages": [{"role": "user", "content": f"Number {number}."}], "max_tokens": 20},
        }
        for number in range(count)
    ]
    path.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return ingest(system.engine, path, options=IngestOptions(SANDBOX, max_attempts=max_attempts)).id


def answered(system: System) -> dict[str, int]:
    """Calls that each account answered with 200."""
    return {name: tally["ok"] for name, tally in system.sandbox.stats()["accounts"].items()}


def deployment(system: System, account: str) -> dict[str, Any]:
    """Its row."""
    with system.engine.connect() as conn:
        query = text("SELECT * FROM deployments WHERE account = :account")
        return dict(conn.execute(query, {"account": account}).mappings().one())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_accounts_share_the_load_by_weight_and_both_quotas_are_used(system: System) -> None:
    system.sandbox.configure(limits={A: {"rpm": 1200, "burst_seconds": 1}, B: {"rpm": 600, "burst_seconds": 1}})
    # Known beforehand: what is measured here is the sharing, and not how limits are found out.
    make_route(system, rpm={"a": 1200, "b": 600}, a=2, b=1)
    batch_id = submit(system, 240)
    bound = "SELECT count(*) FROM jobs j JOIN deployments d ON d.id = j.deployment_id WHERE d.account = 'a'"
    assert system.scalar(bound) == 160
    system.start_workers(2)

    system.wait_for_batch(batch_id, 60)

    assert system.counts("jobs", "state") == {"succeeded": 240}
    done = answered(system)
    assert sum(done.values()) == 240
    # Each by its weight: neither account is left idle, and neither does the other's part.
    assert 150 <= done[A] <= 170


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_idle_account_takes_over_from_a_busy_one(system: System) -> None:
    limits = {"rpm": 600, "burst_seconds": 1}
    system.sandbox.configure(limits={A: limits, B: limits})
    make_route(system, a=9, b=1, rpm={"a": 600, "b": 600})
    batch_id = submit(system, 200)
    system.start_workers(2)

    system.wait_for_batch(batch_id, 60)

    done = answered(system)
    assert sum(done.values()) == 200
    assert done[B] > 70, "a fifth of them were bound to it"


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_failing_account_is_left_and_taken_back_when_it_is_well(system: System) -> None:
    limits = {"rpm": 1200, "burst_seconds": 1}
    system.sandbox.configure(limits={A: limits, B: limits}, faults=[{"fault": "overloaded", "match": {"account": "a"}}])
    make_route(system, a=1, b=1, rpm={"a": 1200, "b": 1200})
    batch_id = submit(system, 1000, max_attempts=8)
    system.start_workers(2, breaker_calls=10, breaker_retry_seconds=2)

    system.wait_until("the breaker is open", lambda: deployment(system, "a")["stop_kind"] == "failures", 30)
    assert "calls failed, the last with server_is_overloaded" in deployment(system, "a")["pause_reason"]
    with system.engine.connect() as conn:
        [alert] = list_alerts(conn)
        assert (alert.kind, alert.subject) == ("deployment_failures", f"a@sandbox/{MODEL}")
    attempts = "SELECT count(*) FROM attempts a JOIN deployments d ON d.id = a.deployment_id WHERE d.account = 'a'"
    system.wait_until("calls are tried", lambda: deployment(system, "a")["trips"] > 1, 30)
    tried = system.scalar(attempts)
    system.sandbox.configure(faults=[])
    system.wait_until("the breaker is closed", lambda: deployment(system, "a")["paused_at"] is None, 60)
    assert system.scalar(f"{attempts} AND a.outcome = 'failed'") <= tried + 3

    system.wait_for_batch(batch_id, 90)

    assert system.counts("jobs", "state") == {"succeeded": 1000}
    assert answered(system)[A] > 50, "it works again"
    # Nothing was called in vain while the breaker was open: less than one failed call for ten jobs.
    assert system.scalar("SELECT count(*) FROM attempts WHERE outcome = 'failed'") < 100


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_fallback_serves_what_a_removed_model_cannot(system: System) -> None:
    system.sandbox.configure(faults=[{"fault": "model_removed", "match": {"account": "a"}}])
    make_route(system, a=1)
    batch_id = submit(system, 100)
    system.start_workers(1)

    system.wait_for_batch(batch_id, 60)

    assert system.counts("jobs", "state") == {"succeeded": 100}
    assert answered(system) == {A: 0, B: 100}
    stopped = deployment(system, "a")
    assert (stopped["stop_kind"], stopped["retry_at"]) == ("model_removed", None)
    assert "the endpoint no longer has this model (model_not_found)" in stopped["pause_reason"]
    assert system.scalar("SELECT max(attempts_used) FROM jobs") == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_without_a_route_jobs_wait_for_the_breaker_and_say_why(system: System) -> None:
    system.sandbox.configure(faults=[{"fault": "auth"}])
    with system.engine.begin() as conn:
        ensure_deployment(conn, SANDBOX, MODEL)
    batch_id = submit(system, 50)
    system.start_workers(1, breaker_retry_seconds=3)

    system.wait_until("the breaker is open", lambda: deployment(system, "")["stop_kind"] == "unauthorised", 30)
    system.wait_until("all are queued", lambda: system.counts("jobs", "state") == {"queued": 50}, 30)
    with system.engine.connect() as conn:
        [job, *_] = queries.list_jobs(conn, Selection(DEFAULT_PROJECT_ID, batch_id=batch_id))
    assert "gpt-4o-mini is paused: the provider does not accept the key" in (job.waiting_because or "")
    assert "tried again" in (job.waiting_because or "")
    system.sandbox.configure(faults=[])

    system.wait_for_batch(batch_id, 60)

    assert system.counts("jobs", "state") == {"succeeded": 50}
    assert system.scalar("SELECT max(attempts_used) FROM jobs") == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_endpoint_is_called_with_the_key_that_its_variable_holds(system: System) -> None:
    with system.engine.begin() as conn:
        row = add_deployment(conn, Place(system.sandbox.base_url, "c", "TEAM_C_KEY"), MODEL)
        set_route(conn, MODEL, {row.name: 1}, [], project_id=None)
    batch_id = submit(system, 20)
    [without] = system.start_workers(1)
    alive = "SELECT max(heartbeat_at - started_at) > interval '1.5 seconds' FROM workers"
    system.wait_until("it has looked for jobs several times", lambda: bool(system.scalar(alive)), 30)
    assert system.counts("jobs", "state") == {"queued": 20}, "nobody has its key"
    with system.engine.connect() as conn:
        [job, *_] = queries.list_jobs(conn, Selection(DEFAULT_PROJECT_ID, batch_id=batch_id))
    assert job.waiting_because == "no running worker has TEAM_C_KEY in its environment"
    assert without.stop() == 0
    system.base_environment = {**system.base_environment, "TEAM_C_KEY": "sandbox-c"}
    system.start_workers(1)

    system.wait_for_batch(batch_id, 60)

    assert answered(system) == {f"{MODEL}@c": 20}
    assert system.scalar("SELECT max(array_to_string(key_names, ' ')) FROM workers") == "TEAM_C_KEY"
    assert system.scalar("SELECT count(*) FROM deployments WHERE to_jsonb(deployments)::text LIKE '%sandbox-c%'") == 0
