"""Zip and tar archives of images, unpacked below `data/` before anything in them is read.

An archive is a stranger's: every member's name, kind and size is checked before the first byte is written, and sizes
are counted again while unpacking, because headers lie. A failed unpacking leaves nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import lzma
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem
from tuning.core.progress import Progress
from tuning.core.workspace import Workspace

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_ENTRIES = 2_000_000
MAX_BYTES = 200 * 1024**3
#: Unpacked bytes per packed byte. Images hardly compress; text (a FER2013 CSV) shrinks to a third.
MAX_RATIO = 200
#: Ratios of small archives say nothing.
_RATIO_FROM = 10 * 1024**2
_MAX_NAME = 1000
_CHUNK = 1 << 20
#: What follows the end of an archive is read so far, to reach the checksum.
_PADDING_CHUNKS = 64
_DRIVE = re.compile(r"[A-Za-z]:")
_REMEDY = "unpack it yourself where you trust it, and give --raw the folder"


@dataclass(frozen=True)
class _Member:
    """A file in an archive.

    Attributes:
        path: cleaned by `_safe_path`.
        size: in bytes, as the archive declares it.
        modified: seconds since 1970; None where the archive does not tell.
        open: opens it for reading.
    """

    path: str
    size: int
    modified: float | None
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def unpack(workspace: Workspace, archive: Path, progress: Progress) -> Path:
    """The folder that holds what is in `archive`; unpacked anew only where the archive has changed.

    Raises:
        DataError: it is damaged, encrypted, too large, or holds members that a folder of images does not; names them.
        EnvironmentProblem: the disk is too full.
    """
    state = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()[:12]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", archive.name)[:60]
    folder = workspace.unpacked / f"{stem}-{key}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _opened(archive) as members:
            total = _check_members(archive, members, state.st_size, folder.parent)
            with files.replacing_directory(folder) as target, progress.bar(len(members), "unpacking", "file") as bar:
                left = total
                for member in members:
                    left -= _write(archive, member, target, left)
                    bar.update()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise DataError(f"{archive} is damaged: {_one_line(error)}", "download it again") from None
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive} cannot be unpacked: {_one_line(error)}", _REMEDY) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # gzip, bz2 and lzma report broken data this way, without an error number.
        raise DataError(f"{archive} is damaged: {_one_line(error)}", "download it again") from None
    for old in folder.parent.glob(f"{stem}-{'?' * len(key)}"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    """The files of the archive, which stays open meanwhile."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as package:
            yield list(_zip_members(archive, package))
    else:
        with tarfile.open(archive, "r:*", errorlevel=2) as package:
            members = list(_tar_members(archive, package))
            _check_end(package, packed=not archive.name.lower().endswith(".tar"))
            yield members


def _zip_members(archive: Path, package: zipfile.ZipFile) -> Iterator[_Member]:
    for entry in package.infolist():
        if len(package.filelist) > MAX_ENTRIES:
            _too_many(archive)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse(archive, entry.filename, "a link" if kind == stat.S_IFLNK else "a special file")
        if entry.flag_bits & 0x1:
            _refuse(archive, entry.filename, "encrypted")
        path = _safe_path(archive, entry.orig_filename)
        # Windows programs end a folder's name with a backslash.
        if not entry.is_dir() and not entry.orig_filename.endswith("\\") and path:
            yield _Member(path, entry.file_size, None, functools.partial(package.open, entry))


def _tar_members(archive: Path, package: tarfile.TarFile) -> Iterator[_Member]:
    for number, entry in enumerate(package):
        if number >= MAX_ENTRIES:
            _too_many(archive)
        if entry.issym() or entry.islnk():
            _refuse(archive, entry.name, "a link")
        if not (entry.isfile() or entry.isdir()):
            _refuse(archive, entry.name, "a special file")
        if entry.issparse():
            _refuse(archive, entry.name, "a sparse file")
        path = _safe_path(archive, entry.name)
        if entry.isfile() and path:
            yield _Member(path, entry.size, entry.mtime, functools.partial(package.extractfile, entry))


def _check_end(package: tarfile.TarFile, packed: bool) -> None:
    """To `tarfile`, a damaged header ends an archive like any other; and only at the very end are checksums compared.

    Raises:
        tarfile.ReadError: there is something else than zeros where the members end.
    """
    package.fileobj.seek(package.offset)
    end = package.fileobj.read(tarfile.BLOCKSIZE)
    # Some programs write no end block; the checksum of a compressed archive has been verified by then.
    if end != bytes(tarfile.BLOCKSIZE) and (end or not packed):
        raise tarfile.ReadError(f"after {len(package.getmembers()):,} members comes neither another one nor an end")
    for _ in range(_PADDING_CHUNKS):
        if not package.fileobj.read(_CHUNK):
            return


def _safe_path(archive: Path, name: str) -> str:
    """The member's path below the folder. Raises DataError for one that could land anywhere else."""
    if "\0" in name or any(ord(character) < 32 for character in name):
        _refuse(archive, name, "a name with control characters")
    try:
        name.encode()
    except UnicodeEncodeError:
        _refuse(archive, name, "a name that is not valid text")
    if len(name) > _MAX_NAME or any(len(part.encode()) > 255 for part in name.split("/")):
        _refuse(archive, name, "a name too long for a file system")
    # Windows programs write backslashes between folders; on that system they are what they look like.
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain):
        _refuse(archive, name, "an absolute path")
    if ".." in PurePosixPath(plain).parts:
        _refuse(archive, name, "a path that leaves the folder")
    return "/".join(part for part in plain.split("/") if part not in ("", "."))


def _check_members(archive: Path, members: list[_Member], packed: int, place: Path) -> int:
    """The bytes that unpacking takes. Raises DataError or EnvironmentProblem where that must not be tried."""
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
    """Unpacks one member of at most `left` bytes; returns how many it has."""
    path = target / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    if source is None:
        _refuse(archive, member.path, "no file")
    size = 0
    try:
        with source, path.open("xb") as file:
            while chunk := source.read(_CHUNK):
                size += len(chunk)
                if size > member.size or size > left:
                    _refuse(archive, member.path, "larger than the archive declares")
                file.write(chunk)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    if size != member.size:
        _refuse(archive, member.path, "shorter than the archive declares")
    if member.modified is not None and 0 <= member.modified < 2**33:
        os.utime(path, (member.modified, member.modified))
    return size


def _refuse(archive: Path, name: str, reason: str) -> NoReturn:
    shown = name.encode("unicode_escape").decode()[:120]
    raise DataError(f"{archive}: member '{shown}' is {reason}", _REMEDY)


def _too_many(archive: Path) -> NoReturn:
    raise DataError(f"{archive} has more than {MAX_ENTRIES:,} members", _REMEDY)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
