"""ObjectStore: one bucket of S3, or of a server that speaks S3.

Every object carries the SHA-256 of its content as metadata. Uploads send a Content-MD5, which the service
must check; reads recompute the SHA-256. Damage is an error here, never a wrong image later.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.handlers import add_expect_header

from pressroom.storage.errors import (
    ObjectNotFound,
    ObjectTooLarge,
    StorageError,
    StorageRefused,
    StorageUnavailable,
)
from pressroom.storage.parts import PartUpload, RangeReader, md5_of
from pressroom.storage.translate import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

CHUNK_BYTES = 1024 * 1024
PART_BYTES = 16 * 1024 * 1024
_SHA256 = "sha256"
_DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class ObjectInfo:
    """What the service knows about one object."""

    key: str
    size_bytes: int
    etag: str
    content_type: str
    last_modified: datetime
    sha256: str | None
    """Hex digest recorded at upload; None when something else wrote the object."""
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore:
    """Thread-safe; builds one client and connects at the first call.

    `endpoint_url=None` is AWS itself. Without keys, credentials come the boto3 way (environment, profile,
    instance role). Every method raises the StorageError tree and nothing else of the service's.
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint_url: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        region: str | None = None,
        max_pool_connections: int = 32,
    ) -> None:
        self.bucket = bucket
        self._is_aws = endpoint_url is None
        with translated("configure", bucket=bucket):
            self._client: S3Client = boto3.session.Session().client(
                "s3",
                endpoint_url=endpoint_url,
                aws_access_key_id=access_key_id,
                aws_secret_access_key=secret_access_key,
                region_name=region or (None if endpoint_url is None else _DEFAULT_REGION),
                config=_client_config(
                    # "auto" would presign AWS URLs for the global host, which redirects and so breaks them.
                    style="virtual" if endpoint_url is None and "." not in bucket else "path",
                    pool=max_pool_connections,
                ),
            )
        # Waiting for "100 Continue" before each body costs a round trip and a tenth of the CPU of a put.
        self._client.meta.events.unregister("before-call.s3", add_expect_header)

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> str:
        """Store `data`; returns the etag. `sha256` (hex) saves computing it when the caller already has."""
        digest = sha256 or hashlib.sha256(data).hexdigest()
        with translated("write", bucket=self.bucket, key=key):
            answer = self._client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                ContentType=content_type,
                ContentMD5=md5_of(data),
                Metadata={**(metadata or {}), _SHA256: digest},
            )
        return answer["ETag"].strip('"')

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Store a file of any size; returns the etag. Large files go in parts, memory stays at one part."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if os.fstat(file.fileno()).st_size <= PART_BYTES:
                file.seek(0)
                data = file.read()
                return self.put(key, data, content_type=content_type, metadata=metadata, sha256=digest)
            with translated("write", bucket=self.bucket, key=key):
                upload = self._client.create_multipart_upload(
                    Bucket=self.bucket,
                    Key=key,
                    ContentType=content_type,
                    Metadata={**(metadata or {}), _SHA256: digest},
                )["UploadId"]
            file.seek(0)
            return self._send_parts(key, upload, iter(lambda: file.read(PART_BYTES), b""))

    def get(self, key: str, *, max_bytes: int) -> bytes:
        """The whole object, its SHA-256 checked. ObjectTooLarge when it exceeds `max_bytes`."""
        with translated("read", bucket=self.bucket, key=key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                self._check_size(key, answer["ContentLength"], max_bytes)
                data = body.read()
        self._check_content(key, hashlib.sha256(data).hexdigest(), expected=answer["Metadata"].get(_SHA256))
        return data

    def get_stream(self, key: str, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The object in chunks. StorageUnavailable after the last one when the SHA-256 does not fit."""
        digest = hashlib.sha256()
        with translated("read", bucket=self.bucket, key=key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
        with contextlib.closing(answer["Body"]) as body:
            chunks = body.iter_chunks(chunk_bytes)
            while True:
                # Not one block around the loop: what the caller does between two chunks is not ours to translate.
                with translated("read", bucket=self.bucket, key=key):
                    chunk = next(chunks, b"")
                if not chunk:
                    break
                digest.update(chunk)
                yield chunk
        self._check_content(key, digest.hexdigest(), expected=answer["Metadata"].get(_SHA256))

    def open_upload(self, key: str, *, content_type: str = "application/octet-stream") -> PartUpload:
        """An object of unknown size, written as its bytes come, in the memory of one part. Connects when it is full."""
        return PartUpload(self._client, self.bucket, key, content_type=content_type)

    def get_range(self, key: str, first: int, last: int) -> bytes:
        """The bytes from `first` to `last`, both included. StorageUnavailable when the object has fewer."""
        with translated("read", bucket=self.bucket, key=key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={first}-{last}")
            with contextlib.closing(answer["Body"]) as body:
                data = body.read()
        if len(data) != last - first + 1:
            message = f"s3://{self.bucket}/{key} gave {len(data)} bytes of the {last - first + 1} asked for"
            raise StorageUnavailable(message, bucket=self.bucket, key=key, code="ContentMismatch")
        return data

    def open_read(self, key: str, size_bytes: int) -> io.BufferedReader:
        """The object as a file to read, in flat memory, however slowly. ObjectNotFound at the first read."""
        return io.BufferedReader(RangeReader(partial(self.get_range, key), size_bytes), CHUNK_BYTES)

    def download_file(self, key: str, path: Path) -> None:
        """Write the object to `path`, which appears only when complete and checked."""
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with scratch.open("xb") as file:
                for chunk in self.get_stream(key):
                    file.write(chunk)
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise

    def head(self, key: str) -> ObjectInfo:
        """What is known of the object; ObjectNotFound when there is none."""
        with translated("look up", bucket=self.bucket, key=key):
            return _info(key, self._client.head_object(Bucket=self.bucket, Key=key))

    def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        try:
            self.head(key)
        except ObjectNotFound:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens when there is none."""
        with translated("delete", bucket=self.bucket, key=key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def list_keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that starts with `prefix`, in order, fetched page by page."""
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix))
        while True:
            with translated("list", bucket=self.bucket):
                page = next(pages, None)
            if page is None:
                return
            for entry in page.get("Contents", []):
                yield entry["Key"]

    def presigned_url(self, key: str, *, expires_seconds: int) -> str:
        """A URL that reads the object without credentials for `expires_seconds` (at most 7 days)."""
        with translated("sign a URL for", bucket=self.bucket, key=key):
            return self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=expires_seconds
            )

    def ensure_bucket(self) -> None:
        """Create the bucket unless it is there. Safe to call from many processes at once."""
        try:
            with translated("look up", bucket=self.bucket):
                self._client.head_bucket(Bucket=self.bucket)
        except StorageRefused as refused:
            if refused.code not in {"404", "NoSuchBucket"}:
                raise
        else:
            return
        region = self._client.meta.region_name
        place: dict[str, Any] = {}
        if self._is_aws and region != _DEFAULT_REGION:
            place["CreateBucketConfiguration"] = {"LocationConstraint": region}
        try:
            with translated("create", bucket=self.bucket):
                self._client.create_bucket(Bucket=self.bucket, **place)
        except StorageRefused as refused:
            if refused.code != "BucketAlreadyOwnedByYou":
                raise

    def close(self) -> None:
        """Close the connections. The store must not be used afterwards."""
        self._client.close()

    def _send_parts(self, key: str, upload: str, parts: Iterator[bytes]) -> str:
        done: list[CompletedPartTypeDef] = []
        try:
            with translated("write", bucket=self.bucket, key=key):
                for number, data in enumerate(parts, start=1):
                    answer = self._client.upload_part(
                        Bucket=self.bucket,
                        Key=key,
                        UploadId=upload,
                        PartNumber=number,
                        Body=data,
                        ContentMD5=md5_of(data),
                    )
                    done.append({"PartNumber": number, "ETag": answer["ETag"]})
                finished = self._client.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}
                )
        except BaseException:
            # The first error is the one to report; parts that stay behind go by the bucket's lifecycle rule.
            with contextlib.suppress(StorageError), translated("abort", bucket=self.bucket, key=key):
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
            raise
        return finished["ETag"].strip('"')

    def _check_size(self, key: str, size_bytes: int, max_bytes: int) -> None:
        if size_bytes > max_bytes:
            message = f"s3://{self.bucket}/{key} has {size_bytes} bytes, more than the {max_bytes} allowed"
            raise ObjectTooLarge(message, bucket=self.bucket, key=key)

    def _check_content(self, key: str, digest: str, *, expected: str | None) -> None:
        if expected is not None and digest != expected:
            message = f"s3://{self.bucket}/{key} is damaged: SHA-256 is {digest}, was {expected} at upload"
            raise StorageUnavailable(message, bucket=self.bucket, key=key, code="ContentMismatch")


def _client_config(*, style: Literal["virtual", "path"], pool: int) -> Config:
    return Config(
        signature_version="s3v4",
        connect_timeout=2,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=pool,
        tcp_keepalive=True,
        user_agent="pressroom",  # a fixed one: the default is put together anew for every request
        s3={"addressing_style": style},
        # Content-MD5 and our SHA-256 do the checking; the default CRC trailers cost CPU, and not every
        # S3-compatible server understands them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _info(key: str, answer: HeadObjectOutputTypeDef) -> ObjectInfo:
    metadata = dict(answer["Metadata"])
    return ObjectInfo(
        key=key,
        size_bytes=answer["ContentLength"],
        etag=answer["ETag"].strip('"'),
        content_type=answer["ContentType"],
        last_modified=answer["LastModified"],
        sha256=metadata.pop(_SHA256, None),
        metadata=metadata,
    )
