"""Objects written as their bytes come, and read a range at a time."""

import hashlib

import pytest

from pressroom.storage import ObjectNotFound, ObjectStore
from pressroom.storage.parts import PART_BYTES


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 12_345])
def test_what_was_written_piece_by_piece_is_there(store: ObjectStore, size: int) -> None:
    data = (b"the press prints what the editors hand over\n" * (size // 44 + 1))[:size]
    upload = store.open_upload("a/b", content_type="text/plain")
    for start in range(0, size, 1_000_003):
        upload.write(data[start : start + 1_000_003])
    assert (upload.byte_size, upload.sha256) == (size, hashlib.sha256(data).hexdigest())
    upload.finish()
    info = store.head("a/b")
    assert (info.size_bytes, info.content_type) == (size, "text/plain")
    assert store.get("a/b", max_bytes=size) == data
    with store.open_read("a/b", size) as file:
        assert file.read() == data


def test_an_upload_that_was_given_up_is_not_there(store: ObjectStore) -> None:
    upload = store.open_upload("a")
    upload.write(b"x" * (PART_BYTES + 1))
    upload.abort()
    assert not store.exists("a")
    assert list(store.list_keys()) == []


def test_a_range_is_that_range(store: ObjectStore) -> None:
    store.put("digits", b"0123456789")
    assert store.get_range("digits", 3, 5) == b"345"
    assert store.get_range("digits", 9, 9) == b"9"
    with pytest.raises(ObjectNotFound):
        store.get_range("nothing", 0, 1)
