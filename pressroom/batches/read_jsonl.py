"""Lines in the OpenAI Batch format: `{"custom_id": …, "method": "POST", "url": …, "body": {…}}`."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pressroom.batches.input_line import InputLine, bad_line
from pressroom.batches.lines import PhysicalLine, decode_problem, too_long
from pressroom.batches.raw_json import may_repeat_a_key, numbers_as_written, repeated_keys
from pressroom.errors import Problem
from pressroom.operations.checks import shown

MAX_CUSTOM_ID_CHARACTERS = 512

_WANTED: dict[str, tuple[type, str, str]] = {
    "custom_id": (str, "a string", 'Give every line a name of its own, as in "custom_id": "request-1"'),
    "method": (str, "a string", 'Add "method": "POST"'),
    "url": (str, "a string", 'Name the endpoint, as in "url": "/v1/chat/completions"'),
    "body": (dict, "an object", 'Give the request, as in "body": {"model": …}'),
}
_NOT_JSON_REMEDY = "Write one whole JSON object on each line"


def read_jsonl(lines: Iterable[PhysicalLine]) -> Iterator[InputLine]:
    """A line each; a bad one comes with its problems. Blank lines at the end are no lines."""
    blank: int | None = None
    for number, data in lines:
        if data is None:
            yield bad_line(too_long(number))
            continue
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            if not data.strip():
                blank = blank or number
                continue
            yield bad_line(_not_json(error, data, number))
            continue
        if blank is not None:
            yield bad_line(Problem("line", "is blank", "Delete it", line=blank, code="invalid_json_line"))
            blank = None
        yield _request(number, value, data)


def _request(number: int, value: Any, data: bytes) -> InputLine:
    if type(value) is dict:
        custom_id, url, body = value.get("custom_id"), value.get("url"), value.get("body")
        # The ordinary line passes here; what does not is looked at in full.
        if (
            type(custom_id) is str
            and 0 < len(custom_id) <= MAX_CUSTOM_ID_CHARACTERS
            and value.get("method") == "POST"
            and type(url) is str
            and type(body) is dict
            and "\0" not in custom_id
        ):
            try:
                body_json = orjson.dumps(body)
            except orjson.JSONEncodeError:
                problem = Problem("body", "is nested too deeply", "Give at most 250 levels", line=number)
                return bad_line(problem)
            if may_repeat_a_key(data, value, body_json) and (repeated := repeated_keys(data, number)):
                return bad_line(*repeated)
            return InputLine(number, custom_id, url, body, body_json.decode(), (), data)
    return bad_line(*numbers_as_written(data, _what_is_wrong(number, value)), *repeated_keys(data, number))


def _what_is_wrong(number: int, value: Any) -> list[Problem]:
    if type(value) is not dict:
        reason = "is not a JSON object"
        return [
            Problem("line", reason, _NOT_JSON_REMEDY, value=shown(value), line=number, code="invalid_json_line"),
        ]
    found: list[Problem] = []
    for name, (kind, wanted, remedy) in _WANTED.items():
        part: Any = value.get(name)
        if part is None or part == "":
            found.append(Problem(name, "is required", remedy, line=number, code="missing_required_parameter"))
        elif type(part) is not kind:
            code = "invalid_type"
            found.append(Problem(name, f"must be {wanted}", remedy, value=shown(part), line=number, code=code))
        elif name == "method" and part != "POST":
            found.append(Problem(name, "must be POST", remedy, value=shown(part), line=number, code="invalid_method"))
        elif name == "custom_id":
            found.extend(_bad_custom_id(part, number))
    return found


def _bad_custom_id(custom_id: Any, number: int) -> Iterator[Problem]:
    if len(custom_id) > MAX_CUSTOM_ID_CHARACTERS:
        reason = f"is longer than {MAX_CUSTOM_ID_CHARACTERS} characters"
        yield Problem("custom_id", reason, "Shorten it", value=f"{len(custom_id)} characters", line=number)
    if "\0" in custom_id:
        yield Problem("custom_id", "contains the character NUL", "Leave it out", value=shown(custom_id), line=number)


def _not_json(error: orjson.JSONDecodeError, data: bytes, number: int) -> Problem:
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        return decode_problem(fault, number)
    reason = f"is not valid JSON ({error.msg}, at column {error.pos + 1})"
    return Problem("line", reason, _NOT_JSON_REMEDY, line=number, code="invalid_json_line")
