"""Each import contract can fail: a copy of the tree with one wrong import breaks exactly the rule that forbids it."""

import configparser
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, python_files

NOT_SHIPPED = {"tests", "benchmarks", "tools", "examples"}
_LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def _config() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    return config


def _packages() -> set[str]:
    """The top-level packages that the tree has."""
    return {path.parts[0] for path in python_files() if len(path.parts) > 1 and path.name == "__init__.py"}


def _lint(folder: Path, *, only: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the contracts, or only one of them, on a copy of the tree."""
    config = _config()
    for section in config.sections():
        if only is not None and section not in {"importlinter", f"importlinter:contract:{only}"}:
            config.remove_section(section)
    with (folder / ".importlinter").open("w") as file:
        config.write(file)
    # The copy comes first on the path, or the installed packages would be checked instead.
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {_LINT}"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree's packages, in a folder of the test's own."""
    for path in python_files():
        if path.parts[0] in _packages() - NOT_SHIPPED:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_every_package_is_under_the_contracts() -> None:
    named = set(_config()["importlinter"]["root_packages"].split())

    assert named == _packages() - NOT_SHIPPED


def test_every_package_is_shipped() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = {name.rstrip("*") for name in pyproject["tool"]["setuptools"]["packages"]["find"]["include"]}

    assert _packages() - NOT_SHIPPED <= shipped


def test_the_tree_keeps_every_contract(copy: Path) -> None:
    ran = _lint(copy)

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("cli/stray.py", "import worker", "arrows"),
        ("worker/stray.py", "import cli", "arrows"),
        ("pressroom/stray.py", "import cli", "arrows"),
        ("pressroom/stray.py", "import migrations.migrate", "arrows"),
        ("models/stray.py", "import pressroom", "arrows"),
        ("pressroom/money/stray.py", "import pressroom.jobs", "house"),
        ("pressroom/providers/stray.py", "from pressroom.batches import anything", "house"),
        ("sandbox/stray.py", "import pressroom.errors", "sandbox-imports-nothing"),
        ("cli/stray.py", "import sandbox.app", "sandbox-is-a-program"),
        ("migrations/stray.py", "import pressroom.settings", "migrations-know-tables"),
        ("models/stray.py", "import orjson", "models-know-sqlalchemy"),
        ("worker/stray.py", "import tests", "no-tests-in-the-product"),
        ("pressroom/jobs/stray.py", "import openai", "vendor-openai"),
        ("worker/stray.py", "from httpx2 import Response", "vendor-http"),
        ("pressroom/images/stray.py", "import boto3", "vendor-s3"),
        ("cli/stray.py", "from botocore.exceptions import ClientError", "vendor-s3"),
        ("cli/stray.py", "from PIL import Image", "vendor-pillow"),
        ("pressroom/jobs/stray.py", "import celery", "vendor-celery"),
        ("cli/stray.py", "def late() -> None:\n    import kombu", "vendor-celery"),
        ("pressroom/stray.py", "from alembic import command", "vendor-alembic"),
        ("pressroom/stray.py", "import typer", "vendor-terminal"),
        ("pressroom/client/stray.py", "from rich.table import Table", "vendor-rich"),
        ("pressroom/client/stray.py", "from pressroom.jobs.submit import NewJob", "house"),
        ("pressroom/money/stray.py", "from pressroom.client import Pressroom", "client-is-a-door"),
    ],
)
def test_a_wrong_import_breaks_its_contract(copy: Path, module: str, line: str, contract: str) -> None:
    (copy / module).write_text(line + "\n")

    ran = _lint(copy, only=contract)

    assert ran.returncode == 1, ran.stdout + ran.stderr
    printed = " ".join(ran.stdout.split())
    assert f"{_config()[f'importlinter:contract:{contract}']['name']} BROKEN" in printed


def test_a_cycle_breaks_its_contract(copy: Path) -> None:
    (copy / "pressroom/money/stray.py").write_text("import pressroom.catalog.stray\n")
    (copy / "pressroom/catalog/stray.py").write_text("import pressroom.money.stray\n")

    assert "No import cycles BROKEN" in " ".join(_lint(copy, only="cycles").stdout.split())
