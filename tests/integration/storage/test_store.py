"""ObjectStore against the local stack's S3 server."""

import hashlib
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pressroom.local_stack import StackUrls
from pressroom.storage import ObjectNotFound, ObjectStore, ObjectTooLarge, StorageRefused, StorageUnavailable
from pressroom.storage.store import PART_BYTES

PNG = b"\x89PNG\r\n" + bytes(range(256)) * 200


def _store(urls: StackUrls, bucket: str, *, secret: str | None = None, endpoint: str | None = None) -> ObjectStore:
    return ObjectStore(
        bucket,
        endpoint_url=endpoint or urls.s3_endpoint_url,
        access_key_id=urls.s3_access_key_id,
        secret_access_key=secret or urls.s3_secret_access_key.get_secret_value(),
    )


def test_what_was_put_is_what_is_read(store: ObjectStore) -> None:
    etag = store.put("images/one.png", PNG, content_type="image/png", metadata={"job": "j1"})

    assert etag == hashlib.md5(PNG).hexdigest()
    assert store.get("images/one.png", max_bytes=len(PNG)) == PNG
    assert b"".join(store.get_stream("images/one.png", chunk_bytes=1000)) == PNG
    info = store.head("images/one.png")
    assert (info.size_bytes, info.etag, info.content_type) == (len(PNG), etag, "image/png")
    assert info.sha256 == hashlib.sha256(PNG).hexdigest()
    assert info.metadata == {"job": "j1"}


@pytest.mark.parametrize("key", ["a b/ü☃.png", "q?&=#;", "~tilde*'()", "deep/" * 20 + "k", "plus+sign"])
def test_keys_may_hold_any_printable_character(store: ObjectStore, key: str) -> None:
    store.put(key, b"x")
    assert store.get(key, max_bytes=1) == b"x"
    assert list(store.list_keys()) == [key]
    with urllib.request.urlopen(store.presigned_url(key, expires_seconds=60)) as answer:
        assert answer.read() == b"x"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.get("empty", max_bytes=0) == b""
    assert list(store.get_stream("empty")) == []


def test_overwriting_replaces_content_and_metadata(store: ObjectStore) -> None:
    store.put("k", b"old", content_type="text/plain", metadata={"v": "1"})
    store.put("k", b"newer", content_type="image/png")
    assert store.get("k", max_bytes=10) == b"newer"
    assert (store.head("k").content_type, store.head("k").metadata) == ("image/png", {})


def test_a_missing_object_is_not_found_and_deleting_it_is_fine(store: ObjectStore) -> None:
    for read in (lambda: store.get("gone", max_bytes=1), lambda: store.head("gone")):
        with pytest.raises(ObjectNotFound, match=f"s3://{store.bucket}/gone"):
            read()
    with pytest.raises(ObjectNotFound):
        next(store.get_stream("gone"))
    assert not store.exists("gone")
    store.delete("gone")


def test_delete_removes(store: ObjectStore) -> None:
    store.put("k", b"1")
    assert store.exists("k")
    store.delete("k")
    assert not store.exists("k")


def test_reading_stops_at_the_bound(store: ObjectStore) -> None:
    store.put("k", b"12345")
    with pytest.raises(ObjectTooLarge, match="has 5 bytes, more than the 4 allowed"):
        store.get("k", max_bytes=4)
    assert store.get("k", max_bytes=5) == b"12345"


def test_damaged_content_is_noticed(store: ObjectStore, tmp_path: Path) -> None:
    store.put("k", b"right", sha256=hashlib.sha256(b"other").hexdigest())
    with pytest.raises(StorageUnavailable, match="is damaged") as caught:
        store.get("k", max_bytes=10)
    assert caught.value.retryable
    with pytest.raises(StorageUnavailable, match="is damaged"):
        store.download_file("k", tmp_path / "k")
    assert list(tmp_path.iterdir()) == []


def test_bytes_damaged_on_the_way_up_are_refused_by_the_server(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pressroom.storage.store.md5_of", lambda data: "1B2M2Y8AsgTpgAmY7PhCfg==")
    with pytest.raises(StorageUnavailable) as caught:
        store.put("k", b"not the empty string")
    assert caught.value.code == "BadDigest"
    assert not store.exists("k")


def test_a_listing_over_many_pages_is_complete_and_in_order(store: ObjectStore) -> None:
    keys = [f"img/abc{tail}/{number:04}" for tail in ("", "-2", ".x") for number in range(400)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), [*keys, "other/k", "imgx"]))
    assert list(store.list_keys("img/")) == sorted(keys)
    assert list(store.list_keys("img/abc-2/03")) == [f"img/abc-2/03{number:02}" for number in range(100)]
    assert list(store.list_keys("nothing")) == []


def test_large_files_go_in_parts_and_come_back_whole(store: ObjectStore, tmp_path: Path) -> None:
    source, back = tmp_path / "big", tmp_path / "back"
    source.write_bytes(hashlib.sha256(b"seed").digest() * (2 * PART_BYTES // 32) + b"tail")
    etag = store.put_file("big", source, content_type="application/jsonl", metadata={"batch": "b1"})
    store.download_file("big", back)
    assert etag.endswith("-3")
    assert store.head("big").metadata == {"batch": "b1"}
    assert back.read_bytes() == source.read_bytes()


def test_small_files_go_in_one_piece(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(PNG)
    assert store.put_file("small", tmp_path / "small") == hashlib.md5(PNG).hexdigest()


def test_a_presigned_url_opens_one_object_and_cannot_be_bent(store: ObjectStore) -> None:
    store.put("mine", b"1")
    store.put("yours", b"2")
    url = store.presigned_url("mine", expires_seconds=60)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"1"
    for bent in (url.replace("/mine?", "/yours?"), url.replace("Expires=60", "Expires=600")):
        with pytest.raises(urllib.error.HTTPError, match="403") as caught:
            urllib.request.urlopen(bent)
        caught.value.close()


def test_a_wrong_secret_is_refused_and_does_not_spoil_the_connection(store: ObjectStore, stack_urls: StackUrls) -> None:
    stranger = _store(stack_urls, store.bucket, secret="wrong")
    for _ in range(3):
        with pytest.raises(StorageRefused, match="check that the bucket exists") as caught:
            stranger.put("k", PNG)
        assert caught.value.code == "SignatureDoesNotMatch"
    stranger.close()
    assert not store.exists("k")


def test_a_missing_bucket_is_refused_with_a_remedy(stack_urls: StackUrls) -> None:
    store = _store(stack_urls, "no-such-bucket")
    for _ in range(2):
        with pytest.raises(StorageRefused, match="check that the bucket exists") as caught:
            store.put("k", PNG)
        assert caught.value.code == "NoSuchBucket"
    store.close()


def test_a_server_that_is_down_is_unavailable(stack_urls: StackUrls) -> None:
    store = _store(stack_urls, "any", endpoint="http://127.0.0.1:1")
    with pytest.raises(StorageUnavailable, match="may be down") as caught:
        store.put("k", b"1")
    assert caught.value.retryable
    store.close()


def test_missing_credentials_are_refused() -> None:
    store = ObjectStore("any", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(StorageRefused, match="check the S3 settings"):
        store.put("k", b"1")
    store.close()


def test_credentials_come_from_the_environment(
    store: ObjectStore, stack_urls: StackUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stack_urls.s3_access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stack_urls.s3_secret_access_key.get_secret_value())
    found = ObjectStore(store.bucket, endpoint_url=stack_urls.s3_endpoint_url)
    found.put("k", b"1")
    found.close()
    assert store.get("k", max_bytes=1) == b"1"


def test_aws_itself_is_used_without_an_endpoint() -> None:
    store = ObjectStore("my-bucket", access_key_id="A", secret_access_key="S", region="eu-central-1")
    url = store.presigned_url("a/b", expires_seconds=60)
    store.close()
    assert url.startswith("https://my-bucket.s3.eu-central-1.amazonaws.com/a/b?X-Amz-Algorithm=AWS4-HMAC-SHA256")


def test_many_threads_may_share_a_store(store: ObjectStore) -> None:
    def put_read_delete(number: int) -> bytes:
        key = f"shared/{number % 3}/{number}"
        store.put(key, str(number).encode())
        data = store.get(key, max_bytes=10)
        store.delete(key)
        return data

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(put_read_delete, range(150))) == [str(number).encode() for number in range(150)]
    assert list(store.list_keys()) == []


def test_many_writers_of_one_key_leave_one_of_their_versions(store: ObjectStore) -> None:
    versions = [bytes([65 + number]) * 20_000 for number in range(20)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda data: store.put("same", data), versions))
    assert store.get("same", max_bytes=20_000) in versions


def test_ensure_bucket_may_race(stack_urls: StackUrls) -> None:
    stores = [_store(stack_urls, "raced") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda store: store.ensure_bucket(), stores))
    stores[0].put("k", b"1")
    assert stores[1].exists("k")
    for store in stores:
        store.close()
