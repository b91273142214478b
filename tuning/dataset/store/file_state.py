"""Are the data still what was prepared? `prepare` notes down every file's size and time; each start compares them.

Looking at 60,000 files costs about a quarter of a second; reading them, many. So a file is read only where its size or
time differs, and where its content turns out to be the same (a copied workspace), the new times are noted down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem
from tuning.core.workspace import Workspace
from tuning.dataset.sources import archives, inventory
from tuning.dataset.store.description import read_description

SCHEMA = 3
_SHOWN = 3
_REMEDY = (
    "run `python -m tuning.prepare` with the same options as before: new images get a place, and none that has one "
    "moves; or put the files back"
)

#: area ("pool", "split", "raw:PATH") -> lines "path, size, time", sorted. The pool's lines are its folders: its
#: files are the split's under other names, and a folder's time tells whether one came or went.
State = dict[str, str]


@dataclass(frozen=True)
class Note:
    """What `prepare` noted down.

    Attributes:
        files: the state of everything that it read and wrote.
        prepared: what it was run with; see `tuning.dataset.store.repair`.
    """

    files: State
    prepared: Any


@dataclass(frozen=True)
class Difference:
    """A file that is not as noted down: `what` is "changed", "missing" or "added"."""

    area: str
    path: str
    what: str


def write(workspace: Workspace, raws: Mapping[Path, Mapping[str, tuple[int, int]]], prepared: Any) -> None:
    """Notes down the present state of the pool, the split and the arrays, unless that is what is there.

    Args:
        raws: each raw path's files as they were when they were read: (size, mtime in ns) by relative path.
        prepared: see `Note`.
    """
    state = take(workspace, [])
    state |= {f"raw:{key(workspace, raw)}": _lines(found) for raw, found in raws.items()}
    note = Note(state, prepared)
    if note != read(workspace):
        _write(workspace, note)


def read(workspace: Workspace) -> Note | None:
    """What was noted down; None where there is nothing that can be read."""
    try:
        value = files.read_json(workspace.data_state, "")
        state = value["files"] if value["schema"] == SCHEMA else None
        sound = isinstance(state, dict) and state.keys() >= {"pool", "split"}
        if not sound or not all(isinstance(lines, str) for lines in state.values()):
            return None
        return Note(state, value["prepared"])
    except (DataError, KeyError, TypeError):
        return None


def verify_data(workspace: Workspace, look_only: bool = False) -> None:
    """Refuses to go on with other data than was prepared. Cheap: sizes and times first, contents where they differ.

    Raw data that are gone as a whole (an unplugged disk) are not needed, and not missed.

    Args:
        look_only: write nothing; else, new times of files whose content is the same are noted down.

    Raises:
        DataError: an image, array or raw file was changed, removed or added; names the first few.
    """
    note = read(workspace)
    raws = [area.removeprefix("raw:") for area in note.files if area.startswith("raw:")] if note else []
    present = take(workspace, raws) if note else {}
    if note is not None and present == note.files:
        return
    try:
        found = list(_differences(workspace, note.files, present)) if note else None
    except ValueError:
        found = None
    if found is None:
        # Prepared by an earlier version, or the note was lost or damaged: the arrays' own digests tell.
        _check_arrays(workspace, read_description(workspace.split)["sha256"])
        return
    # Decoding takes half a second to import, and is rarely needed.
    from tuning.dataset.store.content_check import Judge

    judge = Judge(workspace, raws)
    wrong = [one for one in found if one.what != "changed" or not judge.same(one.area, one.path, place(workspace, one))]
    if wrong:
        named = ", ".join(f"{place(workspace, one)} ({one.what})" for one in wrong[:_SHOWN])
        more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
        raise DataError(f"the data are not what was prepared: {named}{more}", _REMEDY)
    if look_only:
        return
    try:
        _write(workspace, Note({area: present.get(area, note.files[area]) for area in note.files}, note.prepared))
    except (OSError, EnvironmentProblem):
        # A read-only workspace stays as it is; the contents are compared again next time.
        return


def key(workspace: Workspace, raw: Path) -> str:
    """A raw path as it is noted down: relative to the workspace where it lies in it, so that the whole can be moved."""
    real, root = raw.resolve(), workspace.root.resolve()
    return real.relative_to(root).as_posix() if real.is_relative_to(root) else str(real)


def place(workspace: Workspace, difference: Difference) -> Path:
    """The path of the file that a difference is about."""
    areas = {"pool": workspace.pool, "split": workspace.split}
    folder = areas.get(difference.area) or workspace.root / difference.area.removeprefix("raw:")
    return folder if folder.is_file() else folder / difference.path


def take(workspace: Workspace, raws: Sequence[str]) -> State:
    """The present state; `raws` as `key` writes them."""
    state = {"pool": _folders(workspace.pool), "split": _walk(workspace.split)}
    for raw in raws:
        lines = _raw(workspace.root / raw)
        if lines is not None:
            state[f"raw:{raw}"] = lines
    return state


def _raw(path: Path) -> str | None:
    """The state of one `--raw`; None where it is gone as a whole, or cannot be looked at."""
    try:
        if archives.is_archive(path):
            state = path.stat()
            return _lines({"": (state.st_size, state.st_mtime_ns)})
        return _lines(inventory.take(path).files)
    except (DataError, OSError):
        return None


def _lines(found: Mapping[str, tuple[int, int]]) -> str:
    return "\n".join([f"{_shown(name)}\t{size}\t{time}" for name, (size, time) in found.items()])


def _folders(folder: Path) -> str:
    """The folder and those in it, with their times."""
    try:
        with os.scandir(folder) as entries:
            inner = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return "\n".join(f"{_shown(name)}\t\t{os.stat(folder / name).st_mtime_ns}" for name in ("", *inner))
    except FileNotFoundError:
        return ""


def _walk(folder: Path) -> str:
    lines: list[str] = []
    pending = [(str(folder), "")]
    try:
        while pending:
            path, prefix = pending.pop()
            with os.scandir(path) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, f"{name}/"))
                    else:
                        found = entry.stat(follow_symlinks=False)
                        lines.append(f"{_shown(name)}\t{found.st_size}\t{found.st_mtime_ns}")
    except FileNotFoundError:
        return ""
    return "\n".join(sorted(lines))


def _shown(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _differences(workspace: Workspace, before: State, now: State) -> Iterator[Difference]:
    """What differs, area by area. Raises ValueError where `before` is no state."""
    for area, lines in before.items():
        if area not in now or now[area] == lines:
            continue
        if area == "pool":
            # The split's images, but for the folder of their split.
            names = [path.partition("/")[2] for path in _by_path(before["split"]) if path.count("/") > 1]
            old, new = dict.fromkeys(names), dict.fromkeys(_by_path(_walk(workspace.pool)))
        else:
            old, new = _by_path(lines), _by_path(now[area])
        for path in sorted(old.keys() | new.keys()):
            if path not in new:
                yield Difference(area, path, "missing")
            elif path not in old:
                yield Difference(area, path, "added")
            elif old[path] != new[path]:
                yield Difference(area, path, "changed")


def _by_path(lines: str) -> dict[str, str]:
    """Path -> line. Raises ValueError where one is no line of a state."""
    found = [(line.split("\t"), line) for line in lines.split("\n")] if lines else []
    if any(len(parts) != 3 for parts, _ in found):
        raise ValueError("not a line of a state")
    return {parts[0]: line for parts, line in found}


def _check_arrays(workspace: Workspace, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        path = workspace.split / name
        if not path.is_file():
            raise DataError(f"the data are not what was prepared: {path} (missing)", _REMEDY)
        if files.sha256_file(path) != expected:
            raise DataError(f"the data are not what was prepared: {path} (changed)", _REMEDY)


def _write(workspace: Workspace, note: Note) -> None:
    files.write_json(workspace.data_state, {"schema": SCHEMA, "files": note.files, "prepared": note.prepared})
