"""A multipart form with one file in it, read as it comes: fields in memory, the file in chunks to who wants them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from api.errors import ApiError

CHUNK_BYTES = 1024 * 1024
_MAX_FIELDS = 32
_MAX_FIELD_BYTES = 64 * 1024

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

Sink = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class FilePart:
    """What the form says of its file."""

    filename: str
    content_type: str


@dataclass(slots=True)
class UploadForm:
    """A form that was read. `file` is None when there was none in it."""

    fields: dict[str, str] = field(default_factory=dict)
    file: FilePart | None = None


async def read_form(request: Request, sink: Sink, *, file_field: str = "file") -> UploadForm:
    """Read the whole form; the bytes of its file go to `sink`, a megabyte at a time.

    Raises ApiError for what is no such form, and whatever `sink` raises.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary:
        raise _bad("the Content-Type multipart/form-data names no boundary: let your HTTP client set it")
    reader = _Reader(file_field)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            if len(reader.contents) >= CHUNK_BYTES:
                await sink(reader.take())
        parser.finalize()
    except ClientDisconnect:
        raise _bad("the connection ended before the form did") from None
    except FormParserError as error:
        raise _bad(f"the body is not a whole multipart form: {error}") from None
    if not reader.is_whole:
        raise _bad("the body ends in the middle of the multipart form")
    if reader.contents:
        await sink(reader.take())
    return reader.form


class _Reader:
    """Hears from the parser, part by part."""

    def __init__(self, file_field: str) -> None:
        self.form = UploadForm()
        self.contents = bytearray()
        self.is_whole = False
        self._file_field = file_field
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        self._name = ""
        self._in_file = False
        self._text = bytearray()

    def take(self) -> bytes:
        """What came of the file since the last time."""
        taken = bytes(self.contents)
        self.contents.clear()
        return taken

    def callbacks(self) -> "MultipartCallbacks":
        """As MultipartParser wants them."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers, self._name, self._in_file = {}, "", False
        self._text.clear()

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get("content-disposition", ""))
        if disposition != b"form-data" or b"name" not in options:
            raise _bad("a part of the form has no Content-Disposition with a name")
        self._name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            self._begin_file(options[b"filename"].decode("utf-8", "replace"))
        elif len(self.form.fields) >= _MAX_FIELDS:
            raise _bad(f"the form has more than {_MAX_FIELDS} fields")

    def _begin_file(self, filename: str) -> None:
        if self._name != self._file_field:
            raise _bad(f"the file must be in the field `{self._file_field}`", param=self._name)
        if self.form.file is not None:
            raise _bad("send one file at a time", param=self._file_field)
        self._in_file = True
        content_type = self._headers.get("content-type", "application/octet-stream")
        self.form.file = FilePart(filename, content_type)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.contents += memoryview(data)[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > _MAX_FIELD_BYTES:
            raise _bad(f"is longer than {_MAX_FIELD_BYTES} bytes", param=self._name)

    def _end(self) -> None:
        if not self._in_file:
            self.form.fields[self._name] = self._text.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.is_whole = True


def _bad(message: str, *, param: str | None = None) -> ApiError:
    told = f"{param}: {message}" if param is not None else message
    return ApiError(400, code="invalid_form", message=told, param=param)
