"""A worker process: takes jobs as JSON lines on one descriptor, answers as JSON lines on another, until the first ends.

Started by `LocalExecutor` as `python -m tuning.engine.executors.worker WORK PARENT`, with the two as stdin and stdout.
Before it does anything else it moves them to descriptors that none of its own children get, and that no library knows:
a builder then has an empty stdin, and prints into the log. It stays alive between jobs, because importing TensorFlow
takes seconds. It cannot outlive its parent: the end of the jobs ends it, and on Linux the kernel kills it with the
parent even while it is stopped. What a builder starts ends with it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from typing import Any

import msgspec

from tuning.engine.executors import Finished, Job, Progressed
from tuning.engine.executors.pipes import Channel, die_with, received, take_over
from tuning.engine.executors.running import attempt, load_work

HEARTBEAT_SECONDS = 2.0


class Alive(msgspec.Struct, frozen=True, tag_field="type", tag="alive"):
    """The process runs, whatever its job does."""


#: What a worker says.
Message = Alive | Progressed | Finished


def main(argv: list[str]) -> int:
    work, parent = argv[0], int(argv[1])
    die_with(parent)
    descriptors = take_over()
    # A debugger waits for an answer that nobody can give.
    sys.breakpointhook = _no_breakpoint
    _own_children(descriptors)
    channel = Channel(descriptors[1])
    jobs: queue.Queue[Job] = queue.Queue()
    threading.Thread(target=_read_jobs, args=(descriptors[0], jobs), daemon=True).start()
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


def _read_jobs(descriptor: int, jobs: queue.Queue[Job]) -> None:
    for line in received(descriptor):
        jobs.put(msgspec.convert(line, Job))
    _end_children()
    os._exit(0)


def _no_breakpoint(*_: Any, **__: Any) -> None:
    print("breakpoint(): nobody can answer a debugger in a worker; --executor inline runs trials in your own process")


def _own_children(descriptors: tuple[int, int]) -> None:
    """What is forked from here has neither of our descriptors, and is no worker."""
    if not hasattr(os, "register_at_fork"):
        return

    def in_child() -> None:
        die_with(os.getppid())
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    os.register_at_fork(after_in_child=in_child)


def _end_children() -> None:
    """Ends what a builder has started: it is in our process group, which the worker leads."""
    if os.name == "posix" and os.getpgrp() == os.getpid():
        with contextlib.suppress(OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _beat(channel: Channel) -> None:
    while True:
        channel.send(Alive())
        time.sleep(HEARTBEAT_SECONDS)


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
