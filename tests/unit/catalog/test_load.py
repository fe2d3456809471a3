from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pressroom.catalog.load import Alive, Dead, catalog, load_catalog
from pressroom.errors import InvalidInput
from pressroom.settings import OPENAI_BASE_URL, SANDBOX

DAY = date(2026, 11, 22)
MINIMAL = """
[models."m"]
kind = "chat"
endpoints = ["/v1/chat/completions"]
source = "here"
verified = "official"
"""


def _load(tmp_path: Path, text: str) -> None:
    file = tmp_path / "models.toml"
    file.write_text(text, encoding="utf-8")
    load_catalog(file)


def test_the_two_models_of_the_house_have_prices_limits_and_an_end() -> None:
    dalle, mini = catalog().model("dall-e-2"), catalog().model("gpt-4o-mini")

    assert dalle is not None
    assert dalle.prices[0].per_image == {
        "256x256": Decimal("0.016"),
        "512x512": Decimal("0.018"),
        "1024x1024": Decimal("0.020"),
    }
    assert catalog().limits_for("dall-e-2") == {"ipm": 500}
    assert mini is not None
    assert (mini.prices[0].input_usd, mini.prices[0].output_usd) == (Decimal("0.15"), Decimal("0.60"))
    assert (mini.context_tokens, mini.max_output_tokens) == (128_000, 16_384)
    assert catalog().limits_for("gpt-4o-mini") == {"rpm": 500, "rpd": 10_000, "tpm": 200_000}
    assert catalog().limits_for("gpt-4o-mini", tier="tier-5") == {"rpm": 30_000, "tpm": 150_000_000}


def test_a_snapshot_shares_the_figures_and_the_pool_of_its_family() -> None:
    snapshot, family = catalog().model("gpt-4o-mini-2024-07-18"), catalog().model("gpt-4o-mini")

    assert snapshot is not None
    assert family is not None
    assert snapshot.name == "gpt-4o-mini-2024-07-18"
    assert snapshot.prices == family.prices
    assert catalog().pool_of("gpt-4o-mini-2024-07-18") == catalog().pool_of("gpt-4o-mini") == "gpt-4o-mini"


def test_an_unknown_model_is_its_own_pool_without_limits() -> None:
    assert catalog().model("llama") is None
    assert catalog().pool_of("llama") == "llama"
    assert catalog().limits_for("llama") == {}
    assert catalog().lifecycle("llama", OPENAI_BASE_URL, on=DAY) == Alive()


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2027, 1, 13), Alive(date(2027, 1, 14), "gpt-6-luna")),
        (
            date(2027, 1, 14),
            Dead("api.openai.com shut gpt-4o-mini down on 2027-01-14", date(2027, 1, 14), "gpt-6-luna"),
        ),
    ],
)
def test_a_model_is_dead_from_its_shutdown_date_on(day: date, expected: Alive | Dead) -> None:
    assert catalog().lifecycle("gpt-4o-mini", OPENAI_BASE_URL, on=day) == expected


@pytest.mark.parametrize("base_url", [SANDBOX, "http://127.0.0.1:8080/v1", "https://api.openai.com.example.org/v1"])
def test_a_shutdown_date_holds_only_for_the_host_it_was_announced_for(base_url: str) -> None:
    assert catalog().lifecycle("dall-e-2", base_url, on=DAY) == Alive()
    assert catalog().dead_model_problem("dall-e-2", base_url, on=DAY) is None


def test_a_dead_model_is_refused_with_reason_date_and_remedy() -> None:
    problem = catalog().dead_model_problem("dall-e-2", OPENAI_BASE_URL, on=DAY)

    assert problem is not None
    assert (problem.field, problem.value, problem.code) == ("model", "dall-e-2", "model_not_found")
    assert problem.reason == "api.openai.com shut dall-e-2 down on 2026-05-12"
    assert "gpt-image-2.5-sunburst" in problem.remedy
    assert "OPENAI_BASE_URL" in problem.remedy


def test_every_priced_model_can_be_billed_for_what_its_endpoints_do() -> None:
    for entry in catalog().models.values():
        for price in entry.prices:
            if entry.kind == "chat":
                assert None not in (price.input_usd, price.cached_input_usd, price.output_usd), entry.name
            else:
                assert price.per_image or None not in (price.input_usd, price.image_output_usd), entry.name


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (MINIMAL.replace('source = "here"', ""), "models.m.source", "required"),
        (MINIMAL.replace("official", "perhaps"), "models.m.verified", "'official'"),
        (MINIMAL + "colour = 1\n", "models.m.colour", "not permitted"),
        (MINIMAL + 'snapshots = ["m"]\n', "models.m", "named twice"),
        (
            MINIMAL + '[models.m.lifecycle]\nshutdown = 2027-01-01\nhost = "h"\nsuccessor = "n"\nsource = "s"\n'
            'verified = "official"\n',
            "models.m.lifecycle.successor",
            "not in the catalog",
        ),
        (
            MINIMAL + '[[models.m.prices]]\nservice_tier = "default"\neffective_from = 2026-01-01\n'
            'input_usd = 0.00001\nsource = "s"\nverified = "official"\n',
            "models.m.prices.0.input_usd",
            "4 decimal places",
        ),
        ("models = [", "catalog", ""),
    ],
)
def test_a_catalog_that_does_not_fit_is_refused_with_the_place(
    tmp_path: Path, text: str, place: str, reason: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        _load(tmp_path, text)

    assert [problem.field for problem in caught.value.problems] == [place]
    assert reason in caught.value.problems[0].reason
    assert caught.value.source == str(tmp_path / "models.toml")
