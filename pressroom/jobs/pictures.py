"""Land the pictures of a reply in the object store: verified, hashed, with a thumbnail, before the job may succeed.

The store being down loses nothing: pictures wait in memory up to a bound, then on disk, and are put again until it is
back. When the process has to end before that, they are parked on its disk (parked.py).
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pressroom.ids import new_id
from pressroom.images.errors import BadPicture
from pressroom.images.thumbnail import Examined, examine
from pressroom.jobs.outcome import StoredObject
from pressroom.operations.base import MalformedReply, ReturnedImage
from pressroom.storage import ObjectStore, StorageError

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_THREADS = 8

_log = logging.getLogger("pressroom.pictures")


@dataclass(frozen=True, slots=True)
class PictureBounds:
    """What is accepted before decoding, and how much waits in memory while the store is down (bytes, pixels)."""

    max_bytes: int
    max_pixels: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Landed:
    """All objects of a reply, and those of them, with their bytes, that the store did not take before the end."""

    stored: list[StoredObject]
    waiting: list[tuple[StoredObject, bytes]]


@dataclass(slots=True)
class _Held:
    """An object on its way to the store: in memory, or spooled to a file."""

    about: StoredObject
    data: bytes | None
    file: Path | None = None

    def read(self) -> bytes:
        if self.data is not None:
            return self.data
        if self.file is None:
            raise RuntimeError("a held picture is neither in memory nor on disk")
        return self.file.read_bytes()


class PictureStore:
    """Used by every call of the process; decoding and uploads run on its own few threads."""

    def __init__(
        self,
        store: ObjectStore,
        bounds: PictureBounds,
        *,
        spool_dir: Path,
        fetch: Callable[[str, int], Awaitable[bytes]],
    ) -> None:
        """`fetch(url, max_bytes)` gets a picture that the provider gave as a URL."""
        self._store = store
        self._bounds = bounds
        self._spool_dir = spool_dir
        self._fetch = fetch
        self._executor = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pictures")
        self._held_bytes = 0
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Wait for the store no longer: from now on a picture that it does not take at once is handed out."""
        self._ending.set()

    async def land(self, images: list[ReturnedImage], *, project_id: UUID, job_id: UUID) -> Landed:
        """Store the pictures and their thumbnails, and empty `images`, so that they are held only once.

        Raises MalformedReply for what is not the picture asked for, when the others have landed.
        """
        landing = [self._land_one(image, project_id=project_id, job_id=job_id) for image in images]
        images.clear()
        landed = Landed([], [])
        for group in await asyncio.gather(*landing, return_exceptions=True):
            if isinstance(group, BaseException):
                raise group
            landed.stored.extend(group.stored)
            landed.waiting.extend(group.waiting)
        return landed

    def close(self) -> None:
        """End the threads; what is being uploaded is finished first."""
        self._executor.shutdown(wait=True)

    async def _land_one(self, image: ReturnedImage, *, project_id: UUID, job_id: UUID) -> Landed:
        loop = asyncio.get_running_loop()
        fetched = await self._fetch(image.url, self._bounds.max_bytes) if image.url is not None else None
        held = await loop.run_in_executor(self._executor, self._prepare, image, fetched, (project_id, job_id))
        del image, fetched
        size = sum(h.about.byte_size for h in held)
        self._held_bytes += size
        try:
            done = await asyncio.gather(*(self._put_until_done(h) for h in held))
        finally:
            self._held_bytes -= size
        waiting = [(h.about, h.read()) for h, is_stored in zip(held, done, strict=True) if not is_stored]
        return Landed([h.about for h in held], waiting)

    def _prepare(self, image: ReturnedImage, fetched: bytes | None, owner: tuple[UUID, UUID]) -> list[_Held]:
        data = fetched if fetched is not None else _decode(image)
        try:
            examined = examine(
                data,
                max_bytes=self._bounds.max_bytes,
                max_pixels=self._bounds.max_pixels,
                expected_size=image.size,
            )
        except BadPicture as error:
            raise MalformedReply(f"picture {image.position}: {error}") from error
        prefix = f"projects/{owner[0]}/jobs/{owner[1]}"
        return [
            _Held(_picture(examined, prefix, image.position), data),
            _Held(_thumbnail(examined, prefix, image.position), examined.thumbnail.data),
        ]

    async def _put_until_done(self, held: _Held) -> bool:
        """True when the store has it, False when the process ends first."""
        loop = asyncio.get_running_loop()
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                await loop.run_in_executor(self._executor, self._put, held)
                return True
            except StorageError as error:
                _log.warning("store.unavailable", extra={"key": held.about.key, "error": str(error)})
                if self._held_bytes > self._bounds.memory_bytes and held.data is not None:
                    await loop.run_in_executor(self._executor, self._spool, held)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_seconds):
                        await self._ending.wait()
                if self._ending.is_set():
                    return False
                wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)

    def _put(self, held: _Held) -> None:
        about = held.about
        self._store.put(about.key, held.read(), content_type=about.content_type, sha256=about.sha256)
        if held.file is not None:
            held.file.unlink(missing_ok=True)

    def _spool(self, held: _Held) -> None:
        """Move it from memory to disk; a disk that is full leaves it where it is."""
        file = self._spool_dir / held.about.id.hex
        try:
            self._spool_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_bytes(held.read())
        except OSError as error:
            _log.warning("spool.failed", extra={"key": held.about.key, "error": str(error)})
            file.unlink(missing_ok=True)
            return
        held.file, held.data = file, None


def _decode(image: ReturnedImage) -> bytes:
    try:
        return base64.b64decode(image.b64 or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedReply(f"picture {image.position} is not base64: {error}") from error


def _picture(examined: Examined, prefix: str, position: int) -> StoredObject:
    facts, picture_id = examined.facts, new_id()
    return StoredObject(
        id=picture_id,
        kind="image",
        position=position,
        key=f"{prefix}/{picture_id.hex}.{facts.format.lower()}",
        content_type=facts.content_type,
        byte_size=facts.byte_size,
        sha256=facts.sha256,
        width=facts.width,
        height=facts.height,
    )


def _thumbnail(examined: Examined, prefix: str, position: int) -> StoredObject:
    small, thumbnail_id = examined.thumbnail, new_id()
    return StoredObject(
        id=thumbnail_id,
        kind="thumbnail",
        position=position,
        key=f"{prefix}/{thumbnail_id.hex}.thumb.webp",
        content_type=small.content_type,
        byte_size=len(small.data),
        sha256=small.sha256,
        width=small.width,
        height=small.height,
    )
