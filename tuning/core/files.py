"""Atomic, durable writes: the one place that writes files that matter.

Every write is all or nothing: a temporary file in the same folder is written, fsynced and renamed over the old file,
and the folder is fsynced. Each primitive step is announced to `fault_hook` first, so that a test can crash or fail the
n-th operation of a run and prove that either the old or the new state remains, never a mixture.
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
#: Prefix of the old folder while `replacing_directory` moves the new one into place; a crash then leaves it behind.
RETIRED_MARK = ".retired-"


def announce(operation: str, path: Path) -> None:
    if fault_hook is not None:
        fault_hook(operation, path)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the path to an `OSError` without one: on a full disk write() and fsync() name no file."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def fsync_directory(directory: Path) -> None:
    """Makes a rename in `directory` durable; a no-op where directories cannot be opened (Windows) or cannot be fsynced
    (some network file systems)."""
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
    """One line of JSON that is equal for equal values: sorted keys, no blanks; refuses NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def readable_json(value: Any) -> str:
    """Indented JSON for people to read; refuses NaN and infinities."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    write_text(path, readable_json(value))


def read_json(path: Path, remedy: str) -> Any:
    """Reads JSON that this package wrote.

    Raises:
        DataError: the file is missing or not valid JSON; carries `remedy`.
    """
    try:
        return json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", remedy) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}", remedy) from None


def _finite(text: str) -> float:
    """Parses a JSON number; refuses NaN and infinities (1e999 too), which this package never writes."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text}")
    return value


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`, which replaces `path` as a whole when the block succeeds.

    A non-empty folder cannot be replaced in one step: the old one is renamed first. A crash between the two renames
    leaves no `path`, but the complete old folder beside it, which `put_back` restores.
    """
    if path.is_symlink():
        # The link (for example to another disk) stays; its target is replaced.
        path = path.resolve()
        for leftover in path.parent.glob(f"{RETIRED_MARK}*-{path.name}"):
            put_back(leftover)
    temporary = path.with_name(f"{TEMPORARY_MARK}{os.getpid()}-{path.name}")
    retired = path.with_name(f"{RETIRED_MARK}{os.getpid()}-{path.name}")
    # Process ids recur: a crashed process with this id may have left folders of these names.
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
    """Renames a file or folder durably; to another file system it copies, then removes the source."""
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
            # rmtree does not remove a file, nor unlink a folder.
            shutil.rmtree(copied, ignore_errors=True)
            with contextlib.suppress(OSError):
                copied.unlink(missing_ok=True)
            raise
        remove_directory(source) if source.is_dir() else source.unlink()
    announce("fsync-directory", target)
    fsync_directory(target.parent)
    fsync_directory(source.parent)


def remove_directory(path: Path) -> None:
    """Removes a folder that is no longer needed; files that cannot be removed stay."""
    if path.exists():
        announce("remove", path)
        shutil.rmtree(path, ignore_errors=True)


def leftovers(root: Path) -> list[Path]:
    """What interrupted writes left below `root`: the outermost files and folders whose names begin with a mark."""
    found = []
    for folder, folders, names in os.walk(root):
        marked = {name for name in (*folders, *names) if name.startswith((TEMPORARY_MARK, RETIRED_MARK))}
        found += [Path(folder, name) for name in marked]
        folders[:] = [name for name in folders if name not in marked]
    return sorted(found)


def put_back(leftover: Path) -> Path | None:
    """Removes one leftover, or moves a retired folder back if its original path is free, and returns that path then."""
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
    """Like `sha256_file`, but "" if the file cannot be read."""
    try:
        return sha256_file(path)
    except OSError:
        return ""


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical form of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
