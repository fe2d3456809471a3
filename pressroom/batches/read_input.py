"""Read any input into lines, streaming: files in the OpenAI Batch format, and files of prompts."""

import enum
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import orjson

from pressroom.batches.input_line import InputLine, PromptOptions
from pressroom.batches.lines import open_input, physical_lines
from pressroom.batches.prompt_body import PromptRequests, refuse_column, refuse_options
from pressroom.batches.read_jsonl import read_jsonl
from pressroom.batches.read_prompts import read_table, read_text
from pressroom.errors import Problem

__all__ = ["InputKind", "InputLine", "PromptOptions", "in_words_of", "kind_of", "read_lines"]

_SNIFFED_BYTES = 64 * 1024


class InputKind(enum.StrEnum):
    """How a file is read."""

    JSONL = "jsonl"
    TEXT = "text"
    CSV = "csv"
    TSV = "tsv"


_BY_SUFFIX = {
    ".jsonl": InputKind.JSONL,
    ".ndjson": InputKind.JSONL,
    ".json": InputKind.JSONL,
    ".csv": InputKind.CSV,
    ".tsv": InputKind.TSV,
    ".tab": InputKind.TSV,
}


def kind_of(path: Path) -> InputKind:
    """By the extension; else by the content, so that a batch file under another name is not taken for prompts.

    Raises InvalidInput for what cannot be opened or is no text.
    """
    with open_input(path) as file:
        return _kind(path, file)


def read_lines(path: Path, options: PromptOptions) -> Iterator[InputLine]:
    """Every line that asks for something, in order, in flat memory. Bad ones come with their problems.

    Raises InvalidInput, before the first line, for a file that cannot be read and for options that cannot be.
    """
    with open_input(path) as file:
        kind = _kind(path, file)
        lines = physical_lines(file)
        if kind is InputKind.JSONL:
            refuse_options(options, source=path.name)
            yield from read_jsonl(lines)
            return
        requests = PromptRequests(options, source=path.name)
        if kind is InputKind.TEXT:
            refuse_column(options, source=path.name)
            yield from read_text(lines, requests)
        else:
            yield from read_table(lines, requests, column=options.column, tabs=kind is InputKind.TSV)


def in_words_of(kind: InputKind, problem: Problem, line: int) -> Problem:
    """A problem of a request, placed in the file that it came from."""
    field = problem.field
    if kind is InputKind.JSONL:
        field = field if field == "url" else f"body.{field}"
    elif field.startswith("messages"):
        field = "prompt"
    return replace(problem, field=field, line=line)


def _kind(path: Path, file: BinaryIO) -> InputKind:
    known = _BY_SUFFIX.get(path.suffix.lower())
    if known is not None:
        return known
    first = file.readline(_SNIFFED_BYTES)
    file.seek(0)
    try:
        value = orjson.loads(first.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        looks_like_a_request = first.lstrip().startswith((b'{"custom_id"', b'{"method"'))
    else:
        looks_like_a_request = type(value) is dict and ("custom_id" in value or "body" in value)
    return InputKind.JSONL if looks_like_a_request else InputKind.TEXT
