#!/usr/bin/env bash
# Prints the newest Python that lambdad supports and that really runs (a pyenv shim may lead nowhere).
set -euo pipefail
for name in python3.14 python3.13 python3.12 python3.11 python3; do
    path=$(command -v "$name" 2> /dev/null) || continue
    if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
        echo "$path"
        exit 0
    fi
done
echo "lambdad needs Python 3.11 or newer, and none is on PATH. Debian 12, Ubuntu 24.04 and newer have it: apt-get install python3" >&2
exit 1
