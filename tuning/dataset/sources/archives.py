"""Unpacks zip and tar archives of images below `data/`.

Archives are not trusted: every member's name, kind and size is checked before the first byte is written, and sizes are
counted again while unpacking, because headers can lie. A failed unpacking leaves no files.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem
from tuning.core.progress import Progress
from tuning.core.workspace import Workspace
from tuning.dataset.sources import code_pages

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_FOREIGN = (".rar", ".7z", ".tar.zst", ".zst", ".lz4", ".iso", ".z01", ".001", ".gz", ".bz2", ".xz")
ALL_SUFFIXES = SUFFIXES + _FOREIGN
MAX_ENTRIES = 2_000_000
MAX_BYTES = 200 * 1024**3
#: Unpacked bytes per packed byte. Images hardly compress; text (a FER2013 CSV) shrinks to a third.
MAX_RATIO = 200
#: Archives that unpack to less may have any ratio.
_RATIO_FROM = 10 * 1024**2
_MAX_NAME = 1000
_KEY_DIGITS = 12
_CHUNK = 1 << 20
#: Chunks read after the end of an archive to reach the checksum of its compression.
_PADDING_CHUNKS = 64
_DRIVE = re.compile(r"[A-Za-z]:")
_REMEDY = "unpack it yourself where you trust it, and give --raw the folder"


@dataclass(frozen=True)
class _Member:
    """A file in an archive.

    Attributes:
        path: cleaned by `_safe_path`.
        size: in bytes, as the archive declares it.
        modified: seconds since 1970; None if unknown.
        open: opens it for reading.
    """

    path: str
    size: int
    modified: float | None
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def refuse_foreign(place: Path, files: Iterable[str]) -> None:
    """Raises DataError if `files` holds an archive of a kind that is not supported."""
    found = next((path for path in files if path.lower().endswith(_FOREIGN)), None)
    if found:
        where = place if place.name == found else f"{found} in {place}"
        raise DataError(
            f"no images: {where} is an archive of a kind that is not unpacked",
            f"unpack it, or pack it as {SUFFIXES[0]}",
        )


def unpack(workspace: Workspace, archive: Path, progress: Progress) -> tuple[Path, tuple[str, ...]]:
    """Unpacks `archive`, unless the same archive has been unpacked already.

    Returns:
        (the folder with its content, notes about the names in it).

    Raises:
        DataError: it is damaged, encrypted, too large, or has a member that is refused, such as a link; names it.
        EnvironmentProblem: the disk has too little free space.
    """
    state = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()[:_KEY_DIGITS]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", archive.name)[:60]
    folder = workspace.unpacked / f"{stem}-{key}"
    note_path = folder.with_name(f"{folder.name}.txt")
    if folder.is_dir():
        return folder, tuple(note_path.read_text("utf-8").splitlines()) if note_path.is_file() else ()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _opened(archive) as (members, notes):
            total = _check_members(archive, members, state.st_size, folder.parent)
            with files.replacing_directory(folder) as target, progress.bar(len(members), "unpacking", "file") as bar:
                left = total
                for member in members:
                    left -= _write(archive, member, target, left)
                    bar.update()
                if notes:
                    files.write_text(note_path, "\n".join(notes) + "\n")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise DataError(f"{archive} is damaged: {_one_line(error)}", "download it again") from None
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive} cannot be unpacked: {_one_line(error)}", _REMEDY) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # gzip, bz2 and lzma report broken data this way, without an error number.
        raise DataError(f"{archive} is damaged: {_one_line(error)}", "download it again") from None
    return folder, tuple(notes)


def remove_earlier(current: Collection[Path]) -> None:
    """Removes the folders of earlier archives that had the same name as one unpacked to `current`.

    No folder in `current` is removed: two archives given together may have the same name, in different folders.
    """
    for folder in current:
        for other in folder.parent.glob(f"{folder.name[:-_KEY_DIGITS]}{'?' * _KEY_DIGITS}"):
            if other not in current:
                shutil.rmtree(other, ignore_errors=True)
                other.with_name(f"{other.name}.txt").unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[_Member], list[str]]]:
    """Opens the archive and yields its files and the notes about their names."""
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as package:
            _check_count(archive, package.infolist())
            unflagged = [e.orig_filename.encode("cp437") for e in package.infolist() if _is_unflagged(e)]
            names = _Names(archive, unflagged)
            yield list(_zip_members(archive, package, names)), names.notes
    else:
        with tarfile.open(archive, "r:*", errorlevel=2) as package:
            entries = list(itertools.islice(package, MAX_ENTRIES + 1))
            _check_count(archive, entries)
            names = _Names(archive, [raw for entry in entries if (raw := _raw(entry.name)) is not None])
            members = list(_tar_members(archive, package, entries, names))
            _check_end(package, packed=not archive.name.lower().endswith(".tar"))
            yield members, names.notes


def _is_zip(archive: Path) -> bool:
    """Whether it is a zip file by content, because downloads may have a wrong suffix; if neither, by suffix."""
    if archive.name.lower().endswith(".zip"):
        return zipfile.is_zipfile(archive) or not tarfile.is_tarfile(archive)
    with archive.open("rb") as file:
        return file.read(4) == b"PK\3\4" and zipfile.is_zipfile(archive)


class _Names:
    """Decodes names that are not UTF-8, in the one code page that fits all of them."""

    def __init__(self, archive: Path, raw: Sequence[bytes]) -> None:
        self._guess = code_pages.guess(raw) if any(not name.isascii() for name in raw) else None
        self.notes: list[str] = []
        if self._guess and self._guess.page is not code_pages.UTF8:
            self.notes = [f"The names in {archive.name} are not UTF-8; they are read as {self._guess.words(raw)}."]
        elif not self._guess and any(not name.isascii() for name in raw):
            self.notes = [f"The names in {archive.name} fit no code page and may look wrong: pack it as UTF-8."]

    def read(self, raw: bytes) -> str | None:
        return raw.decode(self._guess.page.codec) if self._guess else None


def _is_unflagged(entry: zipfile.ZipInfo) -> bool:
    """Whether a non-ASCII name has neither zip's UTF-8 flag nor the extra field with its UTF-8 form."""
    return not entry.flag_bits & 0x800 and not entry.orig_filename.isascii() and _unicode_path(entry) is None


def _unicode_path(entry: zipfile.ZipInfo) -> str | None:
    """Returns the UTF-8 name in Info-ZIP's extra field 0x7075 if its checksum fits the entry's name, else None."""
    extra, at = entry.extra, 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        content = extra[at + 4 : at + 4 + size]
        at += 4 + size
        if kind == 0x7075 and len(content) > 5 and content[0] == 1:
            try:
                checksum = zlib.crc32(entry.orig_filename.encode("cp437"))
                return content[5:].decode("utf-8") if content[1:5] == struct.pack("<I", checksum) else None
            except UnicodeError:
                return None
    return None


def _raw(name: str) -> bytes | None:
    """Returns the bytes of a name that is not UTF-8, which `tarfile` decodes to surrogates; None for a valid name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        try:
            return name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None
    return None


def _zip_members(archive: Path, package: zipfile.ZipFile, names: _Names) -> Iterator[_Member]:
    for entry in package.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse(archive, entry.filename, "a link" if kind == stat.S_IFLNK else "a special file")
        if entry.flag_bits & 0x1:
            _refuse(archive, entry.filename, "encrypted")
        name = _unicode_path(entry) or entry.orig_filename
        if _is_unflagged(entry):
            name = names.read(entry.orig_filename.encode("cp437")) or name
        path = _safe_path(archive, name)
        # Some Windows programs end a folder's name with a backslash.
        if not name.endswith(("/", "\\")) and path:
            yield _Member(path, entry.file_size, None, functools.partial(package.open, entry))


def _tar_members(
    archive: Path, package: tarfile.TarFile, entries: Sequence[tarfile.TarInfo], names: _Names
) -> Iterator[_Member]:
    for entry in entries:
        if entry.issym() or entry.islnk():
            _refuse(archive, entry.name, "a link")
        if not (entry.isfile() or entry.isdir()):
            _refuse(archive, entry.name, "a special file")
        if entry.issparse():
            _refuse(archive, entry.name, "a sparse file")
        raw = _raw(entry.name)
        path = _safe_path(archive, (names.read(raw) if raw is not None else None) or entry.name)
        if entry.isfile() and path:
            yield _Member(path, entry.size, entry.mtime, functools.partial(package.extractfile, entry))


def _check_end(package: tarfile.TarFile, packed: bool) -> None:
    """Checks that a tar archive is complete: `tarfile` takes a damaged header for the end of the archive.

    It also reads to the end of a compressed archive, because the checksum is verified only there.

    Raises:
        tarfile.ReadError: the members are followed by something other than zeros.
    """
    package.fileobj.seek(package.offset)
    end = package.fileobj.read(tarfile.BLOCKSIZE)
    # Some programs write no end block; in a compressed archive, the checksum has shown by now that nothing is missing.
    if end != bytes(tarfile.BLOCKSIZE) and (end or not packed):
        raise tarfile.ReadError(f"after {len(package.getmembers()):,} members comes neither another one nor an end")
    for _ in range(_PADDING_CHUNKS):
        if not package.fileobj.read(_CHUNK):
            return


def _safe_path(archive: Path, name: str) -> str:
    """Returns the member's path below the folder. Raises DataError if it could lead outside, or is no valid name."""
    if any(ord(character) < 32 for character in name):
        _refuse(archive, name, "a name with control characters")
    try:
        name.encode()
    except UnicodeEncodeError:
        _refuse(archive, name, "a name that is not valid text")
    if len(name) > _MAX_NAME or any(len(part.encode()) > 255 for part in name.split("/")):
        _refuse(archive, name, "a name too long for a file system")
    # Some Windows programs separate folders by backslashes.
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain):
        _refuse(archive, name, "an absolute path")
    if ".." in PurePosixPath(plain).parts:
        _refuse(archive, name, "a path that leaves the folder")
    return "/".join(part for part in plain.split("/") if part not in ("", "."))


def _check_members(archive: Path, members: list[_Member], packed: int, place: Path) -> int:
    """Returns the total size in bytes. Raises DataError or EnvironmentProblem if the members must not be unpacked."""
    names: dict[str, str] = {}
    folders: dict[str, str] = {}
    for member in members:
        folded = unicodedata.normalize("NFC", member.path).casefold()
        if folded in names:
            other = names[folded]
            _refuse(
                archive,
                member.path,
                "in it twice" if other == member.path else f"the same as {other!r} on many systems",
            )
        names[folded] = member.path
        for parent in PurePosixPath(folded).parents:
            folders[str(parent)] = member.path
    for folded, path in names.items():
        if folded in folders:
            _refuse(archive, path, f"a file, and a folder in {folders[folded]!r}")
    total = sum(member.size for member in members)
    if any(member.size < 0 for member in members):
        raise DataError(f"{archive} is damaged: a member has a negative size", "download it again")
    if total > MAX_BYTES:
        raise DataError(f"{archive} unpacks to {total:,} bytes; at most {MAX_BYTES:,} are unpacked", _REMEDY)
    if total > _RATIO_FROM and total > MAX_RATIO * packed:
        raise DataError(
            f"{archive} unpacks to {total / packed:,.0f} times its size; at most {MAX_RATIO} times is unpacked", _REMEDY
        )
    free = shutil.disk_usage(place).free
    if total > free:
        raise EnvironmentProblem(
            f"{archive} unpacks to {total:,} bytes, and {place} has {free:,} free", "free some disk space"
        )
    return total


def _write(archive: Path, member: _Member, target: Path, left: int) -> int:
    """Unpacks one member of at most `left` bytes; returns its size."""
    path = target / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    if source is None:
        _refuse(archive, member.path, "no file")
    size = 0
    with files.naming(path), source, path.open("xb") as file:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > member.size or size > left:
                _refuse(archive, member.path, "larger than the archive declares")
            file.write(chunk)
    if size != member.size:
        _refuse(archive, member.path, "shorter than the archive declares")
    if member.modified is not None and 0 <= member.modified < 2**33:
        os.utime(path, (member.modified, member.modified))
    return size


def _refuse(archive: Path, name: str, reason: str) -> NoReturn:
    shown = name.encode("unicode_escape").decode()[:120]
    raise DataError(f"{archive}: member '{shown}' is {reason}", _REMEDY)


def _check_count(archive: Path, entries: Sequence[object]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise DataError(f"{archive} has more than {MAX_ENTRIES:,} members", _REMEDY)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
