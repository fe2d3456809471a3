"""`/v1/files`: handed in, looked at, read and deleted, in the provider's shapes and in flat memory."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from sqlalchemy import Connection
from starlette.responses import StreamingResponse

from api.auth import Reads, Submits
from api.content import StoredContent, growing_response, stored_response
from api.errors import ApiError
from api.schemas.files import FileDeleted, FileObject, FilePage, file_object, growing_object
from api.services import Services, Serving
from api.threads import in_long_thread, in_thread
from api.upload_form import UploadForm, read_form
from api.wire_ids import after_id, path_id
from pressroom.batches.result_files import GrowingFile, find_growing, read_growing
from pressroom.errors import Conflict, InvalidInput, NotFound
from pressroom.files.books import FileRow, delete_file, find_file, list_files
from pressroom.files.uploads import UPLOAD_PURPOSES, FileFacts, Upload, check_purpose

router = APIRouter(prefix="/v1/files", tags=["files"])

MAX_PAGE = 10_000
_T = TypeVar("_T")
_ANCHOR = "created_at"

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "dependentRequired": {
                        "expires_after[anchor]": ["expires_after[seconds]"],
                        "expires_after[seconds]": ["expires_after[anchor]"],
                    },
                    "properties": {
                        "file": {"type": "string", "format": "binary", "minLength": 1},
                        "purpose": {"type": "string", "enum": [*UPLOAD_PURPOSES], "examples": ["batch"]},
                        "expires_after[anchor]": {"type": "string", "enum": [_ANCHOR]},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
                    },
                }
            }
        },
    }
}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The contents.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {
        "description": "The range that was asked for.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    416: {
        "description": "The range is beyond the end.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    },
}


@router.post("", summary="Upload a file", openapi_extra=_FORM)
async def create_file(request: Request, services: Serving, caller: Submits) -> FileObject:
    """Sent to the store as it comes; on the books when it is whole. Batches are made of files with purpose `batch`."""
    upload = Upload(
        services.database, services.store, caller.project_id, max_bytes=services.settings.api_max_upload_bytes
    )

    async def sink(chunk: bytes) -> None:
        await in_long_thread(upload.write, chunk)

    try:
        form = await read_form(request, sink)
        row = await in_long_thread(upload.finish, _facts(form))
    except BaseException:
        await in_long_thread(upload.abort)
        raise
    return file_object(row)


@router.get("", summary="List files")
async def get_files(
    services: Serving,
    caller: Reads,
    *,
    purpose: Annotated[str | None, Query(examples=["batch"])] = None,
    after: Annotated[str | None, Query(description="The last id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    order: Literal["asc", "desc"] = "desc",
) -> FilePage:
    """In the order in which they were made, newest first unless `order=asc`."""
    start = after_id("file", after)

    def read(conn: Connection) -> list[FileRow]:
        rows = list_files(
            conn, caller.project_id, purpose=purpose, after=start, limit=limit + 1, newest_first=order == "desc"
        )
        return list(rows)

    rows = await _asked(services, read)
    data = [file_object(row) for row in rows[:limit]]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return FilePage(data=data, first_id=first, last_id=last, has_more=len(rows) > limit)


@router.get("/{file_id}", summary="Look at a file")
async def get_file(file_id: str, services: Serving, caller: Reads) -> FileObject:
    """A file, or the results of a batch that still runs, of which the size is not known."""
    found = await _find(services, caller.project_id, path_id("file", file_id))
    return growing_object(found) if isinstance(found, GrowingFile) else file_object(found)


@router.get("/{file_id}/content", summary="Read a file", response_class=StreamingResponse, responses=_BYTES)
async def get_content(
    file_id: str,
    services: Serving,
    caller: Reads,
    wanted: Annotated[str | None, Header(alias="Range", examples=["bytes=0-1023"])] = None,
) -> StreamingResponse:
    """Its bytes. Results of a batch that still runs are those of the jobs that have ended by now."""
    found = await _find(services, caller.project_id, path_id("file", file_id))
    if isinstance(found, GrowingFile):
        pieces = read_growing(services.database, services.store, found)
        return growing_response(pieces, found.filename, "application/jsonl")
    content = StoredContent(found.key, found.byte_size, found.filename, found.content_type)
    return stored_response(services.store, content, wanted)


@router.delete("/{file_id}", summary="Delete a file")
async def remove_file(file_id: str, services: Serving, caller: Submits) -> FileDeleted:
    """Batches that were made of it keep their jobs and results."""
    found = path_id("file", file_id)

    def work() -> None:
        with services.database.begin() as conn:
            if find_growing(conn, caller.project_id, found) is not None:
                raise Conflict("these results are still being written: cancel the batch, or wait until it is over")
            delete_file(conn, caller.project_id, found)

    await in_thread(work)
    return FileDeleted(id=file_id)


async def _find(services: Services, project_id: UUID, file_id: UUID) -> FileRow | GrowingFile:
    def read(conn: Connection) -> FileRow | GrowingFile:
        try:
            return find_file(conn, project_id, file_id)
        except NotFound:
            growing = find_growing(conn, project_id, file_id)
            if growing is None:
                raise
            return growing

    return await _asked(services, read)


async def _asked(services: Services, read: Callable[[Connection], _T]) -> _T:
    def work() -> _T:
        with services.database.connect() as conn:
            return read(conn)

    return await in_thread(work)


def _facts(form: UploadForm) -> FileFacts:
    """Raises ApiError and InvalidInput for what the form lacks, in words of the form."""
    fields, file = form.fields, form.file
    if file is None:
        raise _missing("file", "send the file's contents in this field, with a filename")
    if "purpose" not in fields:
        raise _missing("purpose", f"give one of {', '.join(UPLOAD_PURPOSES)}")
    problem = check_purpose(fields["purpose"])
    if problem is not None:
        raise InvalidInput([problem])
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if (anchor is None) != (seconds is None) or anchor not in (None, _ANCHOR):
        message = f"expires_after: give both, anchor={_ANCHOR} and seconds"
        raise ApiError(400, code="invalid_value", message=message, param="expires_after")
    if seconds is not None and not (seconds.isascii() and seconds.isdecimal() and len(seconds) <= 9):
        message = "expires_after.seconds: give a whole number"
        raise ApiError(400, code="invalid_value", message=message, param="expires_after.seconds")
    expires = int(seconds) if seconds is not None else None
    return FileFacts(file.filename, fields["purpose"], _plain(file.content_type), expires)


def _missing(param: str, remedy: str) -> ApiError:
    return ApiError(400, code="missing_required_parameter", message=f"{param}: is required: {remedy}", param=param)


def _plain(content_type: str) -> str:
    """A media type that can be a header again, else the one that says nothing."""
    usable = content_type.isascii() and content_type.isprintable() and len(content_type) <= 100 and "/" in content_type
    return content_type if usable else "application/octet-stream"
