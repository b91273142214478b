"""Are the data still what was prepared? `prepare` notes down every file's size and time; each start compares them.

Looking at 30,000 files costs about a third of a second; reading them, many. So a file is read only where its size or
time differs, and where its content turns out to be the same (a copied workspace), the new times are noted down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuning import files
from tuning.dataset import archives, arrays, collection, decode, inventory, packing
from tuning.dataset.manifests import read_split_manifest
from tuning.errors import DataError, EnvironmentProblem
from tuning.workspace import Workspace

SCHEMA = 1
_SHOWN = 3
_REMEDY = (
    "run `python -m tuning.prepare` with the same options as before: new images get a place, and none that has one "
    "moves; or put the files back"
)

#: area -> lines "size, time, path" of its files, sorted by path.
_State = dict[str, list[str]]


@dataclass(frozen=True)
class _Difference:
    area: str
    path: str
    what: str


def write(workspace: Workspace, raws: Sequence[Path]) -> None:
    """Notes down the state of the pool, the split, the arrays, and the raw files, unless that is what is there."""
    state = _take(workspace, [_key(workspace, raw) for raw in raws])
    if state != _read(workspace):
        _write(workspace, state)


def verify_data(workspace: Workspace) -> None:
    """Refuses to go on with other data than was prepared. Cheap: sizes and times first, contents where they differ.

    Raw data that are gone as a whole (an unplugged disk) are not needed, and not missed.

    Raises:
        DataError: an image, array or raw file was changed, removed or added; names the first few.
    """
    recorded = _read(workspace)
    if recorded is None:
        # Prepared by an earlier version, or the note was lost: the arrays' own digests tell.
        _check_arrays(workspace, arrays.read_description(workspace.split)["sha256"])
        return
    raws = [area.removeprefix("raw:") for area in recorded if area.startswith("raw:")]
    present = _take(workspace, raws)
    if present == recorded:
        return
    found = [difference for area in recorded for difference in _differences(area, recorded[area], present.get(area))]
    judge = _Judge(workspace, raws)
    wrong = [difference for difference in found if difference.what != "changed" or not judge.same(difference)]
    if wrong:
        named = ", ".join(f"{_place(workspace, one)} ({one.what})" for one in wrong[:_SHOWN])
        more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
        raise DataError(f"the data are not what was prepared: {named}{more}", _REMEDY)
    if found:
        try:
            _write(workspace, {area: present.get(area, recorded[area]) for area in recorded})
        except (OSError, EnvironmentProblem):
            # A read-only workspace stays as it is; the contents are compared again next time.
            return


def _key(workspace: Workspace, raw: Path) -> str:
    """A raw path as it is noted down: relative to the workspace where it lies in it, so that the whole can be moved."""
    real, root = raw.resolve(), workspace.root.resolve()
    return real.relative_to(root).as_posix() if real.is_relative_to(root) else str(real)


def _place(workspace: Workspace, difference: _Difference) -> Path:
    areas = {"pool": workspace.pool, "split": workspace.split}
    folder = areas.get(difference.area) or workspace.root / difference.area.removeprefix("raw:")
    return folder if folder.is_file() else folder / difference.path


def _take(workspace: Workspace, raws: Sequence[str]) -> _State:
    # The split's files are second names of the pool's: one look at each is enough.
    state = {"pool": _walk(workspace.pool, names_only=True), "split": _walk(workspace.split)}
    for raw in raws:
        lines = _raw(workspace.root / raw)
        if lines is not None:
            state[f"raw:{raw}"] = lines
    return state


def _raw(path: Path) -> list[str] | None:
    """The state of one `--raw`; None where it is gone as a whole, or cannot be looked at."""
    try:
        if archives.is_archive(path):
            return [_line("", path.stat())]
        return [f"{size}\t{time}\t{_shown(name)}" for name, (size, time) in inventory.take(path).files.items()]
    except (DataError, OSError):
        return None


def _walk(folder: Path, names_only: bool = False) -> list[str]:
    lines: list[tuple[str, str]] = []
    pending = [(str(folder), "")]
    try:
        while pending:
            path, prefix = pending.pop()
            with os.scandir(path) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, f"{name}/"))
                    elif names_only:
                        lines.append((name, f"\t\t{_shown(name)}"))
                    else:
                        lines.append((name, _line(name, entry.stat(follow_symlinks=False))))
    except FileNotFoundError:
        return []
    lines.sort()
    return [line for _, line in lines]


def _line(name: str, state: os.stat_result) -> str:
    return f"{state.st_size}\t{state.st_mtime_ns}\t{_shown(name)}"


def _shown(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _differences(area: str, before: list[str], now: list[str] | None) -> Iterator[_Difference]:
    if now is None or now == before:
        return
    old, new = ({line.split("\t", 2)[2]: line for line in lines} for lines in (before, now))
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            yield _Difference(area, path, "missing")
        elif path not in old:
            yield _Difference(area, path, "added")
        elif old[path] != new[path]:
            yield _Difference(area, path, "changed")


class _Judge:
    """Reads files whose size or time differs, and says whether their content is still the same."""

    def __init__(self, workspace: Workspace, raws: Sequence[str]) -> None:
        self._workspace = workspace
        names = collection.part_names([Path(raw) for raw in raws])
        self._parts = {f"raw:{raw}": name for raw, name in zip(raws, names, strict=True)}
        self._hashes: Mapping[str, str] | None = None
        self._pixels: dict[tuple[str, str], str] = {}

    def same(self, difference: _Difference) -> bool:
        self._load()
        path = _place(self._workspace, difference)
        if difference.area == "split" and difference.path in (self._hashes or {}):
            return files.sha256_file(path) == self._hashes[difference.path]
        if difference.area == "split" and difference.path == packing.DESCRIPTION:
            # `arrays.read_info` holds it against the split manifest whenever the arrays are opened.
            return arrays.read_info(self._workspace) is not None
        key = difference.path
        if difference.area == "split":
            key = key.partition("/")[2]
        elif part := self._parts.get(difference.area):
            key = f"{part}/{key}"
        expected = self._pixels.get(("source" if difference.area in self._parts else "file", key))
        try:
            return expected is not None and decode.pixel_sha256(decode.read_image(path)) == expected
        except (DataError, OSError):
            return False

    def _load(self) -> None:
        if self._hashes is None:
            self._hashes = arrays.read_description(self._workspace.split)["sha256"]
            manifest = read_split_manifest(self._workspace.split_manifest)
            for place in manifest.places if manifest else ():
                self._pixels["file", place.file] = place.sha256
                self._pixels["source", place.source] = place.sha256


def _check_arrays(workspace: Workspace, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        path = workspace.split / name
        if not path.is_file():
            raise DataError(f"the data are not what was prepared: {path} (missing)", _REMEDY)
        if files.sha256_file(path) != expected:
            raise DataError(f"the data are not what was prepared: {path} (changed)", _REMEDY)


def _write(workspace: Workspace, state: _State) -> None:
    files.write_json(workspace.data_state, {"schema": SCHEMA, "files": state})


def _read(workspace: Workspace) -> _State | None:
    """What was noted down; None where there is nothing that can be read."""
    try:
        value = files.read_json(workspace.data_state, "")
        state = value["files"] if value["schema"] == SCHEMA else None
        sound = state is not None and state.keys() >= {"pool", "split"}
        sound = sound and all(row.count("\t") == 2 for rows in state.values() for row in rows)
    except (DataError, AttributeError, KeyError, TypeError):
        return None
    return state if sound else None
