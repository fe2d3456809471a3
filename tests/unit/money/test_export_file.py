"""The provider's exports, as its dashboard and its API write them."""

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pressroom.errors import InvalidInput
from pressroom.money.export_file import Export, read_export

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
MIDNIGHT = 1_795_392_000
"""Monday, 00:00 UTC."""

Read = Callable[[str], Export]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a text as a file."""

    def one(content: str) -> Export:
        path = tmp_path / "export"
        path.write_text(content)
        return read_export(path)

    return one


def page(*results: dict[str, Any], start: int = MIDNIGHT, width: int = 86_400) -> dict[str, Any]:
    """A page with one bucket."""
    bucket = {"object": "bucket", "start_time": start, "end_time": start + width, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


TEXTS = {
    "object": "organization.usage.completions.result",
    "model": "gpt-4o-mini-2024-07-18",
    "num_model_requests": 5,
    "input_tokens": 1000,
    "input_cached_tokens": 200,
    "output_tokens": 50,
    "batch": False,
    "project_id": "proj_a",
}
PICTURES = {
    "object": "organization.usage.images.result",
    "model": "dall-e-2",
    "num_model_requests": 2,
    "images": 6,
    "size": "256x256",
    "project_id": "proj_b",
}
COSTS = {
    "object": "organization.costs.result",
    "amount": {"value": 0.06, "currency": "usd"},
    "line_item": "gpt-4o-mini-2024-07-18, cached input",
    "project_id": "proj_a",
}


def test_usage_of_texts_and_pictures(read: Read) -> None:
    export = read(json.dumps(page(TEXTS, PICTURES)))
    texts, pictures = export.lines
    assert (texts.day, texts.model, texts.calls, texts.input_tokens) == (MONDAY, "gpt-4o-mini-2024-07-18", 5, 1000)
    assert (texts.cached_tokens, texts.output_tokens, texts.images, texts.usd, texts.tier) == (
        200,
        50,
        None,
        None,
        None,
    )
    assert (pictures.model, pictures.calls, pictures.images, pictures.size) == ("dall-e-2", 2, 6, "256x256")


def test_costs_are_exact_and_named_by_the_model_of_their_line_item(read: Read) -> None:
    [line] = read(json.dumps(page(COSTS))).lines
    assert (line.day, line.model, line.usd) == (MONDAY, "gpt-4o-mini-2024-07-18", Decimal("0.06"))
    assert line.calls is None


@pytest.mark.parametrize(
    "wrap",
    [
        lambda pages: json.dumps(pages),
        lambda pages: "\n".join(json.dumps(one) for one in pages),
        lambda pages: json.dumps([bucket for one in pages for bucket in one["data"]]),
    ],
    ids=["array of pages", "a page a line", "array of buckets"],
)
def test_several_pages_however_they_were_kept(read: Read, wrap: Callable[[list[Any]], str]) -> None:
    export = read(wrap([page(TEXTS), page(TEXTS, start=MIDNIGHT + 86_400)]))
    assert [line.day for line in export.lines] == [MONDAY, TUESDAY]


def test_narrow_buckets_belong_to_the_utc_day_they_begin_on(read: Read) -> None:
    export = read(json.dumps([page(TEXTS, start=MIDNIGHT + 86_399, width=60), page(start=MIDNIGHT + 86_400)]))
    assert [line.day for line in export.lines] == [MONDAY]
    assert export.days == {MONDAY, TUESDAY}


def test_what_pressroom_makes_no_calls_of_is_counted_and_left_out(read: Read) -> None:
    kind = "organization.usage.audio_speeches.result"
    export = read(json.dumps(page(TEXTS, {"object": kind, "characters": 9})))
    assert len(export.lines) == 1
    assert export.ignored == {kind: 1}


def test_the_dashboards_csv_of_usage(read: Read) -> None:
    export = read(
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,input_tokens,"
        "output_tokens,input_cached_tokens\n"
        f"{MIDNIGHT},{MIDNIGHT + 86_400},2026-11-23T00:00:00+00:00,2026-11-24T00:00:00+00:00,proj_a,3,gpt-6-luna,"
        "True,30,4,0\n"
    )
    [line] = export.lines
    assert (line.day, line.calls, line.input_tokens, line.output_tokens, line.tier) == (MONDAY, 3, 30, 4, "batch")


def test_the_dashboards_csv_of_costs(read: Read) -> None:
    export = read(
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n"
        f'{MIDNIGHT},{MIDNIGHT + 86_400},2026-11-23T00:00:00+00:00,,0.0000125,usd,"dall-e-2, 256x256",proj_a\n'
    )
    [line] = export.lines
    assert (line.model, line.usd) == ("dall-e-2", Decimal("0.0000125"))


def test_some_of_the_providers_projects(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    path.write_text(json.dumps(page(TEXTS, PICTURES)))
    assert [line.model for line in read_export(path, projects=["proj_b"]).lines] == ["dall-e-2"]
    path.write_text(json.dumps(page(TEXTS | {"project_id": None})))
    with pytest.raises(InvalidInput, match="Export it grouped by project"):
        read_export(path, projects=["proj_b"])


def test_a_project_that_the_file_lacks_is_no_agreement(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    path.write_text(json.dumps(page(PICTURES)))
    with pytest.raises(InvalidInput, match=r"has nothing in the file \(got proj_x\)\. Give one of: proj_b"):
        read_export(path, projects=["proj_x"])


def test_an_amount_beyond_all_bounds_is_none(read: Read) -> None:
    with pytest.raises(InvalidInput, match="is not an amount"):
        read(f"start_time,amount_value,amount_currency,line_item\n{MIDNIGHT},1e500,usd,dall-e-2\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "header: has no start_time"),
        ("a,b\n1,2\n", "header: has no start_time"),
        ("date,model\n", "file: holds no usage and no costs"),
        ("date,model\nyesterday,m\n", "line 2 start_time: is not a time (got yesterday)"),
        ("date,model,input_tokens\n2026-11-23,m,many\n", "line 2 input_tokens: is not a count (got many)"),
        ("date,model,input_tokens\n2026-11-23,m,-1\n", "line 2 input_tokens: is not a count (got -1)"),
        ("date,amount_value,line_item\n2026-11-23,1,\n", "line 2 model: is missing"),
        ("date,amount,line_item\n2026-11-23,x,m\n", "line 2 amount: is not an amount (got x)"),
        ("date,amount,amount_currency,line_item\n2026-11-23,1,eur,m\n", "line 2 amount_currency: is not usd (got eur)"),
        ("[1]", "file: holds something that is no page"),
        ('{"data": ', "line 1: is not JSON"),
        (json.dumps(page(TEXTS, width=86_401)), "bucket 1 end_time: is more than a day after its start_time"),
        (json.dumps(page(TEXTS | {"model": None})), "bucket 1 organization.usage.completions.result model: is missing"),
        ('{"start_time": 1, "results": 7}', "bucket 1 results: is not an array"),
        (json.dumps({"data": []}), "file: holds no usage and no costs"),
    ],
)
def test_what_is_no_export_is_refused(read: Read, content: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(content)
    assert str(caught.value).startswith(f"export: {said}")
