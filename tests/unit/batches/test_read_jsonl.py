"""Lines in the OpenAI Batch format: what passes, and what exactly is said of what does not."""

from pathlib import Path

import orjson
import pytest

from pressroom.batches import lines as physical
from pressroom.batches.read_input import PromptOptions
from pressroom.errors import InvalidInput
from tests.unit.batches.reading import complaints, read

GOOD = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini"}}'
ID_REMEDY = 'Give every line a name of its own, as in "custom_id": "request-1"'


def line(**changes: object) -> bytes:
    """A good line with changes; `...` leaves a field out."""
    whole = orjson.loads(GOOD) | changes
    return orjson.dumps({name: value for name, value in whole.items() if value is not ...})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "in.jsonl"


def test_a_good_line(file: Path) -> None:
    (found,) = read(file, GOOD)
    assert (found.number, found.custom_id, found.url) == (1, "a", "/v1/chat/completions")
    assert found.body == {"model": "gpt-4o-mini"}
    assert found.body_json == '{"model":"gpt-4o-mini"}'
    assert not found.problems


@pytest.mark.parametrize(
    "content",
    [GOOD, GOOD + b"\n", GOOD + b"\r\n", GOOD + b"\n\n \n\n", b"\xef\xbb\xbf" + GOOD + b"\n"],
    ids=["no line end", "line end", "CRLF", "blank lines at the end", "byte order mark"],
)
def test_line_ends_and_marks_do_not_matter(file: Path, content: bytes) -> None:
    found = read(file, content)
    assert [item.custom_id for item in found] == ["a"]
    assert complaints(found) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            b'{"custom_id": "a"',
            "line 2: line: is not valid JSON (unexpected end of data, at column 19). "
            "Write one whole JSON object on each line",
        ),
        (
            b'["a"]',
            'line 2: line: is not a JSON object (got ["a"]). Write one whole JSON object on each line',
        ),
        (line(custom_id=...), f"line 2: custom_id: is required. {ID_REMEDY}"),
        (line(custom_id=""), f"line 2: custom_id: is required. {ID_REMEDY}"),
        (line(custom_id=7), f"line 2: custom_id: must be a string (got 7). {ID_REMEDY}"),
        (
            line(custom_id="x" * 513),
            "line 2: custom_id: is longer than 512 characters (got 513 characters). Shorten it",
        ),
        (
            line(custom_id="a\0b"),
            'line 2: custom_id: contains the character NUL (got "a\\u0000b"). Leave it out',
        ),
        (line(method=...), 'line 2: method: is required. Add "method": "POST"'),
        (line(method="GET"), 'line 2: method: must be POST (got "GET"). Add "method": "POST"'),
        (line(url=...), 'line 2: url: is required. Name the endpoint, as in "url": "/v1/chat/completions"'),
        (line(body=...), 'line 2: body: is required. Give the request, as in "body": {"model": …}'),
        (line(body=[1]), 'line 2: body: must be an object (got [1]). Give the request, as in "body": {"model": …}'),
        (b"\xff\xfe{}", "line 2: line: is not UTF-8 (byte 0xff at position 1). Save the file as UTF-8"),
        (b"", "line 2: line: is blank. Delete it"),
    ],
)
def test_a_bad_line_is_named_with_field_reason_and_remedy(file: Path, bad: bytes, said: str) -> None:
    found = read(file, b"\n".join([GOOD, bad, line(custom_id="c")]))
    assert complaints(found) == [said]
    assert [item.custom_id for item in found if not item.problems] == ["a", "c"]


def test_everything_wrong_with_a_line_is_said_at_once(file: Path) -> None:
    found = read(file, b'{"method": "PUT"}')
    assert [problem.field for item in found for problem in item.problems] == ["custom_id", "method", "url", "body"]
    assert [problem.code for item in found for problem in item.problems] == [
        "missing_required_parameter",
        "invalid_method",
        "missing_required_parameter",
        "missing_required_parameter",
    ]


def test_bodies_nested_without_end_are_refused(file: Path) -> None:
    nested = b'{"a":' * 300 + b"1" + b"}" * 300
    whole = GOOD.replace(b'{"model": "gpt-4o-mini"}', nested)
    assert complaints(read(file, whole)) == ["line 1: body: is nested too deeply. Give at most 250 levels"]


def test_a_line_may_not_fill_the_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with file.open("wb") as out:
        out.write(GOOD + b"\n" + b"x" * 5000 + b"\n" + GOOD + b"\n")
    with file.open("rb") as lines:
        found = list(physical.physical_lines(lines, max_bytes=200))
    assert [(item.number, item.data is None) for item in found] == [(1, False), (2, True), (3, False)]
    assert str(physical.too_long(2)) == "line 2: line: is longer than 25 MB. Give pictures as URLs instead of data"


def test_options_for_prompts_are_refused(file: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(file, GOOD, PromptOptions(size="256x256"))
    assert str(refused.value) == (
        "in.jsonl: size: is for files of prompts; every line of a batch file carries its own request. "
        "Leave it out, or give a .txt, .csv or .tsv file"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfea\x00", "is UTF-16 text. Save it as UTF-8"),
        (b"\x1f\x8b\x08", "is compressed with gzip. Unpack it first (gunzip)"),
        (b"PK\x03\x04", "is a ZIP archive or a spreadsheet. Unpack it, or export the sheet as CSV in UTF-8"),
    ],
)
def test_files_that_are_no_text(file: Path, content: bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(file, content)
    assert str(refused.value) == f"in.jsonl: file: {said}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    from pressroom.batches.read_input import kind_of

    with pytest.raises(InvalidInput, match=r"file: cannot be read: No such file or directory"):
        kind_of(tmp_path / "none.jsonl")


def test_a_batch_file_under_another_name_is_not_taken_for_prompts(tmp_path: Path) -> None:
    (found,) = read(tmp_path / "in.txt", GOOD + b"\n")
    assert found.custom_id == "a"


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (GOOD.replace(b'{"custom_id"', b'{"custom_id": "b", "custom_id"'), "custom_id"),
        (GOOD.replace(b'{"custom_id"', b'{"custom_id": "a", "custom_id"'), "custom_id"),
        (GOOD.replace(b'{"custom_id"', b'{"custom\\u005fid": "b", "custom_id"'), "custom_id"),
        (GOOD.replace(b'{"model"', b'{"model" : "dall-e-2", "model"'), "body.model"),
        (GOOD.replace(b'{"model"', b'{"m": [1, {"a": 1, "b": 2, "a": 3}], "model"'), "body.m[1].a"),
        (GOOD.replace(b'"a"', b'"\\u003a"').replace(b'{"model"', b'{"model": "x", "model"'), "body.model"),
        (GOOD.replace(b'"method": "POST", ', b'"url": "/v1", '), "url"),
    ],
)
def test_a_key_given_twice_is_refused_and_not_taken_for_the_last(file: Path, bad: bytes, field: str) -> None:
    said = f"line 2: {field}: is given twice. Keep one of them: which value was meant cannot be told"
    assert said in complaints(read(file, GOOD + b"\n" + bad))


@pytest.mark.parametrize(
    "text", ["a: b, c: d", '"model": "model":', "{:}", "\\u003a", "\u003a \u2028", ":" * 99], ids=repr
)
def test_colons_in_texts_are_no_keys(file: Path, text: str) -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], text: {"": text}}
    found = read(file, line(custom_id=f"a{text}", body=body, more={text: [text]}))
    assert complaints(found) == []


def test_numbers_are_shown_as_they_were_written(file: Path) -> None:
    found = read(file, GOOD.replace(b'"a"', b"1180591620717411303424").replace(b'"POST"', b"1.50"))
    assert [problem.value for item in found for problem in item.problems] == ["1180591620717411303424", "1.50"]


@pytest.mark.parametrize(
    "value", ["x" * 100_000, ["y" * 100_000], {"z" * 100_000: 1}, 10**18], ids=["text", "list", "object", "number"]
)
@pytest.mark.parametrize("field", ["custom_id", "method", "url", "body"])
def test_no_message_echoes_a_huge_value_whole(file: Path, field: str, value: object) -> None:
    huge = line(**{field: value, "k" * 100_000: 1}).replace(b"1}", b"1," + b'"' + b"k" * 100_000 + b'":1}')
    assert max(map(len, complaints(read(file, huge + b"\n" + orjson.dumps(value))))) < 300
