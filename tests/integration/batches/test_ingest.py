"""Taking files in: all of it or nothing, priced, once."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Engine, text

from models import DEFAULT_PROJECT_ID, PriorityClass
from pressroom.batches.ingest import IngestOptions, find_batches, fingerprint, ingest
from pressroom.batches.read_input import PromptOptions
from pressroom.batches.sieve import REMEMBERED_IDS
from pressroom.errors import InvalidInput, NotFound
from pressroom.ids import new_id
from pressroom.jobs.estimate import InputEstimate
from pressroom.jobs.submit import CHUNK
from pressroom.limits.pool_limits import PoolLimits
from pressroom.settings import OPENAI_BASE_URL, SANDBOX
from tests.integration.batches.inputs import (
    OPTIONS,
    TODAY,
    chat_line,
    count,
    image_line,
    stored,
    take_in,
    write_jsonl,
)

AWKWARD = 'tab\t, line\n, return\r, back\\slash, \\N, "quotes", \\., é, 😀, \x7f, \v, nul \0 and end'


def refused(engine: Engine, path: Path, **options: Any) -> list[str]:
    """What is said of a file that is refused. Nothing of it may be in the database."""
    with pytest.raises(InvalidInput) as error:
        take_in(engine, path, **options)
    assert count(engine, "batches") == 0
    assert count(engine, "jobs") == 0
    assert count(engine, "job_requests") == 0
    return str(error.value).splitlines()


def test_a_mixed_file_becomes_one_batch(engine: Engine, tmp_path: Path) -> None:
    lines = [chat_line(n) for n in range(5)] + [image_line(n, n=2) for n in range(3)]
    batch = take_in(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    assert batch.total == 8
    assert batch.models == {"gpt-4o-mini": 5, "dall-e-2": 3}
    with engine.connect() as conn:
        row = conn.execute(text("SELECT * FROM batches")).one()
        sums = conn.execute(
            text("SELECT count(*) AS n, sum(est_cost_usd) AS usd, sum(est_images) AS images FROM jobs")
        ).one()
        flows: dict[str, int] = dict(
            conn.execute(
                text("SELECT d.model, f.queued FROM flows f JOIN deployments d ON d.id = f.deployment_id")
            ).all()
        )
    assert (row.id, row.state, row.input_name, row.total) == (batch.id, "in_progress", "in.jsonl", 8)
    assert row.est_cost_usd == sums.usd == batch.est_cost_usd > batch.expected_usd > Decimal("0.096")
    assert (sums.n, sums.images) == (8, 6)
    assert flows == {"gpt-4o-mini": 5, "dall-e-2": 3}


def test_bodies_and_ids_are_kept_as_they_were_sent(engine: Engine, tmp_path: Path) -> None:
    body = chat_line(0)["body"] | {
        "messages": [{"role": "user", "content": AWKWARD}],
        "zeta": 1.5,
        "alpha": [None, True],
    }
    lines = [chat_line(0, body=body, custom_id=AWKWARD.replace("\0", "")), chat_line(1, custom_id="\\N")]
    take_in(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    rows = stored(engine, "custom_id, (SELECT body FROM job_requests WHERE job_id = id) AS body")
    assert [row.custom_id for row in rows] == [AWKWARD.replace("\0", ""), "\\N"]
    assert rows[0].body == body
    assert list(rows[0].body) == list(body)


def test_options_reach_every_job(engine: Engine, tmp_path: Path) -> None:
    deadline = datetime.now(UTC) + timedelta(hours=1)
    options = replace(
        OPTIONS, priority_class=PriorityClass.BULK, max_attempts=2, metadata={"for": "tests"}, deadline=deadline
    )
    take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(1)]), options=options)
    (job,) = stored(engine, "state, max_attempts, deadline, url, project_id, priority, line_no")
    assert (job.state, job.max_attempts, job.deadline) == ("queued", 2, deadline)
    assert (job.url, job.project_id, job.line_no) == ("/v1/chat/completions", DEFAULT_PROJECT_ID, 1)
    with engine.connect() as conn:
        assert conn.execute(text("SELECT metadata FROM batches")).scalar_one() == {"for": "tests"}
        assert conn.execute(text("SELECT priority_class FROM stakes")).scalar_one() == "bulk"


def test_a_review_reckons_with_the_limits_of_the_run(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"boat {number}\n" for number in range(120)))
    seen: list[InputEstimate] = []
    options = IngestOptions(SANDBOX, limits={"dall-e-2": PoolLimits(ipm=60)})
    prompts = PromptOptions(model="dall-e-2", size="256x256")

    ingest(engine, path, prompt_options=prompts, options=options, review=lambda _, found: seen.append(found))

    assert seen[0].models[0].by == "ipm"
    assert seen[0].seconds == pytest.approx(120, abs=2)


@pytest.mark.parametrize("bad_at", [1, 500, 1000])
def test_one_bad_line_of_a_thousand_stores_nothing(engine: Engine, tmp_path: Path, bad_at: int) -> None:
    lines: list[Any] = [chat_line(n) for n in range(1, 1001)]
    lines[bad_at - 1] = chat_line(bad_at, method="GET")
    said = refused(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    assert said == [f'in.jsonl: line {bad_at}: method: must be POST (got "GET"). Add "method": "POST"']


def test_a_bad_line_after_many_good_ones_takes_them_back(engine: Engine, tmp_path: Path) -> None:
    lines: list[Any] = [chat_line(n) for n in range(CHUNK + 500)]
    lines[CHUNK + 100] = b"{"
    lines[CHUNK + 300] = chat_line(1, url="/v1/none")
    said = refused(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    assert [text.split(":")[1:3] for text in said] == [
        [f" line {CHUNK + 101}", " line"],
        [f" line {CHUNK + 301}", " url"],
        [f" line {CHUNK + 301}", " custom_id"],
    ]
    with engine.connect() as conn:
        assert conn.execute(text("SELECT coalesce(sum(queued), 0) FROM flows")).scalar_one() == 0


def test_problems_of_a_body_are_named_from_the_line(engine: Engine, tmp_path: Path) -> None:
    lines = [
        chat_line(1, body={"model": "gpt-4o-mini", "messages": [{"role": "boss", "content": "x"}]}),
        image_line(2, size="300x300"),
        chat_line(3, url="/v1/embeddings"),
        chat_line(4, body={"messages": [{"role": "user", "content": "x"}]}),
    ]
    said = refused(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    assert said == [
        'in.jsonl: line 1: body.messages[0].role: is not a role (got "boss"). '
        "Give one of: assistant, developer, function, system, tool, user",
        'in.jsonl: line 2: body.size: is not one of the allowed values (got "300x300"). '
        "Give one of: 256x256, 512x512, 1024x1024",
        'in.jsonl: line 3: url: is not supported (got "/v1/embeddings"). '
        "Give one of: /v1/chat/completions, /v1/images/generations",
        'in.jsonl: line 4: body.model: is required. Name the model, as in "model": "gpt-4o-mini"',
    ]


def test_numbers_are_echoed_as_they_were_written(engine: Engine, tmp_path: Path) -> None:
    lines = [
        orjson.dumps(chat_line(1, custom_id="a")).replace(b'"max_tokens":16', b'"seed":1180591620717411303424'),
        orjson.dumps(chat_line(2, custom_id="b")).replace(b'"max_tokens":16', b'"temperature":2.50'),
        orjson.dumps(chat_line(3, custom_id="c")).replace(b'"max_tokens":16', b'"metadata":{"a.[x]":5,"a":[1.0]}'),
        orjson.dumps(chat_line(4, custom_id="d")).replace(b'"max_tokens":16', b'"max_tokens":1' + b"0" * 200),
    ]
    said = refused(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    assert [text[text.index("(got ") + 5 : text.index(")")] for text in said[:2]] == ["1180591620717411303424", "2.50"]
    assert "body.metadata.a.[x]" in said[2]
    assert all(len(text) < 250 for text in said)


def test_a_key_given_twice_stores_nothing(engine: Engine, tmp_path: Path) -> None:
    twice = orjson.dumps(chat_line(2)).replace(b'"model":', b'"model":"gpt-6-luna","model":')
    assert refused(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(1), twice])) == [
        "in.jsonl: line 2: body.model: is given twice. Keep one of them: which value was meant cannot be told"
    ]


def test_more_problems_than_anyone_reads_are_counted(engine: Engine, tmp_path: Path) -> None:
    said = refused(engine, write_jsonl(tmp_path / "in.jsonl", [b"{"] * 50))
    assert len(said) == 21
    assert said[-1] == "… and 30 more"


def test_at_least_one_problem_is_always_told(engine: Engine, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [b"{"] * 3)
    with pytest.raises(InvalidInput) as error:
        ingest(engine, path, options=OPTIONS, today=TODAY, max_problems=0)
    assert (len(error.value.problems), error.value.more) == (1, 2)


def test_file_names_that_are_no_text(engine: Engine, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/in-\xff.jsonl"))
    take_in(engine, write_jsonl(path, [chat_line(1)]))
    with engine.connect() as conn:
        assert conn.execute(text("SELECT input_name FROM batches")).scalar_one() == "in-?.jsonl"


def test_duplicates_name_both_lines(engine: Engine, tmp_path: Path) -> None:
    lines = [chat_line(1), chat_line(2), chat_line(1), chat_line(2), chat_line(2)]
    said = refused(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    remedy = "Give every line a custom_id of its own: the output is found by it"
    assert said == [
        f'in.jsonl: line 3: custom_id: was used on line 1 already (got "q-1"). {remedy}',
        f'in.jsonl: line 4: custom_id: was used on line 2 already (got "q-2"). {remedy}',
        f'in.jsonl: line 5: custom_id: was used on line 2 already (got "q-2"). {remedy}',
    ]


def test_duplicates_far_apart_are_found_too(engine: Engine, tmp_path: Path) -> None:
    lines = [chat_line(n) for n in range(REMEMBERED_IDS + 1000)]
    lines += [chat_line(REMEMBERED_IDS + 10), chat_line(REMEMBERED_IDS + 20), chat_line(REMEMBERED_IDS + 10)]
    said = refused(engine, write_jsonl(tmp_path / "in.jsonl", lines))
    places = [(2, 11), (1, 21), (0, 11)]
    assert [text.split(". ")[0] for text in said] == [
        f"in.jsonl: line {len(lines) - back}: custom_id: was used on line {REMEMBERED_IDS + after} already "
        f'(got "q-{REMEMBERED_IDS + after - 1}")'
        for back, after in places
    ]


def test_a_prompt_that_is_too_long_is_a_problem_of_its_line(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("short\n" + "x" * 1001 + "\n")
    assert refused(engine, path, prompts=PromptOptions(model="dall-e-2", size="256x256")) == [
        "in.txt: line 2: prompt: is longer than the 1000 characters that dall-e-2 takes (got 1001 characters). "
        "Shorten it by 1"
    ]


@pytest.mark.parametrize(("name", "content"), [("in.jsonl", ""), ("in.txt", "\n \n"), ("in.csv", "prompt\n")])
def test_nothing_is_no_batch(engine: Engine, tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    prompts = None if name == "in.jsonl" else PromptOptions(model="gpt-4o-mini")
    assert refused(engine, path, prompts=prompts) == [f"{name}: file: has no jobs in it. Give at least one line"]


def test_prompts_become_jobs_named_by_their_line(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text("Prompt\tCategory\na cat\tAnimals\n\na dog\tAnimals\n")
    batch = take_in(engine, path, prompts=PromptOptions(model="dall-e-2", size="256x256", n=2))
    assert (batch.total, batch.est_cost_usd, batch.models) == (2, Decimal("0.064"), {"dall-e-2": 2})
    assert [(row.line_no, row.custom_id) for row in stored(engine)] == [(2, "line-2"), (4, "line-4")]


def test_a_model_that_is_gone_is_refused_before_anything_is_spent(engine: Engine, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [image_line(1)])
    (said,) = refused(engine, path, options=IngestOptions(base_url=OPENAI_BASE_URL))
    assert said.startswith("in.jsonl: line 1: body.model: api.openai.com shut dall-e-2 down on 2026-05-12")


@pytest.mark.parametrize(
    ("base_url", "limited"), [(OPENAI_BASE_URL, True), (SANDBOX, False), ("https://llm.example/v1", False)]
)
def test_the_catalogs_limits_hold_at_their_provider_only(
    engine: Engine, tmp_path: Path, base_url: str, limited: bool
) -> None:
    take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(1)]), options=IngestOptions(base_url=base_url))
    with engine.connect() as conn:
        limits = conn.execute(text("SELECT catalog_limits FROM pools")).scalar_one()
    assert ("rpm" in limits) is limited


def test_the_same_file_is_found_again(engine: Engine, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [chat_line(1)])
    mark = fingerprint(path, PromptOptions(), SANDBOX)
    with engine.connect() as conn:
        assert find_batches(conn, DEFAULT_PROJECT_ID, mark) == []
    first, second = take_in(engine, path), take_in(engine, path)
    with engine.connect() as conn:
        found = find_batches(conn, DEFAULT_PROJECT_ID, mark)
        assert find_batches(conn, new_id(), mark) == []
    assert [batch.id for batch in found] == [second.id, first.id]
    assert (found[0].state, found[0].total, found[0].unfinished) == ("in_progress", 1, 1)


def test_another_file_provider_or_option_is_another_batch(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.txt", [b"a cat"])
    other = write_jsonl(tmp_path / "other.txt", [b"a dog"])
    options = PromptOptions(model="dall-e-2")
    marks = {
        fingerprint(path, options, SANDBOX),
        fingerprint(other, options, SANDBOX),
        fingerprint(path, options, OPENAI_BASE_URL),
        fingerprint(path, replace(options, size="256x256"), SANDBOX),
    }
    assert len(marks) == 4


def test_unknown_projects_are_refused(engine: Engine, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [chat_line(1)])
    with pytest.raises(NotFound, match="there is no project"):
        ingest(engine, path, options=replace(OPTIONS, project_id=new_id()), today=TODAY)


def test_metadata_that_cannot_be_kept_is_refused(engine: Engine, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [chat_line(1)])
    options = replace(OPTIONS, metadata={str(n): "x" for n in range(17)})
    (said,) = refused(engine, path, options=options)
    assert said.startswith("metadata: must be an object of at most 16 strings")


def test_a_first_batch_holds_up_no_second_of_its_kind(engine: Engine, tmp_path: Path) -> None:
    """Its stake is new, and made before its long transaction."""
    paths = [write_jsonl(tmp_path / f"{name}.jsonl", [chat_line(1)]) for name in "ab"]
    taken: list[int] = []

    def meanwhile(_: Connection, __: InputEstimate) -> None:
        with ThreadPoolExecutor(1) as thread:
            taken.append(thread.submit(take_in, engine, paths[1]).result(timeout=20).total)

    ingest(engine, paths[0], options=OPTIONS, today=TODAY, review=meanwhile)

    assert taken == [1]
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM stakes")).scalar_one() == 1


def test_two_batches_at_once_do_not_wait_for_each_other(engine: Engine, tmp_path: Path) -> None:
    """Their models turn up in opposite order: within the long transactions, each would lock what the other needs."""
    pictures, texts = [image_line(n) for n in range(CHUNK + 10)], [chat_line(n) for n in range(CHUNK + 10)]
    paths = [
        write_jsonl(tmp_path / "a.jsonl", pictures + texts),
        write_jsonl(tmp_path / "b.jsonl", texts + pictures),
    ]
    with ThreadPoolExecutor(2) as threads:
        batches = list(threads.map(lambda path: take_in(engine, path), paths))
    assert [batch.total for batch in batches] == [2 * CHUNK + 20] * 2
    with engine.connect() as conn:
        assert (
            list(conn.execute(text("SELECT sum(queued) FROM flows GROUP BY stake_id")).scalars())
            == [2 * CHUNK + 20] * 2
        )
