"""Objects written and read piece by piece, in the memory of one piece."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from pressroom.storage.errors import StorageError
from pressroom.storage.translate import translated

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 * 1024 * 1024
"""At most 10,000 parts: 80 GB an object. S3 takes none below 5 MB but the last."""
READ_BYTES = 4 * 1024 * 1024


class PartUpload:
    """One object in the making: `write` what there is, then `finish` or `abort`. Not thread-safe.

    An object of one part is put at once, so that small ones cost one request. `sha256` and `byte_size` are of what was
    written; the digest is not in the object's metadata, which S3 wants before the first byte: keep it elsewhere.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, *, content_type: str) -> None:
        self.key = key
        self.byte_size = 0
        self._client = client
        self._bucket = bucket
        self._content_type = content_type
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._upload: str | None = None
        self._done: list[CompletedPartTypeDef] = []

    @property
    def sha256(self) -> str:
        """Hex digest of what was written so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add to the object. Raises StorageError when a part that is full cannot be sent."""
        self._digest.update(data)
        self.byte_size += len(data)
        self._buffer += data
        while len(self._buffer) > PART_BYTES:
            part = bytes(memoryview(self._buffer)[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            self._send(part)

    def finish(self) -> None:
        """The object is there, whole. Raises StorageError."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        if self._upload is None:
            with translated("write", bucket=self._bucket, key=self.key):
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self.key,
                    Body=rest,
                    ContentType=self._content_type,
                    ContentMD5=md5_of(rest),
                )
            return
        if rest:
            self._send(rest)
        with translated("write", bucket=self._bucket, key=self.key):
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=self.key, UploadId=self._upload, MultipartUpload={"Parts": self._done}
            )

    def abort(self) -> None:
        """Forget what was written. What a store that is away keeps of it goes by the bucket's lifecycle rule."""
        self._buffer.clear()
        if self._upload is None:
            return
        with contextlib.suppress(StorageError), translated("abort", bucket=self._bucket, key=self.key):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self.key, UploadId=self._upload)

    def _send(self, data: bytes) -> None:
        with translated("write", bucket=self._bucket, key=self.key):
            if self._upload is None:
                self._upload = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self.key, ContentType=self._content_type
                )["UploadId"]
            number = len(self._done) + 1
            answer = self._client.upload_part(
                Bucket=self._bucket,
                Key=self.key,
                UploadId=self._upload,
                PartNumber=number,
                Body=data,
                ContentMD5=md5_of(data),
            )
            self._done.append({"PartNumber": number, "ETag": answer["ETag"]})


class RangeReader(io.RawIOBase):
    """An object as a file to read, a range at a time: no connection is held while the reader takes its time."""

    def __init__(self, fetch: Callable[[int, int], bytes], size_bytes: int, *, read_bytes: int = READ_BYTES) -> None:
        """`fetch(first, last)` returns the bytes of a range, both ends included."""
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._read_bytes = read_bytes
        self._position = 0
        self._window = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As of RawIOBase; 0 at the end. Raises StorageError."""
        target = memoryview(buffer).cast("B")
        if not self._window and self._position < self._size_bytes:
            last = min(self._position + self._read_bytes, self._size_bytes) - 1
            self._window = memoryview(self._fetch(self._position, last))
            self._position += len(self._window)
        count = min(len(target), len(self._window))
        target[:count] = self._window[:count]
        self._window = self._window[count:]
        return count


def md5_of(data: bytes) -> str:
    """What `Content-MD5` wants: the service must check it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
