"""The demo's batch is valid, varied, bounded and the same every time."""

import ast
import hashlib
import json
import subprocess
import sys
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from examples.make_demo_batch import IMAGE_URL, TEXT_URL, demo_lines, main, summary_lines, write_demo_batch
from examples.pictographs import picture_prompts, subjects
from examples.standard_library import MAX_CHARACTERS, Document
from tests.unit.examples.checking import problems_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("demo") / "demo.jsonl"
    assert write_demo_batch(path) == 1600
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def of(url: str, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["body"] for line in batch if line["url"] == url]


def test_it_has_a_thousand_pictures_and_six_hundred_texts(batch: list[dict[str, Any]]) -> None:
    assert len(of(IMAGE_URL, batch)) == 1000
    assert len(of(TEXT_URL, batch)) == 600
    assert len({line["custom_id"] for line in batch}) == 1600
    assert all(line.keys() == {"custom_id", "method", "url", "body"} and line["method"] == "POST" for line in batch)
    assert all(1 <= len(line["custom_id"]) <= 64 for line in batch)


def test_pictures_and_texts_alternate_evenly(batch: list[dict[str, Any]]) -> None:
    texts = [index for index, line in enumerate(batch) if line["url"] == TEXT_URL]
    assert {after - before for before, after in pairwise(texts)} == {2, 3}


def test_prompts_are_all_different_and_within_the_models_bound(batch: list[dict[str, Any]]) -> None:
    pictures = of(IMAGE_URL, batch)
    prompts = [body["prompt"] for body in pictures]
    assert len(set(prompts)) == 1000
    assert all(60 < len(prompt) <= 1000 for prompt in prompts)
    assert all(body["size"] == "256x256" and body["model"] == "dall-e-2" and body["n"] == 1 for body in pictures)


def test_texts_carry_real_documentation_of_bounded_length(batch: list[dict[str, Any]]) -> None:
    asked = [body["messages"][1]["content"] for body in of(TEXT_URL, batch)]
    assert len(set(asked)) == 600
    assert all(180 < len(text) <= MAX_CHARACTERS + 120 for text in asked)
    assert all(0 < body["max_tokens"] <= 200 for body in of(TEXT_URL, batch))
    assert any("JSON (JavaScript Object Notation)" in text for text in asked)


def test_every_line_is_accepted_by_its_operation(batch: list[dict[str, Any]]) -> None:
    assert [(line["custom_id"], problems) for line in batch if (problems := problems_of(line))] == []


def test_it_is_the_same_in_another_process(tmp_path: Path) -> None:
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    write_demo_batch(here, 40, 30)
    command = [sys.executable, "-m", "examples.make_demo_batch", str(there), "--images", "40", "--texts", "30"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{there}: 70 requests\n"
    assert hashlib.sha256(here.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest()


def test_reading_the_library_imports_none_of_it() -> None:
    code = (
        "import sys, itertools\n"
        "from examples.standard_library import documents\n"
        "before = set(sys.modules)\n"
        "read = {d.name.split('.')[0] for d in itertools.islice(documents(), 400)}\n"
        "print(len(read), sorted(n for n in set(sys.modules) - before if not n.startswith('_sysconfigdata')))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    count, imported = done.stdout.split(" ", 1)
    assert int(count) > 50
    assert ast.literal_eval(imported) == []


@pytest.mark.parametrize(("images", "texts"), [(0, 0), (1, 0), (0, 1), (3, 2)])
def test_any_mix_can_be_asked_for(images: int, texts: int) -> None:
    urls = [line["url"] for line in demo_lines(images=images, texts=texts)]
    assert (urls.count(IMAGE_URL), urls.count(TEXT_URL)) == (images, texts)


def test_documents_come_back_with_another_question() -> None:
    lines = list(summary_lines(7, [Document("a", "About a."), Document("b.c", "About c."), Document("d", "About d.")]))
    asked = [line["body"]["messages"][1]["content"] for line in lines]
    assert [text.split("\n")[2][6] for text in asked] == ["a", "c", "d", "a", "c", "d", "a"]
    assert len(set(asked)) == 7
    assert [line["custom_id"] for line in lines[:2]] == ["a-0001", "b.c-0002"]


def test_subjects_are_used_once_before_any_returns() -> None:
    every = subjects()
    assert len(set(every)) == len(every) > 800
    lap = [subject for subject, _ in islice(picture_prompts(len(every)), len(every))]
    assert sorted(lap) == sorted(every)
    assert len({prompt for _, prompt in picture_prompts(3000)}) == 3000


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "missing" / "out.jsonl"), "--images", "1", "--texts", "0"])
    assert caught.value.code == 2
    assert "out.jsonl: cannot write the batch" in capsys.readouterr().err


def test_negative_counts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "out.jsonl"), "--images", "-1"])
    assert "-1 is negative: give 0 or more" in capsys.readouterr().err
