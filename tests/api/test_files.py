"""Files, by OpenAI's own client: handed in, listed, read back and deleted."""

import hashlib
import io
from uuid import UUID

import httpx2
import openai
import pytest
from sqlalchemy import text

from models import Scope
from pressroom.files.books import sweep_files
from pressroom.ids import parse_id
from tests.fixtures.api import LiveApi

_PART_BYTES = 8 * 1024 * 1024


def test_a_file_comes_back_as_it_was_sent(tenant: LiveApi) -> None:
    client = tenant.openai()
    data = b"some \x00 bytes \r\n--boundary\r\n" * 1000
    made = client.files.create(file=("übung.bin", data), purpose="user_data")
    assert (made.bytes, made.filename, made.purpose, made.status) == (
        len(data), "übung.bin", "user_data", "processed",
    )  # fmt: skip
    assert made.id.startswith("file-")
    assert made.model_extra is not None
    assert made.model_extra["sha256"] == hashlib.sha256(data).hexdigest()
    assert made.expires_at is None
    assert client.files.content(made.id).read() == data
    assert client.files.retrieve(made.id) == made


def test_a_file_of_several_parts_is_whole(tenant: LiveApi) -> None:
    client = tenant.openai()
    data = bytes(range(256)) * (2 * _PART_BYTES // 256) + b"and a little more"
    made = client.files.create(file=("large.jsonl", io.BytesIO(data)), purpose="batch")
    assert made.bytes == len(data)
    with client.files.with_streaming_response.content(made.id) as response:
        assert response.headers["content-length"] == str(len(data))
        digest = hashlib.sha256()
        for chunk in response.iter_bytes():
            digest.update(chunk)
    assert digest.digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=4-99", 206, b"456789"),
        ("bytes=10-", 416, None),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=1-2,4-5", 200, b"0123456789"),
    ],
)
def test_a_range_of_a_file(tenant: LiveApi, wanted: str, status: int, expected: bytes | None) -> None:
    file = tenant.openai().files.create(file=("digits", b"0123456789"), purpose="user_data")
    answer = tenant.client().get(f"/v1/files/{file.id}/content", headers={"Range": wanted})
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == expected
    else:
        assert answer.json()["error"]["code"] == "range_not_satisfiable"


def test_pages_go_on_where_the_last_ended(tenant: LiveApi) -> None:
    client = tenant.openai()
    made = [client.files.create(file=(f"{n}.txt", b"x"), purpose="user_data").id for n in range(5)]
    made_for_batches = client.files.create(file=("b.jsonl", b"x"), purpose="batch").id
    page = client.files.list(limit=2, order="asc", purpose="user_data")
    assert [file.id for file in page.data] == made[:2]
    assert page.has_more is True
    assert [file.id for file in client.files.list(limit=2, order="asc", purpose="user_data")] == made
    assert [file.id for file in client.files.list()] == [made_for_batches, *reversed(made)]
    assert client.files.list(purpose="vision").data == []


def test_a_deleted_file_is_gone_and_its_object_soon(tenant: LiveApi) -> None:
    client = tenant.openai()
    file = client.files.create(file=("a.txt", b"x"), purpose="user_data")
    assert client.files.delete(file.id).deleted is True
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(file.id)
    assert list(client.files.list()) == []
    sweep_files(tenant.system.engine, tenant.system.store)
    _nothing_is_left(tenant)


def test_a_file_expires_when_it_was_asked_to(tenant: LiveApi) -> None:
    client = tenant.openai()
    kept = client.files.create(file=("kept.txt", b"x"), purpose="user_data")
    expiring = client.files.create(
        file=("a.txt", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert expiring.expires_at == expiring.created_at + 3600
    _let_expire(tenant, parse_id("file", expiring.id))
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(expiring.id)
    sweep_files(tenant.system.engine, tenant.system.store)
    assert len(_objects(tenant)) == 1
    assert [file.id for file in client.files.list()] == [kept.id]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "fine-tune"}, "purpose"),
        ({}, "purpose"),
        ({"purpose": "batch", "expires_after[seconds]": "3600"}, "expires_after"),
        ({"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "1"},
         "expires_after.seconds"),
        ({"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "soon"},
         "expires_after.seconds"),
    ],
)  # fmt: skip
def test_a_form_that_is_not_right_names_its_field(tenant: LiveApi, fields: dict[str, str], param: str) -> None:
    answer = tenant.client().post("/v1/files", data=fields, files={"file": ("a.txt", b"x")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    _nothing_is_left(tenant)


def test_a_form_without_a_file_or_with_two_is_refused(tenant: LiveApi) -> None:
    client = tenant.client()
    none = client.post("/v1/files", data={"purpose": "batch"}, files={"other": ("a", b"x")})
    assert (none.status_code, none.json()["error"]["code"]) == (400, "invalid_form")
    two = client.post("/v1/files", data={"purpose": "batch"}, files=[("file", ("a", b"x")), ("file", ("b", b"x"))])
    assert (two.status_code, two.json()["error"]["code"]) == (400, "invalid_form")
    empty = client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("a", b"")})
    assert (empty.status_code, empty.json()["error"]["code"]) == (400, "empty_file")
    _nothing_is_left(tenant)


def test_a_body_that_breaks_off_leaves_nothing(tenant: LiveApi) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    broken = tenant.client().post("/v1/files", content=head + b"x" * (_PART_BYTES + 10), headers=headers)
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_form")
    nonsense = tenant.client().post("/v1/files", content=b"nonsense", headers=headers)
    assert nonsense.status_code == 400
    _nothing_is_left(tenant)


def test_the_purpose_may_come_after_the_file(tenant: LiveApi) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n--b--\r\n'
    )
    answer = tenant.client().post(
        "/v1/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["purpose"], answer.json()["bytes"]) == ("vision", 5)


def test_files_of_others_are_not_there(tenant: LiveApi) -> None:
    file = tenant.openai().files.create(file=("a.txt", b"x"), purpose="user_data")
    stranger = tenant.openai(tenant.other_key)
    assert list(stranger.files.list()) == []
    for call in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(file.id)
    assert tenant.openai().files.retrieve(file.id) == file


def test_reading_needs_less_than_writing(tenant: LiveApi) -> None:
    reader = tenant.openai(tenant.make_key(scopes=[Scope.READ]).text)
    assert list(reader.files.list()) == []
    with pytest.raises(openai.PermissionDeniedError):
        reader.files.create(file=("a.txt", b"x"), purpose="user_data")


def test_what_is_no_id_names_no_file(tenant: LiveApi) -> None:
    for shown in ("nonsense", "batch_0193", "file-%00"):
        answer: httpx2.Response = tenant.client().get(f"/v1/files/{shown}")
        assert answer.status_code == 404


def _nothing_is_left(tenant: LiveApi) -> None:
    assert _objects(tenant) == []
    assert tenant.system.scalar("SELECT count(*) FROM files WHERE project_id = :id", id=tenant.project_id) == 0


def _objects(tenant: LiveApi) -> list[str]:
    return list(tenant.system.store.list_keys(f"projects/{tenant.project_id}/"))


def _let_expire(tenant: LiveApi, file_id: UUID) -> None:
    with tenant.system.engine.begin() as conn:
        conn.execute(text("UPDATE files SET expires_at = now() WHERE id = :id"), {"id": file_id})
