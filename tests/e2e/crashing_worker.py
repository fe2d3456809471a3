"""`python -m tests.e2e.crashing_worker POINT`: a worker that dies, without a word, the first time it gets there."""

import os
import sys
from collections.abc import Callable
from typing import Any

import pressroom.jobs.settler
from pressroom.jobs.engine import JobEngine
from pressroom.jobs.lane import Lane
from pressroom.jobs.settler import Settler
from pressroom.providers.client import ProviderClient
from pressroom.storage import ObjectStore
from worker.main import main

CRASHED = 137


def _die_before(owner: Any, name: str) -> None:
    setattr(owner, name, lambda *_, **__: os._exit(CRASHED))


def _die_after(owner: Any, name: str) -> None:
    work: Callable[..., Any] = getattr(owner, name)

    def crash(*arguments: Any, **named: Any) -> None:
        work(*arguments, **named)
        os._exit(CRASHED)

    setattr(owner, name, crash)


def _die_after_reply() -> None:
    work = ProviderClient.call

    async def crash(*arguments: Any, **named: Any) -> None:
        await work(*arguments, **named)
        os._exit(CRASHED)

    ProviderClient.call = crash  # type: ignore[assignment]


def _die_after_grant() -> None:
    work = Lane._take_grant

    def crash(lane: Lane, grant: Any, *rest: Any) -> None:
        work(lane, grant, *rest)
        if grant.slots:
            os._exit(CRASHED)

    Lane._take_grant = crash  # type: ignore[method-assign,assignment]


POINTS: dict[str, Callable[[], None]] = {
    "after the claim": lambda: _die_before(JobEngine, "take"),
    "after the grant": _die_after_grant,
    "after the start is committed": lambda: _die_after(JobEngine, "_start_in_database"),
    "after the reply": _die_after_reply,
    "after a picture is stored": lambda: _die_after(ObjectStore, "put"),
    "before the settlement is committed": lambda: _die_after(pressroom.jobs.settler, "settle"),
    "after the settlement is committed": lambda: _die_after(Settler, "_commit"),
}

if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    main()
