"""The locks are what pyproject.toml asks for, with hashes and without addresses; the check sees when they are not."""

import pytest
from packaging.requirements import Requirement

from tools.check_locks import Covers, faults, main, requirements_of

LOCK = """\
alpha==1.2 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via pressroom (pyproject.toml)
beta==3.0 ; sys_platform == 'linux' \\
    --hash=sha256:cc
    # via
    #   pressroom (pyproject.toml:dev)
    #   alpha
gamma==0.1 \\
    --hash=sha256:dd
    # via alpha
"""
WANTED = [Requirement("Alpha>=1"), Requirement("beta[extra]<4")]


def test_a_fresh_lock_has_no_faults() -> None:
    assert faults(LOCK, WANTED) == []


@pytest.mark.parametrize(
    ("lock", "wanted", "fault"),
    [
        (LOCK, [*WANTED, Requirement("delta")], "delta is not locked"),
        (LOCK, [Requirement("alpha>=2"), WANTED[1]], "alpha==1.2 does not satisfy alpha>=2"),
        (LOCK, WANTED[:1], "beta is no longer asked for"),
        (LOCK.replace("    --hash=sha256:dd\n", ""), WANTED, "gamma==0.1 has no hash"),
        ("--find-links https://example.org/\n" + LOCK, WANTED, "carries an address: --find-links https://example.org/"),
    ],
)
def test_each_way_to_fall_behind_is_seen(lock: str, wanted: list[Requirement], fault: str) -> None:
    assert faults(lock, wanted) == [fault]


def test_extras_and_groups_open_into_one_another() -> None:
    pyproject = {
        "project": {
            "name": "pressroom",
            "dependencies": ["alpha"],
            "optional-dependencies": {"all": ["pressroom[some]", "beta"], "some": ["gamma>1"]},
        },
        "dependency-groups": {"dev": [{"include-group": "build"}, "delta"], "build": ["epsilon"]},
    }

    everything = requirements_of(pyproject, Covers(extras=("all",), groups=("dev",)))
    only_build = requirements_of(pyproject, Covers(project=False, groups=("build",)))

    assert sorted(map(str, everything)) == ["alpha", "beta", "delta", "epsilon", "gamma>1"]
    assert list(map(str, only_build)) == ["epsilon"]


def test_our_locks_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().out
