"""How the sandbox counts tokens: a documented rule that a client cannot predict exactly.

`tokens(text) = max(1, round(utf8_bytes / 4 * (1 + noise)))`, with `noise` from -0.15 to 0.25 fixed by the text itself,
plus 3 per message and 3 for the reply. A picture costs what the vision guide says: 2,833 in low detail, else 25,501 (a
1024 x 1024 picture in high detail).
"""

import zlib
from collections.abc import Sequence
from typing import Any

PER_MESSAGE = 3
PER_REPLY = 3
IMAGE_LOW = 2_833
IMAGE_HIGH = 25_501


def text_tokens(text: str) -> int:
    """Tokens of one text; 0 for the empty text."""
    if not text:
        return 0
    data = text.encode("utf-8", "surrogatepass")
    noise = (zlib.crc32(data) % 4001) / 10_000 - 0.15
    return max(1, round(len(data) / 4 * (1 + noise)))


def prompt_tokens(messages: Sequence[dict[str, Any]]) -> int:
    """Tokens of a chat request's messages."""
    total = PER_REPLY
    for message in messages:
        total += PER_MESSAGE + _content_tokens(message.get("content"))
    return total


def _content_tokens(content: Any) -> int:
    if isinstance(content, str):
        return text_tokens(content)
    if not isinstance(content, list):
        return 0
    total = 0
    for part in content:
        if part.get("type") == "image_url":
            image = part.get("image_url")
            low = isinstance(image, dict) and image.get("detail") == "low"
            total += IMAGE_LOW if low else IMAGE_HIGH
        else:
            total += text_tokens(str(part.get("text", "")))
    return total


def estimated_input_tokens(messages: Sequence[dict[str, Any]]) -> int:
    """What charge mode P2 takes for the input on admission: bytes / 4, without the noise of the true count."""
    total = 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            total += len(content.encode("utf-8", "surrogatepass")) // 4 + PER_MESSAGE
        else:
            total += _content_tokens(content) + PER_MESSAGE
    return total + PER_REPLY
