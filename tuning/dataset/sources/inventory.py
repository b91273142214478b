"""Lists the files below the raw folder: names, sizes and times, without opening any."""

from __future__ import annotations

import functools
import operator
import os
from dataclasses import dataclass, field
from pathlib import Path

from tuning.core.errors import DataError
from tuning.dataset import formats
from tuning.dataset.sources.samples import Ignored, Rejected

#: Names of files and folders that systems and file managers create. Thumbnails in them are mere copies of images.
_SYSTEM_FILES = {
    *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "icon\r"),
    *("@eadir", "#recycle", "lost+found", "thumbnails", "__pycache__"),
}
_MAX_DEPTH = 32
_TEXTS = frozenset((".txt", ".yaml", ".yml", ".names", ".labels", ".csv", ".tsv", ".xml", ".json"))


@dataclass(frozen=True)
class Unread:
    """A folder that is not read, or a broken link that may have led to a folder.

    Attributes:
        reason: why, in words.
        target: target of a link, relative to the raw folder; None if it lies outside, or if this is not a link.
    """

    reason: str
    target: str | None = None


@dataclass(frozen=True)
class RawTree:
    """Everything below one raw folder, without hidden files and system files.

    Attributes:
        root: the folder.
        files: path relative to `root` (with "/") -> (size in bytes, mtime in ns), sorted by path.
        folders: every folder's relative path, sorted.
        refused: links to folders, broken links, links out of the folder, names that are not valid text, and folders
            nested too deep.
        skipped: hidden files and folders, those that file managers create, and special files.
        unread: relative path -> those links and names of `refused` that are, or may have been, folders.
    """

    root: Path
    files: dict[str, tuple[int, int]]
    folders: tuple[str, ...]
    refused: tuple[Rejected, ...] = ()
    skipped: tuple[Ignored, ...] = ()
    unread: dict[str, Unread] = field(default_factory=dict)

    def below(self, prefix: str) -> list[str]:
        """Files below `prefix` ("" for all), sorted."""
        start = f"{prefix}/" if prefix else ""
        return [path for path in self.files if path.startswith(start)]

    def children(self, prefix: str) -> list[str]:
        """Folders directly in `prefix`, sorted."""
        return self._children.get(prefix, [])

    @functools.cached_property
    def images(self) -> frozenset[str]:
        """The files that are images by their suffix, or by their content if the suffix is unknown."""
        return frozenset(path for path in self.files if formats.is_image(path, self.root, suffix(path)))

    @functools.cached_property
    def texts(self) -> dict[str, list[str]]:
        """Folder -> the text files directly in it: labels, names, tables."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            if suffix(path) in _TEXTS:
                found.setdefault(parent(path), []).append(path)
        return found

    @functools.cached_property
    def own(self) -> frozenset[str]:
        """Folders with images directly in them."""
        return frozenset(map(parent, self.images))

    @functools.cached_property
    def holding(self) -> frozenset[str]:
        """Folders with images at any depth."""
        found = set(self.own)
        for folder in self.own:
            while folder and (folder := parent(folder)) not in found:
                found.add(folder)
        return frozenset(found)

    @functools.cached_property
    def _children(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.folders:
            found.setdefault(parent(path), []).append(path)
        return found


def parent(path: str) -> str:
    """The folder part of a relative path; "" at the top."""
    return path.rpartition("/")[0]


def suffix(path: str) -> str:
    """The lower-case suffix of a relative path, with its full stop."""
    return split_name(path)[1].lower()


def split_name(path: str) -> tuple[str, str]:
    """Returns (stem, suffix) of a relative path's last part, as `PurePosixPath` does, but ten times as fast."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or of a kind that systems and file managers create."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def check(raw: Path) -> None:
    """Refuses an unusable raw path.

    Raises:
        DataError: `raw` does not exist, or its path, or that of a link's target, is not valid text.
    """
    if _is_no_text(str(raw.absolute())):
        raise DataError(
            f"--raw {raw}: its path is not valid text", "rename that folder, or move the images into another"
        )
    if not raw.exists():
        raise DataError(
            f"{raw} does not exist",
            "give --raw the folder (class folders, a YOLO export), archive or FER2013 CSV file that holds your images, "
            "or draw synthetic faces first: python -m tuning.demo",
        )
    if _is_no_text(str(raw.resolve())):
        raise DataError(
            f"--raw {raw} leads to {raw.resolve()}: that path is not valid text",
            "rename that folder, or move the images into another",
        )


def take(raw: Path) -> RawTree:
    """Lists the files below `raw`, or the single file `raw`.

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
    skipped: list[Ignored] = []
    unread: dict[str, Unread] = {}
    real_root = root.resolve()
    pending = [("", 0)]
    while pending:
        prefix, depth = pending.pop()
        start = f"{prefix}/" if prefix else ""
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name = entry.name
                path = start + name
                if is_litter(name):
                    skipped.append(Ignored(_shown(path), _litter(entry)))
                    continue
                # Most entries are files with plain names, and there may be a great many of them.
                plain = name.isascii() and not entry.is_symlink()
                if reason := None if plain else _refusal(entry, path, real_root):
                    refused.append(Rejected(_shown(path), reason))
                    if _may_be_folder(entry):
                        unread[_shown(path)] = Unread(reason, _target(entry, real_root))
                elif entry.is_dir():
                    if depth >= _MAX_DEPTH:
                        refused.append(Rejected(path, f"nested more than {_MAX_DEPTH} folders deep"))
                        continue
                    folders.append(path)
                    pending.append((path, depth + 1))
                elif entry.is_file():
                    state = entry.stat()
                    files[path] = (state.st_size, state.st_mtime_ns)
                else:
                    skipped.append(Ignored(path, "neither a file nor a folder"))
    return RawTree(
        root,
        dict(sorted(files.items())),
        tuple(sorted(folders)),
        tuple(sorted(refused, key=operator.attrgetter("source"))),
        tuple(sorted(skipped, key=operator.attrgetter("source"))),
        unread,
    )


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _litter(entry: os.DirEntry[str]) -> str:
    if entry.name.endswith(".icloud"):
        return "a placeholder of iCloud for a file that is not on this machine"
    try:
        what = "folder" if entry.is_dir(follow_symlinks=False) else "file"
    except OSError:
        what = "file"
    return f"a hidden {what}" if entry.name.startswith(".") else f"a {what} of a file manager or system"


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, a link to one, or a broken link whose name has no suffix."""
    try:
        if entry.is_dir():
            return True
        return entry.is_symlink() and not entry.is_file() and not split_name(entry.name)[1]
    except OSError:
        return False


def _target(entry: os.DirEntry[str], real_root: Path) -> str | None:
    target = Path(os.path.realpath(entry.path))
    if not entry.is_symlink() or not target.is_relative_to(real_root):
        return None
    path = target.relative_to(real_root).as_posix()
    return "" if path == "." else path


def _is_no_text(path: str) -> bool:
    """Whether a path holds bytes that are not valid text, so that it could not be written to any of our files."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def _refusal(entry: os.DirEntry[str], path: str, real_root: Path) -> str | None:
    """Returns the reason to refuse an entry without opening it, or None."""
    if _is_no_text(path):
        return "the name is not valid text"
    if not entry.is_symlink():
        return None
    target = Path(os.path.realpath(entry.path))
    if not target.is_relative_to(real_root):
        return "a link that leads out of the raw folder" + ("" if target.exists() else ", and is broken")
    if target.is_dir():
        return "a link to a folder; what it leads to is read where it lies"
    return None if target.is_file() else "a broken link"
