"""The output file: a line a job, in the form the provider's own batches have."""

import base64
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import openai.types.chat
import openai.types.images_response
import orjson
import pytest
from PIL import Image
from sqlalchemy import Engine

from models import DEFAULT_PROJECT_ID
from pressroom.batches.ingest import IngestOptions
from pressroom.batches.originals import store_input
from pressroom.batches.output import OutputSummary, contact_sheet_for, download_images, write_output
from pressroom.errors import NotFound
from pressroom.ids import new_id
from pressroom.jobs.end_early import cancel_batch
from pressroom.jobs.lease import LeasedJob
from pressroom.jobs.outcome import StoredObject
from pressroom.jobs.retry import retry
from pressroom.jobs.selection import Selection
from pressroom.storage import ObjectStore
from tests.integration.batches.inputs import chat_line, count, image_line, take_in, write_jsonl
from tests.integration.batches.running import fail, run_all, succeed

REAL = IngestOptions(base_url="https://images.example/v1")
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "é\n"}, "finish_reason": "stop", "logprobs": None}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def output(engine: Engine, batch_id: UUID, **options: Any) -> tuple[list[dict[str, Any]], OutputSummary]:
    """The lines, and what is said of them."""
    file = io.BytesIO()
    summary = write_output(engine, batch_id, file, **options)
    data = file.getvalue()
    assert data == b"" or data.endswith(b"\n")
    return [orjson.loads(line) for line in data.splitlines()], summary


def picture(color: int) -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (256, 256), (color, 0, 0)).save(file, "PNG")
    return file.getvalue()


def land(store: ObjectStore, job: LeasedJob, number: int) -> list[StoredObject]:
    """A job's pictures and thumbnails, in the store."""
    stored = []
    for position in range(number):
        for kind, data in (("image", picture(position)), ("thumbnail", picture(position))):
            about = StoredObject(
                id=new_id(),
                kind=kind,
                position=position,
                key=f"projects/p/jobs/{job.id}/{position}.{kind}.png",
                content_type="image/png",
                byte_size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                width=256,
                height=256,
            )
            store.put(about.key, data, content_type="image/png")
            stored.append(about)
    return stored


def draw_all(engine: Engine, store: ObjectStore) -> None:
    """Answer every picture job."""

    def answer(job: LeasedJob) -> dict[str, Any]:
        number = job.body.get("n", 1)
        body = {"created": 1, "data": [{"revised_prompt": "r"} for _ in range(number)]}
        return succeed(body, land(store, job, number))

    run_all(engine, answer)


def image_batch(engine: Engine, tmp_path: Path, lines: Sequence[dict[str, Any]], options: IngestOptions = REAL) -> UUID:
    """A batch of pictures, not yet drawn."""
    return take_in(engine, write_jsonl(tmp_path / "in.jsonl", lines), options=options).id


def test_an_answer_is_passed_on_whole(engine: Engine, tmp_path: Path) -> None:
    batch = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(1)]), options=REAL)
    run_all(engine, lambda job: succeed(REPLY))
    (line,), summary = output(engine, batch.id)
    assert line["id"].startswith("batch_req_")
    assert UUID(line["id"].removeprefix("batch_req_"))
    assert {name: line[name] for name in ("custom_id", "response", "error")} == {
        "custom_id": "q-1",
        "response": {"status_code": 200, "request_id": "req_1", "body": REPLY},
        "error": None,
    }
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert summary == OutputSummary(lines=1, succeeded=1)
    reply = openai.types.chat.ChatCompletion.model_validate(line["response"]["body"], strict=True)
    assert reply.choices[0].message.content == "é\n"


def test_lines_follow_the_input_over_many_pages(engine: Engine, tmp_path: Path) -> None:
    batch = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(n) for n in range(1300)]), options=REAL)
    run_all(engine, lambda job: succeed({"id": str(job.body["messages"][0]["content"])}))
    lines, summary = output(engine, batch.id)
    assert [line["custom_id"] for line in lines] == [f"q-{n}" for n in range(1300)]
    assert [line["response"]["body"]["id"] for line in lines] == [f"question {n}" for n in range(1300)]
    assert summary.lines == summary.succeeded == 1300


def test_failures_say_what_the_provider_said_or_why_it_did_not(engine: Engine, tmp_path: Path) -> None:
    own = {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "content_policy_violation"}
    }
    answers = [
        fail(400, "content_policy_violation", own),
        fail(502, "server_error"),
        fail(None, "timeout"),
        fail(200, "malformed_reply"),
        fail(None, "worker_lost"),
    ]
    batch = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(n) for n in range(5)]), options=REAL)
    run_all(engine, lambda job: answers[int(job.body["messages"][0]["content"].split()[1])])
    lines, summary = output(engine, batch.id)
    assert [(line["response"], line["error"]) for line in lines] == [
        ({"status_code": 400, "request_id": "req_2", "body": own}, None),
        (
            {
                "status_code": 502,
                "request_id": "req_2",
                "body": {
                    "error": {
                        "code": "server_error",
                        "message": "it was server_error",
                        "type": "some_error",
                        "param": None,
                    }
                },
            },
            None,
        ),
        (None, {"code": "timeout", "message": "it was timeout"}),
        (None, {"code": "malformed_reply", "message": "it was malformed_reply"}),
        (None, {"code": "worker_lost", "message": "it was worker_lost"}),
    ]
    assert summary == OutputSummary(lines=5, failed=5)


def test_cancelled_jobs_have_an_error_and_unfinished_ones_no_line(engine: Engine, tmp_path: Path) -> None:
    batch = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(n) for n in range(2)]), options=REAL)
    assert output(engine, batch.id) == ([], OutputSummary(unfinished=2))
    cancel_batch(engine, DEFAULT_PROJECT_ID, batch.id)
    lines, summary = output(engine, batch.id)
    assert [(line["response"], line["error"]) for line in lines] == [
        (None, {"code": "cancelled", "message": "The job was cancelled before it was done."})
    ] * 2
    assert summary == OutputSummary(lines=2, cancelled=2)


def test_the_sandbox_says_so(engine: Engine, tmp_path: Path) -> None:
    batch = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(1)]))
    run_all(engine, lambda job: succeed(REPLY))
    (line,), _ = output(engine, batch.id)
    assert line["sandbox"] is True


def test_a_retried_line_has_one_answer(engine: Engine, tmp_path: Path) -> None:
    batch = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(n) for n in range(2)]), options=REAL)
    run_all(engine, lambda job: fail(None, "timeout"))
    with engine.begin() as conn:
        retry(conn, Selection(project_id=DEFAULT_PROJECT_ID, batch_id=batch.id))
    run_all(engine, lambda job: succeed(REPLY))
    lines, summary = output(engine, batch.id)
    assert [line["custom_id"] for line in lines] == ["q-0", "q-1"]
    assert summary == OutputSummary(lines=2, succeeded=2)


def test_pictures_by_address_or_in_the_line_as_asked(engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    batch = image_batch(engine, tmp_path, [image_line(1, n=2), image_line(2, response_format="b64_json")])
    draw_all(engine, store)
    (by_url, inline), summary = output(engine, batch, store=store)
    job = UUID(by_url["id"].removeprefix("batch_req_"))
    assert by_url["response"]["body"] == {
        "created": 1,
        "data": [
            {"revised_prompt": "r", "url": f"s3://{store.bucket}/projects/p/jobs/{job}/{position}.image.png"}
            for position in range(2)
        ],
    }
    assert base64.b64decode(inline["response"]["body"]["data"][0]["b64_json"]) == picture(0)
    assert summary == OutputSummary(lines=2, succeeded=2, images=3)
    for line in (by_url, inline):
        openai.types.ImagesResponse.model_validate(line["response"]["body"], strict=True)


def test_links_are_the_callers_to_choose(engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    batch = image_batch(engine, tmp_path, [image_line(1, n=2)])
    draw_all(engine, store)
    (line,), _ = output(engine, batch, store=store, link=lambda row: f"{row.custom_id}/{row.position}/{row.width}")
    assert [entry["url"] for entry in line["response"]["body"]["data"]] == ["p-1/0/256", "p-1/1/256"]


def test_pictures_as_files(engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    lines = [image_line(1, n=2), image_line(2) | {"custom_id": "../x"}, image_line(3) | {"custom_id": "P-1"}]
    batch = image_batch(engine, tmp_path, lines)
    draw_all(engine, store)
    target = tmp_path / "pictures" / "here"
    files = download_images(engine, batch, store, target)
    names = sorted(path.name for path in files.values())
    assert names == ["P-1~" + hashlib.sha256(b"P-1").hexdigest()[:8] + "-0.png", *names[1:]]
    assert names[1].startswith("_x~")
    assert names[2:] == ["p-1-0.png", "p-1-1.png"]
    assert sorted(path.name for path in target.iterdir()) == names
    assert (target / "p-1-1.png").read_bytes() == picture(1)


def test_files_that_are_there_are_not_fetched_again(engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    batch = image_batch(engine, tmp_path, [image_line(1), image_line(2)])
    draw_all(engine, store)
    files = list(download_images(engine, batch, store, tmp_path / "pictures").values())
    before = files[0].stat().st_mtime_ns
    files[1].write_bytes(b"damaged")
    assert sorted(download_images(engine, batch, store, tmp_path / "pictures").values()) == sorted(files)
    assert files[0].stat().st_mtime_ns == before
    assert files[1].read_bytes() == picture(0)


def test_a_contact_sheet(engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    batch = image_batch(engine, tmp_path, [image_line(n, n=2) for n in range(5)])
    sheet = tmp_path / "sheet.jpg"
    assert contact_sheet_for(engine, batch, store, sheet) == 0
    assert not sheet.exists()
    draw_all(engine, store)
    assert contact_sheet_for(engine, batch, store, sheet, limit=7) == 7
    with Image.open(sheet) as drawn:
        assert drawn.format == "JPEG"


def test_the_input_is_kept_once(engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [chat_line(1)])
    batch = take_in(engine, path)
    key = store_input(engine, store, path, batch.id)
    assert store_input(engine, store, path, batch.id) == key
    assert store.get(key, max_bytes=1000) == path.read_bytes()
    assert count(engine, "artifacts WHERE kind = 'input'") == 1


def test_unknown_batches_are_not_found(engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        write_output(engine, new_id(), io.BytesIO())
    with pytest.raises(NotFound):
        download_images(engine, new_id(), store, tmp_path)
    with pytest.raises(NotFound):
        contact_sheet_for(engine, new_id(), store, tmp_path / "x.jpg")
