"""Batch files as clients write them."""

from collections.abc import Iterable
from typing import Any

import orjson

CHAT = "/v1/chat/completions"
IMAGES = "/v1/images/generations"


def chat_line(number: int, **changes: Any) -> dict[str, Any]:
    """A chat request; `changes` are of the line."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Number {number}?"}], "max_tokens": 30}
    return {"custom_id": f"q-{number}", "method": "POST", "url": CHAT, "body": body, **changes}


def picture_line(number: int, **body: Any) -> dict[str, Any]:
    """A picture; `body` on top of the usual."""
    asked = {"model": "dall-e-2", "prompt": f"the number {number}", "size": "256x256", "n": 1, **body}
    return {"custom_id": f"p-{number}", "method": "POST", "url": IMAGES, "body": asked}


def as_jsonl(lines: Iterable[Any]) -> bytes:
    """A line each; bytes as they are."""
    return b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines)


def read_jsonl(data: bytes) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [orjson.loads(line) for line in data.splitlines()]
