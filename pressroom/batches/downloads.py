"""A batch's pictures as files: each one, and all of them on one contact sheet."""

import hashlib
import math
import mimetypes
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from models import ArtifactKind
from pressroom.batches.ahead import ahead
from pressroom.batches.pages import ArtifactRow, batch_facts, pictures_of
from pressroom.ids import show_id
from pressroom.images.contact_sheet import contact_sheet
from pressroom.storage import ObjectStore

_THREADS = 8
_MAX_STEM = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SANDBOX_NOTE = "SANDBOX: drawn by the local stand-in for the OpenAI API, not by a model"
_MIN_COLUMNS, _MAX_COLUMNS, _WIDTH_TO_HEIGHT = 8, 40, 1.5


def download_images(engine: Engine, batch_id: UUID, store: ObjectStore, directory: Path) -> dict[UUID, Path]:
    """Download the batch's pictures to `directory`, which is made; the file of each artifact.

    Files are called `<custom_id>-<position>.<format>`, the custom_id without what a file system may not take. One that
    is there already, whole, is not fetched again. Raises NotFound, StorageError and OSError.
    """
    batch_facts(engine, batch_id)
    directory.mkdir(parents=True, exist_ok=True)

    def fetch(named: tuple[ArtifactRow, str]) -> tuple[UUID, Path]:
        picture, name = named
        path = directory / name
        if not _is_there(path, picture):
            store.download_file(picture.key, path)
        return picture.id, path

    return dict(ahead(fetch, _named(pictures_of(engine, batch_id)), threads=_THREADS))


def contact_sheet_for(engine: Engine, batch_id: UUID, store: ObjectStore, path: Path, *, limit: int = 1200) -> int:
    """Write a JPEG of the batch's first `limit` thumbnails to `path`; the number drawn. No pictures, no file.

    Raises NotFound, StorageError and OSError.
    """
    facts = batch_facts(engine, batch_id)
    total = sum(1 for _ in pictures_of(engine, batch_id, ArtifactKind.THUMBNAIL))
    drawn = min(total, limit)
    if drawn == 0:
        return 0
    columns = min(_MAX_COLUMNS, max(_MIN_COLUMNS, math.ceil(math.sqrt(drawn * _WIDTH_TO_HEIGHT))))
    sheet = contact_sheet(
        _thumbnails(engine, batch_id, store, limit=drawn),
        columns=columns,
        title=f"{facts.input_name}  {show_id('batch', batch_id)}",
        footnote=_SANDBOX_NOTE if facts.is_sandbox else None,
        total=total,
        max_pictures=drawn,
    )
    path.write_bytes(sheet)
    return drawn


def file_name(picture: ArtifactRow, *, with_digest: bool = False) -> str:
    """A name that stays in its directory and says whose the picture is.

    A digest of the custom_id tells apart what looks the same once characters were replaced or cut off.
    """
    given = picture.custom_id if picture.custom_id is not None else picture.job_id.hex
    stem = _UNSAFE.sub("_", given).lstrip(".-")[:_MAX_STEM]
    if stem != given or with_digest:
        stem = f"{stem}~{hashlib.sha256(given.encode()).hexdigest()[:8]}"
    suffix = mimetypes.guess_extension(picture.content_type) or ".bin"
    return f"{stem}-{picture.position}{suffix}"


def _named(pictures: Iterator[ArtifactRow]) -> Iterator[tuple[ArtifactRow, str]]:
    """Names that also differ where file systems take no notice of case."""
    taken: set[str] = set()
    for picture in pictures:
        name = file_name(picture)
        if name.lower() in taken:
            name = file_name(picture, with_digest=True)
        taken.add(name.lower())
        yield picture, name


def _is_there(path: Path, picture: ArtifactRow) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == picture.sha256
    except FileNotFoundError:
        return False


def _thumbnails(engine: Engine, batch_id: UUID, store: ObjectStore, *, limit: int) -> Iterator[tuple[str, bytes]]:
    def fetch(picture: ArtifactRow) -> tuple[str, bytes]:
        caption = picture.custom_id if picture.custom_id is not None else picture.job_id.hex
        return caption, store.get(picture.key, max_bytes=picture.byte_size)

    first = islice(pictures_of(engine, batch_id, ArtifactKind.THUMBNAIL), limit)
    return ahead(fetch, first, threads=_THREADS)
