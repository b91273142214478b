"""The status of a search, determined without taking a lock or changing anything."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from tuning.core import machine
from tuning.history.records import History

RUNNING, TESTING, FINISHED, TRIALS_ONLY, INTERRUPTED = "running", "testing", "finished", "trials only", "interrupted"

WORDS = {
    RUNNING: "running",
    TESTING: "retraining the finalists",
    FINISHED: "finished",
    TRIALS_ONLY: "trials done, test split sealed",
    INTERRUPTED: "interrupted; the same command resumes it",
}


def status_of(history: History, alive: bool) -> str:
    """The status of a search: RUNNING, TESTING, FINISHED, TRIALS_ONLY or INTERRUPTED.

    Args:
        alive: whether a process has the search open.
    """
    if history.finals and not history.reopened:
        if all(final.published or final.error for final in history.finals):
            return FINISHED
        return TESTING if alive else INTERRUPTED
    if alive:
        return RUNNING
    if history.reopened:
        return INTERRUPTED
    done = history.steps and (history.stopped or not history.running)
    return TRIALS_ONLY if done else INTERRUPTED


def is_open(directory: Path) -> bool:
    """Whether a process has the search in `directory` open, as far as its owner file and the process id tell."""
    try:
        owner = (directory / "journal.owner").read_text()
    except (OSError, UnicodeDecodeError):
        return False
    found = re.fullmatch(r"process (\d+) on (.*)", owner)
    if not found or found[2] != socket.gethostname() or os.name == "nt":
        # A process on another machine cannot be probed, and on Windows probing would end the process.
        return True
    if int(found[1]) == os.getpid():
        # This process is writing the report, the last step of its search.
        return False
    return machine.is_running(int(found[1]))
