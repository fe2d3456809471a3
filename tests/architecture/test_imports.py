"""Importing any module opens no connection and starts no thread or process: that is for whoever calls it."""

import subprocess
import sys

from tests.architecture.tree import ROOT, python_files

SHIPPED = ("cli", "worker", "pressroom", "models", "migrations", "sandbox")
_AT_IMPORT_ONLY = """
import importlib, sys, threading

def refuse(event, args):
    if event in {"socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn"}:
        raise RuntimeError(f"{event} while {module} is imported: {args}")

sys.addaudithook(refuse)
for module in sys.argv[1:]:
    importlib.import_module(module)
    assert threading.active_count() == 1, f"{module} starts a thread when imported"
"""


def _modules() -> list[str]:
    """Every module that we ship, but the ones that are scripts."""
    paths = [path for path in python_files() if path.parts[0] in SHIPPED]
    dotted = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
    # migrations/env.py is run by Alembic, inside a migration.
    return [name for name in dotted if not name.endswith("__main__") and name != "migrations.env"]


def _import_all(modules: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _AT_IMPORT_ONLY, *modules], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_nothing_connects_at_import_time() -> None:
    ran = _import_all(_modules())

    assert ran.returncode == 0, ran.stderr


def test_a_module_that_connects_would_be_seen() -> None:
    ran = _import_all(["tests.architecture.connects_at_import"])

    assert "socket.connect while tests.architecture.connects_at_import is imported" in ran.stderr
