"""The one place that writes files that matter.

Every write is all or nothing: written aside in the same folder, fsynced, renamed over the old file, folder fsynced.
Each primitive step announces itself to `fault_hook` first, so that a test can crash or fail the n-th operation of a
run and prove that either the old or the new state is there, never half of one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tuning.core.errors import DataError

#: Called with (operation, path) before each step that changes the disk; tests set it to raise or to kill the process.
fault_hook: Callable[[str, Path], None] | None = None

TEMPORARY_MARK = ".partial-"
#: A folder that is being replaced bears this mark for a moment; a crash in that moment leaves it.
RETIRED_MARK = ".retired-"


def announce(operation: str, path: Path) -> None:
    if fault_hook is not None:
        fault_hook(operation, path)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives errors of the operating system the path that they lack: a full disk names none on write() and fsync()."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def fsync_directory(directory: Path) -> None:
    """Makes a rename in `directory` durable; a no-op where directories cannot be opened (Windows), or where the file
    system knows no such thing, as of some network disks."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        if os.name == "nt":
            return
        raise
    try:
        with naming(directory):
            os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix) and moves it into place when the block succeeds.

    For libraries that write to a path of their own (Keras, matplotlib). On any error the old file stays as it was.
    """
    temporary = path.with_name(f"{TEMPORARY_MARK}{os.getpid()}-{path.name}")
    try:
        with naming(path):
            announce("write", path)
            yield temporary
            announce("fsync", path)
            _fsync(temporary)
            announce("rename", path)
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    announce("fsync-directory", path)
    fsync_directory(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:
    """One line of JSON that is the same for the same value: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def readable_json(value: Any) -> str:
    """JSON in lines that a person can read; no NaN."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    write_text(path, readable_json(value))


def read_json(path: Path, remedy: str) -> Any:
    """Reads JSON that this package wrote.

    Raises:
        DataError: the file is missing, unreadable or not JSON; carries `remedy`.
    """
    try:
        return json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", remedy) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}", remedy) from None


def _finite(text: str) -> float:
    """A number of a JSON file: this package writes none that is NaN or infinite, such as 1e999."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text}")
    return value


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`; on success it takes the place of `path`, whole.

    A full folder cannot be replaced in one step. A crash between the two leaves no `path`, but the old folder whole
    beside it, and `put_back` returns it to its place.
    """
    if path.is_symlink():
        # Onto another disk, say: it stays a link, and what it leads to is replaced there.
        path = path.resolve()
        for leftover in path.parent.glob(f"{RETIRED_MARK}*-{path.name}"):
            put_back(leftover)
    temporary = path.with_name(f"{TEMPORARY_MARK}{os.getpid()}-{path.name}")
    retired = path.with_name(f"{RETIRED_MARK}{os.getpid()}-{path.name}")
    # Process numbers come again: these may be what a crash left behind.
    put_back(retired)
    shutil.rmtree(temporary, ignore_errors=True)
    with naming(path):
        announce("write", path)
        temporary.mkdir(parents=True)
    try:
        yield temporary
        announce("retire", path)
        if path.exists():
            os.replace(path, retired)
        announce("rename", path)
        os.replace(temporary, path)
    except BaseException:
        put_back(retired)
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    announce("fsync-directory", path)
    fsync_directory(path.parent)
    announce("remove", retired)
    shutil.rmtree(retired, ignore_errors=True)


def move(source: Path, target: Path) -> None:
    """Renames a file or folder, durably; to another file system, copies it, and then removes what was there."""
    announce("rename", source)
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copied = target.with_name(f"{TEMPORARY_MARK}{os.getpid()}-{target.name}")
        try:
            if source.is_dir():
                shutil.copytree(source, copied, symlinks=True)
            else:
                shutil.copy2(source, copied)
            for path in (copied, *copied.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    _fsync(path)
            os.rename(copied, target)
        except BaseException:
            shutil.rmtree(copied, ignore_errors=True)
            raise
        remove_directory(source) if source.is_dir() else source.unlink()
    announce("fsync-directory", target)
    fsync_directory(target.parent)
    fsync_directory(source.parent)


def remove_directory(path: Path) -> None:
    """Removes a folder that nothing needs any more; what cannot be removed stays."""
    if path.exists():
        announce("remove", path)
        shutil.rmtree(path, ignore_errors=True)


def leftovers(root: Path) -> list[Path]:
    """What interrupted writes left below `root`: the outermost files and folders that bear one of the marks."""
    found = []
    for folder, folders, names in os.walk(root):
        marked = {name for name in (*folders, *names) if name.startswith((TEMPORARY_MARK, RETIRED_MARK))}
        found += [Path(folder, name) for name in marked]
        folders[:] = [name for name in folders if name not in marked]
    return sorted(found)


def put_back(leftover: Path) -> Path | None:
    """Clears one leftover away. A retired folder whose place is empty returns there; that path is the answer then."""
    mark, _, name = leftover.name.removeprefix(".").partition("-")
    original = leftover.with_name(name.partition("-")[2])
    if not leftover.exists():
        return None
    if f".{mark}-" == RETIRED_MARK and not original.exists():
        os.replace(leftover, original)
        return original
    if leftover.is_dir():
        shutil.rmtree(leftover)
    else:
        leftover.unlink()
    return None


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_or_nothing(path: Path) -> str:
    """As `sha256_file`; "" where the file cannot be read."""
    try:
        return sha256_file(path)
    except OSError:
        return ""


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON value in its canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
