"""Vendor errors in, our error tree out. Nothing from botocore leaves this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import botocore.exceptions as vendor
import urllib3.exceptions

from pressroom.storage.errors import ObjectNotFound, StorageError, StorageRefused, StorageUnavailable

_NOT_FOUND = {"NoSuchKey", "404", "NotFound"}
_RETRYABLE = {
    "BadDigest",  # the bytes were damaged on the way: sending them again is the cure
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "XAmzContentSHA256Mismatch",
}
_FIRST_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_REFUSED = (vendor.NoCredentialsError, vendor.PartialCredentialsError, vendor.ParamValidationError)


@contextlib.contextmanager
def translated(operation: str, *, bucket: str, key: str | None = None) -> Iterator[None]:
    """Raise the fitting StorageError for whatever boto3 raises inside."""
    try:
        yield
    except vendor.ClientError as error:
        raise from_response(error, operation, bucket=bucket, key=key) from error
    except _REFUSED as error:
        message = f"cannot {operation} {_where(bucket, key)}: {error}"
        raise StorageRefused(f"{message}; check the S3 settings", bucket=bucket, key=key) from error
    except (vendor.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
        message = f"cannot {operation} {_where(bucket, key)}: {error}"
        raise StorageUnavailable(f"{message}; the storage service may be down", bucket=bucket, key=key) from error


def from_response(error: vendor.ClientError, operation: str, *, bucket: str, key: str | None) -> StorageError:
    """The StorageError for an error answer of the service."""
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{details.get('Message') or 'no message'} ({code or 'no code'}, HTTP {status})"
    message = f"cannot {operation} {_where(bucket, key)}: {said}"
    if key is not None and code in _NOT_FOUND:
        return ObjectNotFound(message, bucket=bucket, key=key, code=code)
    if code in _RETRYABLE or status >= _FIRST_SERVER_ERROR or status == _TOO_MANY_REQUESTS:
        return StorageUnavailable(message, bucket=bucket, key=key, code=code)
    remedy = "check that the bucket exists and that the credentials may use it"
    return StorageRefused(f"{message}; {remedy}", bucket=bucket, key=key, code=code)


def _where(bucket: str, key: str | None) -> str:
    return f"s3://{bucket}/{key}" if key is not None else f"s3://{bucket}"
