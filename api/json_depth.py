"""How deep a JSON text nests, told without parsing it: parsers recurse, and deep enough a text ends them."""

import re

# Possessive, and ended by the text's end too: linear whatever is sent.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def is_deeper(text: bytes, depth: int) -> bool:
    """Whether arrays and objects nest deeper than `depth`. What is no JSON may get either answer."""
    if text.count(b"[") + text.count(b"{") <= depth:
        return False
    rest = _STRING.sub(b"", text).translate(_ONE_KIND, _NO_BRACKET)
    for _ in range(depth):
        if not rest:
            return False
        rest = rest.replace(b"[]", b"")  # takes the innermost level off, wherever it is
    return bool(rest)
