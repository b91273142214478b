"""Detects changes to prepared data: `prepare` records every file's size and time, and each start compares them.

Listing 60,000 files takes about a quarter of a second, reading them much longer. So a file is read only if its size or
time differs; if its content turns out to be the same (a copied workspace), the new times are recorded.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem, listed
from tuning.core.workspace import Workspace
from tuning.dataset.sources import archives, inventory
from tuning.dataset.store.description import read_description
from tuning.dataset.store.request import Request, raw_key
from tuning.dataset.store.stored import read_record

SCHEMA = 4
_SHOWN = 3
_REMEDY = (
    "run `python -m tuning.prepare` with the same options as before: new images get a place, and none that has one "
    "moves; or put the files back"
)

#: Area ("pool", "split", "raw:PATH") -> lines "path, size, time" (tab-separated), sorted. For the pool, only folders
#: are listed: its files are also in the split, and a folder's time changes when a file is added or removed.
Areas = dict[str, str]


class FileState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `data_state.json`: the state of every file that `prepare` read or wrote, and its request.

    Attributes:
        files: the sizes and times of all areas.
        contents: area of each raw path -> lines "path, sha256", the latter empty if the file could not be read.
        prepared: the request.
    """

    schema: int = SCHEMA
    files: Areas
    contents: Areas
    prepared: Request

    def __post_init__(self) -> None:
        for area in ("pool", "split"):
            if area not in self.files:
                raise ValueError(f"Object missing required field `{area}`")

    @property
    def raws(self) -> list[str]:
        """The raw paths, as `raw_key` writes them."""
        return [area.removeprefix("raw:") for area in self.files if area.startswith("raw:")]


@dataclass(frozen=True)
class Difference:
    """A file that differs from the record: `what` is "changed", "missing" or "added"."""

    area: str
    path: str
    what: str


def record(
    workspace: Workspace,
    raws: Mapping[Path, Mapping[str, tuple[int, int]]],
    digests: Mapping[Path, Mapping[str, str]],
    prepared: Request,
) -> None:
    """Records the present state of the pool and the split, and the state of the raw files when they were read.

    Args:
        raws: raw path -> relative path -> (size, mtime in ns) of the file when it was read.
        digests: raw path -> relative path -> sha256 of the file's content; "" if it could not be read.
        prepared: the request.
    """
    areas, contents = scan(workspace, []), {}
    for raw, found in raws.items():
        area = f"raw:{raw_key(workspace, raw)}"
        areas[area] = _lines(found)
        contents[area] = "\n".join(f"{_shown(name)}\t{digest}" for name, digest in digests[raw].items())
    _write(workspace, FileState(files=areas, contents=contents, prepared=prepared))


def read(workspace: Workspace) -> FileState | None:
    """Reads the record; None if it is missing or damaged."""
    try:
        return read_record(workspace.data_state, FileState, SCHEMA, "")
    except DataError:
        return None


def verify_data(workspace: Workspace, look_only: bool = False) -> None:
    """Refuses to continue if the data have changed: compares sizes and times first, and contents only if they differ.

    A raw path that is missing as a whole (an unplugged disk) is not needed and does not count as a change.

    Args:
        look_only: write nothing; otherwise, new times of files with unchanged content are recorded.

    Raises:
        DataError: an image, array or raw file was changed, removed or added; names the first few.
    """
    state = read(workspace)
    if state is None:
        # The record is lost or damaged: check the arrays against their own digests.
        _check_arrays(workspace, read_description(workspace.split).sha256)
    else:
        verify_state(workspace, state, scan(workspace, state.raws), look_only)


def verify_state(workspace: Workspace, state: FileState, present: Areas, look_only: bool = False) -> None:
    """Does the same as `verify_data`, given the recorded and the present state of the same raw paths."""
    if present == state.files:
        return
    # Imported late: it loads the decoder, which takes half a second and is rarely needed.
    from tuning.dataset.store.content_check import ContentCheck

    contents = {
        area: {path: line.rpartition("\t")[2] for path, line in _by_path(lines).items()}
        for area, lines in state.contents.items()
    }
    check = ContentCheck(workspace, contents)
    wrong = [
        found
        for found in _differences(workspace, state.files, present)
        if found.what != "changed" or not check.same(found.area, found.path, _path(workspace, found))
    ]
    if wrong:
        named = listed([f"{_path(workspace, found)} ({found.what})" for found in wrong], _SHOWN)
        raise DataError(f"the data are not what was prepared: {named}", _REMEDY)
    if look_only:
        return
    try:
        _write(workspace, msgspec.structs.replace(state, files=state.files | present))
    except (OSError, EnvironmentProblem):
        # In a read-only workspace, the contents are compared again next time.
        return


def paths(folder: Path) -> list[str]:
    """Lists the files below a folder, relative to it, without those that file managers create."""
    return [*_by_path(_walk(folder))]


def _path(workspace: Workspace, difference: Difference) -> Path:
    """Returns the path of the file that a difference is about."""
    areas = {"pool": workspace.pool, "split": workspace.split}
    folder = areas.get(difference.area) or workspace.root / difference.area.removeprefix("raw:")
    if folder.is_file():
        return folder
    path = folder / difference.path
    if "\\" in difference.path and not path.exists():  # an unprintable name, escaped by `_shown`
        with contextlib.suppress(UnicodeDecodeError):
            return folder / difference.path.encode().decode("unicode_escape")
    return path


def scan(workspace: Workspace, raws: Sequence[str]) -> Areas:
    """Returns the present state of the pool, the split and those of `raws` (written as by `raw_key`) that exist."""
    areas = {"pool": _folders(workspace.pool), "split": _walk(workspace.split)}
    for raw in raws:
        lines = _raw(workspace.root / raw)
        if lines is not None:
            areas[f"raw:{raw}"] = lines
    return areas


def _raw(path: Path) -> str | None:
    """Returns the state of one `--raw`; None if it is missing as a whole or cannot be read."""
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
    """Returns the lines of a folder and the folders directly in it, with their times."""
    try:
        with os.scandir(folder) as entries:
            inner = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return "\n".join(f"{_shown(name)}\t\t{os.stat(folder / name).st_mtime_ns}" for name in ("", *inner))
    except FileNotFoundError:
        return ""


def _walk(folder: Path) -> str:
    """Returns the lines of the files below a folder, without those that file managers create, such as thumbnails."""
    lines: list[str] = []
    pending = [(str(folder), "")]
    try:
        while pending:
            path, prefix = pending.pop()
            with os.scandir(path) as entries:
                for entry in entries:
                    if inventory.is_litter(entry.name):
                        continue
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


def _differences(workspace: Workspace, before: Areas, now: Areas) -> Iterator[Difference]:
    """Yields the files that differ, area by area; areas missing from `now` are skipped."""
    for area, lines in before.items():
        if area not in now or now[area] == lines:
            continue
        if area == "pool":
            # The pool's files are the images of the split folder without the first part of their path.
            names = [path.partition("/")[2] for path in _by_path(before["split"]) if path.count("/") > 1]
            old, new = dict.fromkeys(names, ""), dict.fromkeys(_by_path(_walk(workspace.pool)), "")
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
    """Path -> line."""
    return {line.partition("\t")[0]: line for line in lines.split("\n")} if lines else {}


def _check_arrays(workspace: Workspace, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        path = workspace.split / name
        if not path.is_file():
            raise DataError(f"the data are not what was prepared: {path} (missing)", _REMEDY)
        if files.sha256_file(path) != expected:
            raise DataError(f"the data are not what was prepared: {path} (changed)", _REMEDY)


def _write(workspace: Workspace, state: FileState) -> None:
    files.write_json(workspace.data_state, msgspec.to_builtins(state))
