"""What lies below the raw folder: names, sizes and times, without opening a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tuning.core.errors import DataError
from tuning.dataset.sources.samples import Rejected

_SYSTEM_FILES = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
_MAX_DEPTH = 32


@dataclass(frozen=True)
class RawTree:
    """Everything below one raw folder, hidden files and system files left out.

    Attributes:
        root: the folder.
        files: path relative to `root` (with "/") -> (size in bytes, mtime in ns), sorted by path.
        folders: every folder's relative path, sorted.
        refused: links that lead out of the folder, names that cannot be text, folders nested too deep.
    """

    root: Path
    files: dict[str, tuple[int, int]]
    folders: tuple[str, ...]
    refused: tuple[Rejected, ...] = ()

    def below(self, prefix: str) -> list[str]:
        """Files below `prefix` ("" for all), sorted."""
        start = f"{prefix}/" if prefix else ""
        return [path for path in self.files if path.startswith(start)]

    def children(self, prefix: str) -> list[str]:
        """Folders directly in `prefix`, sorted."""
        return [path for path in self.folders if parent(path) == prefix]


def parent(path: str) -> str:
    """The folder part of a relative path; "" at the top."""
    return path.rpartition("/")[0]


def suffix(path: str) -> str:
    """The lower-case suffix of a relative path, with its full stop."""
    return split_name(path)[1].lower()


def split_name(path: str) -> tuple[str, str]:
    """(stem, suffix) of a relative path's last part: what `PurePosixPath` says, at a tenth of its cost."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


def check(raw: Path) -> None:
    """Refuses a path that is not there, before anything is made.

    Raises:
        DataError: `raw` does not exist.
    """
    if not raw.exists():
        raise DataError(
            f"{raw} does not exist",
            "give --raw the folder (class folders, a YOLO export), archive or FER2013 CSV file that holds your images, "
            "or run `make demo` for synthetic faces",
        )


def take(raw: Path) -> RawTree:
    """Lists what lies below `raw`, or the single file `raw`.

    Raises:
        DataError: `raw` does not exist or cannot be read.
    """
    try:
        if raw.is_file():
            state = raw.stat()
            return RawTree(raw.parent, {raw.name: (state.st_size, state.st_mtime_ns)}, ())
        check(raw)
        return _walk(raw)
    except PermissionError as error:
        raise DataError(
            f"{error.filename or raw} cannot be read: {error.strerror}", "give yourself permission to read it"
        ) from None


def _walk(root: Path) -> RawTree:
    files: dict[str, tuple[int, int]] = {}
    folders: list[str] = []
    refused: list[Rejected] = []
    real_root = root.resolve()
    pending = [("", 0)]
    while pending:
        prefix, depth = pending.pop()
        start = f"{prefix}/" if prefix else ""
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name.lower() in _SYSTEM_FILES:
                    continue
                path = start + name
                # Most entries are files with plain names, and there may be a great many of them.
                plain = name.isascii() and not entry.is_symlink()
                if reason := None if plain else _refusal(entry, path, real_root):
                    refused.append(Rejected(path.encode("utf-8", "backslashreplace").decode(), reason))
                elif entry.is_dir():
                    if depth >= _MAX_DEPTH:
                        refused.append(Rejected(path, f"nested more than {_MAX_DEPTH} folders deep"))
                        continue
                    folders.append(path)
                    pending.append((path, depth + 1))
                elif entry.is_file():
                    state = entry.stat()
                    files[path] = (state.st_size, state.st_mtime_ns)
    return RawTree(root, dict(sorted(files.items())), tuple(sorted(folders)), tuple(sorted(refused, key=_by_source)))


def _by_source(rejected: Rejected) -> str:
    return rejected.source


def _refusal(entry: os.DirEntry[str], path: str, real_root: Path) -> str | None:
    """Why an entry is refused without being opened, or None."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not valid text"
    if not entry.is_symlink():
        return None
    target = Path(os.path.realpath(entry.path))
    if not target.is_relative_to(real_root):
        return "a link that leads out of the raw folder"
    if target.is_dir():
        return "a link to a folder; what it leads to is read where it lies"
    return None if target.is_file() else "a broken link"
