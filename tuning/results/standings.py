"""What the leaderboard's rows say about each other: who is tied with the best, what came of several seeds, how often
the test split was opened. All of it follows from the runs' own files; nothing is written."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core import files
from tuning.core import settings as config
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.engine import journal
from tuning.results.leaderboard import DIGEST_LENGTH, Row, cell
from tuning.results.runs import read_run, run_folders, run_predictions
from tuning.trials.metrics import confusion_matrix, macro_f1_difference, rounded

if TYPE_CHECKING:
    import numpy as np

BEST, TIED, WORSE = "best", "tied", "worse"

#: What `standings` adds to a row, `per_class` apart.
ADDED = (
    "place",
    "standing",
    "difference",
    "difference_low",
    "difference_high",
    "seeds",
    "seeds_mean",
    "seeds_deviation",
)


def standings(workspace: Workspace, rows: Sequence[Row]) -> list[Row]:
    """The leaderboard's rows, best first, with what puts them into proportion.

    The best of the rows tested on the same data is compared with each of the others by paired bootstrap over the same
    test images (`trials.metrics.macro_f1_difference`). The interval covers the choice of test images; what another
    training seed would change is in the deviation over seeds, where there are several.

    Returns:
        new rows with, beside their columns,
        place: from 1.
        standing: "best"; "tied", where the 95 % interval of the difference to the best includes 0; "worse", where it
            does not; None where the predictions of one of both were not kept.
        difference, difference_low, difference_high: test macro-F1 less that of the best, and that interval.
        seeds, seeds_mean, seeds_deviation: how many runs of its search trained the same configuration, each with its
            own seed, and mean and sample standard deviation of their test macro-F1; None without others.
        per_class: class name -> F1 on the test split; None where the run's folder is gone.
    """
    folders = {cell(folder.name): folder for folder in run_folders(workspace)}
    best: dict[str, Answers | None] = {}
    result = []
    for place, entry in enumerate(rows, start=1):
        folder = folders.get(cell(entry["run_id"]))
        metrics = _metrics(folder)
        answers = _answers(workspace, metrics)
        if entry["data_digest"] in best:
            standing = _against(best[entry["data_digest"]], answers)
        else:
            best[entry["data_digest"]] = answers
            standing = _standing(BEST, (0.0, 0.0, 0.0))
        per_class = {name: row["f1"] for name, row in metrics["test"]["per_class"].items()} if metrics else None
        result.append({**entry, "place": place, **standing, **over_seeds(entry, rows), "per_class": per_class})
    return result


def over_seeds(entry: Row, rows: Iterable[Row]) -> dict[str, Any]:
    """`seeds`, `seeds_mean` and `seeds_deviation` of a row among `rows`. Pure."""
    scores = [other["test_f1_macro"] for other in rows if configuration_key(other) == configuration_key(entry)]
    if entry["search"] is None or len(scores) < 2:
        return {"seeds": None, "seeds_mean": None, "seeds_deviation": None}
    mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
    return {"seeds": len(scores), "seeds_mean": round(mean, 6), "seeds_deviation": round(deviation, 6)}


def configuration_key(entry: Row) -> tuple:
    """What the rows that differ in nothing but their seed have in common."""
    return entry["search"], entry["config_digest"], entry["data_digest"]


def openings(workspace: Workspace, rows: Iterable[Row]) -> dict[str, int]:
    """How often the test split of each data set in `rows` was opened, by the digest in its rows.

    The journals count, those of searches that were moved aside included; where they are gone, the rows do.
    """
    counted = _journaled(workspace)
    for entry in rows:
        key = entry["data_digest"], cell(entry["run_id"])
        counted[key] = max(counted[key], entry["test_openings"])
    shown = {entry["data_digest"] for entry in rows}
    totals: Counter[str] = Counter()
    for (data, _), count in counted.items():
        if data in shown:
            totals[data] += count
    return dict(totals)


def _journaled(workspace: Workspace) -> Counter[tuple[str, str]]:
    """(data digest as in a row, run_id as in a row) -> recorded openings of the test split."""
    counted: Counter[tuple[str, str]] = Counter()
    for path in (*workspace.searches.glob("*/journal.jsonl"), *workspace.art.glob("work/*/journal.jsonl")):
        try:
            settings = files.read_json(path.with_name(config.FILE_NAME), "")["settings"]
            data = str(settings["data_digest"])[:DIGEST_LENGTH]
            records = journal.parse(path.read_bytes()).records
        except (OSError, DataError, KeyError, TypeError):
            # Reading the leaderboard must not depend on a search that is damaged, or just being begun.
            continue
        for record in records:
            if record["type"] == "test-opened":
                counted[data, cell(record["run_id"])] += 1
    return counted


@dataclass(frozen=True)
class Answers:
    """What a run said of each test image: labels (n,) and predicted class indices (n,), of so many classes."""

    labels: np.ndarray
    predicted: np.ndarray
    classes: int


def _metrics(folder: Path | None) -> dict[str, Any] | None:
    try:
        return read_run(folder) if folder else None
    except DataError:
        return None


def _answers(workspace: Workspace, metrics: dict[str, Any] | None) -> Answers | None:
    """None where they were not kept, or are not those that the run's figures come from."""
    kept = run_predictions(workspace, metrics["run_id"]) if metrics else None
    if kept is None:
        return None
    labels, probabilities = kept
    answers = Answers(labels, probabilities.argmax(axis=1), len(metrics["classes"]))
    try:
        found = confusion_matrix(labels, answers.predicted, answers.classes)
    except DataError:
        return None
    return answers if found.tolist() == metrics["test"]["confusion_matrix"] else None


def _against(best: Answers | None, answers: Answers | None) -> dict[str, Any]:
    if best is None or answers is None or best.labels.tolist() != answers.labels.tolist():
        return _standing(None, (None, None, None))
    found = macro_f1_difference(best.labels, answers.predicted, best.predicted, best.classes)
    # As written, so that the last bits of a sum decide nothing.
    difference, low, high = map(rounded, found)
    return _standing(TIED if low <= 0 <= high else WORSE, (difference, low, high))


def _standing(word: str | None, difference: tuple) -> dict[str, Any]:
    value, low, high = difference
    return {"standing": word, "difference": value, "difference_low": low, "difference_high": high}
