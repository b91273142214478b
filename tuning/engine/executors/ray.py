"""Runs jobs on a Ray cluster: an actor a slot, wherever the cluster has room for it.

An actor does not work itself; it holds one worker process as `LocalExecutor` does. So trials run in exactly the same
kind of process, started with the same environment, as on one machine, and a crash has a signal and a log to show.
Retries are ours: Ray restarts nothing. A node that is lost is an event like any other, and the job's next attempt goes
on from its last checkpoint, on another node.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import secrets
import site
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import tuning
from tuning.core import files
from tuning.core.errors import EnvironmentProblem
from tuning.core.records import Failure
from tuning.engine.executors import Died, Event, Finished, Job
from tuning.engine.executors.local import LocalExecutor
from tuning.engine.executors.ray_cluster import Cluster, first_line

#: An actor sends a sign of life this often, and is given up when it has not for the length of a lease.
HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0
#: How often leases are looked at; also the longest that a wait can last, in which Ray holds signals back.
CHECK_SECONDS = 1.0
#: While nothing runs, the cluster has this long to offer room for the first actor: new nodes take their time to boot.
START_SECONDS = 900.0
#: Actors in a row that may end before they could work.
_FALSE_STARTS = 3
#: How long a node may take to see a file that was just written on the shared folder.
_VISIBLE_SECONDS = 15.0
_MARK = "ray-mark"
#: What must be the same everywhere for a trial to give the same bits anywhere.
_PACKAGES = ("keras", "tensorflow", "numpy")


class Seat:
    """The actor: one worker process on its node."""

    def __init__(
        self, work: str, environment: Mapping[str, str], log_directory: Path, trial_timeout: float | None
    ) -> None:
        self._executor = LocalExecutor(1, work, environment, log_directory, trial_timeout)

    def inspect(self, mark: Path, text: str) -> dict[str, Any]:
        """What there is to know about this node before it may work."""
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while not (shared := _reads(mark, text)) and time.monotonic() < deadline:
            time.sleep(0.5)
        return {"node": platform.node(), "shared": shared, "versions": versions()}

    def run(self, job: Job) -> Iterator[list[Event]]:
        """The events of a job as they happen; now and then none, as a sign of life."""
        self._executor.submit(job)
        yield []
        while True:
            events = self._executor.collect(HEARTBEAT_SECONDS)
            yield events
            if any(isinstance(event, Finished | Died) for event in events):
                return


@dataclass(eq=False)
class _Slot:
    """An actor as seen from here: starting, then idle, or busy with a job.

    Attributes:
        pending: what Ray will answer next: an object reference while it starts, a stream while busy; None: idle.
        working: it has begun with its job.
    """

    number: int
    actor: Any
    pending: Any
    started: bool = False
    job: Job | None = None
    working: bool = False
    seen: float = field(default_factory=time.monotonic)


class RayExecutor:
    """An `Executor` over the nodes of a Ray cluster.

    Args:
        workers: trials at a time at most; None: as many as the cluster has GPUs, or cores where it has none.
        work, environment, trial_timeout: as for `LocalExecutor`.
        log_directory: where workers' output goes, at the same path on every node.
        address: of a running cluster that this machine belongs to; None: that of the environment, see `Cluster`.

    Raises:
        EnvironmentProblem: Ray is missing or too old, or there is no cluster to be had.
    """

    def __init__(
        self,
        workers: int | None,
        work: str,
        environment: Mapping[str, str],
        log_directory: Path,
        trial_timeout: float | None = None,
        address: str | None = None,
    ) -> None:
        self._cluster = Cluster(address)
        logs = log_directory.absolute()
        logs.mkdir(parents=True, exist_ok=True)
        self._ray = self._cluster.ray
        gpus = self._cluster.total("GPU")
        self._workers = workers or gpus or max(1, self._cluster.total("CPU"))
        self._worker_arguments = (work, dict(environment))
        self._logs, self._timeout = logs, trial_timeout
        self._seat = self._ray.remote(
            num_cpus=1,
            num_gpus=gpu_share(gpus, self._workers),
            max_restarts=0,
            max_task_retries=0,
            # One trial computes on one core: two nodes with one each are better than one with two.
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(own_paths())}},
        )(Seat)
        self._mark = (logs / _MARK, secrets.token_hex(8))
        files.write_text(*self._mark)
        self._slots: list[_Slot] = []
        self._waiting: deque[Job] = deque()
        self._false_starts = 0
        self._checked = self._alive = time.monotonic()

    def warm_up(self) -> None:
        """Nothing: others may want the cluster's cores until there is work for them."""

    def free(self) -> int:
        return self._workers - len(self._waiting) - sum(slot.job is not None for slot in self._slots)

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._assign()

    def collect(self, timeout: float) -> list[Event]:
        events: list[Event] = []
        deadline = time.monotonic() + timeout
        while not events:
            wait = max(0.0, min(CHECK_SECONDS, deadline - time.monotonic()))
            with _interruptible():
                for slot in self._answered(wait):
                    events += self._received(slot)
                events += self._overdue()
                self._assign()
            if time.monotonic() >= deadline:
                break
        return events

    def cancel(self) -> None:
        self._waiting.clear()
        for slot in [slot for slot in self._slots if slot.job is not None]:
            self._drop(slot)

    def close(self) -> None:
        self._waiting.clear()
        for slot in list(self._slots):
            self._drop(slot)
        self._cluster.close()

    def _assign(self) -> None:
        """Gives waiting jobs to idle actors, and has actors started for those that are left over."""
        for slot in self._slots:
            if self._waiting and slot.started and slot.job is None:
                slot.job, slot.seen = self._waiting.popleft(), time.monotonic()
                slot.pending = slot.actor.run.options(num_returns="streaming").remote(slot.job)
        # A job is not tied to an actor that is still to start: the cluster may have no room for it now.
        starting = sum(not slot.started for slot in self._slots)
        for _ in range(min(len(self._waiting) - starting, self._workers - len(self._slots))):
            self._slots.append(self._start())

    def _start(self) -> _Slot:
        number = min(set(range(self._workers)) - {slot.number for slot in self._slots})
        logs = self._logs / f"ray-{number}"
        actor = self._seat.remote(*self._worker_arguments, logs, self._timeout)
        return _Slot(number, actor, actor.inspect.remote(*self._mark))

    def _answered(self, wait: float) -> list[_Slot]:
        slots = {slot.pending: slot for slot in self._slots if slot.pending is not None}
        if not slots:
            time.sleep(wait)
            return []
        ready, others = self._ray.wait(list(slots), timeout=wait)
        if others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [slots[pending] for pending in ready]

    def _received(self, slot: _Slot) -> list[Event]:
        try:
            if not slot.started:
                check(self._ray.get(slot.pending), self._logs)
                slot.pending, slot.started = None, True
                return []
            events = self._ray.get(next(slot.pending))
        except self._ray.exceptions.RayError as error:
            return self._ended(slot, error)
        slot.working, slot.seen = True, time.monotonic()
        self._false_starts = 0
        if any(isinstance(event, Finished | Died) for event in events):
            slot.job, slot.pending, slot.working = None, None, False
        return events

    def _ended(self, slot: _Slot, error: Exception) -> list[Event]:
        self._drop(slot)
        if slot.job is not None and slot.working:
            return [Died(slot.job.key, slot.job.fence, self._failure(error))]
        # Its node went before it could begin: that says nothing about the job.
        if slot.job is not None:
            self._waiting.appendleft(slot.job)
        self._false_starts += 1
        if self._false_starts >= _FALSE_STARTS:
            raise EnvironmentProblem(
                f"no Ray actor can start: {_last_line(error)}",
                "see that every node has the same packages, and memory left",
            ) from None
        return []

    def _overdue(self) -> list[Event]:
        now = time.monotonic()
        if now - self._checked > LEASE_SECONDS / 2:
            # We were stopped ourselves: silence meanwhile says nothing about the nodes.
            self._alive = now
            for slot in self._slots:
                slot.seen = now
        self._checked = now
        if not self._waiting or any(slot.started for slot in self._slots):
            self._alive = now
        elif now - self._alive > START_SECONDS:
            raise EnvironmentProblem(
                f"the Ray cluster had no room for a trial within {START_SECONDS:g} s",
                "see `ray status`; the same command goes on once there are nodes",
            )
        events: list[Event] = []
        message = f"its node fell silent for {LEASE_SECONDS:g} s: stopped, or cut off"
        for slot in list(self._slots):
            if slot.job is not None and now - slot.seen > LEASE_SECONDS:
                self._drop(slot)
                events.append(Died(slot.job.key, slot.job.fence, Failure("lost", message)))
        return events

    def _drop(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        self._ray.kill(slot.actor)
        slot.pending = None

    def _failure(self, error: Exception) -> Failure:
        """Why an actor ended."""
        kinds, details = self._ray.exceptions, str(error)
        if isinstance(error, kinds.OutOfMemoryError):
            return Failure("memory", "Ray ended the worker: its node ran out of memory", traceback=details)
        if isinstance(error, kinds.RayTaskError):
            return Failure("crash", f"the Ray actor failed: {_last_line(error)}", traceback=details)
        return Failure("lost", f"the Ray actor or its node was lost: {_last_line(error)}", traceback=details)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Lets through what a signal handler raises: Ray's waits disguise it as an error of their own."""
    try:
        yield
    except SystemError as error:
        raise error.__cause__ or error from None


def gpu_share(gpus: int, workers: int) -> float:
    """GPUs that each of `workers` asks for: one, an n-th where n must share one, none where there are none."""
    return 0 if gpus == 0 else 1 / math.ceil(workers / gpus)


def own_paths() -> list[str]:
    """Where modules come from that a node's own Python does not bring: this project's, and the user's."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    brought = [Path(path).resolve() for path in (*map(sysconfig.get_path, names), *site.getsitepackages())]
    paths = [Path(entry).absolute() for entry in sys.path if entry]
    return [str(path) for path in paths if path.is_dir() and not any(path.resolve().is_relative_to(p) for p in brought)]


def versions() -> dict[str, str | None]:
    """Of Python and of the packages that decide about a trial's bits; None: not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "tuning": tuning.__version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def check(facts: Mapping[str, Any], folder: Path) -> None:
    """
    Raises:
        EnvironmentProblem: the node of these facts cannot run trials of this search.
    """
    if not facts["shared"]:
        raise EnvironmentProblem(
            f"node {facts['node']} does not see {folder}", "share the workspace with every node, at the same path"
        )
    here = versions()
    for name, there in facts["versions"].items():
        if there != here[name]:
            raise EnvironmentProblem(
                f"node {facts['node']} has {name} {there or 'not at all'}, this machine has {here[name]}",
                "install the same versions on every node: the same search must give the same answer anywhere",
            )


def _reads(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except OSError:
        return False


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()[:300] if str(error).strip() else first_line(error)
