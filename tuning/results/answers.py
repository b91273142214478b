"""Predictions of runs on their test split, read from their own files, and comparisons of all runs on it."""

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

#: What a difference between two runs is.
TIED, WORSE, SEEDS_UNKNOWN = "tied", "worse", "seeds unknown"
#: Over its seeds, although the other run has the higher score: that is the luck of its own seed.
BETTER = "better in the mean"
#: What makes seeds known.
SECOND_SEED = (
    "train the best configuration with another --seed (the search command, given again, names the line under next:, "
    "unless its budget's clock ended those runs early), or search with --executions 2 and a new --name"
)
#: With fewer repeated runs, what is not known of the deviation between seeds makes intervals wide.
NARROW = 4


@dataclass(frozen=True)
class Answers:
    """What a run said of each test image.

    Attributes:
        metrics: of the run.
        labels, predicted: (n,) class indices.
        units: (n,) which images depend on each other.
    """

    metrics: Metrics
    labels: np.ndarray
    predicted: np.ndarray
    units: np.ndarray


class Board:
    """Runs that were tested on the same images, compared by what they predicted.

    Attributes:
        names: run ids of those that are compared; others' predictions were not kept.
    """

    def __init__(self, workspace: Workspace, runs: Iterable[Metrics]) -> None:
        """Reads and compares; at the cost of a second where there are dozens of runs."""
        from tuning.results.comparison import Comparison
        from tuning.trials.bootstrap import resample

        # Callers have them by name or by score; what is drawn for a column must not depend on that.
        ordered = sorted(runs, key=lambda metrics: metrics.run_id)
        answers = [found for metrics in ordered if (found := read_answers(workspace, metrics)) is not None]
        answers = [one for one in answers if _same(one.labels, answers[0].labels)]
        self.names = [one.metrics.run_id for one in answers]
        self._found: Resampled | None = None
        self._compared: Comparison | None = None
        if not answers:
            return
        # On the same data labels and units are the same.
        first, predictions = answers[0], [one.predicted for one in answers]
        self._found = resample(first.labels, predictions, len(first.metrics.classes), first.units)
        self._compared = Comparison(_entrants(workspace, answers), self._found)

    @property
    def noise(self) -> SeedNoise | None:
        """Of the training seed; None where no configuration was trained with a second one."""
        return self._compared.noise if self._compared else None

    def difference(self, one: str, other: str) -> Difference | None:
        """How much better the configuration of one run is than that of another; None where one is not compared."""
        if self._compared is None or one not in self.names or other not in self.names:
            return None
        return self._compared.difference(self.names.index(one), self.names.index(other))

    def standing(self, one: str, other: str) -> str | None:
        """What `difference` allows to say of the first run: that it is worse than the second, or better, or neither.

        A difference that the choice of test images explains is none, whatever seeds do. One that it does not explain
        is one only where seeds were compared, too.
        """
        found = self.difference(one, other)
        if found is None:
            return None
        if found.low <= 0 <= found.high:
            return TIED
        return SEEDS_UNKNOWN if self.noise is None else WORSE if found.high < 0 else BETTER

    def chosen_score(self, names: Sequence[str]) -> float | None:
        """What the highest score is worth, see `comparison.chosen_score`; None where predictions were not kept, or are
        of a single unit, which no resample leaves out.

        Args:
            names: the runs that it is the highest of.
        """
        from tuning.results.comparison import chosen_score
        from tuning.trials.metrics import rounded

        if self._found is None or not set(names) <= set(self.names) or (self._found.units == 1 and len(names) > 1):
            return None
        return rounded(chosen_score(self._found.of(sorted(map(self.names.index, names)))))


def boards(workspace: Workspace, runs: Sequence[Metrics]) -> dict[str, Board]:
    """A board for each data digest."""
    digests = dict.fromkeys(metrics.data_digest for metrics in runs)
    return {
        digest: Board(workspace, [metrics for metrics in runs if metrics.data_digest == digest]) for digest in digests
    }


def read_answers(workspace: Workspace, metrics: Metrics) -> Answers | None:
    """None where they were not kept, or are not those that the run's figures come from."""
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
    """The runs as they are compared.

    A run that was made twice with one seed is no second seed: it stands for itself. Whatever made it, and whichever
    version of anything, the same weights are no further evidence of what a seed changes. Nor do seeds of a
    configuration that never left chance tell how much those differ that did; where one of its seeds did, the others'
    collapse is what a seed may do.
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
    """Whether it has left chance."""
    return metrics.test.f1_macro >= LEAVES / len(metrics.classes)


def configuration(workspace: Workspace, metrics: Metrics) -> tuple[str, ...]:
    """What runs that differ in nothing but their seed have in common, whichever search or training they are from.

    The epochs that they were meant to train for count, not those after which they stopped early; but where the clock of
    a budget ended one, how it did.
    """
    # The digest of the package's code changes with every edit, be it of a report.
    versions = sorted((name, version) for name, version in metrics.versions.items() if name != CODE)
    about = [metrics.config_digest, str(metrics.parameters), str(versions)]
    params = run_params(workspace, metrics.run_id)
    if params is None:
        return *about, str(metrics.search), metrics.dtype_policy, str(metrics.epochs)
    return *about, *map(str, msgspec.structs.astuple(msgspec.structs.replace(params.settings, seed=0)))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool((one == other).all())
