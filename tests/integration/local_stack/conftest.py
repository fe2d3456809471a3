"""Data directories in the system's temporary directory, wiped after the test whatever it did to them."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pressroom.local_stack import LocalStack


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path that PostgreSQL's account can reach; pytest's own temporary directories are closed to it."""
    with _data_dir() as path:
        yield path


@pytest.fixture
def scratch_stack(data_dir: Path) -> LocalStack:
    """A stack of this test's own, not started. fsync is off."""
    return LocalStack(data_dir, durable=False)


@pytest.fixture(scope="package")
def lasting_stack() -> Iterator[LocalStack]:
    """A stack shared by the tests of this folder, fsync on as in real use."""
    with _data_dir() as path:
        yield LocalStack(path)


@contextlib.contextmanager
def _data_dir() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="pressroom-test-"))
    parent.chmod(0o711)
    path = parent / "dätä of 'mine'"  # every quoting that can go wrong, in every test
    yield path
    LocalStack(path).stop()
    shutil.rmtree(parent)
