"""A worker dies at each step from a reservation to its settlement: what was reserved comes back, or is in doubt."""

import sys
from decimal import Decimal

import pytest

from models import BudgetScope
from pressroom.jobs.budgets import resolve_uncertain
from tests.e2e.accounts import assert_books_and_calls_agree
from tests.e2e.budget_submitters import MOST_OF_ONE_USD
from tests.e2e.crashing_budget_worker import POINTS
from tests.e2e.crashing_worker import CRASHED
from tests.e2e.test_budget_race import budgets, put
from tests.fixtures.system import System

# Where the call may be on its way at the kill, its money stays reserved until somebody knows.
IN_DOUBT = {
    "after the start is committed",
    "after the reply",
    "after a picture is stored",
    "before the settlement is committed",
    "after the money is posted",
}


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("point", list(POINTS))
def test_a_worker_dies_with_money_reserved(system: System, point: str) -> None:
    put(system, "1", BudgetScope.PROJECT)
    batch_id = system.submit(pictures=1)
    doomed = system.start_process([sys.executable, "-m", "tests.e2e.crashing_budget_worker", point])
    assert doomed.process.wait(40) == CRASHED, system.last_words()

    [rescuer] = system.start_workers(1)
    system.wait_for_batch(batch_id, 30)
    assert rescuer.stop() == 0

    [row] = budgets(system)
    doubt = MOST_OF_ONE_USD if point in IN_DOUBT else Decimal(0)
    assert (row.spent_usd, row.reserved_usd, row.uncertain_usd) == (MOST_OF_ONE_USD, doubt, doubt)
    assert_books_and_calls_agree(system)

    with system.engine.begin() as conn:
        query = "SELECT id FROM attempts WHERE at_risk_usd IS NOT NULL"
        unknown = list(conn.exec_driver_sql(query).scalars())
        assert resolve_uncertain(conn, dict.fromkeys(unknown, MOST_OF_ONE_USD)) == len(unknown)
    [row] = budgets(system)
    assert (row.spent_usd, row.reserved_usd) == (MOST_OF_ONE_USD + doubt, Decimal(0))
