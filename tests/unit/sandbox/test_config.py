"""The configuration refuses what it does not know, and says which field and what to do."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from sandbox.config import (
    ChatText,
    Config,
    ConfigError,
    FaultKind,
    FaultRule,
    Limits,
    Match,
    ModelSpec,
    parse_config,
    patch_config,
)
from sandbox.main import load_config

DOCUMENT = Path(__file__).parents[3] / "docs" / "sandbox.md"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"limts": {}}, ["limts: no such field", "limits"]),
        ({"limits": {"gpt-4o-mini": {"rpn": 5}}}, ["limits.gpt-4o-mini.rpn: no such field"]),
        ({"limits": {"gpt-4o-mini": {"rpm": -5}}}, ["limits.gpt-4o-mini.rpm", "greater than 0", "-5"]),
        ({"limits": {"gpt-5o": {"rpm": 5}}}, ["limits.gpt-5o: no such model", "gpt-4o-mini"]),
        ({"foreign": {"*": {"rpm": 5}}}, ["foreign.*: no such model"]),
        ({"latency": {"chat": {"kind": "uniform", "low": 2, "high": 1}}}, ["latency.chat.uniform", "swap them"]),
        ({"latency": {"chat": {"kind": "slow"}}}, ["latency.chat", "'fixed', 'uniform', 'lognormal'"]),
        ({"faults": [{"fault": "explode"}]}, ["faults.0.fault", "http_500"]),
        ({"faults": [{"fault": "auth", "match": {"endpoint": "files"}}]}, ["auth cannot happen to files"]),
        ({"faults": [{"fault": "cut", "match": {"probability": 2}}]}, ["faults.0.match.probability"]),
        ({"models": {"a": {"endpoint": "chat", "shares_limits_with": "b"}}}, ["'b' is not in models"]),
    ],
)
def test_refusals_name_field_and_remedy(data: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(data)

    for word in words:
        assert word in str(caught.value)


def test_a_patch_changes_what_it_names_and_nothing_else() -> None:
    config = parse_config({"limits": {"gpt-4o-mini": {"rpm": 60, "tpm": 1000}}, "seed": 3})

    patched = patch_config(config, {"limits": {"gpt-4o-mini": {"tpm": None}, "dall-e-2": {"ipm": 5}}})

    assert patched.limits["gpt-4o-mini"].rpm == 60
    assert patched.limits["gpt-4o-mini"].tpm is None
    assert patched.limits["dall-e-2"].ipm == 5
    assert patched.seed == 3


def test_a_patch_can_change_the_kind_of_a_latency() -> None:
    patched = patch_config(parse_config({}), {"latency": {"chat": {"kind": "fixed", "seconds": 0}}})

    assert patched.latency.chat.model_dump() == {"kind": "fixed", "seconds": 0}
    assert patched.latency.images.kind == "lognormal"


def test_a_patch_removes_a_model_with_null() -> None:
    assert "dall-e-2" not in patch_config(parse_config({}), {"models": {"dall-e-2": None}}).models


def test_a_dump_reads_back() -> None:
    config = parse_config({"faults": [{"fault": "cut", "match": {"every": 3}}], "limits": {"*": {"rpm": 5}}})

    assert parse_config(config.model_dump(mode="json")) == config


def test_files_may_be_json_or_toml(tmp_path: Path) -> None:
    toml = tmp_path / "sandbox.toml"
    toml.write_text('seed = 7\n[limits."gpt-4o-mini"]\nrpm = 600\n')
    other = tmp_path / "sandbox.json"
    other.write_text('{"seed": 7, "limits": {"gpt-4o-mini": {"rpm": 600}}}')

    assert load_config(toml) == load_config(other)
    assert load_config(toml).limits["gpt-4o-mini"].rpm == 600


def test_the_documented_configuration_loads() -> None:
    example = re.search(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)

    assert example is not None
    config = parse_config(tomllib.loads(example[1]))
    assert set(tomllib.loads(example[1])) == set(Config.model_fields)
    assert config.limits["gpt-4o-mini"].rpm == 600


def test_every_field_and_fault_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").replace("`…_", "`rate_limit_")
    fields = {name for model in (Limits, FaultRule, Match, ModelSpec, ChatText) for name in model.model_fields}
    # Those of a model that only matter when one is added, and are explained where they are defined.
    fields -= {"context_window", "max_output_tokens", "shares_limits_with"}

    assert [name for name in fields if not re.search(rf"\b{name}\b", text)] == []
    assert [kind for kind in get_args(FaultKind) if f"`{kind}`" not in text] == []


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "sandbox.toml"
    broken.write_text("seed = ")

    with pytest.raises(ConfigError, match=r"sandbox\.toml: not valid toml"):
        load_config(broken)
