"""Object storage: the only package that knows boto3."""

from pressroom.storage.errors import (
    ObjectNotFound,
    ObjectTooLarge,
    StorageError,
    StorageRefused,
    StorageUnavailable,
)
from pressroom.storage.parts import PartUpload
from pressroom.storage.store import ObjectInfo, ObjectStore

__all__ = [
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectStore",
    "ObjectTooLarge",
    "PartUpload",
    "StorageError",
    "StorageRefused",
    "StorageUnavailable",
]
