#!/usr/bin/env bash
# Runs the tests in parallel, one process per core up to four, and then, one by one, the tests marked `alone`.
# usage: scripts/test.sh [OPTION OF PYTEST]…
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0 none=0
run() {
    .venv/bin/python -m pytest -q "$@"
    case $? in
    0) ;;
    1) failed=1 ;;
    5) none=$((none + 1)) ;; # no test was selected
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
