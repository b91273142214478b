#!/usr/bin/env bash
# Creates .venv if it is missing or broken, then installs this project into it, with the requirements of EXTRA.
# usage: scripts/set_up.sh [EXTRA]
set -euo pipefail
cd "$(dirname "$0")/.."

requirement=".${1:+[$1]}"
python=.venv/bin/python

# A .venv whose creation was interrupted, or whose Python is gone, is created again.
if ! "$python" -c 'import pip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; then
    base=$(bash scripts/find_python.sh)
    echo "creating .venv with $("$base" --version) ($base)"
    "$base" -m venv --clear .venv
elif [ -n "${PYTHON:-}" ] && [ "$("$python" --version)" != "$("$PYTHON" --version 2>&1)" ]; then
    echo "note: .venv has $("$python" --version) already; \`make clean\` first has it made anew with $PYTHON"
fi

echo "installing packages into .venv (a few minutes the first time)"
"$python" -m pip install --quiet --disable-pip-version-check --editable "$requirement"
