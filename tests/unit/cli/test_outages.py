"""Outages: said once, waited for, over or given up. The questions fail as the real clients do against a closed port."""

from collections.abc import Callable

import pytest
import redis
from sqlalchemy import text

from cli.context import System
from cli.exits import CouldNotRun
from cli.outages import POSTGRESQL, REDIS, STORE, Outages, server_that_is_away
from pressroom.database import connect
from pressroom.settings import Settings
from pressroom.storage import ObjectStore


def ask_postgresql() -> object:
    with connect("postgresql+psycopg://nobody:hush@127.0.0.1:1/none", application="test").connect() as conn:
        return conn.execute(text("SELECT 1")).scalar()


def ask_redis() -> object:
    with redis.Redis.from_url("redis://:hush@127.0.0.1:1/0", retry=None) as client:
        return client.ping()


def ask_store() -> object:
    store = ObjectStore("none", endpoint_url="http://127.0.0.1:1", access_key_id="id", secret_access_key="hush")
    try:
        return store.get("key", max_bytes=1)
    finally:
        store.close()


@pytest.mark.parametrize(("question", "server"), [(ask_postgresql, POSTGRESQL), (ask_redis, REDIS), (ask_store, STORE)])
def test_a_server_that_is_not_there_is_recognised(question: Callable[[], object], server: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (which one is what is tried)
        question()
    assert server_that_is_away(caught.value) == server
    assert server_that_is_away(ZeroDivisionError()) is None


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outages(clock: Clock) -> Outages:
    """With no local stack to look after."""
    return Outages(System(Settings(), {}), patience_seconds=300, clock=clock)


def test_an_outage_is_said_once_and_so_is_its_end(
    outages: Outages, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []
    for clock.now in (0.0, 100.0, 299.0):
        asked.append((outages.ask(ask_postgresql, POSTGRESQL), outages.any))
    asked.append((outages.ask(lambda: "pong", REDIS), outages.any))
    asked.append((outages.ask(lambda: 1, POSTGRESQL), outages.any))
    assert asked == [(None, True), (None, True), (None, True), ("pong", True), (1, False)]
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("PostgreSQL does not answer; waiting for it (")
    assert last == "PostgreSQL is back"


def test_an_outage_of_minutes_is_given_up(outages: Outages, clock: Clock) -> None:
    assert outages.ask(ask_redis, REDIS) is None
    clock.now = 300.0
    with pytest.raises(CouldNotRun, match=r"Redis has not answered for 5 min 00 s: .*[^.]\. `pressroom doctor`"):
        outages.ask(ask_redis, REDIS)


def test_a_defect_is_no_outage(outages: Outages) -> None:
    with pytest.raises(ZeroDivisionError):
        outages.ask(lambda: 1 / 0, POSTGRESQL)
