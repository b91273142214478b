"""A search in TensorBoard: scalars of every epoch, and a row of the HParams page, for each trial and each run.

    tensorboard --logdir artifacts/searches/<name>/tensorboard

Each trial and run has one event file, which is written completely when the trial or run has ended; the suffix of its
name is a digest of the records it shows. A resume writes missing files, replaces those of trials that failed and were
tried again, and leaves all others alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuning.core import files
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, configuration, epochs_of
from tuning.tracking import Published, Subject, events, version
from tuning.tracking.times import timed_points

#: Columns of the HParams page: tag -> name.
METRICS = {
    "result/val_f1_macro": "val_f1_macro",
    "result/epochs": "epochs",
    "result/test_f1_macro": "test_f1_macro",
    "result/test_accuracy": "test_accuracy",
    "result/test_loss": "test_loss",
}
#: TensorBoard reads every file with this in its name as an event file.
MARK = "tfevents"


class TensorBoard:
    """The `Tracker` for TensorBoard: writes event files in `subject.events`, for the columns of the HParams page, and
    below it in `trials/<trial>` and `runs/<run_id>`."""

    def __init__(self, subject: Subject, wanted: bool) -> None:
        self._folder, self._staged = subject.events, subject.directory / "event-file"
        self._space = {entry["config"]["name"]: entry for entry in subject.space}
        self._describe()

    def trial(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        # A builder may declare further hyperparameters in any trial; TensorBoard shows only those described as columns.
        declared = {entry["config"]["name"]: entry for entry in outcome.space}
        if declared.keys() - self._space.keys():
            self._space = declared | self._space
            self._describe()
        completed = outcome.status == COMPLETED
        results = {"val_f1_macro": outcome.score, "epochs": epochs_of(outcome.curve)} if completed else {}
        self._row(
            f"trials/{spec.trial_id}",
            version(spec, outcome),
            spec.trial_id,
            configuration(spec.values),
            outcome.curve,
            outcome.seconds,
            results,
            outcome.failure.message if outcome.failure else None,
        )

    def run(self, run: Published) -> None:
        suffix = version(run.metrics)
        self._row(f"runs/{run.run_id}", suffix, run.run_id, run.values, run.curve, run.seconds, run.results, None)

    def end(self, finished: bool) -> None:
        return None

    def _row(
        self,
        name: str,
        suffix: str,
        group: str,
        values: Mapping[str, Any],
        curve: Sequence[Mapping[str, Any]],
        seconds: Sequence[float],
        results: Mapping[str, Any],
        failure: str | None,
    ) -> None:
        def content(started: float, now: float) -> list[events.Event]:
            points = timed_points(curve, seconds, now)
            rows = [
                events.scalars({tag: value for tag, value in entry.items() if tag != "epoch"}, epoch, at)
                for epoch, at, entry in points
            ]
            figures = {f"result/{name}": value for name, value in results.items()}
            last = points[-1][0] if points else 0
            return [
                events.session_start(group, values, started),
                *rows,
                *([events.scalars(figures, last, now)] if figures else []),
                *([events.text("failure", failure, now)] if failure else []),
                events.session_end(failure is None, now),
            ]

        self._write(self._folder / name, suffix, content, sum(seconds))

    def _describe(self) -> None:
        """Writes the columns of the HParams page, replacing an earlier version of them."""

        def content(started: float, now: float) -> list[events.Event]:
            return [events.experiment(list(self._space.values()), METRICS, now)]

        self._write(self._folder, files.digest([sorted(self._space), METRICS])[:12], content)

    def _write(
        self,
        folder: Path,
        suffix: str,
        content: Callable[[float, float], Sequence[events.Event]],
        seconds: float = 0.0,
    ) -> None:
        """Writes the only event file of a folder atomically, unless it exists with this suffix; removes other versions.

        TensorBoard may be reading the folder, and would also read the temporary file of an ordinary atomic write. So
        the file is written outside of the folder and moved there.

        Args:
            content: (start time, end time) -> the events.
            seconds: duration of the training, which determines the start time.
        """
        existing = sorted(path for path in folder.glob("*") if MARK in path.name)
        outdated = [path for path in existing if not path.name.endswith(f".{suffix}")]
        if outdated == existing:
            now = time.time()
            started = now - seconds
            folder.mkdir(parents=True, exist_ok=True)
            files.write_bytes(self._staged, events.file_bytes(content(started, now), started))
            files.move(self._staged, folder / f"events.out.{MARK}.{int(started)}.{suffix}")
        for path in outdated:
            path.unlink()
