#!/usr/bin/env bash
# Builds the wheel, installs it in an empty environment outside the repository, and runs it there from demo to promoted
# model.
# usage: scripts/check_wheel.sh [--reuse]
# Packages come from the index or pip's cache, as for any user. With --reuse (seconds instead of minutes), the new
# environment uses the packages of .venv, except this project; requirements missing in setup.cfg then go unnoticed.
set -euo pipefail
cd "$(dirname "$0")/.."
python="$PWD/.venv/bin/python"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Only files that are or would be committed: from an old build folder, deleted modules would get into the wheel.
mkdir "$folder/source"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' name; do if [ -f "$name" ]; then printf '%s\0' "$name"; fi; done |
    xargs -0 cp --parents -t "$folder/source"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder/dist" "$folder/source"
rm -rf "$folder/source"

"$python" -m venv --without-pip "$folder/venv"
pip=("$python" -m pip --disable-pip-version-check --python "$folder/venv/bin/python" install --quiet)
if [ "${1:-}" = --reuse ]; then
    "${pip[@]}" --no-deps --no-index "$folder"/dist/*.whl
    site=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # Python searches a folder named in a .pth file, but reads no .pth files in it, such as that of this repository.
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/lent.pth"
else
    "${pip[@]}" "$folder"/dist/*.whl
fi

cd "$folder"
step() {
    echo "→ $*"
    env -i PATH="$folder/venv/bin:$PATH" HOME="$folder" TF_CPP_MIN_LOG_LEVEL=3 "$@"
}
step python -c 'import sys, demo_faces, search_spaces, tuning
from pathlib import Path
for package in (tuning, search_spaces, demo_faces):
    assert Path(package.__file__).is_relative_to(sys.prefix), package
assert Path(tuning.__file__).with_name("py.typed").is_file()'
step face-tuning --version
step face-tuning demo --root faces --per-class 20 --classes 3
step face-tuning prepare --root faces --image-size 24
step face-tuning search --root faces --strategy random --max-epochs 2 --max-trials 2 --top-k 1 --name small
step face-tuning leaderboard --root faces --verify
step face-tuning doctor --root faces
for name in searches/small/report.html models/best_model.keras models/README.md; do
    test -s "faces/artifacts/$name"
done
echo "the wheel works: $(basename dist/*.whl)"
