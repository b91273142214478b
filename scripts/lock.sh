#!/usr/bin/env bash
# Writes requirements.lock: the exact versions of all packages in .venv except this project.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
{
    "$python" -c 'import platform, sys
print(f"# What the figures of the README are from: Python {platform.python_version()} on {sys.platform}; `make lock` writes it.")
print("#   pip install -r requirements.lock && pip install --no-deps -e .")'
    "$python" -m pip --disable-pip-version-check freeze --exclude-editable --exclude face-tuning | LC_ALL=C sort -f
} >requirements.lock.new
# A line with a location (name @ file:… or https:…) is valid on this machine only.
if grep -nE ' @ |^-e |://' requirements.lock.new; then
    rm requirements.lock.new
    echo "error: the lines above name a place instead of a version" >&2
    echo "  → remove .venv and run make lock again" >&2
    exit 4
fi
mv requirements.lock.new requirements.lock
echo "wrote requirements.lock: $(grep -c == requirements.lock) packages"
