"""The example files that are kept in the repository."""

import json
from pathlib import Path

from tests.unit.examples.checking import problems_of

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_small_batch_is_valid_and_mixed() -> None:
    lines = [json.loads(line) for line in (EXAMPLES / "small.jsonl").read_text("utf-8").splitlines()]
    assert 10 <= len(lines) <= 15
    assert len({line["custom_id"] for line in lines}) == len(lines)
    assert {line["body"]["model"] for line in lines} == {"dall-e-2", "gpt-4o-mini"}
    assert [problem for line in lines for problem in problems_of(line)] == []


def test_each_prompt_of_the_list_is_one_line_that_dall_e_2_takes() -> None:
    prompts = (EXAMPLES / "prompts.txt").read_text("utf-8").splitlines()
    assert len(prompts) == len(set(prompts)) >= 15
    bodies = [{"model": "dall-e-2", "prompt": prompt, "size": "256x256"} for prompt in prompts]
    lines = [{"url": "/v1/images/generations", "body": body} for body in bodies]
    assert [problem for line in lines for problem in problems_of(line)] == []


def test_the_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    for name in ("small.jsonl", "prompts.txt", "make_demo_batch"):
        assert name in text
