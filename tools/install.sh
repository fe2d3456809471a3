#!/bin/sh
# Install Pressroom and its tools into a virtual environment: `tools/install.sh PYTHON VENV`.
#
# Everything that is downloaded is a wheel whose hash is in requirements/dev.txt; our own package is then built with the
# setuptools that came from there, so nothing outside the lock ever runs. `python -I` keeps a stray PYTHONPATH or user
# site from passing for an installed dependency.
set -eu

python=$1
venv=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "install: '$python' was not found. Install Python 3.11 or newer, or name one: make install PYTHON=/path/to/python3" >&2
    exit 3
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "install: $("$python" --version) is too old, 3.11 or newer is needed. Name another: make install PYTHON=python3.11" >&2
    exit 3
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "install: $("$python" --version) has no venv or ensurepip module. On Debian and Ubuntu: apt install python3-venv" >&2
    exit 3
fi

# A folder that was moved, or whose Python is gone or another one now, is made anew; a good one is brought up to date.
wanted=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
present=$("$venv/bin/python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
here=$("$venv/bin/python" -I -c 'import os, sys; print(os.path.samefile(sys.prefix, sys.argv[1]))' "$venv" 2>/dev/null || true)
if [ "$present" != "$wanted" ] || [ "$here" != True ]; then
    echo "install: making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

pip() {
    PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 "$venv/bin/python" -I -m pip --disable-pip-version-check --no-input "$@"
}

echo "install: the packages of requirements/dev.txt, from wheels with known hashes (a minute or two the first time)"
pip install -qq --no-compile --require-hashes --only-binary :all: -r requirements/dev.txt
pip install -qq --no-deps --no-build-isolation --no-index --editable .

# Bytecode, on all cores, which pip does on one. A package may carry files for another Python: those are not an error.
"$venv/bin/python" -I -m compileall -qq -j 0 "$venv/lib/python$wanted/site-packages" || true
