"""The `messages` of a chat: whether they can be sent, and how large they are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pressroom.catalog.entries import Vision
from pressroom.errors import Problem
from pressroom.operations.checks import missing, shown, wrong_type
from pressroom.operations.vision import picture_tokens

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PART_FIELDS: dict[str, tuple[str, type]] = {
    "text": ("text", str),
    "image_url": ("image_url", dict),
    "input_audio": ("input_audio", dict),
    "file": ("file", dict),
    "refusal": ("refusal", str),
}
"""The field that each type of content part must carry, and its JSON type."""

LONGEST_TOKEN_BYTES = 128
"""No token of the provider's vocabularies (cl100k, o200k) is longer: 128 spaces are one. Words are far shorter."""

_PLAIN_ROLES = ("system", "developer", "user", "assistant")
_SPEAKS_WITHOUT_CONTENT = ("tool_calls", "function_call", "refusal", "audio")


@dataclass(slots=True)
class Size:
    """`text_bytes` as UTF-8; pictures in tokens, as likely and at most."""

    text_bytes: int = 0
    messages: int = 0
    image_tokens: int = 0
    image_tokens_bound: int = 0


def message_problems(messages: Any) -> list[Problem]:
    """Everything wrong with the messages, by field."""
    if messages is None:
        return [missing("messages", 'Give at least one message, as in [{"role": "user", "content": "…"}]')]
    if type(messages) is not list or not messages:
        return [wrong_type("messages", messages, "an array of at least one message")]
    found: list[Problem] = []
    for index, message in enumerate(messages):
        # The ordinary message passes here; everything else is looked at in full.
        if type(message) is dict and type(message.get("content")) is str and message.get("role") in _PLAIN_ROLES:
            continue
        found.extend(_one_message(f"messages[{index}]", message))
    return found


def _one_message(field: str, message: Any) -> list[Problem]:
    if type(message) is not dict:
        return [wrong_type(field, message, "an object with role and content")]
    role, content = message.get("role"), message.get("content")
    roles = ", ".join(sorted(ROLES))
    if role is None:
        return [missing(f"{field}.role", f"Give one of: {roles}")]
    if type(role) is not str or role not in ROLES:
        return [Problem(f"{field}.role", "is not a role", f"Give one of: {roles}", value=shown(role))]
    found: list[Problem] = []
    if role == "tool" and type(message.get("tool_call_id")) is not str:
        found.append(missing(f"{field}.tool_call_id", "Name the tool call that this message answers"))
    if content is None:
        speaks = role == "assistant" and any(message.get(key) for key in _SPEAKS_WITHOUT_CONTENT)
        if not speaks:
            found.append(missing(f"{field}.content", "Give a string or an array of content parts"))
    elif type(content) is list:
        found.extend(_parts(f"{field}.content", content))
    elif type(content) is not str:
        found.append(wrong_type(f"{field}.content", content, "a string or an array of content parts"))
    return found


def _parts(field: str, parts: list[Any]) -> list[Problem]:
    if not parts:
        return [wrong_type(field, parts, "a string or an array of at least one content part")]
    return [problem for index, part in enumerate(parts) if (problem := _part(f"{field}[{index}]", part)) is not None]


def _part(field: str, part: Any) -> Problem | None:
    if type(part) is not dict:
        return wrong_type(field, part, "an object with a type")
    kind = part.get("type")
    if type(kind) is not str or kind not in PART_FIELDS:
        remedy = f"Give one of: {', '.join(PART_FIELDS)}"
        return Problem(f"{field}.type", "is not a type of content part", remedy, value=shown(kind))
    name, expected = PART_FIELDS[kind]
    value = part.get(name)
    if not isinstance(value, expected):
        return wrong_type(f"{field}.{name}", value, "a string" if expected is str else "an object")
    if kind == "image_url":
        return _image_url(f"{field}.image_url", value)
    return None


def _image_url(field: str, image: Any) -> Problem | None:
    url, detail = image.get("url"), image.get("detail")
    if type(url) is not str or not url.startswith(("https://", "http://", "data:image/")):
        return Problem(
            f"{field}.url", "is not an address of a picture", "Give an https:// or a data:image/ URL", value=shown(url)
        )
    if detail is not None and detail not in ("auto", "low", "high", "original"):
        remedy = "Give one of: auto, low, high, original"
        return Problem(f"{field}.detail", "is not one of the allowed values", remedy, value=shown(detail))
    return None


def utf8_length(text: str) -> int:
    """Bytes of the text in UTF-8, without encoding it where that is not needed. Lone surrogates count three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def least_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Tokens that the texts of messages without problems take for certain, whatever the tokenizer makes of them."""
    size = 0
    for message in messages:
        content = message.get("content")
        if type(content) is str:
            size += len(content)
        elif content is not None:
            size += sum(len(part["text"]) for part in content if part["type"] == "text")
    return size // LONGEST_TOKEN_BYTES


def json_length(value: Any) -> int:
    """Bytes of the value as JSON. What orjson does not take (whole numbers beyond 64 bits) goes the slow way."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        return utf8_length(json.dumps(value, ensure_ascii=False))


def measure(messages: Sequence[Mapping[str, Any]], vision: Vision | None) -> Size:
    """The size of messages that have no problems. The base64 of pictures is not text and is not counted as such."""
    size = Size(messages=len(messages))
    for message in messages:
        content = message.get("content")
        if type(content) is str:
            size.text_bytes += utf8_length(content)
        elif content is not None:
            for part in content:
                _measure_part(size, part, vision)
        if len(message) > 2:
            rest = {key: value for key, value in message.items() if key not in ("role", "content")}
            size.text_bytes += json_length(rest)
    return size


def _measure_part(size: Size, part: Mapping[str, Any], vision: Vision | None) -> None:
    if part["type"] == "text":
        size.text_bytes += utf8_length(part["text"])
    elif part["type"] == "image_url":
        typical, bound = picture_tokens(part["image_url"], vision)
        size.image_tokens += typical
        size.image_tokens_bound += bound
    else:
        size.text_bytes += json_length(part)
