"""Kills a search at random moments and starts it again until it ends; counts processes that outlive their parent."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Environment variable that marks all processes of a search to be killed; its value is unique to the search.
MARK = "STRESS_RUN"
TARGETS = ("parent", "worker", "both")
#: How long processes may outlive their parent before they count as orphans.
ORPHAN_SECONDS = 5.0
#: How long a search may take to end after the last kill.
PATIENCE_SECONDS = 300.0
#: Seconds between two checks while waiting.
_POLL = 0.005


@dataclass
class Outcome:
    """What happened to a search that was killed.

    Attributes:
        kills: number of kills by target.
        moments: number of kills by what was going on at that moment.
        launches: how often the command was started.
        orphans: processes that outlived their parent by more than `ORPHAN_SECONDS`.
        slowest_end: the longest time, in seconds, until all processes of a launch had ended after their parent.
        code: exit code of the last launch.
        seconds: from the first launch to the last exit.
    """

    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    launches: int = 0
    orphans: int = 0
    slowest_end: float = 0.0
    code: int = 0
    seconds: float = 0.0


def run_killed(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    kills: int,
    seed: int,
    longest: float,
    stride: int,
    events: Callable[[], int],
    moment: Callable[[], str],
) -> Outcome:
    """Run `command` again and again until it ends by itself, and kill its parent, a worker, or both `kills` times.

    Half of the kills come at a random time up to `longest` seconds after the last one, the others just after one of the
    next `stride` events.

    Args:
        directory: working directory; the output is appended to `output.log` in it.
        events: returns the number of events so far.
        moment: returns what is going on, in a word.
    """
    choice, outcome, began = random.Random(seed), Outcome(), time.monotonic()
    mark = f"{os.getpid()}-{seed}-{time.monotonic_ns()}"
    while True:
        with (directory / "output.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env={**environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        outcome.launches += 1
        killed = False
        try:
            while not killed and outcome.kills.total() < kills:
                if not _wait_for_moment(process, choice, longest, stride, events):
                    break
                target, now = choice.choice(TARGETS), moment()
                if victims := _kill(process, target, mark, choice):
                    outcome.kills[target] += 1
                    outcome.moments[now] += 1
                killed = process.pid in victims
            outcome.code = process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()
        left, seconds = _orphans(mark)
        outcome.orphans += left
        outcome.slowest_end = max(outcome.slowest_end, seconds)
        if not killed:
            outcome.seconds = time.monotonic() - began
            return outcome


def _wait_for_moment(
    process: subprocess.Popen, choice: random.Random, longest: float, stride: int, events: Callable[[], int]
) -> bool:
    """Wait for the next moment to kill; return False if the process has ended before."""
    if choice.random() < 0.5:
        until = time.monotonic() + choice.uniform(0.02, longest)
    else:
        goal = events() + choice.randint(1, stride)
        while events() < goal:
            if process.poll() is not None:
                return False
            time.sleep(_POLL)
        until = time.monotonic() + choice.uniform(0.0, longest / 20)
    while time.monotonic() < until:
        if process.poll() is not None:
            return False
        time.sleep(_POLL)
    return process.poll() is None


def _kill(process: subprocess.Popen, target: str, mark: str, choice: random.Random) -> list[int]:
    """Kill the target; return the ids of the killed processes. If no worker runs, none of the workers is killed."""
    workers = sorted(marked(mark) - {process.pid})
    victims = []
    if target != "parent" and workers:
        victims.append(choice.choice(workers))
    if target != "worker":
        victims.append(process.pid)
        choice.shuffle(victims)
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return victims


def _orphans(mark: str) -> tuple[int, float]:
    """Wait for the processes of a launch to end, and kill those left after `ORPHAN_SECONDS`.

    Returns:
        The number of those left, and the seconds waited.
    """
    began = time.monotonic()
    while (left := marked(mark)) and time.monotonic() - began < ORPHAN_SECONDS:
        time.sleep(_POLL)
    seconds = time.monotonic() - began
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left), seconds


def marked(mark: str) -> set[int]:
    """Return the ids of living processes with the mark in their environment (zombies have none). Reads /proc."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
    return found
