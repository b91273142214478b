"""Runs jobs in persistent worker processes on this machine, each running one job at a time.

If a worker crashes, is killed, hangs or falls silent, that becomes an event, and a new worker replaces it. The parent
only waits: one thread per worker reads its messages into a common queue.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuning.core import machine
from tuning.core.records import Failure
from tuning.engine.executors import Died, Event, Job, Progressed, is_timed
from tuning.engine.executors.pipes import answers, opened, send, started
from tuning.engine.executors.worker import Alive, Message

#: A worker that has sent nothing for this long is given up (it sends a heartbeat every two seconds).
LEASE_SECONDS = 60.0
#: How often leases and timeouts are checked.
CHECK_SECONDS = 5.0
#: A worker is replaced after this many jobs, or once it holds this much memory, which grows with the models it builds.
RECYCLE_JOBS = 40
RECYCLE_BYTES = 3 * 2**30
#: How long a worker that has closed its pipe may take to exit, and a killed one to disappear.
ENDING_SECONDS = 10.0
#: Characters of a dead worker's log that go into the failure.
_LOG_TAIL = 2_000


@dataclass
class _Worker:
    slot: int
    process: subprocess.Popen[str]
    log: Path
    job: Job | None = None
    began: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    jobs: int = 0
    memory: int = 0


class LocalExecutor:
    """An `Executor` over `workers` processes.

    Args:
        workers: maximum number of processes; each is started when first needed, or by `warm_up`.
        work: the function that runs a job in the worker, as `module:function`.
        environment: environment variables of the workers, in addition to those of this process.
        log_directory: folder of the workers' logs.
        trial_timeout: seconds after which a job is given up (see `is_timed`); None: never.
    """

    def __init__(
        self,
        workers: int,
        work: str,
        environment: Mapping[str, str],
        log_directory: Path,
        trial_timeout: float | None = None,
    ) -> None:
        self._work, self._environment, self._logs = work, dict(environment), log_directory
        self._timeout = trial_timeout
        self._slots = list(range(workers))
        self._workers: list[_Worker] = []
        self._messages: queue.Queue[tuple[_Worker, Message | None]] = queue.Queue()
        self._checked = time.monotonic()

    def warm_up(self) -> None:
        while len(self._workers) < len(self._slots):
            self._start()

    def free(self) -> int:
        return len(self._slots) - sum(worker.job is not None for worker in self._workers)

    def submit(self, job: Job) -> None:
        for worker in [one for one in self._workers if one.job is None]:
            if self._give(worker, job):
                return
            # It died while idle and has not received the job, which goes to the next worker.
            self._kill(worker)
        # If the new worker ends at once, its end arrives through the queue like any other.
        self._give(self._start(), job)

    def _give(self, worker: _Worker, job: Job) -> bool:
        """Sends a job to a worker; returns False if the worker has ended."""
        worker.job, worker.began, worker.seen = job, time.monotonic(), time.monotonic()
        return send(worker.process.stdin, job)

    def collect(self, timeout: float) -> list[Event]:
        events: list[Event] = []
        deadline = time.monotonic() + timeout
        while not events:
            wait = min(CHECK_SECONDS, deadline - time.monotonic())
            try:
                events += self._received(*self._messages.get(timeout=max(0.0, wait)))
                while True:
                    events += self._received(*self._messages.get_nowait())
            except queue.Empty:
                pass
            events += self._overdue()
            if time.monotonic() >= deadline:
                break
        return events

    def cancel(self) -> None:
        for worker in [w for w in self._workers if w.job is not None]:
            self._kill(worker)

    def close(self) -> None:
        for worker in self._workers:
            # Kill all before waiting for any: they end in parallel, and freeing a gigabyte takes a moment.
            _end(worker.process)
        for worker in list(self._workers):
            self._kill(worker)

    def _start(self) -> _Worker:
        slot = min(set(self._slots) - {worker.slot for worker in self._workers})
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"worker-{slot}.log"
        command = [sys.executable, "-m", "tuning.engine.executors.worker", self._work, str(os.getpid())]
        worker = _Worker(slot, started(command, self._environment | _own_gpu(slot), log), log)
        self._workers.append(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        for message in answers(worker.process.stdout, Message):
            self._messages.put((worker, message))
        self._messages.put((worker, None))

    def _received(self, worker: _Worker, message: Message | None) -> list[Event]:
        if worker not in self._workers:
            return []
        if message is None:
            return self._ended(worker)
        worker.seen = time.monotonic()
        if isinstance(message, Alive):
            return []
        if isinstance(message, Progressed):
            return [message]
        worker.job, worker.jobs, worker.memory = None, worker.jobs + 1, message.memory
        short_of_memory = message.error is not None and message.error.kind == "memory"
        if worker.jobs >= RECYCLE_JOBS or worker.memory >= RECYCLE_BYTES or short_of_memory:
            self._kill(worker)
        return [message]

    def _ended(self, worker: _Worker) -> list[Event]:
        code = _ended_with(worker.process)
        self._kill(worker)
        if worker.job is None:
            return []
        return [Died(worker.job.key, worker.job.fence, _cause(code, worker.log))]

    def _overdue(self) -> list[Event]:
        now = time.monotonic()
        if now - self._checked > 2 * CHECK_SECONDS:
            # This process was stopped meanwhile: count neither the silence nor the elapsed time against the workers.
            for worker in self._workers:
                worker.seen = now
                worker.began += now - self._checked
        self._checked = now
        events: list[Event] = []
        for worker in list(self._workers):
            if worker.job is not None and (failure := self._given_up(worker, now)):
                self._kill(worker)
                events.append(Died(worker.job.key, worker.job.fence, failure))
        return events

    def _given_up(self, worker: _Worker, now: float) -> Failure | None:
        if self._timeout and worker.job and is_timed(worker.job) and now - worker.began > self._timeout:
            return Failure("timeout", f"gave no result within {self._timeout:g} s (--trial-timeout)")
        if now - worker.seen > LEASE_SECONDS:
            return Failure("lost", f"the worker fell silent for {LEASE_SECONDS:g} s: stopped, or swapped out")
        return None

    def _kill(self, worker: _Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
        _end(worker.process)
        try:
            worker.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            # A worker that hangs in a driver or on a lost disk cannot be killed; the others go on. A thread is still
            # reading its pipe, which therefore cannot be closed.
            return
        for pipe in (worker.process.stdin, worker.process.stdout):
            with contextlib.suppress(OSError):
                opened(pipe).close()


def _ended_with(process: subprocess.Popen[str]) -> int:
    """The exit status of a worker that has closed its pipe; kills it if it does not exit, and what it left running."""
    deadline = time.monotonic() + ENDING_SECONDS
    if os.name == "posix":
        # WNOWAIT leaves a zombie: until it is reaped, its process id, also that of its group, cannot be reused.
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        with contextlib.suppress(OSError):
            while os.waitid(os.P_PID, process.pid, options) is None and time.monotonic() < deadline:
                time.sleep(0.01)
    else:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(ENDING_SECONDS)
    _end(process)
    return process.wait()


def _end(process: subprocess.Popen[str]) -> None:
    """Kills a worker and everything that its builders have started: it leads a process group of its own."""
    if os.name == "posix":
        # Once it has been reaped, its process id may belong to another process.
        if process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        return
    process.kill()


def _own_gpu(slot: int) -> dict[str, str]:
    """The variable that assigns a worker one of this process's GPUs, round robin; empty if there are none."""
    count = len(machine.gpus())
    if count == 0:
        return {}
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(index) for index in range(count)]
    return {"CUDA_VISIBLE_DEVICES": names[slot % len(names)]}


def _cause(code: int, log: Path) -> Failure:
    """The failure that a worker's exit status indicates, with the end of its log."""
    if code >= 0:
        return Failure("crash", f"the worker ended with exit code {code}", traceback=_tail(log))
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        message = "the worker was killed (SIGKILL): most likely out of memory"
        return Failure("memory", message, traceback=_tail(log))
    return Failure("crash", f"the worker crashed ({name})", traceback=_tail(log))


def _tail(log: Path) -> str | None:
    with contextlib.suppress(OSError):
        return log.read_text(errors="replace")[-_LOG_TAIL:] or None
    return None
