"""What the leaderboard's rows say about each other: who is tied with the best, what came of several seeds, how often
the test split was used. All of it follows from the runs' own files; nothing is written."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.history import searches
from tuning.results.leaderboard import DIGEST_LENGTH, Row
from tuning.results.runs import read_run, run_predictions
from tuning.results.schema import Metrics
from tuning.trials.metrics import confusion_matrix, macro_f1_difference, rounded

if TYPE_CHECKING:
    import numpy as np

BEST, TIED, WORSE = "best", "tied", "worse"

#: What `Standing.to_json` adds to a row's columns, `per_class` apart.
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


@dataclass(frozen=True)
class Difference:
    """A run's test macro-F1 less that of the best, and the 95 % interval of that."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Seeds:
    """How many runs of a search trained the same configuration, each with its own seed: mean and sample standard
    deviation of their test macro-F1."""

    count: int
    mean: float
    deviation: float


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard, put into proportion.

    Attributes:
        row: the row.
        place: from 1.
        verdict: "best"; "tied", where the 95 % interval of the difference to the best includes 0; "worse", where it
            does not; None where the predictions of one of both were not kept.
        difference: to the best; None where the verdict is.
        seeds: None where no other run has the same configuration.
        per_class: class name -> F1 on the test split; None where the run's folder is gone.
    """

    row: Row
    place: int
    verdict: str | None
    difference: Difference | None
    seeds: Seeds | None
    per_class: dict[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """The row's columns, `ADDED`, and `per_class`."""
        difference, seeds = self.difference, self.seeds
        return {
            **self.row.to_json(),
            "place": self.place,
            "standing": self.verdict,
            "difference": difference.value if difference else None,
            "difference_low": difference.low if difference else None,
            "difference_high": difference.high if difference else None,
            "seeds": seeds.count if seeds else None,
            "seeds_mean": seeds.mean if seeds else None,
            "seeds_deviation": seeds.deviation if seeds else None,
            "per_class": self.per_class,
        }


def standings(workspace: Workspace, rows: Sequence[Row]) -> list[Standing]:
    """The leaderboard's rows, best first, each put into proportion.

    The best of the rows tested on the same data is compared with each of the others by paired bootstrap over the same
    test images (`trials.metrics.macro_f1_difference`). The interval covers the choice of test images; what another
    training seed would change is in the deviation over seeds, where there are several.
    """
    best: dict[str, Answers | None] = {}
    result = []
    for place, entry in enumerate(rows, start=1):
        metrics = _metrics(workspace, entry.run_id)
        answers = _answers(workspace, metrics) if metrics else None
        verdict: str | None = BEST
        difference: Difference | None = Difference(0.0, 0.0, 0.0)
        if entry.data_digest in best:
            verdict, difference = _against(best[entry.data_digest], answers)
        else:
            best[entry.data_digest] = answers
        per_class = {name: found.f1 for name, found in metrics.test.per_class.items()} if metrics else None
        result.append(Standing(entry, place, verdict, difference, over_seeds(entry, rows), per_class))
    return result


def over_seeds(entry: Row, rows: Iterable[Row]) -> Seeds | None:
    """What came of the runs among `rows` that differ from this one in their seed alone. Pure."""
    scores = [other.test_f1_macro for other in rows if configuration_key(other) == configuration_key(entry)]
    if entry.search is None or len(scores) < 2:
        return None
    return Seeds(len(scores), round(statistics.fmean(scores), 6), round(statistics.stdev(scores), 6))


def configuration_key(entry: Row) -> tuple[str | None, str, str]:
    """What the rows that differ in nothing but their seed have in common."""
    return entry.search, entry.config_digest, entry.data_digest


def test_evaluations(workspace: Workspace, rows: Iterable[Row]) -> dict[str, int]:
    """How often models were evaluated on the test split of each data set in `rows`, by the digest in its rows.

    The journals count, those of searches that were moved aside included; where they are gone, the rows do.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for (data, run_id), count in searches.test_evaluations(workspace).items():
        counted[data[:DIGEST_LENGTH], run_id] += count
    for entry in rows:
        key = entry.data_digest, entry.run_id
        counted[key] = max(counted[key], entry.test_evaluations)
    shown = {entry.data_digest for entry in rows}
    totals: Counter[str] = Counter()
    for (data, _), count in counted.items():
        if data in shown:
            totals[data] += count
    return dict(totals)


@dataclass(frozen=True)
class Answers:
    """What a run said of each test image: labels (n,) and predicted class indices (n,), of so many classes."""

    labels: np.ndarray
    predicted: np.ndarray
    classes: int


def _metrics(workspace: Workspace, run_id: str) -> Metrics | None:
    try:
        return read_run(workspace.run(run_id))
    except DataError:
        return None


def _answers(workspace: Workspace, metrics: Metrics) -> Answers | None:
    """None where they were not kept, or are not those that the run's figures come from."""
    kept = run_predictions(workspace, metrics.run_id)
    if kept is None:
        return None
    labels, probabilities = kept
    answers = Answers(labels, probabilities.argmax(axis=1), len(metrics.classes))
    try:
        found = confusion_matrix(labels, answers.predicted, answers.classes)
    except DataError:
        return None
    return answers if found.tolist() == metrics.test.confusion_matrix else None


def _against(best: Answers | None, answers: Answers | None) -> tuple[str | None, Difference | None]:
    if best is None or answers is None or best.labels.tolist() != answers.labels.tolist():
        return None, None
    found = macro_f1_difference(best.labels, answers.predicted, best.predicted, best.classes)
    # As written, so that the last bits of a sum decide nothing.
    difference = Difference(*map(rounded, found))
    return TIED if difference.low <= 0 <= difference.high else WORSE, difference
