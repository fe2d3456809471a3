"""`python -m tests.e2e.crashing_budget_worker POINT`: a worker that dies while it moves money."""

import sys

import pressroom.jobs.dispatch
import pressroom.jobs.settle
from pressroom.jobs.publish import CeleryPublisher
from tests.e2e.crashing_worker import POINTS as ANY_POINTS
from tests.e2e.crashing_worker import _die_after, _die_before
from worker.main import main

POINTS = ANY_POINTS | {
    "after the money is reserved": lambda: _die_after(pressroom.jobs.dispatch, "reserve"),
    "after the lease is committed": lambda: _die_before(CeleryPublisher, "publish"),
    "after the money is posted": lambda: _die_after(pressroom.jobs.settle, "resolve_holds"),
}

if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    main()
