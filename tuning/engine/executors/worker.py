"""A worker process: reads jobs as JSON lines from one descriptor and writes messages as JSON lines to another.

`LocalExecutor` starts it as `python -m tuning.engine.executors.worker WORK PARENT`, with the two descriptors as stdin
and stdout. First the worker moves them to descriptors that its child processes do not inherit and no library knows: a
builder then has an empty stdin, and prints into the log. The worker stays alive between jobs, because importing
TensorFlow takes seconds. It cannot outlive its parent: the end of its input ends it, and on Linux the kernel kills it
with the parent even while it is stopped. Processes that a builder starts end with the worker.
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
    """A heartbeat: the process runs, whatever its job does."""


#: The messages of a worker.
Message = Alive | Progressed | Finished


def main(argv: list[str]) -> int:
    work, parent = argv[0], int(argv[1])
    die_with(parent)
    descriptors = take_over()
    # A debugger would wait for input for ever.
    sys.breakpointhook = _no_breakpoint
    _own_children(descriptors)
    channel = Channel(descriptors[1])
    jobs: queue.Queue[Job] = queue.Queue()
    threading.Thread(target=_read_jobs, args=(descriptors[0], jobs), daemon=True).start()
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    with contextlib.suppress(Exception):
        # Its imports take seconds, so they begin before the first job arrives, which then reports their errors.
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
    """Makes forked children close the worker's descriptors, and end with the worker."""
    if not hasattr(os, "register_at_fork"):
        return

    def in_child() -> None:
        die_with(os.getppid())
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    os.register_at_fork(after_in_child=in_child)


def _end_children() -> None:
    """Kills the processes that a builder has started: they are in the process group that the worker leads."""
    if os.name == "posix" and os.getpgrp() == os.getpid():
        with contextlib.suppress(OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _beat(channel: Channel) -> None:
    while True:
        channel.send(Alive())
        time.sleep(HEARTBEAT_SECONDS)


def _resident_bytes() -> int:
    """This process's resident memory on Linux, without pages of files; 0 elsewhere.

    Those, for example of a packed data set larger than memory, belong to the page cache, which all workers share.
    """
    try:
        with open("/proc/self/statm") as file:
            _, resident, of_files, *_ = map(int, file.read().split())
        return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
