#!/usr/bin/env bash
# Usage: system-packages.sh PURPOSE
# Says which Debian packages PURPOSE lacks (system-packages.txt) and why it needs them, then installs them.
set -euo pipefail
cd "$(dirname "$0")"
purpose=$1
PATH="$PATH:/usr/sbin:/sbin"

is_present() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" > /dev/null ;;
    esac
}

missing=()
while IFS='|' read -r purposes probe package reason; do
    case $purposes in '#'* | '') continue ;; esac
    [[ " $purposes " == *" $purpose "* ]] || continue
    read -r probe <<< "$probe"
    read -r package <<< "$package"
    if ! is_present "$probe"; then
        missing+=("$package")
        echo "missing: $package:$reason"
    fi
done < system-packages.txt

# Debian and Ubuntu keep a part of `python3 -m venv` in a package of its own.
python=$(./find-python.sh)
if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
    package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    missing+=("$package")
    echo "missing: $package: makes the virtual environment"
fi

[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get > /dev/null; then
    echo "This is not Debian or Ubuntu: install them with your package manager and run this again." >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null; then
        echo "Not root, and there is no sudo. As root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "installing them takes root: asking sudo"
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" < /dev/null
