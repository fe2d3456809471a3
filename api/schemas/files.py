"""`/v1/files` on the wire: the provider's shapes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pressroom.batches.result_files import GrowingFile
from pressroom.files.books import FileRow
from pressroom.ids import show_id

_EXAMPLE = "file-01993f2c6ad07c2f9a3e5d8b1c0f4e21"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def unix(moment: datetime | None) -> int | None:
    """Whole seconds, as the provider has it."""
    return int(moment.timestamp()) if moment is not None else None


class FileObject(BaseModel):
    """A file. `sha256` is ours; `bytes` is 0 for results that are still growing."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _EXAMPLE,
                "object": "file",
                "bytes": 48213,
                "created_at": 1795516200,
                "expires_at": None,
                "filename": "requests.jsonl",
                "purpose": "batch",
                "status": "processed",
                "status_details": None,
                "sha256": _SHA256,
            }
        }
    )

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed"] = "processed"
    status_details: None = None
    sha256: str | None = Field(description="Of the contents, hexadecimal; null for results that are still growing.")


class FilePage(BaseModel):
    """A page of files. `after=<last_id>` gives the next one."""

    object: Literal["list"] = "list"
    data: Sequence[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """What a deletion answers."""

    id: str = Field(examples=[_EXAMPLE])
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def file_object(row: FileRow) -> FileObject:
    """A file on the books."""
    return FileObject(
        id=show_id("file", row.id),
        bytes=row.byte_size,
        created_at=int(row.created_at.timestamp()),
        expires_at=unix(row.expires_at),
        filename=row.filename,
        purpose=row.purpose,
        sha256=row.sha256,
    )


def growing_object(growing: GrowingFile) -> FileObject:
    """Results of a batch that is not over."""
    return FileObject(
        id=show_id("file", growing.id),
        bytes=0,
        created_at=int(growing.created_at.timestamp()),
        expires_at=None,
        filename=growing.filename,
        purpose="batch_output",
        status="uploaded",
        sha256=None,
    )
