"""Requests as programs write them, and as they go over the wire."""

from datetime import UTC, datetime

import pytest

from pressroom.client import BadReference, JobRequest
from pressroom.client.asking import CHAT, batch_line, chunks, mapped, wire_job

IMAGES = "/v1/images/generations"
HELLO = JobRequest(CHAT, {"model": "m"}, custom_id="a")


def test_a_job_goes_with_all_that_was_said_of_it() -> None:
    run_at = datetime(2026, 11, 24, 12, tzinfo=UTC)

    wire = wire_job(
        JobRequest(CHAT, {"model": "m"}, "a", depends_on=["job_1"]),
        {"priority_class": "bulk", "run_at": run_at, "tags": ("x", "y"), "metadata": {"k": "v"}, "depends_on": ["b"]},
    )

    assert wire == {
        "url": CHAT,
        "body": {"model": "m"},
        "custom_id": "a",
        "class": "bulk",
        "run_at": "2026-11-24T12:00:00+00:00",
        "tags": ["x", "y"],
        "metadata": {"k": "v"},
        "depends_on": ["job_1", "b"],
    }


def test_a_time_without_an_offset_is_refused_here() -> None:
    with pytest.raises(BadReference, match="run_at has no UTC offset"):
        wire_job(HELLO, {"run_at": datetime(2026, 11, 24, 12)})  # noqa: DTZ001  what is to be refused


def test_a_line_of_a_batch_file_is_a_request() -> None:
    line = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "m"}}

    assert JobRequest.of(line) == HELLO


@pytest.mark.parametrize("line", [{}, {"url": CHAT}, {"url": 1, "body": {}}, {"url": CHAT, "body": "text"}])
def test_what_is_no_request_is_refused_here(line: dict[str, object]) -> None:
    with pytest.raises(BadReference, match="needs `url` and `body`"):
        JobRequest.of(line)


def test_rows_fill_a_template_by_name_or_by_themselves() -> None:
    by_name = mapped("Describe {thing}.", [{"thing": "a fox"}], model="m", url=CHAT, body={"max_tokens": 5})
    by_itself = mapped("Describe {row}.", ["a fox"], model="m", url=CHAT, body={})

    message = {"role": "user", "content": "Describe a fox."}
    assert by_name[0].body == {"model": "m", "max_tokens": 5, "messages": [message]}
    assert by_itself[0].body == {"model": "m", "messages": [message]}


def test_a_common_beginning_of_a_chat_stays_before_the_row_s_message() -> None:
    system = {"role": "system", "content": "Be brief."}

    [request] = mapped("{row}", ["hi"], model="m", url=CHAT, body={"messages": [system]})

    assert request.body["messages"] == [system, {"role": "user", "content": "hi"}]


def test_words_become_a_prompt_or_an_input_where_those_are_asked_for() -> None:
    assert mapped("{row}", ["a fox"], model="m", url=IMAGES, body={})[0].body == {"model": "m", "prompt": "a fox"}
    assert mapped("{row}", ["hi"], model="m", url="/v1/responses", body={})[0].body == {"model": "m", "input": "hi"}


def test_a_function_makes_the_words_or_the_body() -> None:
    words = mapped(lambda row: f"{row['n']}!", [{"n": 1}], model="m", url=IMAGES, body={})
    body = mapped(lambda row: {"prompt": "p", "n": row["n"]}, [{"n": 2}], model="m", url=IMAGES, body={"size": "s"})

    assert words[0].body["prompt"] == "1!"
    assert body[0].body == {"model": "m", "size": "s", "prompt": "p", "n": 2}


@pytest.mark.parametrize("template", ["{other}", "{", "{0}"])
def test_a_template_that_does_not_fit_its_rows_is_refused_here(template: str) -> None:
    with pytest.raises(BadReference, match="cannot be filled from a row with"):
        mapped(template, [{"thing": 1}], model="m", url=CHAT, body={})


def test_a_batch_s_line_has_a_name_even_if_the_request_has_none() -> None:
    assert batch_line(HELLO, 3).startswith(b'{"custom_id": "a", "method": "POST"')
    assert batch_line(JobRequest(CHAT, {}), 3).startswith(b'{"custom_id": "request-3"')


def test_chunks_hold_everything_once() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []
