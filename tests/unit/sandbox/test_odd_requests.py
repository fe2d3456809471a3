"""Whatever JSON a client sends, the answer is an answer or the provider's error: never a crash."""

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.chat import PARAMETERS as CHAT_PARAMETERS
from sandbox.chat import plan_chat
from sandbox.config import ChatText, ModelSpec
from sandbox.errors import ApiError
from sandbox.images import PARAMETERS as IMAGE_PARAMETERS
from sandbox.images import plan_images

# What orjson can hand over: no lone surrogates, integers of 64 bits.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
PARTS = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["text", "image_url"]), "text": JSON, "image_url": JSON}
)
CONTENT = TEXT | st.lists(PARTS, max_size=3) | JSON
ROLES = st.sampled_from(["user", "assistant", "system"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES}, optional={"content": CONTENT}), min_size=1, max_size=3)
FORMATS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "json_object", "json_schema"])},
    optional={"json_schema": st.fixed_dictionaries({"name": TEXT}, optional={"schema": JSON}) | JSON},
)
OPTIONS = st.dictionaries(st.sampled_from(sorted(CHAT_PARAMETERS - {"model", "messages", "n"})), JSON, max_size=3)


Plan = TypeVar("Plan")


def outcome(plan: Callable[[], Plan]) -> Plan | ApiError:
    """What the request is answered with."""
    try:
        return plan()
    except ApiError as error:
        return error


@settings(max_examples=400)
@given(MESSAGES | JSON, OPTIONS, FORMATS | JSON, st.booleans())
def test_odd_chat_requests(messages: Any, options: dict[str, Any], response_format: Any, reasoning: bool) -> None:
    body = {"model": "m", "messages": messages, "response_format": response_format, **options}
    spec = ModelSpec(endpoint="chat", reasoning=reasoning)

    result = outcome(lambda: plan_chat(body, spec, ChatText()))

    assert result.status == 400 if isinstance(result, ApiError) else result.total_tokens > 0


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(sorted(IMAGE_PARAMETERS)) | TEXT, JSON, max_size=5))
def test_odd_image_requests(body: dict[str, Any]) -> None:
    result = outcome(lambda: plan_images(body))

    assert result.status == 400 if isinstance(result, ApiError) else 1 <= result.n <= 10
