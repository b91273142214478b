"""Between the loop and the executor: journals attempts before they run, accepts results only with the current fencing
number, counts deaths, and ends each job exactly once.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tuning.core import interruption
from tuning.core.errors import EXIT_INTERNAL, StateError, TuningError
from tuning.core.records import Failure
from tuning.engine.entries import Attempt, AttemptDied, Entry, Node, Result
from tuning.engine.executors import Died, Event, Executor, Finished, Job, JobError, NodeChanged, Progressed
from tuning.engine.journal import Journal
from tuning.engine.state import SearchState, accepts, apply, replay

#: Maximum seconds of one wait, after which signals and the end of the budget are checked.
LOOK_SECONDS = 2.0
#: Observed deaths after which a job counts as failed.
MAX_DEATHS = 2
#: This many consecutive attempts of a job that ended with the whole search (for an unknown reason), none an epoch
#: further than the one before, are as suspect as one observed death.
UNRESOLVED_PER_DEATH = 6

UNKNOWN_RESULT = "continue with the version of this package that wrote it, or start the search over with --fresh"

#: Fencing number -> a job's payload as JSON; called just before the job runs.
Payload = Callable[[int], dict[str, Any]]


class JobFailed(TuningError):
    """A job that the search cannot do without has failed; carries the worker's message, remedy and exit code."""

    def __init__(self, problem: str, remedy: str, exit_code: int = EXIT_INTERNAL) -> None:
        super().__init__(problem, remedy)
        self.exit_code = exit_code


class Dispatcher:
    """Runs jobs through an executor, with the journal as memory.

    Args:
        journal: open journal; its entries are replayed into `state`.
        executor: runs the jobs.
        max_deaths: deaths after which a job counts as failed.
        epochs_done: job key -> number of epochs that a new attempt can resume from.

    Attributes:
        on_progress: called with (key, entry) for each new entry of a job's curve; the caller may set it.
        on_node: called with each event of a node, before it is journaled; the caller may set it.
    """

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        max_deaths: int = MAX_DEATHS,
        epochs_done: Callable[[str], int] = lambda key: 0,
    ) -> None:
        self.journal, self.executor = journal, executor
        self.state: SearchState = replay(journal.records)
        self._max_deaths, self._max_unresolved = max_deaths, UNRESOLVED_PER_DEATH * max_deaths
        self._epochs_done = epochs_done
        self.on_progress: Callable[[str, dict[str, Any]], None] = lambda key, entry: None
        self.on_node: Callable[[NodeChanged], None] = lambda event: None
        self._queue: list[tuple[float, int, str]] = []  # heap of (priority, number, key)
        self._queued: dict[str, tuple[str, Payload]] = {}
        self._numbers = itertools.count()
        self._running: dict[str, tuple[str, Payload]] = {}

    def record(self, entry: Entry) -> Entry:
        """Journals an entry and applies it; returns it with its number."""
        written = self.journal.append(entry)
        apply(self.state, written)
        return written

    def result(self, key: str) -> dict[str, Any] | None:
        """The result of a job, or None while there is none; a failed job's holds a `JobError` under `error`."""
        job = self.state.jobs.get(key)
        return job.result if job else None

    def request(self, key: str, kind: str, payload: Payload, priority: float = 0.0) -> None:
        """Queues a job unless it has a result, is running or is queued already.

        Args:
            priority: the queued job with the smallest value starts first; among equals, the one queued first.
        """
        if self.result(key) is None and key not in self._running and key not in self._queued:
            self._enqueue(priority, key, kind, payload)

    def _enqueue(self, priority: float, key: str, kind: str, payload: Payload) -> None:
        self._queued[key] = (kind, payload)
        heapq.heappush(self._queue, (priority, next(self._numbers), key))

    def wait(self, timeout: float = LOOK_SECONDS) -> None:
        """Starts queued jobs, then waits for events for at most `timeout` seconds and journals them.

        Raises:
            Interrupted: a signal asked this process to stop.
        """
        interruption.check()
        self.start()
        # An error of the environment ends the search: journal the results that arrived with it first.
        for event in sorted(self.executor.collect(timeout), key=_of_environment):
            if isinstance(event, Progressed):
                self.on_progress(event.key, event.entry)
            elif isinstance(event, NodeChanged):
                self.on_node(event)
                self.record(Node(node=event.node, what=event.what, computes=event.computes, reason=event.reason))
            else:
                self._ended(event)
        self.start()

    def cancel(self) -> None:
        """Gives up all jobs without a result; they may be requested again.

        This is journaled, so that the attempts do not count as ended by the death of the whole search.
        """
        running, self._running = self._running, {}
        self._queue.clear()
        self._queued.clear()
        self.executor.cancel()
        for key in running:
            fence = self.state.job(key).fence
            if fence is not None:
                self.record(AttemptDied(key=key, fence=fence, failure=Failure("stopped", "given up by the search")))

    def running(self) -> tuple[str, ...]:
        """Keys of the running jobs."""
        return tuple(self._running)

    def start(self) -> None:
        """Starts as many queued jobs as the executor has room for; fails those with too many bad attempts."""
        while self._queue and self.executor.free() > 0:
            _, _, key = heapq.heappop(self._queue)
            kind, payload = self._queued.pop(key)
            job, epoch = self.state.job(key), self._epochs_done(key)
            if len(job.deaths) >= self._max_deaths or (job.unresolved >= self._max_unresolved and epoch <= job.epoch):
                self._give_up(key)
                continue
            fence = self.record(Attempt(key=key, epoch=epoch)).n
            self._running[key] = (kind, payload)
            self.executor.submit(Job(key, fence, kind, payload(fence)))

    def _ended(self, event: Finished | Died) -> None:
        job = self.state.job(event.key)
        if event.key not in self._running or not accepts(job, event.fence):
            # A process that was given up has finished after all: only its successor's result counts.
            return
        error = None if isinstance(event, Died) else event.error or _not_finite(event.result)
        # The next two errors say nothing about the configuration. They end the search; `cancel` closes the attempt.
        if error is not None and error.kind == "environment":
            # The disk, say: there is nothing to record, and the same command resumes once it is mended. Without a path
            # the worker's message is more specific than the error number.
            words = os.strerror(error.errno or 0) if error.filename else error.message
            raise OSError(error.errno, words, error.filename or "a worker")
        if error is not None and error.kind == "outdated":
            # Trainings with changed data or code would not belong to this search.
            raise JobFailed(error.message, error.remedy, error.exit_code)
        kind, payload = self._running.pop(event.key)
        if isinstance(event, Died):
            self.record(AttemptDied(key=event.key, fence=event.fence, failure=event.failure, node=event.node))
            self._enqueue(-math.inf, event.key, kind, payload)
        elif error is None:
            self.record(Result(key=event.key, fence=event.fence, result=event.result or {}, node=event.node))
        elif error.kind == "memory":
            # Like a process killed for lack of memory: other processes may have caused it, so it is tried again.
            self.record(AttemptDied(key=event.key, fence=event.fence, failure=error.failure(), node=event.node))
            self._enqueue(-math.inf, event.key, kind, payload)
        else:
            self._fail(event.key, event.fence, error, event.node)

    def _give_up(self, key: str) -> None:
        """Fails a job with too many bad attempts: a new attempt gets the last death as its result, or the number of
        attempts whose end was not observed."""
        job = self.state.job(key)
        last = Failure("crash", f"the whole search, or a node, ended {job.unresolved} times while this ran")
        message = last.message
        if len(job.deaths) >= self._max_deaths:
            last = job.deaths[-1]
            message = f"{last.message} ({len(job.deaths)} attempts)"
        fence = self.record(Attempt(key=key)).n
        self._fail(key, fence, JobError(last.kind, message, last.traceback))

    def _fail(self, key: str, fence: int, error: JobError, node: str | None = None) -> None:
        self.record(Result(key=key, fence=fence, result={"error": msgspec.to_builtins(error)}, node=node))


def _of_environment(event: Event) -> bool:
    return isinstance(event, Finished) and event.error is not None and event.error.kind == "environment"


def error_of(result: Mapping[str, Any]) -> JobError | None:
    """The error of a failed job; None if the job did not fail.

    Raises:
        StateError: the error has a form that this version does not know.
    """
    if (error := result.get("error")) is None:
        return None
    try:
        return msgspec.convert(error, JobError)
    except msgspec.ValidationError as problem:
        raise StateError(
            f"a result in the journal holds an error that this version does not know: {problem}", UNKNOWN_RESULT
        ) from None


def expect(result: dict[str, Any], what: str) -> dict[str, Any]:
    """Returns the result of a job that the search cannot do without.

    Raises:
        JobFailed: the job failed; carries the worker's message, after `what` unless there is a remedy.
    """
    error = error_of(result)
    if error is None:
        return result
    raise JobFailed(
        error.message if error.remedy else f"{what}: {error.message}",
        error.remedy or "see the worker logs of the search for more",
        error.exit_code,
    )


def _not_finite(result: Any, place: str = "result") -> JobError | None:
    """The error of a job whose result holds NaN or an infinity, which JSON cannot represent; None if it holds none."""
    if isinstance(result, float) and not math.isfinite(result):
        return JobError("not-finite", f"the worker's answer is not a finite number: {place} is {result}")
    if isinstance(result, Mapping):
        parts = ((f"{place}.{name}", value) for name, value in result.items())
    elif isinstance(result, list | tuple):
        parts = ((f"{place}[{index}]", value) for index, value in enumerate(result))
    else:
        return None
    return next((found for name, value in parts if (found := _not_finite(value, name))), None)
