"""A virtual environment for each rival: their pins contradict ours and one another's. Made on demand, and kept."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "out" / "rivals"
LOCKS = ROOT / "requirements"
_PIP = ("-I", "-m", "pip", "--disable-pip-version-check", "--no-input")


def lock_of(name: str) -> Path:
    """The hashed lock of a rival."""
    return LOCKS / f"rivals-{name}.txt"


def python_of(name: str) -> Path:
    """The interpreter of a rival's environment, which is made or made anew when it is not what the lock says."""
    lock, place = lock_of(name), ENVIRONMENTS / name
    python, made_of = place / "bin" / "python", place / "made-of"
    wanted = f"{sys.version_info[:2]} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    if python.exists() and made_of.exists() and made_of.read_text() == wanted:
        return python
    print(f"installing {name} into {place} (once)", flush=True)
    if place.exists():
        shutil.rmtree(place)
    _run(sys.executable, "-I", "-m", "venv", str(place))
    # The lock is whole: without --no-deps, pip stumbles over extras of what it pins.
    options = ("-q", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    _run(str(python), *_PIP, "install", *options, "-r", str(lock))
    made_of.write_text(wanted)
    return python


def _run(*command: str) -> None:
    if subprocess.run(command).returncode != 0:
        raise SystemExit(f"a rival could not be installed, see above; try it by hand: {' '.join(command)}")
