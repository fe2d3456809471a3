"""Files of prompts: .txt, .csv and .tsv, and the options that make requests of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from pressroom.batches.read_input import PromptOptions
from pressroom.catalog.load import catalog
from pressroom.errors import InvalidInput
from tests.unit.batches.reading import CHAT, PICTURES, complaints, prompts, read

LONE_RETURN = "line: has a carriage return without a line feed. Save the file with \\n or \\r\\n at the line ends"


def test_a_prompt_a_line(tmp_path: Path) -> None:
    found = read(tmp_path / "in.txt", "\ufeffa cat\r\n\n  a dög \n \nwithout an end".encode(), PICTURES)
    assert prompts(found) == ["a cat", "a dög", "without an end"]
    assert [line.custom_id for line in found] == ["line-1", "line-3", "line-5"]
    assert {line.url for line in found} == {"/v1/images/generations"}
    assert found[0].body == {"model": "dall-e-2", "prompt": "a cat"}


def test_options_of_pictures(tmp_path: Path) -> None:
    options = replace(PICTURES, size="256x256", n=2, response_format="b64_json")
    (line,) = read(tmp_path / "in.txt", b"a cat", options)
    assert line.body == {
        "model": "dall-e-2",
        "prompt": "a cat",
        "n": 2,
        "size": "256x256",
        "response_format": "b64_json",
    }


def test_options_of_text(tmp_path: Path) -> None:
    options = replace(CHAT, max_tokens=9, system="Be terse.", temperature=0.5, n=2)
    (line,) = read(tmp_path / "in.txt", b"why?", options)
    assert line.url == "/v1/chat/completions"
    assert line.body == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "why?"}],
        "max_tokens": 9,
        "n": 2,
        "temperature": 0.5,
    }


def test_reasoning_models_get_the_limit_by_its_new_name(tmp_path: Path) -> None:
    (line,) = read(tmp_path / "in.txt", b"why?", PromptOptions(model="gpt-5.4-nano", max_tokens=9))
    assert line.body["max_completion_tokens"] == 9
    assert "max_tokens" not in line.body


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            PromptOptions(),
            "model: is required for a file of prompts. "
            "Name the model that gets the prompts, as gpt-4o-mini or dall-e-2",
        ),
        (
            PromptOptions(model="gpt-4o-mni"),
            'model: is not in the catalog (got "gpt-4o-mni"). Did you mean gpt-4o-mini? There are: '
            f"{', '.join(catalog().priced())}. One of your own needs a price (pressroom prices set MODEL --input USD "
            "--output USD) and its endpoint (url)",
        ),
        (
            replace(CHAT, size="256x256"),
            "size: is not an option of gpt-4o-mini at /v1/chat/completions. "
            "Leave it out; there are: max_tokens, n, system, temperature",
        ),
        (
            replace(PICTURES, system="x"),
            "system: is not an option of dall-e-2 at /v1/images/generations. "
            "Leave it out; there are: size, n, response_format, quality",
        ),
        (
            replace(PICTURES, size="300x300"),
            'size: is not one of the allowed values (got "300x300"). Give one of: 256x256, 512x512, 1024x1024',
        ),
        (
            replace(CHAT, max_tokens=0),
            "max_tokens: must be a whole number of at least 1 (got 0). Give a whole number of at least 1",
        ),
        (
            replace(CHAT, url="/v1/embeddings"),
            'url: takes no plain prompts (got "/v1/embeddings"). '
            "Give one of: /v1/chat/completions, /v1/images/generations",
        ),
    ],
)
def test_an_option_at_fault_is_named_once_and_not_line_by_line(
    tmp_path: Path, options: PromptOptions, said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "in.txt", b"one\ntwo\n", options)
    assert str(refused.value) == f"in.txt: {said}"


def test_models_outside_the_catalog_need_their_endpoint(tmp_path: Path) -> None:
    (line,) = read(tmp_path / "in.txt", b"hello", PromptOptions(model="mine", url="/v1/chat/completions"))
    assert line.body == {"model": "mine", "messages": [{"role": "user", "content": "hello"}]}


def test_other_encodings_are_named(tmp_path: Path) -> None:
    found = read(tmp_path / "in.txt", "good\ncaf\xe9\n".encode("latin-1"), CHAT)
    assert complaints(found) == ["line 2: line: is not UTF-8 (byte 0xe9 at position 4). Save the file as UTF-8"]


@pytest.mark.parametrize(
    ("header", "column"),
    [("Prompt,Note", None), (" prompt ,Note", None), ("text,Note", "TEXT"), ("text,prompt", "text")],
)
def test_the_column_of_a_table(tmp_path: Path, header: str, column: str | None) -> None:
    found = read(tmp_path / "in.csv", f"{header}\na cat,x\n".encode(), replace(CHAT, column=column))
    assert prompts(found) == ["a cat"]


def test_the_only_column_needs_no_name(tmp_path: Path) -> None:
    assert prompts(read(tmp_path / "in.csv", b"whatever\na cat\na dog\n", CHAT)) == ["a cat", "a dog"]


def test_quoted_fields_may_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    content = b'prompt,note\r\n"one, ""two""\nand three",x\r\n,\r\n\r\nlast,y\r\n'
    found = read(tmp_path / "in.csv", content, CHAT)
    assert prompts(found) == ['one, "two"\nand three', "last"]
    assert [line.custom_id for line in found] == ["line-2", "line-6"]


def test_semicolons_as_some_spreadsheets_write(tmp_path: Path) -> None:
    assert prompts(read(tmp_path / "in.csv", b"prompt;note\na, b;x\n", CHAT)) == ["a, b"]


def test_tab_separated_values_are_not_quoted_unless_whole(tmp_path: Path) -> None:
    content = b'Prompt\tNote\n"G I G" painted in red\tx\n"say ""hi"""\ty\na "b" c\tz\n'
    found = read(tmp_path / "in.tsv", content, CHAT)
    assert prompts(found) == ['"G I G" painted in red', 'say "hi"', 'a "b" c']


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (
            b"a,b\n1,2\n",
            None,
            'line 1: column: is not in the header (got "prompt"). Give one of the columns: ["a", "b"]',
        ),
        (b"a,b\n1,2\n", "c", 'line 1: column: is not in the header (got "c"). Give one of the columns: ["a", "b"]'),
        (b"", None, "line 1: header: is missing. Name the columns in the first line"),
        (
            b"prompt,note\na cat, and a dog,x\n",
            None,
            "line 2: row: has 3 fields where the header has 2. Put prompts that contain the separator in double quotes",
        ),
        (b"prompt,note\n,x\n", None, "line 2: prompt: is empty. Fill it in, or delete the row"),
        (
            b'prompt\nok\n"never closed\nx\n',
            None,
            "line 3: row: is not valid CSV (unexpected end of data). Close every double quote, and double those inside",
        ),
        (
            b"prompt,prompt\na,b\n",
            None,
            'line 1: column: names several columns (got "prompt"). '
            "Give each column of the first line a name of its own",
        ),
        (
            b"a,b,b\n1,2,3\n",
            "b",
            'line 1: column: names several columns (got "b"). Give each column of the first line a name of its own',
        ),
        (b"prompt,note\ra cat,x\ra dog,y\r", None, f"line 1: {LONE_RETURN}"),
        (b"prompt\n\xff\n", None, "line 2: line: is not UTF-8 (byte 0xff at position 1). Save the file as UTF-8"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, content: bytes, column: str | None, said: str) -> None:
    assert complaints(read(tmp_path / "in.csv", content, replace(CHAT, column=column))) == [said]


def test_columns_that_nobody_asked_for_may_share_a_name(tmp_path: Path) -> None:
    assert prompts(read(tmp_path / "in.csv", b"prompt,x,x\na cat,1,2\n", CHAT)) == ["a cat"]


def test_a_table_by_tabs_names_its_columns_once(tmp_path: Path) -> None:
    (said,) = complaints(read(tmp_path / "in.tsv", b"prompt\tprompt\na\tb\n", CHAT))
    assert said.startswith('line 1: column: names several columns (got "prompt")')


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [("in.txt", b"a cat\ra dog\r", 1), ("in.txt", b"a cat\r\na\rdog\n", 2), ("in.tsv", b"prompt\ra cat\ra dog", 1)],
)
def test_line_ends_of_old_macs_are_refused_and_no_prompts_run_together(
    tmp_path: Path, name: str, content: bytes, line: int
) -> None:
    assert complaints(read(tmp_path / name, content, CHAT)) == [f"line {line}: {LONE_RETURN}"]


def test_a_line_end_of_any_kind_may_stand_in_quotes(tmp_path: Path) -> None:
    assert prompts(read(tmp_path / "in.csv", b'prompt\n"a\rb"\n', CHAT)) == ["a\rb"]


def test_a_file_without_columns_takes_no_column(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "in.txt", b"a cat\n", replace(CHAT, column="prompt"))
    assert str(refused.value) == (
        "in.txt: column: is for tables; this file has no columns but a prompt on each line "
        '(got "prompt"). Leave it out, or give a .csv or .tsv file'
    )


def test_a_column_with_a_huge_name_is_not_echoed_whole(tmp_path: Path) -> None:
    (said,) = complaints(read(tmp_path / "in.csv", b"x" * 10_000 + b",b\n ,2\n", replace(CHAT, column="x" * 10_000)))
    assert len(said) < 200
