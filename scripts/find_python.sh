#!/usr/bin/env bash
# Prints the path of the newest Python from 3.11 to 3.13 that can create virtual environments.
# Looks on PATH and in pyenv. PYTHON=/path/to/python skips the search.
set -u

# Run the program: its existence proves nothing, because pyenv has shims for versions that are not active.
suits() {
    "$1" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

can_install() {
    "$1" -c 'import ensurepip' >/dev/null 2>&1
}

candidates() {
    if [ -n "${PYTHON:-}" ]; then
        printf '%s\n' "$PYTHON"
        return
    fi
    local version
    for version in 3.13 3.12 3.11; do
        printf '%s\n' "python$version"
        ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python 2>/dev/null | sort -rV
    done
    printf '%s\n' python3 python
}

lacking=""
while IFS= read -r candidate; do
    suits "$candidate" || continue
    if can_install "$candidate"; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
    lacking="${lacking:-$candidate}"
done < <(candidates)

if [ -n "$lacking" ]; then
    version=$("$lacking" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    echo "error: $lacking suits, but cannot create virtual environments: its ensurepip module is missing" >&2
    echo "  → on Debian or Ubuntu: sudo apt install $version-venv" >&2
elif [ -n "${PYTHON:-}" ]; then
    echo "error: PYTHON=$PYTHON is not a working Python 3.11, 3.12 or 3.13" >&2
    echo "  → give the path of one that is" >&2
else
    echo "error: found no Python 3.11, 3.12 or 3.13 (python3 is: $(python3 --version 2>/dev/null || echo missing))" >&2
    echo "  → install one (https://www.python.org/downloads, or your package manager), or run: make PYTHON=/path/to/python …" >&2
fi
exit 4
