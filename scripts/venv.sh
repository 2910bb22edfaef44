#!/usr/bin/env bash
# Usage: venv.sh [GROUP...]
# Makes or updates .venv with the project (editable) and these dependency groups. Quick when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(scripts/find-python.sh)
stamp=$(cat pyproject.toml - <<< "$*" | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/.stamp 2> /dev/null)" = "$stamp" ] && .venv/bin/python -c '' 2> /dev/null; then
    exit 0
fi
.venv/bin/python -c '' 2> /dev/null || "$python" -m venv --clear .venv
echo "installing into .venv ($(.venv/bin/python --version))"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Dependency groups came with pip 25.1; the one in a fresh venv may be older.
.venv/bin/python -m pip install -qq --upgrade 'pip>=25.1'
groups=()
for group in "$@"; do groups+=(--group "$group"); done
.venv/bin/python -m pip install -qq -e . "${groups[@]}"
echo "$stamp" > .venv/.stamp
