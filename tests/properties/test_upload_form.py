"""However a form is cut into pieces on its way, the same file and fields come out of it."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from api.errors import ApiError
from api.upload_form import UploadForm, read_form

_BOUNDARY = "frontier"
_FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
_PIECES = st.lists(st.integers(1, 200), min_size=1, max_size=50)


@given(contents=st.binary(max_size=600), purpose=_FIELD, sizes=_PIECES, last=st.booleans())
def test_pieces_do_not_matter(contents: bytes, purpose: str, sizes: list[int], last: bool) -> None:
    if f"\r\n--{_BOUNDARY}".encode() in b"\r\n" + contents:
        return
    parts = [_part('name="file"; filename="a.bin"', contents), _part('name="purpose"', purpose.encode())]
    form, got = _read(_body(parts[::-1] if last else parts), sizes)
    assert got == contents
    assert form.fields == {"purpose": purpose}
    assert form.file is not None
    assert form.file.filename == "a.bin"


@given(contents=st.binary(max_size=300), sizes=_PIECES, cut=st.integers(0, 400))
def test_a_form_that_is_cut_off_is_refused(contents: bytes, sizes: list[int], cut: int) -> None:
    if f"--{_BOUNDARY}".encode() in contents:
        return
    body = _body([_part('name="file"; filename="a.bin"', contents)])
    end = len(body) - len("--\r\n")
    with pytest.raises(ApiError) as refused:
        _read(body[: min(cut, end - 1)], sizes)
    assert refused.value.status == 400


def _part(disposition: str, contents: bytes) -> bytes:
    return f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + contents + b"\r\n"


def _body(parts: Sequence[bytes]) -> bytes:
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()


def _read(body: bytes, sizes: Sequence[int]) -> tuple[UploadForm, bytes]:
    pieces, at = [], 0
    for size in [*sizes, len(body)]:
        pieces.append(body[at : at + size])
        at += size
    left = iter(pieces)
    seen = bytearray()

    async def receive() -> Message:
        piece = next(left, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def sink(chunk: bytes) -> None:
        seen.extend(chunk)

    headers = [(b"content-type", f"multipart/form-data; boundary={_BOUNDARY}".encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    return asyncio.run(read_form(request, sink)), bytes(seen)
