"""What a worker learns of a pool reaches the books, also when they are away for a while."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from pressroom.jobs.pool_state import PoolStates
from pressroom.jobs.resolve import resolve_deployments
from pressroom.limits.pool_limits import StatedBefore
from pressroom.settings import SANDBOX
from tests.unit.jobs.leased import lane_job

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def pool(engine: Engine) -> str:
    with engine.begin() as conn:
        resolve_deployments(conn, SANDBOX, {"gpt-4o-mini": "gpt-4o-mini"}, {})
        name: str = conn.execute(text("SELECT name FROM pools")).scalar_one()
    return name


def books(engine: Engine) -> tuple[str | None, dict[str, float]]:
    with engine.connect() as conn:
        row = conn.execute(text("SELECT limiter_epoch, learned_limits FROM pools")).one()
    return row.limiter_epoch, row.learned_limits


def test_what_was_learned_is_written_once_the_database_is_there(engine: Engine, pool: str) -> None:
    states = PoolStates()
    states.saw(replace(lane_job().lease, pool_name=pool))
    states.epoch_seen(pool, "e1")
    states.learned(pool, {"rpm": 600.0, "burst_seconds": 0.5}, {})
    with pytest.raises(OperationalError):
        states.store(create_engine(NOWHERE))
    assert books(engine) == (None, {})

    states.store(engine)

    assert books(engine) == ("e1", {"rpm": 600.0, "burst_seconds": 0.5})


def test_a_lease_claimed_before_it_is_written_does_not_make_us_forget_it(engine: Engine, pool: str) -> None:
    states = PoolStates()
    lease = replace(lane_job().lease, pool_name=pool, limiter_epoch="e0")
    states.saw(lease)
    states.epoch_seen(pool, "e1")
    states.learned(pool, {"rpm": 600.0}, {})
    states.saw(lease)

    assert states.epoch(pool) == "e1"
    assert states.limits(pool).rpm == 600.0


def test_limits_that_another_process_learned_stay(engine: Engine, pool: str) -> None:
    one, two = PoolStates(), PoolStates()
    for states, learned in ((one, {"rpm": 600.0}), (two, {"tpm": 9000.0})):
        states.saw(replace(lane_job().lease, pool_name=pool))
        states.learned(pool, learned, {})
        states.store(engine)

    assert books(engine)[1] == {"rpm": 600.0, "tpm": 9000.0}


def test_what_a_refusal_stated_is_given_back_with_its_age_until_limits_are_set_anew(engine: Engine, pool: str) -> None:
    states = PoolStates()
    states.saw(replace(lane_job().lease, pool_name=pool))
    states.learned(pool, {"ipm": 5.0}, {"ipm": (5.0, 1_000.0)})
    states.store(engine)
    with engine.connect() as conn:
        stored = conn.execute(text("SELECT stated_limits FROM pools")).scalar_one()

    later = PoolStates(clock=lambda: 1_600.0)
    layers: tuple[dict[str, float], dict[str, float], dict[str, float]] = ({"ipm": 50}, {"ipm": 5.0}, {})
    later.saw(replace(lane_job().lease, pool_name=pool, limit_layers=layers, stated_limits=stored))

    assert later.limits(pool).ipm == 50
    assert later.limits(pool).stated == (StatedBefore("ipm", 5.0, 600.0),)
    later.learned(pool, {"ipm": 5.0}, {})
    later.store(engine)
    with engine.connect() as conn:
        assert conn.execute(text("SELECT stated_limits FROM pools")).scalar_one() == {}
