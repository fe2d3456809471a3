"""Batches, by OpenAI's own client, from the upload to the last line of the output."""

import base64
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import openai
import pytest
from openai.types import Batch
from sqlalchemy import text

from pressroom.batches.ingest import IngestOptions, ingest
from pressroom.ids import parse_id, show_id
from pressroom.settings import SANDBOX
from tests.api.batch_lines import CHAT, IMAGES, as_jsonl, chat_line, picture_line, read_jsonl
from tests.fixtures.api import LiveApi
from tests.fixtures.system import CALM

_SECONDS = 60.0
_OVER = ("completed", "failed", "expired", "cancelled")


def test_a_batch_runs_from_upload_to_output(tenant: LiveApi) -> None:
    client = tenant.openai()
    lines = [chat_line(n) for n in range(20)]
    made = _create(tenant, lines, metadata={"team": "prints"})
    assert (made.object, made.status, made.endpoint, made.completion_window) == ("batch", "validating", CHAT, "24h")
    assert made.metadata == {"team": "prints"}
    assert made.expires_at == made.created_at + 86_400

    batch = _wait(tenant, made.id)
    assert batch.status == "completed"
    assert batch.model == "gpt-4o-mini"
    counts = batch.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (20, 20, 0)
    assert batch.error_file_id is None
    assert batch.output_file_id is not None
    output = read_jsonl(client.files.content(batch.output_file_id).read())
    assert sorted(line["custom_id"] for line in output) == sorted(line["custom_id"] for line in lines)
    assert all(set(line) == {"id", "custom_id", "response", "error", "sandbox"} for line in output)
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in output)
    assert all(line["response"]["body"]["object"] == "chat.completion" for line in output)

    used = [line["response"]["body"]["usage"] for line in output]
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(usage["prompt_tokens"] for usage in used)
    assert batch.usage.total_tokens == sum(usage["total_tokens"] for usage in used)
    moments = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert None not in moments
    assert moments == sorted(moments, key=lambda moment: moment or 0)
    assert (batch.failed_at, batch.expired_at, batch.cancelling_at, batch.cancelled_at) == (None,) * 4
    extra = batch.model_extra or {}
    assert float(extra["cost_usd"]) > 0
    assert extra["sandbox"] is True

    file = client.files.retrieve(batch.output_file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert file.bytes == len(client.files.content(file.id).read())


def test_lines_that_fail_are_in_the_error_file(tenant: LiveApi) -> None:
    client = tenant.openai()
    tenant.system.sandbox.replace_config({**CALM, "faults": [{"fault": "moderation", "match": {"contains": "a gun"}}]})
    blocked = picture_line(1, prompt="a gun")
    batch = _wait(tenant, _create(tenant, [picture_line(0), blocked, picture_line(2)], endpoint=IMAGES).id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    [failed] = read_jsonl(client.files.content(batch.error_file_id).read())
    assert failed["custom_id"] == "p-1"
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["body"]["error"]["code"] == "content_policy_violation"
    good = read_jsonl(client.files.content(batch.output_file_id).read())
    assert [line["custom_id"] for line in good] == ["p-0", "p-2"]


def test_pictures_come_as_they_were_asked_for(tenant: LiveApi) -> None:
    lines = [picture_line(0, response_format="b64_json", n=2), picture_line(1)]
    batch = _wait(tenant, _create(tenant, lines, endpoint=IMAGES).id)
    assert batch.output_file_id is not None
    inline, linked = read_jsonl(tenant.openai().files.content(batch.output_file_id).read())
    pictures = [base64.b64decode(entry["b64_json"]) for entry in inline["response"]["body"]["data"]]
    assert [picture[:4] for picture in pictures] == [b"\x89PNG"] * 2
    assert pictures[0] != pictures[1]
    assert "b64_json" not in linked["response"]["body"]["data"][0]
    link = linked["response"]["body"]["data"][0]["url"]
    assert httpx2.get(link, trust_env=False).content[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("bad", "line", "param", "code"),
    [
        (b"{not json}\n", 2, "line", "invalid_json_line"),
        (chat_line(0), 2, "custom_id", "duplicate_custom_id"),
        ({"custom_id": "x", "method": "POST", "url": IMAGES, "body": {"model": "dall-e-2", "prompt": "x"}}, 2, "url",
         "mismatched_endpoint"),
        (chat_line(1, body={"model": "gpt-4o-mini", "messages": "hello"}), 2, "body.messages", None),
        (chat_line(1, body={"model": "gpt-9-nova", "messages": [{"role": "user", "content": "x"}]}), 2, "body.model",
         "model_not_found"),
        (chat_line(1, method="GET"), 2, "method", "invalid_method"),
    ],
)  # fmt: skip
def test_one_bad_line_refuses_the_file(tenant: LiveApi, bad: Any, line: int, param: str, code: str | None) -> None:
    batch = _wait(tenant, _create(tenant, [chat_line(0), bad, chat_line(2)]).id)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert batch.errors.object == "list"
    [error] = batch.errors.data or []
    assert (error.line, error.param) == (line, param)
    assert code is None or error.code == code
    assert error.message
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert _of_tenant(tenant, "jobs") == 0
    assert "pressroom" not in [b.status for b in tenant.openai().batches.list()]


def test_all_bad_lines_are_told_at_once(tenant: LiveApi) -> None:
    lines = [chat_line(0), *(chat_line(n, method="PUT") for n in range(1, 151))]
    batch = _wait(tenant, _create(tenant, lines).id)
    assert batch.errors is not None
    errors = batch.errors.data or []
    assert [error.line for error in errors[:100]] == list(range(2, 102))
    assert (errors[100].code, len(errors)) == ("more", 101)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"completion_window": "25x"}, "completion_window"),
        ({"completion_window": "31d"}, "completion_window"),
        ({"completion_window": "0h"}, "completion_window"),
        ({"endpoint": "/v1/nothing"}, "endpoint"),
        ({"input_file_id": "file-nothing"}, "input_file_id"),
        ({"input_file_id": "file-" + "0" * 32}, "input_file_id"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds"),
    ],
)
def test_a_request_that_cannot_be_is_refused_at_once(tenant: LiveApi, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        _create(tenant, [chat_line(0)], **changes)
    assert refused.value.param == param
    assert _of_tenant(tenant, "batches") == 0


def test_a_window_is_the_deadline_of_the_jobs(tenant: LiveApi) -> None:
    made = _create(tenant, [chat_line(0)], completion_window="7d")
    assert made.expires_at == made.created_at + 7 * 86_400
    _wait(tenant, made.id)
    late = tenant.system.scalar(
        "SELECT max(abs(extract(epoch FROM j.deadline - b.deadline))) FROM jobs j JOIN batches b ON b.id = j.batch_id"
        " WHERE b.id = :id",
        id=_id(made),
    )
    assert late == 0


def test_jobs_that_miss_the_window_expire(tenant: LiveApi) -> None:
    with _held_up(tenant):
        made = _create(tenant, [chat_line(n) for n in range(3)])
        _wait(tenant, made.id, ("in_progress",))
        _execute(tenant, "UPDATE jobs SET deadline = now() WHERE batch_id = :id", _id(made))
        batch = _wait(tenant, made.id)
    assert batch.status == "expired"
    assert batch.expired_at is not None
    assert batch.output_file_id is None
    assert batch.error_file_id is not None
    lines = read_jsonl(tenant.openai().files.content(batch.error_file_id).read())
    assert [line["error"]["code"] for line in lines] == ["batch_expired"] * 3
    assert [line["response"] for line in lines] == [None] * 3


def test_a_cancelled_batch_keeps_what_was_done(tenant: LiveApi) -> None:
    client = tenant.openai()
    with _held_up(tenant):
        made = _create(tenant, [chat_line(n) for n in range(5)])
        _wait(tenant, made.id, ("in_progress",))
        cancelled = client.batches.cancel(made.id)
        assert cancelled.status in ("cancelling", "cancelled")
        assert cancelled.cancelling_at is not None
        batch = _wait(tenant, made.id)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    assert batch.error_file_id is not None
    lines = read_jsonl(client.files.content(batch.error_file_id).read())
    assert [line["error"]["code"] for line in lines] == ["batch_cancelled"] * 5
    assert client.batches.cancel(made.id).status == "cancelled"


def test_a_batch_that_is_over_cannot_be_cancelled(tenant: LiveApi) -> None:
    batch = _wait(tenant, _create(tenant, [chat_line(0)]).id)
    with pytest.raises(openai.ConflictError, match="completed"):
        tenant.openai().batches.cancel(batch.id)


def test_results_can_be_read_while_it_runs(tenant: LiveApi) -> None:
    client = tenant.openai()
    made = _create(tenant, [chat_line(n) for n in range(4)])
    whole = _wait(tenant, made.id)
    assert whole.output_file_id is not None
    finished = client.files.content(whole.output_file_id).read()
    # As it was before its files were written, with one job still to come.
    _execute(tenant, "UPDATE batches SET input_file_id = NULL, finalized_at = NULL WHERE id = :id", _id(made))
    assert client.files.content(whole.output_file_id).read() == finished
    partial = client.files.retrieve(whole.output_file_id)
    assert (partial.id, partial.purpose, partial.status, partial.bytes) == (
        whole.output_file_id, "batch_output", "uploaded", 0,
    )  # fmt: skip
    with pytest.raises(openai.ConflictError):
        client.files.delete(whole.output_file_id)


def test_batches_come_in_pages_newest_first(tenant: LiveApi) -> None:
    client = tenant.openai()
    made = [_create(tenant, [chat_line(n)]).id for n in range(3)]
    page = client.batches.list(limit=2)
    assert [batch.id for batch in page.data] == made[:0:-1]
    assert page.has_more is True
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]


def test_batches_of_others_are_not_there(tenant: LiveApi) -> None:
    made = _create(tenant, [chat_line(0)])
    stranger = tenant.openai(tenant.other_key)
    for call in (stranger.batches.retrieve, stranger.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    assert made.id not in [batch.id for batch in stranger.batches.list()]
    with pytest.raises(openai.BadRequestError):
        stranger.batches.create(
            input_file_id=made.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )


def test_a_batch_of_the_command_line_shows_with_its_results(tenant: LiveApi, tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(as_jsonl([chat_line(0), picture_line(1)]))
    new = ingest(tenant.system.engine, path, options=IngestOptions(base_url=SANDBOX, project_id=tenant.project_id))
    batch = _wait(tenant, show_id("batch", new.id))
    shown = batch.to_dict()
    assert [shown[name] for name in ("status", "input_file_id", "endpoint", "model")] == ["completed", None, None, None]
    assert batch.completed_at is not None
    assert batch.output_file_id is not None
    lines = read_jsonl(tenant.openai().files.content(batch.output_file_id).read())
    assert [line["custom_id"] for line in lines] == ["q-0", "p-1"]


def test_output_files_expire_as_asked(tenant: LiveApi) -> None:
    expires = {"anchor": "created_at", "seconds": 7200}
    batch = _wait(tenant, _create(tenant, [chat_line(0)], output_expires_after=expires).id)
    assert batch.output_file_id is not None
    file = tenant.openai().files.retrieve(batch.output_file_id)
    assert file.expires_at == file.created_at + 7200


def test_an_input_file_deleted_after_the_request_is_still_taken_in(tenant: LiveApi) -> None:
    made = _create(tenant, [chat_line(0)])
    tenant.openai().files.delete(made.input_file_id)
    assert _wait(tenant, made.id).status == "completed"


def _create(tenant: LiveApi, lines: list[Any], **changes: Any) -> Batch:
    client = tenant.openai()
    file = client.files.create(file=("requests.jsonl", as_jsonl(lines)), purpose="batch")
    asked: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **changes}
    return client.batches.create(**asked)


def _wait(tenant: LiveApi, batch_id: str, statuses: tuple[str, ...] = _OVER) -> Batch:
    client = tenant.openai()
    deadline = time.monotonic() + _SECONDS
    while (batch := client.batches.retrieve(batch_id)).status not in statuses:
        assert time.monotonic() < deadline, f"{batch}\n{tenant.system.last_words()}"
        time.sleep(0.1)
    return batch


class _held_up:
    """The tenant's project is paused for the block: its jobs stay queued."""

    def __init__(self, tenant: LiveApi) -> None:
        self._tenant = tenant

    def __enter__(self) -> None:
        _execute(self._tenant, "UPDATE projects SET paused_at = now() WHERE id = :id", self._tenant.project_id)

    def __exit__(self, *_: object) -> None:
        _execute(self._tenant, "UPDATE projects SET paused_at = NULL WHERE id = :id", self._tenant.project_id)


def _execute(tenant: LiveApi, query: str, id_: UUID) -> None:
    with tenant.system.engine.begin() as conn:
        conn.execute(text(query), {"id": id_})


def _of_tenant(tenant: LiveApi, table: str) -> int:
    return int(tenant.system.scalar(f"SELECT count(*) FROM {table} WHERE project_id = :id", id=tenant.project_id))


def _id(batch: Batch) -> UUID:
    return parse_id("batch", batch.id)
