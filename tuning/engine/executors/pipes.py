"""Messages between a process and its child, as JSON lines on two descriptors reserved for them."""

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
    """Moves stdin and stdout to descriptors that child processes do not inherit and no library knows.

    From then on stdout goes to stderr (a log), and stdin is empty. Returns the two new descriptors.
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
    """Sends complete lines to the parent, from several threads; exits if the parent has ended."""

    def __init__(self, descriptor: int) -> None:
        self._file: IO[str] = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()

    def send(self, message: msgspec.Struct) -> None:
        # Not msgspec.json: it writes NaN and infinities as null, and the parent must see them.
        line = json.dumps(msgspec.to_builtins(message)) + "\n"
        try:
            with self._lock:
                self._file.write(line)
                self._file.flush()
        except OSError:
            os._exit(1)


def received(descriptor: int) -> Iterator[Any]:
    """Yields the parent's messages until the parent ends."""
    # Unbuffered: a buffered reader holds a lock while it waits, and a child forked meanwhile would hold it for ever.
    rest = b""
    while data := os.read(descriptor, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from map(json.loads, lines)


def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    """Starts a process with this one's import path, pipes for messages, and stderr in `log`.

    Ctrl-C in the terminal reaches only the parent, which decides what happens to the child.
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
    """Narrows the type of a pipe that the process was started with."""
    assert pipe is not None
    return pipe


def send(pipe: IO[str] | None, message: msgspec.Struct) -> bool:
    """Sends a message to a started process; returns False if the process has ended, as `answers` then shows, too."""
    try:
        print(json.dumps(msgspec.to_builtins(message)), file=opened(pipe), flush=True)
    except OSError:
        return False
    return True


def answers(pipe: IO[str] | None, kind: Any) -> Iterator[Any]:
    """Yields the messages of a started process until it ends."""
    with contextlib.suppress(OSError, ValueError):
        for line in opened(pipe):
            # Skip a line cut off by the death of the process.
            with contextlib.suppress(ValueError, msgspec.ValidationError):
                yield msgspec.convert(json.loads(line), kind)


def die_with(parent: int) -> None:
    """Ends this process if its parent has ended. On Linux the kernel also kills it with the parent, even if stopped."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.name == "posix" and os.getppid() != parent:
        os._exit(1)
