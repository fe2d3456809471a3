"""The configuration refuses what it does not know, and says which field and what to do."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.config import ConfigError, parse_config, patch_config
from sandbox.main import load_config


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


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "sandbox.toml"
    broken.write_text("seed = ")

    with pytest.raises(ConfigError, match=r"sandbox\.toml: not valid toml"):
        load_config(broken)
