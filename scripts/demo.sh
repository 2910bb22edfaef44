#!/usr/bin/env bash
# `make demo`: lambdad as a newcomer installs it, in a virtual environment of its own, gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(scripts/find-python.sh)
temporary=$(mktemp -d "${TMPDIR:-/tmp}/lambdad-demo-XXXXXX")
trap 'rm -rf "$temporary"' EXIT
echo "installing lambdad with $("$python" --version) into a temporary virtual environment ..."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
"$python" -m venv "$temporary/venv"
# From a copy, so that the build leaves nothing in the clone.
mkdir "$temporary/source"
cp -r pyproject.toml LICENSE README.md src "$temporary/source/"
"$temporary/venv/bin/python" -m pip install -qq "$temporary/source"
# Not exec: the trap removes the directory in the end. Ctrl-C reaches both.
"$temporary/venv/bin/python" scripts/demo.py "$temporary"
