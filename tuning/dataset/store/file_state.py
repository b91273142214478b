"""Are the data still what was prepared? `prepare` records every file's size and time; each start compares them.

Looking at 60,000 files costs about a quarter of a second; reading them, many. So a file is read only where its size or
time differs, and where its content turns out to be the same (a copied workspace), the new times are recorded.
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

#: Area ("pool", "split", "raw:PATH") -> lines "path, size, time", sorted. The pool's lines are its folders: its
#: files are the split's under other names, and a folder's time changes when one is added or removed.
Areas = dict[str, str]


class FileState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `data_state.json`: the state of every file that `prepare` read or wrote, and what it was asked.

    Attributes:
        contents: of each raw path's area, lines "path, sha256 of the file", without it where it could not be read.
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
    """A file that is not as recorded: `what` is "changed", "missing" or "added"."""

    area: str
    path: str
    what: str


def record(
    workspace: Workspace,
    raws: Mapping[Path, Mapping[str, tuple[int, int]]],
    digests: Mapping[Path, Mapping[str, str]],
    prepared: Request,
) -> None:
    """Records the present state of the pool, the split and the arrays.

    Args:
        raws: each raw path's files as they were when they were read: (size, mtime in ns) by relative path.
        digests: likewise, the sha256 of each file's content; "" where it could not be read.
        prepared: what was asked for.
    """
    areas, contents = scan(workspace, []), {}
    for raw, found in raws.items():
        area = f"raw:{raw_key(workspace, raw)}"
        areas[area] = _lines(found)
        contents[area] = "\n".join(f"{_shown(name)}\t{digest}" for name, digest in digests[raw].items())
    _write(workspace, FileState(files=areas, contents=contents, prepared=prepared))


def read(workspace: Workspace) -> FileState | None:
    """What was recorded; None where there is nothing that can be read."""
    try:
        return read_record(workspace.data_state, FileState, SCHEMA, "")
    except DataError:
        return None


def verify_data(workspace: Workspace, look_only: bool = False) -> None:
    """Refuses to go on with other data than was prepared. Cheap: sizes and times first, contents where they differ.

    Raw data that are gone as a whole (an unplugged disk) are not needed, and their absence is no change.

    Args:
        look_only: write nothing; else, new times of files whose content is the same are recorded.

    Raises:
        DataError: an image, array or raw file was changed, removed or added; names the first few.
    """
    state = read(workspace)
    if state is None:
        # It was lost or damaged: the arrays' own digests tell.
        _check_arrays(workspace, read_description(workspace.split).sha256)
    else:
        verify_state(workspace, state, scan(workspace, state.raws), look_only)


def verify_state(workspace: Workspace, state: FileState, present: Areas, look_only: bool = False) -> None:
    """As `verify_data`, where the recorded and the present state (of the same raw paths) have been read already."""
    if present == state.files:
        return
    found = _differences(workspace, state.files, present)
    # Decoding takes half a second to import, and is rarely needed.
    from tuning.dataset.store.content_check import ContentCheck

    contents = {
        area: {path: line.rpartition("\t")[2] for path, line in _by_path(lines).items()}
        for area, lines in state.contents.items()
    }
    check = ContentCheck(workspace, contents)
    wrong = [one for one in found if one.what != "changed" or not check.same(one.area, one.path, _path(workspace, one))]
    if wrong:
        named = listed([f"{_path(workspace, one)} ({one.what})" for one in wrong], _SHOWN)
        raise DataError(f"the data are not what was prepared: {named}", _REMEDY)
    if look_only:
        return
    try:
        _write(workspace, msgspec.structs.replace(state, files=state.files | present))
    except (OSError, EnvironmentProblem):
        # A read-only workspace stays as it is; the contents are compared again next time.
        return


def paths(folder: Path) -> list[str]:
    """The files below a folder, relative to it; not what file managers leave there."""
    return [*_by_path(_walk(folder))]


def _path(workspace: Workspace, difference: Difference) -> Path:
    """The path of the file that a difference is about."""
    areas = {"pool": workspace.pool, "split": workspace.split}
    folder = areas.get(difference.area) or workspace.root / difference.area.removeprefix("raw:")
    if folder.is_file():
        return folder
    path = folder / difference.path
    if "\\" in difference.path and not path.exists():  # not printable, and written as `_shown` does
        with contextlib.suppress(UnicodeDecodeError):
            return folder / difference.path.encode().decode("unicode_escape")
    return path


def scan(workspace: Workspace, raws: Sequence[str]) -> Areas:
    """The present state of the pool, the split and `raws` (as `raw_key` writes them), without raws that are gone."""
    areas = {"pool": _folders(workspace.pool), "split": _walk(workspace.split)}
    for raw in raws:
        lines = _raw(workspace.root / raw)
        if lines is not None:
            areas[f"raw:{raw}"] = lines
    return areas


def _raw(path: Path) -> str | None:
    """The state of one `--raw`; None where it is gone as a whole, or cannot be read."""
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
    """The files below a folder; not what looking at it leaves there, such as thumbnails."""
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
    """What differs, area by area."""
    for area, lines in before.items():
        if area not in now or now[area] == lines:
            continue
        if area == "pool":
            # The split's images, but for the folder of their split.
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
