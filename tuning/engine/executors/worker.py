"""A worker process: takes jobs as JSON lines on stdin, answers as JSON lines on stdout, until stdin ends.

Started by `LocalExecutor` as `python -m tuning.engine.executors.worker WORK`. It stays alive between jobs, because
importing TensorFlow takes seconds. It cannot outlive its parent: the end of stdin ends it, and on Linux the kernel
kills it with the parent even while it is stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import IO, Any

import msgspec

from tuning.engine.executors import Finished, Job, Progressed
from tuning.engine.executors.running import attempt, load_work

HEARTBEAT_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


class Alive(msgspec.Struct, frozen=True, tag_field="type", tag="alive"):
    """The process runs, whatever its job does."""


#: What a worker says.
Message = Alive | Progressed | Finished


def main(argv: list[str]) -> int:
    work, parent = argv[0], int(argv[1])
    _die_with(parent)
    # Whatever a library prints belongs in the log (stderr), not between our answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    channel = _Channel(answers)
    jobs: queue.Queue[Job] = queue.Queue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    with contextlib.suppress(Exception):
        # Its imports take seconds, which the first job need not wait for. What is wrong with them is told there.
        load_work(work)
    while True:
        job = jobs.get()

        def report(entry: dict[str, Any], job: Job = job) -> None:
            channel.send(Progressed(job.key, job.fence, entry))

        result, error = attempt(work, job.kind, job.payload, report)
        channel.send(Finished(job.key, job.fence, result, error, _resident_bytes()))


class _Channel:
    """Whole lines to the parent, from more than one thread; the end of the parent is the end of us."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._lock = file, threading.Lock()

    def send(self, message: Message) -> None:
        # Not by msgspec: it writes a number that is not finite as null, and the parent must see that it was one.
        line = json.dumps(msgspec.to_builtins(message)) + "\n"
        try:
            with self._lock:
                self._file.write(line)
                self._file.flush()
        except OSError:
            os._exit(1)


def _read_jobs(jobs: queue.Queue[Job]) -> None:
    for line in sys.stdin:
        jobs.put(msgspec.convert(json.loads(line), Job))
    os._exit(0)


def _beat(channel: _Channel) -> None:
    while True:
        channel.send(Alive())
        time.sleep(HEARTBEAT_SECONDS)


def _die_with(parent: int) -> None:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if hasattr(os, "getppid") and os.name == "posix" and os.getppid() != parent:
        os._exit(1)


def _resident_bytes() -> int:
    """Resident memory of our own now, where the system tells; 0 elsewhere.

    Pages of files, such as a packed data set larger than memory, are the page cache's, and shared by all workers.
    """
    try:
        with open("/proc/self/statm") as file:
            _, resident, of_files, *_ = map(int, file.read().split())
        return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
