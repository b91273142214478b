"""Kills a search at random moments and starts it again, until it ends; counts what outlives it."""

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

#: Every process of a search that is to be killed bears this variable, with a value of its own.
MARK = "STRESS_RUN"
TARGETS = ("parent", "worker", "both")
#: A process may take this long to follow its parent.
ORPHAN_SECONDS = 5.0
#: After the last kill, a search has to end within so many.
PATIENCE_SECONDS = 300.0
_POLL = 0.005


@dataclass
class Outcome:
    """What happened to a search that was killed.

    Attributes:
        kills: by target.
        moments: the kills again, by what was going on.
        launches: how often the command was started.
        orphans: processes that were still there some seconds after their parent.
        slowest_end: seconds that the last process took to follow its parent, at worst.
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
    """Runs `command` until it ends by itself, and on the way kills its parent, a worker, or both, `kills` times.

    Half of the moments are random times up to `longest` seconds after the last kill, the others come just after
    something happened, up to `stride` happenings later.

    Args:
        directory: where it runs; its output is appended to `output.log` there.
        events: how many things have happened so far; only to be compared with itself.
        moment: what is going on, in a word.
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
                killed = _kill(process, target, mark, choice)
                outcome.kills[target] += 1
                outcome.moments[now] += 1
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
    """Waits for the next moment to kill; False when the process has ended meanwhile."""
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


def _kill(process: subprocess.Popen, target: str, mark: str, choice: random.Random) -> bool:
    """Kills; True when the parent is among the dead. A worker that is not there yet is the parent's luck."""
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
    return process.pid in victims


def _orphans(mark: str) -> tuple[int, float]:
    """(processes that outlive the parent for too long, seconds until the last one was gone); ends them."""
    began = time.monotonic()
    while (left := marked(mark)) and time.monotonic() - began < ORPHAN_SECONDS:
        time.sleep(_POLL)
    seconds = time.monotonic() - began
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left), seconds


def marked(mark: str) -> set[int]:
    """Living processes whose environment bears the mark; zombies have none. Linux only: reads /proc."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
    return found
