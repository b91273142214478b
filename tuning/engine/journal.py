"""The append-only journal of a search: its only state.

One entry (see `tuning.engine.entries`) per line: `<crc32 as 8 hex digits> <canonical JSON>`, numbered without gaps from
0. An entry counts once its line is fsynced. A kill can leave a torn last line, which the next owner of the lock
truncates. A damaged line with others after it, or a complete line that is no known entry, cannot be the result of a
kill and is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from tuning.core.errors import StateError
from tuning.core.files import announce, canonical_json, fsync_directory, naming, write_text
from tuning.engine.entries import Entry, from_json

LOCK = "journal.lock"
_REMEDY = (
    "restore the file from a copy, continue with the version of this package that wrote it, or start the search over "
    "with --fresh"
)


def encode(entry: Entry) -> bytes:
    """The journal line of an entry, newline included."""
    body = canonical_json(msgspec.to_builtins(entry)).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> dict[str, Any] | None:
    """The JSON of a line without its newline; None if the line is damaged."""
    if len(line) < 10 or line[8:9] != b" ":
        return None
    try:
        checksum = int(line[:8], 16)
        if zlib.crc32(line[9:]) != checksum:
            return None
        record = json.loads(line[9:])
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("n"), int) else None


@dataclass(frozen=True)
class Parsed:
    """A parsed journal: its complete entries, their length in bytes, and the damage after them, if any."""

    records: tuple[Entry, ...]
    length: int
    damage: str | None


def parse(data: bytes) -> Parsed:
    """Parses a journal's bytes.

    The entries end at the first damaged line. `damage` is None if nothing follows, or only a torn tail: an incomplete
    last line, or zeros. Lines after a damaged one, a gap or repetition in the numbers, and an entry of an unknown kind
    or with wrong fields are damage.
    """
    records: list[Entry] = []
    position = 0
    damage: str | None = None
    while position < len(data):
        end = data.find(b"\n", position)
        line = data[position:] if end < 0 else data[position:end]
        found = decode(line) if end >= 0 else None
        if found is None:
            # Lines are written one at a time, so only the last one can be torn.
            if end >= 0 and data[end + 1 :].strip(b"\0"):
                damage = "is damaged, and it is not the last one"
            break
        if found["n"] != len(records):
            damage = f"carries number {found['n']}, not {len(records)}"
            break
        try:
            records.append(from_json(found))
        except msgspec.ValidationError as error:
            damage = f"is no record that this version knows: {error} (type {found.get('type')!r})"
            break
        position = end + 1
    return Parsed(tuple(records), position, damage and f"line {len(records) + 1} {damage}")


class Journal:
    """An open journal. Its owner is the only process that may write to the search.

    Raises (on construction):
        StateError: another process has it open (named by pid and host), or a line is damaged or no known entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.ExitStack() as stack:
            stack.enter_context(held(path.parent))
            self.records = self._recover()
            self._file = stack.enter_context(path.open("ab", buffering=0))
            self._in_doubt = False
            self._held = stack.pop_all()

    def append(self, entry: Entry) -> Entry:
        """Writes one entry durably and returns it with its number `n`, decoded as a resume will read it.

        Raises:
            StateError: another process has written to the journal despite our lock: the lock file was removed, or the
                lock is visible on this machine only. The entries in the file are complete.
        """
        with naming(self.path):
            if self._in_doubt:
                # An error or a signal cut the last append short: read the file again, and truncate a torn line.
                self.records = self._recover()
                self._in_doubt = False
            if os.fstat(self._file.fileno()).st_size != self._length:
                raise StateError(
                    f"{self.path} was written by another process while this one has it",
                    f"see that one command at a time runs this search, on one machine, and leave {LOCK} alone; then "
                    "the same command resumes",
                )
            self._in_doubt = True
            line = encode(msgspec.structs.replace(entry, n=len(self.records)))
            written = from_json(json.loads(line[9:]))
            announce("append", self.path)
            self._write(line)
            announce("appended", self.path)
            self.records.append(written)
            self._length += len(line)
            self._in_doubt = False
        return written

    def _write(self, line: bytes) -> None:
        try:
            while line:
                # On a nearly full disk write() writes what fits without an error.
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._length)
            raise

    def forget(self) -> None:
        """Removes all entries."""
        if not self.records:
            return
        with naming(self.path):
            self._in_doubt = True
            announce("truncate", self.path)
            os.ftruncate(self._file.fileno(), 0)
            os.fsync(self._file.fileno())
            self.records, self._length = [], 0
            self._in_doubt = False

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> list[Entry]:
        data = self.path.read_bytes() if self.path.exists() else b""
        parsed = parse(data)
        if parsed.damage:
            raise StateError(f"{self.path}: {parsed.damage}", _REMEDY)
        if parsed.length < len(data):
            with naming(self.path), self.path.open("r+b") as file:
                announce("truncate", self.path)
                file.truncate(parsed.length)
                os.fsync(file.fileno())
        elif not self.path.exists():
            announce("create", self.path)
            self.path.touch()
            fsync_directory(self.path.parent)
        self._length = parsed.length
        return list(parsed.records)


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Locks the search in `directory` for the block, whatever its journal holds.

    Raises:
        StateError: another process holds the lock (named by pid and host).
    """
    lock, owner = FileLock(directory / LOCK), directory / "journal.owner"
    try:
        with naming(directory / LOCK):
            lock.acquire(timeout=0)
    except Timeout:
        raise StateError(
            f"{directory} is in use by {_described(owner)}",
            "wait for it to end, or stop it; or give this one another --name",
        ) from None
    try:
        write_text(owner, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _described(owner: Path) -> str:
    try:
        return owner.read_text() or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"


def read(path: Path) -> tuple[Entry, ...]:
    """The complete entries of a journal that another process may be writing; takes no lock and changes nothing.

    Raises:
        StateError: a line that is not the last one is damaged, or holds no known entry.
    """
    parsed = parse(path.read_bytes() if path.exists() else b"")
    if parsed.damage:
        raise StateError(f"{path}: {parsed.damage}", _REMEDY)
    return parsed.records
