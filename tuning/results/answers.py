"""Reads the predictions of runs on their test split from their own files, and compares all runs on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tuning.core.errors import DataError
from tuning.core.packages import CODE
from tuning.core.workspace import Workspace
from tuning.oracles.chance import LEAVES
from tuning.results.runs import TESTED, kept_arrays, run_params
from tuning.results.schema import Metrics

if TYPE_CHECKING:
    import numpy as np

    from tuning.results.comparison import Comparison, Difference, Entrant, SeedNoise
    from tuning.trials.bootstrap import Resampled

#: Verdicts on a run that is compared with another one, usually the one with the highest score.
TIED, WORSE, SEEDS_UNKNOWN = "tied", "worse", "seeds unknown"
#: The configuration is better over its seeds, although the other run's single score is higher, by luck of its seed.
BETTER = "better in the mean"
#: How to learn the effect of training seeds.
SECOND_SEED = (
    "train the best configuration with another --seed (the search command, given again, names the line under next:, "
    "unless its budget's clock ended those runs early), or search with --executions 2 and a new --name"
)
#: With fewer repeated runs than this, the uncertainty of the deviation between seeds makes intervals wide.
NARROW = 4


@dataclass(frozen=True)
class Answers:
    """A run's predictions on the test split.

    Attributes:
        metrics: the run's metrics.
        labels, predicted: (n,) true and predicted class indices.
        units: (n,) the unit of each image; images of a unit are not independent of each other.
    """

    metrics: Metrics
    labels: np.ndarray
    predicted: np.ndarray
    units: np.ndarray


class Board:
    """A comparison of runs that were tested on the same images, by their predictions.

    Attributes:
        names: ids of the compared runs; the predictions of the other runs were not kept.
    """

    def __init__(self, workspace: Workspace, runs: Iterable[Metrics]) -> None:
        """Reads the predictions and compares the runs; takes about a second for dozens of runs."""
        from tuning.results.comparison import Comparison
        from tuning.trials.bootstrap import resample

        # Callers sort runs by name or by score; the random draws of a run must not depend on that.
        ordered = sorted(runs, key=lambda metrics: metrics.run_id)
        answers = [found for metrics in ordered if (found := read_answers(workspace, metrics)) is not None]
        answers = [one for one in answers if _same(one.labels, answers[0].labels)]
        self.names = [one.metrics.run_id for one in answers]
        self._resampled: Resampled | None = None
        self._comparison: Comparison | None = None
        if not answers:
            return
        # All runs share the test split, and so its units.
        first, predictions = answers[0], [one.predicted for one in answers]
        self._resampled = resample(first.labels, predictions, len(first.metrics.classes), first.units)
        self._comparison = Comparison(_entrants(workspace, answers), self._resampled)

    @property
    def noise(self) -> SeedNoise | None:
        """The variation between training seeds; None if no configuration was trained with a second seed."""
        return self._comparison.noise if self._comparison else None

    def difference(self, one: str, other: str) -> Difference | None:
        """Returns how much better the configuration of `one` is than that of `other`; None if one is not compared."""
        if self._comparison is None or one not in self.names or other not in self.names:
            return None
        return self._comparison.difference(self.names.index(one), self.names.index(other))

    def standing(self, one: str, other: str) -> str | None:
        """Returns the verdict on run `one` compared with run `other`; None if one is not compared.

        If the choice of test images explains the difference, the runs are tied, whatever the effect of seeds. If it
        does not, a verdict also needs the variation between seeds.
        """
        found = self.difference(one, other)
        if found is None:
            return None
        if found.low <= 0 <= found.high:
            return TIED
        return SEEDS_UNKNOWN if self.noise is None else WORSE if found.high < 0 else BETTER

    def chosen_score(self, names: Sequence[str]) -> float | None:
        """Returns the highest score corrected for selection, see `comparison.chosen_score`.

        None if predictions were not kept or, with several runs, form a single unit, which no resample leaves out.

        Args:
            names: ids of the runs that the highest was chosen from.
        """
        from tuning.results.comparison import chosen_score
        from tuning.trials.metrics import rounded

        scores = self._resampled
        if scores is None or not set(names) <= set(self.names) or (scores.units == 1 and len(names) > 1):
            return None
        return rounded(chosen_score(scores.of(sorted(map(self.names.index, names)))))


def boards(workspace: Workspace, runs: Sequence[Metrics]) -> dict[str, Board]:
    """Returns a board for each data digest."""
    digests = dict.fromkeys(metrics.data_digest for metrics in runs)
    return {
        digest: Board(workspace, [metrics for metrics in runs if metrics.data_digest == digest]) for digest in digests
    }


def read_answers(workspace: Workspace, metrics: Metrics) -> Answers | None:
    """Returns a run's test predictions; None if they were not kept or contradict its recorded confusion matrix."""
    from tuning.trials.metrics import confusion_matrix

    kept = kept_arrays(workspace, metrics.run_id, *TESTED)
    if kept is None:
        return None
    labels, probabilities, units = kept
    predicted = probabilities.argmax(axis=1)
    try:
        found = confusion_matrix(labels, predicted, len(metrics.classes))
    except DataError:
        return None
    if found.tolist() != metrics.test.confusion_matrix:
        return None
    return Answers(metrics, labels, predicted, units)


def _entrants(workspace: Workspace, answers: Sequence[Answers]) -> list[Entrant]:
    """Returns the runs as entrants of the comparison.

    A repetition of the same configuration and seed is no second seed: it becomes a configuration of its own. Runs with
    equal weights, whatever made them, count once for the variation between seeds. A configuration of which no seed left
    chance does not count for that variation either; if one of its seeds did, the collapse of the others counts.
    """
    from tuning.results.comparison import Entrant

    keys = [configuration(workspace, one.metrics) for one in answers]
    learned = {key for key, one in zip(keys, answers, strict=True) if _learned(one.metrics)}
    found, seen, weights = [], Counter[tuple[tuple[str, ...], int]](), set[str]()
    for key, one in zip(keys, answers, strict=True):
        metrics = one.metrics
        again = seen[key, metrics.seed]
        seen[key, metrics.seed] += 1
        copied = again > 0 or metrics.weights_sha256 in weights
        weights.add(metrics.weights_sha256)
        found.append(
            Entrant(
                (*key, "again", str(again)) if again else key,
                metrics.kind != "ensemble" and key in learned and not copied,
            )
        )
    return found


def _learned(metrics: Metrics) -> bool:
    """Whether the run's test score is above chance."""
    return metrics.test.f1_macro >= LEAVES / len(metrics.classes)


def configuration(workspace: Workspace, metrics: Metrics) -> tuple[str, ...]:
    """Returns a key that is equal for runs that differ only in their seed, whichever search or command made them.

    It contains the planned number of epochs, not the number after early stopping. If a budget's clock shortened the
    run, the key contains how.
    """
    # The code digest is left out: it changes with every edit of the package, even of a report.
    versions = sorted((name, version) for name, version in metrics.versions.items() if name != CODE)
    about = [metrics.config_digest, str(metrics.parameters), str(versions)]
    params = run_params(workspace, metrics.run_id)
    if params is None:
        return *about, str(metrics.search), metrics.dtype_policy, str(metrics.epochs)
    return *about, *map(str, msgspec.structs.astuple(msgspec.structs.replace(params.settings, seed=0)))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool((one == other).all())
