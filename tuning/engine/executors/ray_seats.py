"""Actors on a Ray cluster: each runs one trial at a time, wherever the cluster has room for it.

An actor does not work itself; it runs one worker process through `LocalExecutor`. Ray's `env_vars` could set its
environment, too; but an actor that dies with its trial reports neither the signal (a trial too large for memory must
not look like a crash) nor the end of the log, and only a separate process can be killed when a trial hangs. Ray
restarts nothing; the dispatcher does. A lost node is an event like any other, and the job's next attempt continues
from its last checkpoint, on another node.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tuning.core.errors import EnvironmentProblem
from tuning.core.records import Failure
from tuning.engine.executors import Died, Event, Finished, Job
from tuning.engine.executors.local import LocalExecutor
from tuning.engine.executors.ray_messages import Setup
from tuning.engine.executors.ray_nodes import Nodes, last_line

#: An actor sends a heartbeat this often, and is given up after `LEASE_SECONDS` without one.
HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0
#: An actor that has been idle for this long is released, so that others can use its cores.
IDLE_SECONDS = 60.0
#: The search ends after this many consecutive actors that ended before they could work.
_FALSE_STARTS = 3
#: Actors that end within this time of one another count once, because their node has gone.
_TOGETHER_SECONDS = 10.0


class Seat:
    """The actor: one worker process on its node."""

    def __init__(
        self, work: str, environment: Mapping[str, str], log_directory: Path, trial_timeout: float | None
    ) -> None:
        import ray

        if not ray.get_gpu_ids():
            # Newer versions of Ray leave all GPUs visible, also those assigned to others.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._executor = LocalExecutor(1, work, environment, log_directory, trial_timeout)

    def node(self) -> str:
        """Ray's id of the node that the actor runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, job: Job) -> Iterator[list[Event]]:
        """Yields the events of a job as they happen, and empty lists as heartbeats."""
        self._executor.submit(job)
        yield []
        while True:
            events = self._executor.collect(HEARTBEAT_SECONDS)
            yield events
            if any(isinstance(event, Finished | Died) for event in events):
                return


@dataclass(eq=False)
class _Slot:
    """The driver's view of an actor: starting, idle, or busy with a job.

    Attributes:
        pending: Ray's outstanding result: an object reference while starting, a stream while busy; None: idle.
        node: Ray's id of its node, once it has started.
        ready: it has started on a node that may be used.
        working: it has begun with its job.
        seen: time of its last message, or of its start or the start of its job.
    """

    number: int
    actor: Any
    pending: Any
    node: str = ""
    ready: bool = False
    job: Job | None = None
    working: bool = False
    seen: float = 0.0


class Pool:
    """Actors for the waiting jobs, at most `limit` at a time.

    Args:
        ray: the module, connected.
        setup: the driver's settings.
        nodes: the nodes that actors may run on.
    """

    def __init__(self, ray: Any, setup: Setup, nodes: Nodes) -> None:
        self._ray, self._setup, self._nodes = ray, setup, nodes
        self.limit = 1
        self._actor = ray.remote(
            max_restarts=0,
            max_task_retries=0,
            # One trial on each of two nodes is better than two on one: a trial computes on one core.
            scheduling_strategy="SPREAD",
            **setup.request.options(),
        )(Seat)
        self._slots: list[_Slot] = []
        self.waiting: deque[Job] = deque()
        self._false_starts, self._false_start = 0, -_TOGETHER_SECONDS
        self._checked = time.monotonic()

    @property
    def stuck(self) -> bool:
        """Whether jobs are waiting, and no actor is ready."""
        return bool(self.waiting) and not any(slot.ready for slot in self._slots)

    def pending(self) -> list[Any]:
        """Ray's outstanding results."""
        return [slot.pending for slot in self._slots if slot.pending is not None]

    def cancel(self) -> None:
        """Gives up all jobs."""
        self.waiting.clear()
        for slot in [slot for slot in self._slots if slot.job is not None]:
            self._drop(slot)

    def close(self) -> None:
        """Ends all actors."""
        self.waiting.clear()
        for slot in list(self._slots):
            self._drop(slot)

    def advance(self, ready: list[Any]) -> list[Event]:
        """Processes Ray's finished results into events, starts and ends actors, and assigns jobs."""
        events: list[Event] = []
        answered = set(ready)
        for slot in [slot for slot in self._slots if slot.pending is not None and slot.pending in answered]:
            events += self._received(slot)
        events += self._overdue()
        self._admit()
        self._assign()
        return events

    def _admit(self) -> None:
        """Marks actors whose node has passed its check as ready; drops those whose node cannot be used."""
        for slot in [slot for slot in self._slots if slot.node and not slot.ready]:
            state = self._nodes.state(slot.node)
            slot.ready = state == "used"
            if state in ("left out", "silent", "lost"):
                self._drop(slot)

    def _assign(self) -> None:
        """Assigns waiting jobs to idle actors, and starts actors for the other jobs."""
        now = time.monotonic()
        for slot in [slot for slot in self._slots if slot.ready and slot.job is None]:
            if self.waiting:
                slot.job, slot.seen = self.waiting.popleft(), now
                slot.pending = slot.actor.run.options(num_returns="streaming").remote(slot.job)
            elif now - slot.seen > IDLE_SECONDS:
                self._drop(slot)
        # A job is not assigned to a starting actor, for which the cluster may have no room now.
        starting = [slot for slot in self._slots if not slot.ready]
        for _ in range(min(len(self.waiting) - len(starting), self.limit - len(self._slots))):
            self._slots.append(self._start())
        for slot in starting if not self.waiting else ():
            # Its job has gone to another actor, and it would occupy room that others can use.
            if now - slot.seen > IDLE_SECONDS:
                self._drop(slot)

    def _start(self) -> _Slot:
        number = min(set(range(len(self._slots) + 1)) - {slot.number for slot in self._slots})
        setup = self._setup
        logs = Path(setup.log_directory) / f"ray-{number}"
        options = {"label_selector": selector} if (selector := self._nodes.selector()) else {}
        actor = self._actor.options(**options).remote(setup.work, setup.environment, logs, setup.trial_timeout)
        return _Slot(number, actor, actor.node.remote(), seen=time.monotonic())

    def _received(self, slot: _Slot) -> list[Event]:
        try:
            if not slot.node:
                slot.node, slot.pending, slot.seen = self._ray.get(slot.pending), None, time.monotonic()
                return []
            events = self._ray.get(next(slot.pending))
        except self._ray.exceptions.RayError as error:
            return self._ended(slot, error)
        slot.working, slot.seen = True, time.monotonic()
        self._false_starts = 0
        if any(isinstance(event, Finished | Died) for event in events):
            slot.job, slot.pending, slot.working = None, None, False
        name = self._nodes.name(slot.node)
        return [
            msgspec.structs.replace(event, node=name) if isinstance(event, Finished | Died) else event
            for event in events
        ]

    def _ended(self, slot: _Slot, error: Exception) -> list[Event]:
        self._drop(slot)
        if slot.job is not None and slot.working:
            return [Died(slot.job.key, slot.job.fence, self._failure(error), self._nodes.name(slot.node))]
        # The actor ended before it began with the job, which says nothing about the job.
        if slot.job is not None:
            self.waiting.appendleft(slot.job)
        now = time.monotonic()
        if now - self._false_start > _TOGETHER_SECONDS:
            self._false_starts, self._false_start = self._false_starts + 1, now
        if self._false_starts >= _FALSE_STARTS:
            raise EnvironmentProblem(
                f"no Ray actor can start: {last_line(error)}",
                "see Ray's logs on the nodes, and that they have memory left",
            ) from None
        return []

    def _overdue(self) -> list[Event]:
        now = time.monotonic()
        if now - self._checked > LEASE_SECONDS / 2:
            # This process was stopped, or Ray was away: the silence meanwhile says nothing about the nodes.
            for slot in self._slots:
                slot.seen = now
        self._checked = now
        events: list[Event] = []
        message = f"its node fell silent for {LEASE_SECONDS:g} s: stopped, or cut off"
        for slot in [slot for slot in self._slots if slot.job is not None and now - slot.seen > LEASE_SECONDS]:
            self._drop(slot)
            if (job := slot.job) is not None:
                events.append(Died(job.key, job.fence, Failure("lost", message), self._nodes.name(slot.node)))
        return events

    def _drop(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        self._ray.kill(slot.actor)
        slot.pending = None

    def _failure(self, error: Exception) -> Failure:
        """The failure that the end of an actor indicates."""
        kinds, details = self._ray.exceptions, str(error)
        if isinstance(error, kinds.OutOfMemoryError):
            return Failure("memory", "Ray ended the worker: its node ran out of memory", traceback=details)
        if isinstance(error, kinds.RayTaskError):
            return Failure("crash", f"the Ray actor failed: {last_line(error)}", traceback=details)
        return Failure("lost", f"the Ray actor or its node was lost: {last_line(error)}", traceback=details)
