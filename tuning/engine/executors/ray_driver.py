"""The Ray driver process: started by `RayExecutor`, it joins the cluster and runs jobs there.

It is a separate process because Ray may take minutes to give up an address, replaces signal handlers, prints to the
terminal, and exits the process once the cluster's control service has been away for a minute.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from typing import Any

import msgspec

from tuning.core.errors import EnvironmentProblem, TuningError
from tuning.engine.executors import Died, Finished, ray_cluster
from tuning.engine.executors.pipes import Channel, die_with, received, take_over
from tuning.engine.executors.ray_messages import Asking, Cancel, Command, Connected, Refused, Said, Seats, Setup, Submit
from tuning.engine.executors.ray_nodes import LIST_SECONDS, Nodes
from tuning.engine.executors.ray_seats import Pool

#: How long to wait for Ray before the next look at commands.
LOOK_SECONDS = 0.2
#: The same for `SOON_SECONDS` after a job has ended, because the next job comes soon.
NEXT_SECONDS, SOON_SECONDS = 0.02, 1.0
#: How long to go without room for any trial, or without an answer of the control service, before telling the user.
PATIENCE_SECONDS = 3.0
#: How long a cluster that seems to have room may take to start the first actor.
START_SECONDS = 20.0


def main(argv: list[str]) -> int:
    die_with(int(argv[0]))
    incoming, outgoing = take_over()
    channel, commands = Channel(outgoing), queue.Queue[Command | None]()
    threading.Thread(target=_read, args=(incoming, commands), daemon=True).start()
    setup = commands.get()
    if not isinstance(setup, Setup):
        return 0
    try:
        ray = ray_cluster.join(setup.address, lambda: channel.send(Asking()), lambda: channel.send(Connected()))
        _Driver(ray, setup, commands, channel).run()
    except TuningError as error:
        channel.send(Refused(error.problem, error.remedy))
    except Exception:
        traceback.print_exc()
    # A regular exit of Ray may wait for a control service that has gone.
    os._exit(0)


def _read(descriptor: int, commands: queue.Queue[Command | None]) -> None:
    for line in received(descriptor):
        commands.put(msgspec.convert(line, Command))
    commands.put(None)


class _Driver:
    def __init__(self, ray: Any, setup: Setup, commands: queue.Queue[Command | None], channel: Channel) -> None:
        self._ray, self._commands, self._send = ray, commands, channel.send
        gpus = int(ray.cluster_resources().get("GPU", 0))
        self._setup = msgspec.structs.replace(setup, request=setup.request.shared_by(gpus, setup.workers))
        self._nodes = Nodes(ray, self._setup.request, setup.check)
        self._pool = Pool(ray, self._setup, self._nodes)
        self._reported: set[str] = set()
        self._last_room = time.monotonic()

    def run(self) -> None:
        """Runs until the commands end."""
        self._begin()
        soon = 0.0
        while self._execute_commands():
            look = NEXT_SECONDS if time.monotonic() < soon else LOOK_SECONDS
            pending = [*self._pool.pending(), *self._nodes.pending()]
            events = [*self._pool.advance(self._ready(pending, look)), *self._node_changes()]
            for event in events:
                self._send(event)
            if any(isinstance(event, Finished | Died) for event in events):
                soon = time.monotonic() + SOON_SECONDS
            self._wait_for_room()
        self._pool.close()

    def _begin(self) -> None:
        """Checks all present nodes, and reports them and the number of seats.

        Raises:
            EnvironmentProblem: nodes were refused, and none can be used.
        """
        self._nodes.watch()
        events = self._nodes.changes()
        while self._nodes.waiting():
            self._ready(self._nodes.pending())
            events += self._nodes.changes()
        refused = self._nodes.refused()
        if refused and not self._nodes.used():
            raise EnvironmentProblem(
                "no node of the Ray cluster can be used: "
                + "; ".join(f"{node.name}: {node.problem}" for node in refused),
                refused[0].remedy,
            )
        for event in events:
            self._send(event)
        self._send_seats()
        if self._nodes.used():
            self._send(Said(self._nodes.text(self._pool.limit)))

    def _send_seats(self) -> None:
        room = sum(node.seats for node in self._nodes.used())
        self._pool.limit = self._setup.workers or max(1, room)
        self._send(Seats(self._pool.limit))

    def _ready(self, pending: list[Any], look: float = LOOK_SECONDS) -> list[Any]:
        if not pending:
            return []
        ready, others = self._ray.wait(pending, timeout=look)
        if others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return list(ready)

    def _execute_commands(self) -> bool:
        """Executes pending commands; returns False once the commands have ended."""
        idle = not self._pool.pending() and not self._nodes.pending()
        try:
            command = self._commands.get(timeout=LOOK_SECONDS if idle else 0.0)
            while command is not None:
                if isinstance(command, Submit):
                    self._pool.waiting.append(command.job)
                elif isinstance(command, Cancel):
                    self._pool.cancel()
                command = self._commands.get_nowait()
        except queue.Empty:
            return True
        return False

    def _node_changes(self) -> list[Any]:
        away = time.monotonic() - self._nodes.heard
        self._report(
            "the control service of the Ray cluster does not answer: running trials go on; Ray gives up after a minute",
            "the control service of the Ray cluster answers again",
            away > LIST_SECONDS + 3 * PATIENCE_SECONDS,
        )
        changes = self._nodes.changes()
        if changes:
            self._send_seats()
        return changes

    def _wait_for_room(self) -> None:
        """Tells the user while jobs wait for room in the cluster.

        Raises:
            EnvironmentProblem: there has been no room for the seconds of --ray-wait.
        """
        now, limit, what = time.monotonic(), self._setup.wait, self._setup.request.text()
        if not self._pool.stuck:
            self._last_room = now
        elif limit is not None and now - self._last_room > limit:
            raise EnvironmentProblem(
                f"the Ray cluster had no room for a trial, {what} each, within {limit:g} s (--ray-wait)",
                "see `ray status`; the same command resumes once there is room",
            )
        until = "without end (--ray-wait SECONDS gives up)" if limit is None else f"for up to {limit:g} s (--ray-wait)"
        reason = "all are busy with other work" if self._nodes.used() else "no node that can be used has that"
        self._report(
            f"waiting for room in the Ray cluster, {what} for each trial, {until}: {reason}; see `ray status`",
            "the Ray cluster has room now",
            now - self._last_room > (PATIENCE_SECONDS if self._nodes.crowded() else START_SECONDS),
        )

    def _report(self, begins: str, ends: str, is_so: bool) -> None:
        """Reports a condition once when it begins, and once when it ends."""
        if is_so and ends not in self._reported:
            self._reported.add(ends)
            self._send(Said(begins))
        elif not is_so and ends in self._reported:
            self._reported.discard(ends)
            self._send(Said(ends))


def command() -> list[str]:
    """The command that starts the driver. Not `python -m`: Ray would put this folder, which contains a `ray.py`, on the
    workers' import path."""
    code = "import sys; from tuning.engine.executors.ray_driver import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", code, str(os.getpid())]
