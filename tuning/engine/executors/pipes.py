"""Messages between a process and a child, as JSON lines on two descriptors that nothing else uses."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

_PR_SET_PDEATHSIG = 1


def take_over() -> tuple[int, int]:
    """Moves stdin and stdout to descriptors that none of our own children get, and that no library knows.

    What is printed from then on goes to stderr, a log; what is read is empty.
    """
    descriptors = os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno())
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return descriptors


class Channel:
    """Whole lines to the parent, from more than one thread; the end of the parent is the end of us."""

    def __init__(self, descriptor: int) -> None:
        self._file: IO[str] = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()

    def send(self, message: msgspec.Struct) -> None:
        # Not by msgspec: it writes a number that is not finite as null, and the parent must see that it was one.
        line = json.dumps(msgspec.to_builtins(message)) + "\n"
        try:
            with self._lock:
                self._file.write(line)
                self._file.flush()
        except OSError:
            os._exit(1)


def received(descriptor: int) -> Iterator[Any]:
    """What the parent sends, until it ends."""
    # By hand: a buffered reader holds a lock while it waits, and a child that is forked meanwhile holds it for ever.
    rest = b""
    while data := os.read(descriptor, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from map(json.loads, lines)


def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    """A process that imports what this one does, with pipes for messages; what else it says goes into `log`.

    Ctrl-C in the terminal is for its parent, which decides what becomes of it.
    """
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )


def opened(pipe: IO[str] | None) -> IO[str]:
    """A pipe of a process that was started with it."""
    assert pipe is not None
    return pipe


def send(pipe: IO[str] | None, message: msgspec.Struct) -> bool:
    """One message to a process that we have started; False where it has ended, which its answers say too."""
    try:
        print(json.dumps(msgspec.to_builtins(message)), file=opened(pipe), flush=True)
    except OSError:
        return False
    return True


def answers(pipe: IO[str] | None, kind: Any) -> Iterator[Any]:
    """What a process that we have started says, until it ends."""
    with contextlib.suppress(OSError, ValueError):
        for line in opened(pipe):
            # A line cut off by its death is no message.
            with contextlib.suppress(ValueError, msgspec.ValidationError):
                yield msgspec.convert(json.loads(line), kind)


def die_with(parent: int) -> None:
    """On Linux the kernel kills this process with its parent, even while it is stopped."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.name == "posix" and os.getppid() != parent:
        os._exit(1)
