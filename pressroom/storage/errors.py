"""What object storage can answer with. Vendor errors stop in this package.

StorageError
├── StorageUnavailable    retry: the service or the network is down, slow, throttling, or damaged the bytes
├── ObjectNotFound        permanent: no object under that key
└── StorageRefused        permanent: credentials, bucket, permission, or a request that breaks a rule
    └── ObjectTooLarge    the object exceeds the caller's `max_bytes`
"""

from __future__ import annotations

from pressroom.errors import PressroomError


class StorageError(PressroomError):
    """A call to object storage failed. `retryable` says whether the same call may succeed later."""

    retryable = False

    def __init__(self, message: str, *, bucket: str, key: str | None, code: str | None = None) -> None:
        super().__init__(message)
        self.bucket = bucket
        self.key = key
        self.code = code
        """The service's own error code, when it gave one."""


class StorageUnavailable(StorageError):
    """The service did not do it this time; nothing says that it never will."""

    retryable = True


class ObjectNotFound(StorageError):
    """There is no object under this key."""


class StorageRefused(StorageError):
    """The service will refuse this call again until someone changes the settings or the request."""


class ObjectTooLarge(StorageRefused):
    """The object is larger than the caller allowed."""
