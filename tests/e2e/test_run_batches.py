"""Whole batches through `pressroom run`: every line answered once, every cent right, every picture there."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pressroom.local_stack import LocalStack
from pressroom.storage import ObjectStore
from tests.e2e.command import PARTI_PROMPTS, Command, command_with
from tests.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

# Not read from our catalog: OPENAI's published figures, so that the sum is checked against something else than itself.
USD_PER_IMAGE = {"256x256": Decimal("0.016"), "512x512": Decimal("0.018"), "1024x1024": Decimal("0.020")}
USD_PER_TOKEN = {"prompt": Decimal("0.15") / 10**6, "cached": Decimal("0.075") / 10**6, "out": Decimal("0.60") / 10**6}


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        process.configure(
            latency={"chat": {"kind": "fixed", "seconds": 0.1}, "images": {"kind": "fixed", "seconds": 0.2}}
        )
        yield process


@pytest.fixture
def pressroom(sandbox: SandboxProcess) -> Iterator[Command]:
    with command_with(sandbox.base_url) as command:
        yield command


def mixed_lines(count: int) -> Iterator[dict[str, Any]]:
    """Texts and pictures in turn, of every size, of one to three pictures."""
    sizes = list(USD_PER_IMAGE)
    for number in range(count):
        if number % 5:
            content = f"Say in one sentence what the number {number} is good for."
            body: dict[str, Any] = {
                "model": "gpt-4o-mini",
                "max_tokens": 40 + number % 30,
                "messages": [{"role": "user", "content": content}],
            }
            url = "/v1/chat/completions"
        else:
            kind = number // 5
            size = sizes[0] if kind % 10 else sizes[1 + kind // 10 % 2]
            body = {
                "model": "dall-e-2",
                "prompt": f"The number {number} as a mountain",
                "size": size,
                "n": 1 + kind % 3,
            }
            if kind % 50 == 1:
                body["response_format"] = "b64_json"
            url = "/v1/images/generations"
        yield {"custom_id": f"line-{number}", "method": "POST", "url": url, "body": body}


def recomputed(requests: dict[str, dict[str, Any]], answers: dict[str, dict[str, Any]]) -> Decimal:
    """What the answers cost, from the answers themselves."""
    total = Decimal(0)
    for custom_id, line in answers.items():
        body, request = line["response"]["body"], requests[custom_id]["body"]
        if "data" in body:
            total += len(body["data"]) * USD_PER_IMAGE[request["size"]]
        else:
            usage = body["usage"]
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            total += (usage["prompt_tokens"] - cached) * USD_PER_TOKEN["prompt"] + cached * USD_PER_TOKEN["cached"]
            total += usage["completion_tokens"] * USD_PER_TOKEN["out"]
    return total


def read_answers(path: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    counts = Counter(line["custom_id"] for line in lines)
    assert [custom_id for custom_id, count in counts.items() if count > 1] == []
    return {line["custom_id"]: line for line in lines}


def read_pictures(data_dir: Path, urls: list[str]) -> list[tuple[int, int]]:
    """Sizes of the stored pictures, each fetched from the bucket and decoded."""
    with LocalStack(data_dir) as stack:
        store = ObjectStore(
            stack.s3_bucket,
            endpoint_url=stack.s3_endpoint_url,
            access_key_id=stack.s3_access_key_id,
            secret_access_key=stack.s3_secret_access_key.get_secret_value(),
        )

        def size(url: str) -> tuple[int, int]:
            data = store.get(url.removeprefix(f"s3://{stack.s3_bucket}/"), max_bytes=10_000_000)
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                return picture.size

        with ThreadPoolExecutor(4) as threads:
            return list(threads.map(size, urls))


def test_a_mixed_batch_of_5000_lines(pressroom: Command, sandbox: SandboxProcess, tmp_path: Path) -> None:
    requests = {line["custom_id"]: line for line in mixed_lines(5000)}
    batch = tmp_path / "mixed.jsonl"
    batch.write_text("".join(json.dumps(line) + "\n" for line in requests.values()), encoding="utf-8")

    ended = pressroom.run("run", str(batch), "--output", str(tmp_path / "out.jsonl"), "--json", "--yes", seconds=360)

    assert ended.code == 0, ended.stderr[-4000:]
    assert ended.summary["total"] == ended.summary["succeeded"] == 5000
    assert ended.summary["sandbox"] is True
    answers = read_answers(tmp_path / "out.jsonl")
    assert answers.keys() == requests.keys()
    assert all(line["sandbox"] and line["error"] is None for line in answers.values())
    assert Decimal(ended.summary["cost_usd"]) == recomputed(requests, answers)
    stats = sandbox.stats()
    assert stats["totals"]["calls"] == 5000
    assert stats["client_request_ids"]["distinct"] == 5000
    assert stats["requests"]["answered_more_than_once"] == 0
    entries = [(i, e) for i, line in answers.items() for e in line["response"]["body"].get("data", [])]
    assert len(entries) == sum(r["body"].get("n", 0) for r in requests.values())
    inline = [e for i, e in entries if "b64_json" in e]
    assert len(inline) == sum(
        r["body"]["n"] for r in requests.values() if r["body"].get("response_format") == "b64_json"
    )
    stored = [(requests[i]["body"]["size"], e["url"]) for i, e in entries if "url" in e]
    found = read_pictures(pressroom.data_dir, [url for _, url in stored])
    assert [f"{width}x{height}" for width, height in found] == [size for size, _ in stored]


@pytest.mark.skipif(not PARTI_PROMPTS.exists(), reason="needs ../shared/data")
def test_the_parti_prompts(pressroom: Command, sandbox: SandboxProcess, tmp_path: Path) -> None:
    with PARTI_PROMPTS.open(encoding="utf-8", newline="") as file:
        prompts = [row["Prompt"] for row in csv.DictReader(file, delimiter="\t")]
    assert len(prompts) == 1632
    out = tmp_path / "parti.jsonl"

    ended = pressroom.run(
        *("run", str(PARTI_PROMPTS), "--column", "Prompt", "--model", "dall-e-2", "--size", "256x256"),
        *("--output", str(out), "--json", "--yes"),
        seconds=300,
    )

    assert ended.code == 0, ended.stderr[-4000:]
    assert ended.summary["succeeded"] == 1632
    assert Decimal(ended.summary["cost_usd"]) == 1632 * USD_PER_IMAGE["256x256"]
    assert sandbox.stats()["totals"]["calls"] == 1632
    answers = read_answers(out)
    urls = [line["response"]["body"]["data"][0]["url"] for line in answers.values()]
    assert len(set(urls)) == 1632
    assert set(read_pictures(pressroom.data_dir, urls)) == {(256, 256)}


def test_the_same_input_again_pays_nothing(pressroom: Command, sandbox: SandboxProcess, tmp_path: Path) -> None:
    batch = tmp_path / "few.jsonl"
    batch.write_text("".join(json.dumps(line) + "\n" for line in mixed_lines(30)), encoding="utf-8")
    first = pressroom.run("run", str(batch), "--output", str(tmp_path / "1.jsonl"), "--json", "--yes")
    calls = sandbox.stats()["totals"]["calls"]

    second = pressroom.run("run", str(batch), "--output", str(tmp_path / "2.jsonl"), "--json", "--yes")

    assert first.code == second.code == 0, second.stderr
    assert second.summary["batch_id"] == first.summary["batch_id"]
    assert sandbox.stats()["totals"]["calls"] == calls == 30
    assert (tmp_path / "1.jsonl").read_text() == (tmp_path / "2.jsonl").read_text()


def test_a_bad_line_stops_the_batch_before_anything_is_spent(
    pressroom: Command, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    lines = [json.dumps(line) for line in mixed_lines(20)]
    lines[12] = lines[12].replace("gpt-4o-mini", "gpt-4o-minni")
    (tmp_path / "bad.jsonl").write_text("\n".join(lines), encoding="utf-8")

    ended = pressroom.run("run", str(tmp_path / "bad.jsonl"), "--yes")

    assert ended.code == 2
    assert "bad.jsonl: line 13" in ended.stderr
    assert "gpt-4o-minni" in ended.stderr
    assert sandbox.stats()["totals"]["calls"] == 0
