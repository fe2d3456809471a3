"""How deep a JSON text nests is told as a parser would find it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_depth import is_deeper

_LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\a,: ', max_size=8)
JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\b', max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(JSON, st.integers(0, 6), st.sampled_from([None, 2]))
def test_the_depth_is_the_parser_s(value: Any, most: int, indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()

    assert is_deeper(text, most) is (_depth(value) > most)


@pytest.mark.parametrize("text", [b"[" * 1_000_000, b'{"a":' * 200_000, b'["' + b'\\"' * 1_000_000, b'"' * 999_999])
def test_texts_made_to_hurt_are_judged_all_the_same(text: bytes) -> None:
    assert is_deeper(text, 64) is (text.count(b"[") + text.count(b"{") > 64)
