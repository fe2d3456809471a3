"""`--limit` against the input: a model that is not asked for is a mistake, told before anything is stored."""

import json
from pathlib import Path

import pytest

from cli.limits import check_models, read_limits
from pressroom.batches.read_input import PromptOptions
from pressroom.errors import InvalidInput


def test_limits_name_models_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    models = ("gpt-4o-mini", "gpt-4o")
    requests = [
        {"custom_id": model, "method": "POST", "url": "/v1/chat/completions", "body": {"model": model, "messages": []}}
        for model in models
    ]
    path.write_text("\n".join(json.dumps(request) for request in requests))
    check_models(read_limits(["gpt-4o:rpm=5"]), path, PromptOptions())
    check_models({}, path, PromptOptions())
    with pytest.raises(InvalidInput) as refused:
        check_models(read_limits(["dall-e-2:ipm=5", "gpt-4o:rpm=5"]), path, PromptOptions())
    assert str(refused.value) == (
        "--limit: names a model that in.jsonl does not ask for (got dall-e-2). Its models are gpt-4o, gpt-4o-mini"
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("gpt-4o:rpm=0", "--limit gpt-4o: rpm: must be more than 0 (got 0.0)"),
        ("gpt-4o:rpm=inf", "--limit gpt-4o: rpm: must be a finite number (got inf). Leave it out"),
        ("gpt-4o:rpm=fast", "--limit gpt-4o: rpm: is not a number"),
        ("gpt-4o:concurrency=1.5", "--limit gpt-4o: concurrency: is not a number of calls"),
        ("gpt-4o:burst_seconds=99", "--limit gpt-4o: burst_seconds: is not a burst"),
        ("gpt-4o:rpm=1,rpm=2", "--limit gpt-4o: rpm: is given twice"),
    ],
)
def test_a_refusal_names_option_model_and_limit(option: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_limits([option])
    assert str(refused.value).startswith(said)
