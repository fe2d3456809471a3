"""Take an upload in: its bytes go to the store as they come, its row to the books when they are all there."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from models import FilePurpose
from pressroom.errors import InvalidInput, Problem
from pressroom.files.books import FileRow, NewFile, add_file
from pressroom.ids import new_id
from pressroom.operations.checks import shown
from pressroom.storage import ObjectStore, PartUpload

UPLOAD_PURPOSES = (FilePurpose.BATCH, FilePurpose.VISION, FilePurpose.USER_DATA)
MIN_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS = 3_600, 30 * 86_400
_MAX_NAME = 255


class TooLarge(InvalidInput):
    """The upload has more bytes than a file may have."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a client says of a file."""

    filename: str
    purpose: str
    content_type: str = "application/octet-stream"
    expires_seconds: int | None = None


class Upload:
    """One upload: `write` its bytes, then `finish` or `abort`. Blocks; not thread-safe."""

    def __init__(self, engine: Engine, store: ObjectStore, project_id: UUID, *, max_bytes: int) -> None:
        self._engine = engine
        self._project_id = project_id
        self._max_bytes = max_bytes
        self._id = new_id()
        self._parts: PartUpload = store.open_upload(f"projects/{project_id}/files/{self._id}")

    def write(self, data: bytes | bytearray) -> None:
        """Add to the file. Raises TooLarge, StorageError."""
        if self._parts.byte_size + len(data) > self._max_bytes:
            raise TooLarge([too_large(self._max_bytes)])
        self._parts.write(data)

    def finish(self, facts: FileFacts) -> FileRow:
        """The file is whole and on the books. Raises InvalidInput for facts that cannot be, StorageError."""
        problem = _what_is_wrong(facts) or (_empty() if self._parts.byte_size == 0 else None)
        if problem is not None:
            raise InvalidInput([problem])
        self._parts.finish()
        file = NewFile(
            id=self._id,
            project_id=self._project_id,
            purpose=facts.purpose,
            filename=facts.filename.replace("\0", "")[:_MAX_NAME] or "upload",
            content_type=facts.content_type,
            byte_size=self._parts.byte_size,
            sha256=self._parts.sha256,
            key=self._parts.key,
            expires_seconds=facts.expires_seconds,
        )
        with self._engine.begin() as conn:
            return add_file(conn, file)

    def abort(self) -> None:
        """Forget it."""
        self._parts.abort()


def too_large(max_bytes: int) -> Problem:
    """A file that is larger than files may be."""
    reason = f"is larger than {max_bytes} bytes"
    return Problem("file", reason, "Split it, or raise PRESSROOM_API_MAX_UPLOAD_BYTES", code="file_too_large")


def check_purpose(purpose: str) -> Problem | None:
    """Whether clients may upload files for it."""
    if purpose in UPLOAD_PURPOSES:
        return None
    remedy = f"Give one of: {', '.join(UPLOAD_PURPOSES)}"
    return Problem("purpose", "is not supported", remedy, value=shown(purpose))


def _what_is_wrong(facts: FileFacts) -> Problem | None:
    seconds = facts.expires_seconds
    if seconds is not None and not MIN_EXPIRY_SECONDS <= seconds <= MAX_EXPIRY_SECONDS:
        remedy = f"Give {MIN_EXPIRY_SECONDS} (an hour) to {MAX_EXPIRY_SECONDS} (30 days)"
        return Problem("expires_after.seconds", "is out of range", remedy, value=str(seconds))
    return check_purpose(facts.purpose)


def _empty() -> Problem:
    return Problem("file", "is empty", "Send its contents in the form's field `file`", code="empty_file")
