"""What the fast parser does not tell of a line: keys that were given twice, and numbers as they were written."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from pressroom.errors import Problem
from pressroom.operations.checks import shortened

_REMEDY = "Keep one of them: which value was meant cannot be told"


class _Number(str):
    """A number's own text: 18446744073709551617 and 1e400 have no other form that is theirs."""

    __slots__ = ()


class _Object(dict[str, Any]):
    """Remembers which of its keys were given more than once."""

    __slots__ = ("twice",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs) if len(pairs) > len(self) else {}
        self.twice = [key for key, times in counts.items() if times > 1]


def may_repeat_a_key(data: bytes, envelope: dict[str, Any], body_json: bytes) -> bool:
    """Whether the line might have a key twice. Cheap, and never wrong about a line that has one.

    Every key has a colon, and a key given twice is gone from what was parsed: fewer colons come out than went in.
    Colons inside strings come out as they went in, unless they were written as an escape.
    """
    colons = len(envelope) + body_json.count(b":") + envelope["custom_id"].count(":") + envelope["url"].count(":")
    return data.count(b":") != colons or (b"\\" in data and b"\\u003" in data)


def repeated_keys(data: bytes, line: int) -> list[Problem]:
    """A problem for every key given twice in one object, however deep. `data` is valid JSON."""
    try:
        value = json.loads(data, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number)
    except RecursionError:
        return [Problem("line", "is nested too deeply", "Give at most 250 levels", line=line)]
    fields = (shortened(field) for field in _twice(value, ""))
    return [Problem(field, "is given twice", _REMEDY, line=line, code="duplicate_key") for field in fields]


def numbers_as_written(data: bytes, problems: Iterable[Problem]) -> list[Problem]:
    """The problems with the value of each number as the line has it; fields are named from the line's root."""
    try:
        value = json.loads(data, parse_int=_Number, parse_float=_Number)
    except (ValueError, RecursionError):
        return list(problems)
    return [_as_written(value, problem) for problem in problems]


def _as_written(value: Any, problem: Problem) -> Problem:
    for step in problem.field.replace("[", ".[").split("."):
        if isinstance(value, list):
            value = dict(enumerate(value)).get(int(step[1:-1])) if step[1:-1].isdecimal() else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    given = type(value) is _Number and problem.value is not None
    return replace(problem, value=shortened(value)) if given else problem


def _twice(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, _Object):
        yield from (f"{place}{key}" for key in value.twice)
        for key, inner in value.items():
            yield from _twice(inner, f"{place}{key}.")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _twice(inner, f"{place.removesuffix('.')}[{index}].")
