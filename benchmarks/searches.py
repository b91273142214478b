"""Runs searches as a user starts them, and watches them from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import Sample
from benchmarks.processes import Measured, run
from benchmarks.watching import JournalWatch, TrialRun


@dataclass(frozen=True)
class SearchRun:
    """A search that has ended.

    Attributes:
        measured: cost of the command.
        began: when it was started, in monotonic seconds.
        trials: trials with a result; failed ones are left out.
    """

    measured: Measured
    began: float
    trials: list[TrialRun]

    @property
    def stage(self) -> float:
        """Seconds from the first trial's start to the last trial's result."""
        return max(trial.ended for trial in self.trials) - min(trial.began for trial in self.trials)

    @property
    def start_up(self) -> float:
        """Seconds from the command to the first trial's start."""
        return min(trial.began for trial in self.trials) - self.began

    @property
    def epochs(self) -> int:
        return sum(len(trial.seconds) for trial in self.trials)

    @property
    def best(self) -> float:
        """The highest val_f1_macro of any epoch."""
        return max(entry["val_f1_macro"] for trial in self.trials for entry in trial.curve)


def our_search(
    sample: Sample,
    name: str,
    *options: object,
    finals: bool = False,
    enough: Callable[[list[TrialRun]], bool] | None = None,
) -> SearchRun:
    """Run `python -m tuning.search OPTIONS…` in the sample's workspace.

    Args:
        finals: train the finalists too; False adds `--search-only`.
        enough: called with the trials so far after each new journal entry; the search is interrupted when it returns
            True.
    """
    workspace = sample.workspace
    watch = JournalWatch(workspace.search(name) / "journal.jsonl")
    log = workspace.root.resolve() / f"{name}.log"
    began = time.monotonic()
    seen = 0

    def look() -> bool:
        nonlocal seen
        watch.look()
        if enough is None or len(watch.records) == seen:
            return False
        seen = len(watch.records)
        return enough(watch.trials())

    only = () if finals else ("--search-only",)
    command = ["-m", "tuning.search", "--root", ".", "--name", name, "--quiet", *only, *options]
    measured = run(command, log, watch=look)
    return SearchRun(measured, began, watch.trials())


def plain_search(sample: Sample, folder: Path, *options: object) -> tuple[Measured, float, dict]:
    """Run `benchmarks/plain_keras_tuner.py OPTIONS…` on the same images.

    Returns:
        Its cost, when it was started, in monotonic seconds, and its output file.
    """
    import json

    script = Path(__file__).resolve().with_name("plain_keras_tuner.py")
    folder.mkdir(parents=True)
    files = ("--project", folder / "project", "--out", folder / "found.json")
    began = time.monotonic()
    measured = run([script, sample.workspace.split.resolve(), *options, *files], folder / "plain.log")
    return measured, began, json.loads((folder / "found.json").read_text())
