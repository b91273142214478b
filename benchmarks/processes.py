"""Processes that are measured from outside: their time, their processor time, their memory; Linux only."""

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
#: How often memory is looked at: adding up the pages of a process that holds a gigabyte takes milliseconds.
MEMORY_SECONDS = 2.0
MIB = 2**20
PATIENCE_SECONDS = 5.0


@dataclass
class Measured:
    """What a command cost.

    Attributes:
        seconds: of the clock.
        cpu_seconds: of all processors, its children included.
        peak_pss: bytes of the whole process tree at its peak; what processes share is counted once.
        workers: peak bytes of each worker process, by process id: `pss` and `rss`, see `memory_of`.
        stdout: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_pss: int
    workers: dict[int, dict[str, int]]
    stdout: str


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A person's shell with the repository importable; nothing that would change numbers of threads."""
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
    """Runs `python COMMAND…` to its end.

    Args:
        log: where its messages go.
        more: environment variables.
        memory: seconds between two looks at the memory of its processes; None: no look.
        watch: called all the while, every few milliseconds; once it returns True, the command is asked to end.

    Raises:
        RuntimeError: it failed, unless it was asked to end; with the end of the log.
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
        # wait4 gives this child's own times, those of the children it waited for included.
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
                    os.kill(process.pid, signal.SIGTERM)
                waiter.join(0.01 if watch else 0.05)
        except BaseException:
            # Nothing outlives an interrupted benchmark.
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
    """The memory of a process tree at its peak."""

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
    """A process and all that descend from it."""
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
    """Bytes of one process, zeros once it has ended.

    `pss` is what it holds now, what it shares counted in parts; `rss` the most it ever held, what it shares in full.
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
    """A process of ours that does one round of work whenever it is told to: a line in, a line of JSON out.

    Args:
        command: what follows `python`.
        log: where its messages go.
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
        """What its round came to.

        Raises:
            RuntimeError: it ended instead; with the end of its log.
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
        """Lets it end; kills it where it does not, in the middle of a round, say."""
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
    """Closes all of them, however the block is left."""
    try:
        yield
    finally:
        for child in children:
            child.close()


def together(children: Sequence[Child]) -> list[dict[str, Any]]:
    """A round of all of them at once."""
    for child in children:
        child.go()
    return [child.answer() for child in children]


def rounds() -> Iterator[str]:
    """Within a child: yields whenever it is told to go, until its parent closes the pipe, or ends."""
    yield from sys.stdin


def say(answer: Mapping[str, Any]) -> None:
    """Within a child: answers a round."""
    print(json.dumps(answer), flush=True)
