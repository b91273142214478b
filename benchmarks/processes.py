"""Runs processes and measures their wall-clock time, processor time and memory from outside; Linux only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
#: Seconds between two measurements of memory: adding up the pages of a process with a gigabyte takes milliseconds.
MEMORY_SECONDS = 2.0
MIB = 2**20
#: How long a child may take to end before it is killed.
PATIENCE_SECONDS = 5.0


@dataclass
class Measured:
    """The cost of a command.

    Attributes:
        seconds: wall-clock time.
        cpu_seconds: processor time, its child processes included.
        peak_pss: peak memory of the whole process tree in bytes; shared memory is counted once.
        workers: process id -> peak bytes of that worker process: `pss` and `rss`, see `memory_of`.
        stdout: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_pss: int
    workers: dict[int, dict[str, int]]
    stdout: str


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a user's shell: the repository is importable, no variable sets numbers of threads."""
    dropped = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
    return {**kept, **settings, **(more or {})}


def run(
    command: Sequence[str],
    log: Path,
    more: Mapping[str, str] | None = None,
    memory: float | None = MEMORY_SECONDS,
    watch: Callable[[], bool | None] | None = None,
) -> Measured:
    """Run `python COMMAND…` to its end.

    Args:
        log: file for its standard error; its standard output goes to the same name with the suffix `.out`.
        more: further environment variables.
        memory: seconds between two measurements of the process tree's memory; None: do not measure it.
        watch: called every few milliseconds, and once after the end; when it returns True, the command gets SIGTERM.

    Raises:
        RuntimeError: the exit code is not 0 although the command got no SIGTERM; contains the end of the log.
    """
    began = time.monotonic()
    with log.open("wb") as messages, log.with_suffix(".out").open("w+b") as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment(more),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
        )
        # wait4 returns the times of this child and of those descendants that were waited for.
        ended: list[Any] = []
        waiter = threading.Thread(target=lambda: ended.append(os.wait4(process.pid, 0)))
        waiter.start()
        peak = _Peak(process.pid)
        looked, stopped = 0.0, False
        try:
            while waiter.is_alive():
                if memory is not None and time.monotonic() - looked >= memory:
                    peak.look()
                    looked = time.monotonic()
                if watch is not None and watch() and not stopped:
                    stopped = True
                    # It may have ended by itself meanwhile.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGTERM)
                waiter.join(0.01 if watch else 0.05)
        except BaseException:
            # No process may outlive an interrupted benchmark.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            waiter.join()
            raise
        seconds = time.monotonic() - began
        if watch is not None:
            watch()
        _, status, usage = ended[0]
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        stdout = output.read().decode(errors="replace")
    if process.returncode != 0 and not stopped:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(map(str, command))} ended with exit code {process.returncode}: {tail}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak.total, peak.workers, stdout)


class _Peak:
    """Tracks the peak memory of a process tree."""

    def __init__(self, pid: int) -> None:
        self._pid, self.total = pid, 0
        self.workers: dict[int, dict[str, int]] = {}

    def look(self) -> None:
        total = 0
        for pid in tree(self._pid):
            found = memory_of(pid)
            total += found["pss"]
            if is_worker(pid):
                before = self.workers.get(pid, {"pss": 0, "rss": 0})
                self.workers[pid] = {name: max(before[name], found[name]) for name in before}
        self.total = max(self.total, total)


def tree(pid: int) -> list[int]:
    """Return the ids of a process and all its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                for child in file.read().split():
                    found += tree(int(child))
    return found


def is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"tuning.engine.executors.worker" in file.read()
    return False


def memory_of(pid: int) -> dict[str, int]:
    """Return the memory of one process in bytes, zeros if it has ended.

    `pss` is its current memory with shared pages divided among their processes, `rss` its peak with shared pages in
    full.
    """
    found = {"pss": 0, "rss": 0}
    for name, file, field_ in (("pss", "smaps_rollup", "Pss"), ("rss", "status", "VmHWM")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{file}") as lines:
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
            if field_ in fields:
                found[name] = int(fields[field_].split()[0]) * 1024
    return found


@dataclass
class Child:
    """A child process that does a round of work for each line on its standard input and answers with a line of JSON.

    Args:
        command: the arguments of `python`.
        log: file for its standard error.
        more: further environment variables.
    """

    command: Sequence[str]
    log: Path
    more: Mapping[str, str] | None = None
    process: subprocess.Popen = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("wb") as messages:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, self.command)],
                env=environment(self.more),
                cwd=self.log.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
            )

    def go(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the result of a round.

        Raises:
            RuntimeError: the process ended instead; contains the end of its log.
        """
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(map(str, self.command))} ended: {tail}")

    def round(self) -> dict[str, Any]:
        self.go()
        return self.answer()

    def close(self) -> None:
        """Close its pipes, upon which it should end; kill it if it does not, for example in the middle of a round."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def closing_all(children: Iterable[Child]) -> Iterator[None]:
    """Close all children when the block is left, also by an exception."""
    try:
        yield
    finally:
        for child in children:
            child.close()


def together(children: Sequence[Child]) -> list[dict[str, Any]]:
    """Run a round in all children at once; return their answers."""
    for child in children:
        child.go()
    return [child.answer() for child in children]


def rounds() -> Iterator[str]:
    """Within a child: yield once per round, until the parent closes the pipe or ends."""
    yield from sys.stdin


def say(answer: Mapping[str, Any]) -> None:
    """Within a child: send the result of a round."""
    print(json.dumps(answer), flush=True)
