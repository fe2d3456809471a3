"""Contents that are sent as they are read, in the memory of a piece; a range of them where one is asked for."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from starlette.responses import StreamingResponse

from api.errors import ApiError
from api.threads import in_thread
from pressroom.storage import ObjectStore

_PIECE_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class StoredContent:
    """An object of the store, and how it is called."""

    key: str
    byte_size: int
    filename: str
    content_type: str


def stored_response(store: ObjectStore, content: StoredContent, wanted: str | None) -> StreamingResponse:
    """The whole, or the one range that the header `wanted` names; others are answered with the whole.

    Raises ApiError 416 for a range beyond the end.
    """
    first, last = 0, content.byte_size - 1
    found = _RANGE.fullmatch(wanted.strip()) if wanted is not None else None
    headers = {"Accept-Ranges": "bytes", **_disposition(content.filename)}
    status = 200
    if found is not None and (found[1] or found[2]):
        first, last = _bounds(found, content.byte_size)
        headers["Content-Range"] = f"bytes {first}-{last}/{content.byte_size}"
        status = 206
    headers["Content-Length"] = str(last - first + 1)
    pieces = _stored_pieces(store, content.key, first, last)
    return StreamingResponse(pieces, status, headers, media_type=content.content_type)


def growing_response(pieces: Iterator[bytes], filename: str, content_type: str) -> StreamingResponse:
    """Contents of which nobody knows the size, made while they are read."""
    return StreamingResponse(_threaded(pieces), headers=_disposition(filename), media_type=content_type)


def _bounds(found: re.Match[str], size: int) -> tuple[int, int]:
    if found[1]:
        first, last = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first > last:
        headers = {"Content-Range": f"bytes */{size}"}
        message = f"the range is beyond the file's {size} bytes"
        raise ApiError(416, code="range_not_satisfiable", message=message, param="Range", headers=headers)
    return first, last


async def _stored_pieces(store: ObjectStore, key: str, first: int, last: int) -> AsyncIterator[bytes]:
    while first <= last:
        piece = await in_thread(store.get_range, key, first, min(first + _PIECE_BYTES - 1, last))
        yield piece
        first += len(piece)


async def _threaded(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = partial(next, pieces, b"")
    while piece := await in_thread(take):
        yield piece


def _disposition(filename: str) -> dict[str, str]:
    # Never shown by a browser: a client's file may be a page with a script in it.
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}"}
