"""Objects on disk for the S3 server: nanio's layout, with writes and listings that hold under load and kills.

What nanio 0.1.7's own storage gets wrong is shown in docs/decisions/0006-s3-server.md. Here
- a write is assembled outside the bucket and appears in one rename, so listings never show half of it and a
  kill leaves nothing behind that blocks the key;
- listings follow S3's order (by whole key, not directory by directory), so no page skips a key.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from nanio.errors import BadDigest, InvalidArgument, NoSuchKey
from nanio.etag import StreamingMd5
from nanio.keys import validate_object_key
from nanio.storage.backend import ListResult, ObjectInfo
from nanio.storage.filesystem import FilesystemStorage, _b64md5_to_hex, _decode_token, _encode_token
from nanio.storage.metadata import _to_dict
from nanio.storage.paths import is_internal_name, metadata_path, object_path

_BUFFER_BYTES = 1024 * 1024
_MAX_PAGE = 1000


class DiskStorage(FilesystemStorage):  # type: ignore[misc]  # nanio ships no types
    """nanio's storage with its own `put_object`, `delete_object` and `list_objects`."""

    def __init__(self, root: Path, *, durable: bool) -> None:
        super().__init__(root)
        self._durable = durable
        self._scratch = self.data_dir / ".nanio" / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # writes that a kill interrupted
        self._scratch.mkdir(parents=True)
        # Between mkdir of a key's parent and the rename, a delete must not prune the parent.
        self._tree = threading.Lock()

    async def put_object(  # noqa: PLR0913 (nanio's signature)
        self,
        bucket: str,
        key: str,
        body: AsyncIterator[bytes],
        *,
        content_type: str = "application/octet-stream",
        user_metadata: Mapping[str, str] | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        cache_control: str | None = None,
        expected_md5: str | None = None,
    ) -> ObjectInfo:
        """Store an object; it is visible only when complete, and on disk when `durable`."""
        self._require_bucket_dir(bucket)
        validate_object_key(key)
        scratch = self._scratch / uuid.uuid4().hex
        try:
            received = await self._receive(body, scratch)
            if expected_md5 is not None and _b64md5_to_hex(expected_md5) != received.hexdigest():
                raise BadDigest
            info = ObjectInfo(
                key=key,
                size=received.size,
                etag=received.quoted_etag(),
                last_modified=datetime.now(tz=UTC),
                content_type=content_type,
                user_metadata=dict(user_metadata or {}),
                content_encoding=content_encoding,
                content_disposition=content_disposition,
                cache_control=cache_control,
            )
            await self._maybe_in_thread(self._publish, bucket, scratch, info)
        finally:
            scratch.unlink(missing_ok=True)
        return info

    def delete_object(self, bucket: str, key: str) -> None:
        """Remove an object, its metadata, and directories that it leaves empty."""
        with self._tree:
            super().delete_object(bucket, key)

    def list_objects(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str | None = None,
        max_keys: int = _MAX_PAGE,
        continuation_token: str | None = None,
        start_after: str | None = None,
    ) -> ListResult:
        """One page of a listing in S3's order."""
        root = self._require_bucket_dir(bucket)
        if max_keys < 0:
            raise InvalidArgument("max-keys must be >= 0")
        after = _decode_token(continuation_token) if continuation_token else start_after or ""
        page = ListResult(contents=[], common_prefixes=[], is_truncated=False, next_continuation_token=None)
        last = after
        for key in keys_in_order(root, prefix=prefix, after=after):
            group = _group(key, prefix, delimiter)
            if group is not None and last.startswith(group):
                continue  # listed already, here or on the page before
            info = None if group else self._info(bucket, key)
            if group is None and info is None:
                continue
            if len(page.contents) + len(page.common_prefixes) >= min(max_keys, _MAX_PAGE):
                page.is_truncated = max_keys > 0
                page.next_continuation_token = _encode_token(last) if max_keys > 0 else None
                break
            if info is not None:
                page.contents.append(info)
            else:
                page.common_prefixes.append(str(group))
            last = group or key
        return page

    def _info(self, bucket: str, key: str) -> ObjectInfo | None:
        """Metadata of a listed object; None when it was deleted meanwhile."""
        try:
            return self._read_or_synthesize_metadata(bucket, key, object_path(self.data_dir, bucket, key))
        except (NoSuchKey, FileNotFoundError):
            return None

    async def _receive(self, body: AsyncIterator[bytes], scratch: Path) -> StreamingMd5:
        """Write the body to `scratch` in large pieces; returns its digest and size."""
        hasher = StreamingMd5()
        pending = bytearray()
        with scratch.open("xb") as file:
            async for chunk in body:
                hasher.update(chunk)
                pending += chunk
                if len(pending) >= _BUFFER_BYTES:
                    await asyncio.to_thread(file.write, bytes(pending))
                    pending.clear()
            file.write(pending)
        return hasher

    def _publish(self, bucket: str, scratch: Path, info: ObjectInfo) -> None:
        """Move the object and its metadata into the bucket, object first: metadata alone would mislead."""
        sidecar = scratch.with_suffix(".json")
        sidecar.write_text(json.dumps(_to_dict(info), separators=(",", ":")))
        try:
            if self._durable:
                for path in (scratch, sidecar):
                    _sync(path)
            target = object_path(self.data_dir, bucket, info.key)
            metadata = metadata_path(self.data_dir, bucket, info.key)
            with self._tree:
                for path in (target, metadata):
                    path.parent.mkdir(parents=True, exist_ok=True)
                scratch.replace(target)
                sidecar.replace(metadata)
        finally:
            sidecar.unlink(missing_ok=True)

    async def _maybe_in_thread(self, publish: Callable[..., None], *arguments: object) -> None:
        """fsync would stop the event loop; without it a thread costs more than the work."""
        if self._durable:
            await asyncio.to_thread(publish, *arguments)
        else:
            publish(*arguments)


def keys_in_order(root: Path, *, prefix: str, after: str) -> Iterator[str]:
    """Keys below the bucket directory `root` that start with `prefix` and sort after `after`, in order.

    A directory sorts as its name with the slash: `a-b` comes before `a/b`. Whole subtrees are skipped.
    """

    def walk(directory: Path, path: str) -> Iterator[str]:
        with os.scandir(directory) as entries:
            names = sorted(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries)
        for name in names:
            found = path + name
            if not path and is_internal_name(name):
                continue
            if not name.endswith("/"):
                if found.startswith(prefix) and found > after:
                    yield found
            elif _may_hold(found, prefix=prefix, after=after):
                yield from walk(directory / name[:-1], found)

    return walk(root, "")


def _may_hold(subtree: str, *, prefix: str, after: str) -> bool:
    in_prefix = subtree.startswith(prefix) or prefix.startswith(subtree)
    return in_prefix and (subtree > after or after.startswith(subtree))


def _group(key: str, prefix: str, delimiter: str | None) -> str | None:
    """The common prefix that stands for `key` in a listing with a delimiter, or None."""
    if not delimiter:
        return None
    head, found, _ = key[len(prefix) :].partition(delimiter)
    return prefix + head + delimiter if found else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
