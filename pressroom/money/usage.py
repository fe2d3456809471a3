"""What a call took: the quantities that a price row turns into money."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call took, as the response says (or, for models that do not say, as the request implies).

    `input_tokens` and `output_tokens` are whole: cached, cache-write and picture tokens are parts of them. Pictures are
    billed by number at the price of `image_key` (`256x256`, `1024x1024/high`) where their price row has prices per
    picture or no tokens were counted, else by their tokens.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    service_tier: str = "default"
    raw: Mapping[str, Any] = field(default_factory=dict)
    cached_image_input_tokens: int = 0
    image_key: str | None = None
