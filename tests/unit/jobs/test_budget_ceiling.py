"""A request that no budget could ever hold is refused, with the figures and what to do."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pressroom.catalog.load import catalog
from pressroom.errors import Problem
from pressroom.jobs.check import NewJobDraft, RequestChecker
from pressroom.money.budgets import Ceiling
from pressroom.money.price_book import catalog_price_book
from pressroom.settings import SANDBOX

TEXT, PICTURES = "/v1/chat/completions", "/v1/images/generations"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1000}
PICTURE = {"model": "dall-e-2", "prompt": "a cat", "size": "256x256", "n": 2}


def check(url: str, body: dict[str, Any], cap: str) -> NewJobDraft | list[Problem]:
    """Under a budget with this cap."""
    ceiling = Ceiling(Decimal(cap), "day budget of project acme", "raise it: pressroom budgets set USD")
    prices = catalog_price_book()
    return RequestChecker(prices, catalog(), SANDBOX, date(2026, 11, 24), ceiling=ceiling).check(url, body)


@pytest.mark.parametrize(
    ("url", "body", "field"),
    [
        (TEXT, CHAT, "max_tokens"),
        (TEXT, CHAT | {"max_completion_tokens": 5, "max_tokens": None}, "max_completion_tokens"),
        (PICTURES, PICTURE, "n"),
        (PICTURES, {k: v for k, v in PICTURE.items() if k != "n"}, "size"),
    ],
)
def test_it_names_figures_field_and_remedy(url: str, body: dict[str, Any], field: str) -> None:
    found = check(url, body, "0.000001")

    assert isinstance(found, list)
    [problem] = found
    assert (problem.field, problem.code) == (field, "over_budget")
    assert problem.reason.startswith("is not set") is (body.get(field) is None)
    assert "more than the whole day budget of project acme ($0.000001)" in problem.reason
    assert "budgets set" in problem.remedy


@pytest.mark.parametrize(("url", "body"), [(TEXT, CHAT), (PICTURES, PICTURE)])
def test_exactly_the_cap_fits(url: str, body: dict[str, Any]) -> None:
    draft = check(url, body, "1000")
    assert isinstance(draft, NewJobDraft)
    bound = draft.estimate.cost_usd

    assert isinstance(check(url, body, str(bound)), NewJobDraft)
    assert isinstance(check(url, body, str(bound - Decimal("0.0000000001"))), list)
