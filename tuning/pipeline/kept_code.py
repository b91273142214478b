"""Keeps the code of a search space with its search: to read, to restore, and to show what changed."""

from __future__ import annotations

import difflib
import itertools
from pathlib import Path

from tuning.core.errors import DataError
from tuning.core.files import read_json, write_bytes, write_json
from tuning.trials.spaces import space_code, space_digest

FOLDER, REACHED = "code", "reached.json"


def keep(directory: Path, space: str, digest: str) -> None:
    """Copies the code of a space into a search's folder, unless it is there already; each version has its subfolder."""
    folder = directory / FOLDER / digest[:12]
    if (folder / REACHED).exists() or space_digest(space) != digest:
        return
    reached, files = space_code(space)
    folder.mkdir(parents=True, exist_ok=True)
    for module, file in files.items():
        write_bytes(folder / f"{module}.py", file.read_bytes())
    write_json(folder / REACHED, reached)


def first_change(directory: Path, space: str) -> str:
    """Describes the first line of a space's code that differs from the latest copy; empty if there is no copy."""
    kept = sorted((directory / FOLDER).glob(f"*/{REACHED}"), key=lambda path: path.stat().st_mtime)
    if not kept:
        return ""
    try:
        before = read_json(kept[-1], "")
    except DataError:
        return ""
    now, _ = space_code(space)
    for module in sorted({*before, *now}):
        old, new = ("\n".join(code.get(module, [])).splitlines() for code in (before, now))
        # Two lines of headers, then each change after a line that begins with @@.
        changes = list(difflib.unified_diff(old, new, n=0, lineterm=""))[3:]
        change = list(itertools.takewhile(lambda line: not line.startswith("@@"), changes))
        if change:
            first = next((line[1:].strip() for line in change if line.startswith("-")), "nothing")
            second = next((line[1:].strip() for line in change if line.startswith("+")), "nothing")
            return f" (in {module}, {first!r} is {second!r} now; the code that it began with is in {kept[-1].parent})"
    return ""
