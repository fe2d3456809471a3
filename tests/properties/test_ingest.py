"""Any file at all is either taken in whole or refused with a reason; nothing else can come of it."""

from datetime import date
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pressroom.batches.read_input import PromptOptions, kind_of, read_lines
from pressroom.batches.sieve import Refused, Sieve
from pressroom.catalog.load import catalog
from pressroom.errors import InvalidInput
from pressroom.jobs.check import RequestChecker
from pressroom.jobs.submit import NewJob
from pressroom.money.price_book import catalog_price_book
from pressroom.settings import SANDBOX

CHECKER = RequestChecker(catalog_price_book(), catalog(), SANDBOX, date(2026, 11, 22))
CHAT = PromptOptions(model="gpt-4o-mini")
SHARED_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
FIELDS = {
    *("messages", "prompt", "n", "size", "quality", "max_tokens", "max_completion_tokens", "temperature", "stop"),
    *("response_format", "tools", "tool_choice", "stream", "metadata", "service_tier", "logprobs", "top_logprobs"),
    *("functions", "prediction", "seed", "user", "background", "style"),
}
bodies = st.dictionaries(st.sampled_from(sorted(FIELDS)), json_values, max_size=5).flatmap(
    lambda fields: st.sampled_from(["gpt-4o-mini", "dall-e-2", "gpt-5.4-nano", "gpt-image-1", "nothing", 3]).map(
        lambda model: {"model": model, **fields}
    )
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "tool", "assistant", "x"])},
        optional={"content": json_values, "tool_calls": json_values, "name": json_values},
    ),
    max_size=3,
)
requests = st.fixed_dictionaries(
    {
        "custom_id": texts,
        "method": st.sampled_from(["POST", "POST", "POST", "GET"]),
        "url": st.sampled_from(["/v1/chat/completions", "/v1/images/generations", "/v1/x", 1]),
        "body": bodies | st.builds(lambda body, said: body | {"messages": said}, bodies, messages) | json_values,
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory whose files each example writes anew."""
    return tmp_path


def sift(path: Path, options: PromptOptions) -> tuple[list[NewJob], Sieve]:
    """What ingest does before it touches the database."""
    sieve = Sieve(CHECKER, kind_of(path), max_problems=5)
    lines = read_lines(path, options)
    jobs: list[NewJob] = []
    try:
        jobs.extend(sieve.accept(lines))
    except Refused:
        sieve.check_rest(lines)
        assert sieve.problems
    return jobs, sieve


def prompt_lines(content: str) -> list[str]:
    """What a person would call the prompts of a text file."""
    return [line.strip() for line in content.removeprefix("\ufeff").split("\n") if line.strip()]


@SHARED_FILE
@given(content=st.text(st.characters(codec="utf-8"), max_size=300))
def test_a_text_file_gives_a_job_for_every_line_that_is_not_blank(folder: Path, content: str) -> None:
    path = folder / "in.txt"
    content = content.replace("\r", "\r\n")  # alone it is refused
    path.write_bytes(("a first prompt\n" + content).encode())
    jobs, sieve = sift(path, CHAT)
    wanted = ["a first prompt", *prompt_lines(content)]
    assert [orjson.loads(job.body)["messages"][0]["content"] for job in jobs] == wanted
    assert len({job.custom_id for job in jobs}) == len(jobs) == sum(sieve.models.values())


@SHARED_FILE
@given(prompts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), max_size=8))
def test_a_quoted_table_gives_every_cell_back(folder: Path, prompts: list[str]) -> None:
    path = folder / "in.csv"
    rows = ['"' + text.replace('"', '""') + '",x' for text in prompts]
    path.write_bytes("\r\n".join(["prompt,note", *rows]).encode())
    jobs, sieve = sift(path, CHAT)
    if all(text.strip() for text in prompts):
        found = [orjson.loads(job.body)["messages"][0]["content"] for job in jobs]
        assert found == [text.strip() for text in prompts]
    else:
        assert {problem.reason for problem in sieve.problems} == {"is empty"}


@SHARED_FILE
@given(content=st.binary(max_size=400), suffix=st.sampled_from([".jsonl", ".txt", ".csv", ".tsv", ""]))
def test_arbitrary_bytes_are_taken_or_refused(folder: Path, content: bytes, suffix: str) -> None:
    path = folder / f"in{suffix}"
    path.write_bytes(content)
    try:
        jobs, sieve = sift(path, PromptOptions() if suffix == ".jsonl" else CHAT)
        problems = sieve.problems
    except InvalidInput as refused:
        jobs, problems = [], refused.problems
        event("refused as a whole")
    assert all(job.estimate.cost_usd >= 0 for job in jobs)
    assert all(problem.reason and problem.remedy for problem in problems)


@SHARED_FILE
@given(lines=st.lists(requests, min_size=1, max_size=5))
def test_requests_of_any_shape_are_taken_or_refused(folder: Path, lines: list[dict[str, object]]) -> None:
    path = folder / "in.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    jobs, sieve = sift(path, PromptOptions())
    assert len(jobs) <= len(lines)
    assert bool(sieve.problems) or len(jobs) == len(lines)
    for job in jobs:
        assert 0 < job.estimate.tokens + job.estimate.images < 2**31
        assert 0 <= job.estimate.expected_usd <= job.estimate.cost_usd
