"""Input tokens of a picture in a chat, by the provider's formulas (catalog: `vision`).

tiles     fit into 2048 x 2048, the shortest side at 768, then `low` plus `tile_tokens` for each 512 x 512 tile begun.
          The provider's text leaves open whether small pictures are enlarged: they are counted as if they were.
patches   `patch_factor` tokens for each 32 x 32 patch begun
"""

import math
from typing import Any

from pressroom.catalog.entries import Vision
from pressroom.operations.picture_size import Pixels, data_url_size

_UNKNOWN_MODEL = (1_229, 48_169)
"""Tokens of one picture, typical and at most, for a model of which the catalog does not say: the dearest it knows."""

_FIT, _SHORTEST, _TILE, _PATCH = 2048, 768, 512, 32


def picture_tokens(image: Any, vision: Vision | None) -> tuple[int, int]:
    """Likely tokens of an `image_url` part, and the most that it can take.

    Both are exact where the size is known, which only that of a data URL is, or does not matter (`detail: low`).
    """
    if vision is None:
        return _UNKNOWN_MODEL
    if image.get("detail") == "low":
        return vision.low, vision.low
    size = data_url_size(image["url"])
    tokens = None if size is None else _by_size(vision, size)
    return (vision.typical, vision.maximum) if tokens is None else (tokens, tokens)


def _by_size(vision: Vision, size: Pixels) -> int | None:
    width, height = size
    if vision.tile_tokens is not None:
        factor = min(_SHORTEST / min(size), _FIT / max(size))
        return vision.low + vision.tile_tokens * _begun(width * factor, _TILE) * _begun(height * factor, _TILE)
    if vision.patch_factor is not None:
        return math.ceil(vision.patch_factor * (_begun(width, _PATCH) * _begun(height, _PATCH)))
    return None


def _begun(pixels: float, unit: int) -> int:
    # A hair over is a rounding error of the scale, and the provider works on whole pixels.
    return max(1, math.ceil(round(pixels, 3) / unit))
