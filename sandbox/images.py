"""POST /v1/images/generations in DALL·E 2's contract: validation in the provider's words, pictures, their URLs."""

import base64
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox import errors
from sandbox.drawing import SIZES, draw_png

PARAMETERS = frozenset(("model", "prompt", "n", "size", "response_format", "quality", "user"))
DEFAULT_MODEL = "dall-e-2"
MAX_PROMPT_CHARACTERS = 1000
_OTHER_MODELS_SIZES = frozenset(("1024x1792", "1792x1024", "1536x1024", "1024x1536", "auto"))
_ALL_SIZES = (*SIZES, "1024x1792", "1792x1024")
_MAX_FILES = 200_000


@dataclass(frozen=True, slots=True)
class ImageCall:
    """A validated request with its defaults filled in."""

    prompt: str
    n: int
    size: str
    response_format: str

    @property
    def pixels(self) -> int:
        """All pixels to draw: what the drawing costs."""
        side = int(self.size.partition("x")[0])
        return self.n * side * side


def plan_images(body: dict[str, Any]) -> ImageCall:
    """Validate a request for a model that is served; raises ApiError."""
    for name in body:
        if name not in PARAMETERS:
            raise errors.invalid(name, f"Unknown parameter: '{name}'.", code="unknown_parameter")
    prompt = _prompt(body.get("prompt"))
    errors.check_integer("n", body.get("n"), low=1, high=10)
    size = _option(body, "size", "1024x1024")
    if size in _OTHER_MODELS_SIZES:
        raise errors.ApiError(400, "The size is not supported by this model.", code="invalid_size")
    if size not in SIZES:
        raise errors.not_one_of("size", size, _ALL_SIZES)
    response_format = _option(body, "response_format", "url")
    if response_format not in ("url", "b64_json"):
        raise errors.not_one_of("response_format", response_format, ("url", "b64_json"))
    quality = _option(body, "quality", "standard")
    if quality != "standard":
        raise errors.not_one_of("quality", quality, ("standard",))
    return ImageCall(prompt, 1 if body.get("n") is None else body["n"], size, response_format)


def _prompt(value: Any) -> str:
    if value is None:
        raise errors.missing("prompt")
    if not isinstance(value, str):
        raise errors.wrong_type("prompt", "a string", value)
    if not value:
        message = (
            "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string instead."
        )
        raise errors.invalid("prompt", message, code="empty_string")
    if len(value) > MAX_PROMPT_CHARACTERS:
        message = (
            f"Invalid 'prompt': string too long. Expected a string with maximum length {MAX_PROMPT_CHARACTERS}, "
            f"but got a string with length {len(value)} instead."
        )
        raise errors.invalid("prompt", message, code="string_above_max_length")
    return value


def _option(body: dict[str, Any], name: str, default: str) -> str:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise errors.wrong_type(name, "a string", value)
    return value


class Files:
    """Pictures behind URLs: only what is needed to draw them when they are fetched. The oldest go when it is full."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, tuple[float, str, str, int]] = OrderedDict()

    def add(self, call: ImageCall, *, now: float) -> list[str]:
        """Names for the pictures of `call`."""
        names = []
        for index in range(call.n):
            name = f"img-{secrets.token_hex(12)}.png"
            self._made[name] = (now, call.prompt, call.size, index)
            names.append(name)
        while len(self._made) > _MAX_FILES:
            self._made.popitem(last=False)
        return names

    def find(self, name: str, *, now: float, lifetime: float) -> tuple[str, str, int] | None:
        """Prompt, size and index of a picture, or None when there is none or its URL has expired."""
        made = self._made.get(name)
        if made is None:
            return None
        created, prompt, size, index = made
        if now - created > lifetime:
            del self._made[name]
            return None
        return prompt, size, index

    def clear(self) -> None:
        """Forget all."""
        self._made.clear()


def drawn(call: ImageCall) -> list[str]:
    """The pictures of `call` as base64."""
    return [base64.b64encode(draw_png(call.prompt, call.size, i)).decode("ascii") for i in range(call.n)]


def images_body(kind: str, values: list[str]) -> bytes:
    """The response body; `kind` is url or b64_json. DALL·E 2 answers carry no usage."""
    return orjson.dumps({"created": int(time.time()), "data": [{kind: value} for value in values]})
