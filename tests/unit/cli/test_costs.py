"""What `pressroom costs` prints."""

from decimal import Decimal

import pytest

from cli.costs import show_costs
from pressroom.jobs.spending import CostRow


def test_batches_have_no_columns_for_what_is_not_counted_by_batch(capsys: pytest.CaptureFixture[str]) -> None:
    show_costs(["batch"], [CostRow(("batch_1",), False, Decimal("1.50"), Decimal(0))])
    assert capsys.readouterr().out.splitlines() == [
        "BATCH     COST  AT RISK",
        "batch_1  $1.50    $0.00",
        "total: $1.50, at risk $0.00",
    ]


def test_models_and_days_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_costs(["model"], [CostRow(("m",), True, Decimal("0.02"), Decimal(0), 1200, 34_000, 5, 0)])
    assert capsys.readouterr().out.splitlines() == [
        "MODEL  CALLS  INPUT TOKENS  OUTPUT TOKENS  IMAGES     COST  AT RISK",
        "m      1,200        34,000              5       0  $0.0200    $0.00  SANDBOX",
        "total: $0.00, at risk $0.00",
        "SANDBOX total (not billed): $0.0200, at risk $0.00",
    ]
