from pressroom.storage import ObjectStore


def test_put(store: ObjectStore) -> None:
    store.put("a/b.txt", b"hello")
    assert store.get("a/b.txt", max_bytes=10) == b"hello"
