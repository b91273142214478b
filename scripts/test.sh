#!/usr/bin/env bash
# All tests: as many at a time as there are cores, up to four, then by themselves those that want the machine alone.
# usage: scripts/test.sh [OPTION OF PYTEST]…
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0 none=0
run() {
    .venv/bin/python -m pytest -q "$@"
    case $? in
    0) ;;
    1) failed=1 ;;
    5) none=$((none + 1)) ;; # no test of this half is meant
    *) exit 2 ;;
    esac
}
run -n auto --dist loadfile --no-loadscope-reorder "$@"
run --alone "$@"
if [ "$none" = 2 ]; then
    echo "error: no test is meant by: $*" >&2
    failed=1
fi
exit "$failed"
