"""The results of retrained runs on the test split, read from the runs' own files; the split itself stays sealed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.dataset.store.manifests import read_split_manifest
from tuning.dataset.store.units import read_units
from tuning.history.records import History
from tuning.results.aliases import aliases
from tuning.results.answers import Board, configuration
from tuning.results.report.training_loss import explanation
from tuning.results.runs import (
    TESTED,
    kept_arrays,
    read_columns,
    read_run,
    readable_runs,
    run_folders,
    run_predictions,
)
from tuning.results.schema import Metrics, read_params
from tuning.results.standings import Seeds, over_seeds
from tuning.trials.calibration import Calibration, calibration, untempered

if TYPE_CHECKING:
    import numpy as np

    from tuning.results.comparison import SeedNoise


@dataclass(frozen=True)
class Mistake:
    """A misclassified test image.

    Attributes:
        pixels: uint8 (side, side, channels).
        label, guess: names of the true and the predicted class.
        label_share, guess_share: predicted probabilities of these classes.
        source: where the image comes from in the raw data; empty if the data has changed since.
    """

    pixels: np.ndarray
    label: str
    guess: str
    label_share: float
    guess_share: float
    source: str


@dataclass(frozen=True)
class Searched:
    """Results of a run's configuration in the search: best validation macro-F1, and epochs trained."""

    score: float
    epochs: float


@dataclass(frozen=True)
class Evidence:
    """A published run.

    Attributes:
        metrics: the run's metrics.
        configuration: key that is equal for runs that differ only in their seed.
        calibration: calibration on the test split; None if predictions were not kept.
        untempered: the same without the temperature in the model's graph; None if the graph has none.
        mistakes: misclassified test images, the worst first.
        repeated: whether other runs have the same hyperparameters, so that the run's name must include its seed.
        validated: 95 % interval of the validation macro-F1, over the choice of images; None if predictions were not
            kept.
        searched: results of its configuration in the search; None if it had no score there, or if the run continued
            that training.
        loss: explains why the training loss is above the validation loss; empty if it is not.
        short: short name, as in the leaderboard.
    """

    metrics: Metrics
    configuration: tuple[str, ...]
    calibration: Calibration | None = None
    untempered: Calibration | None = None
    mistakes: tuple[Mistake, ...] = ()
    repeated: bool = False
    validated: tuple[float, float] | None = None
    searched: Searched | None = None
    loss: str = ""
    short: str = ""

    @property
    def name(self) -> str:
        """The noun phrase for this run in a sentence."""
        return f"{self.metrics.role}, seed {self.metrics.seed}" if self.repeated else self.metrics.role

    @property
    def score(self) -> float:
        return self.metrics.test.f1_macro

    @property
    def interval(self) -> tuple[float, float]:
        return self.metrics.test.f1_macro_interval

    @property
    def is_baseline(self) -> bool:
        return self.metrics.kind == "baseline"

    @property
    def network_score(self) -> float | None:
        """Validation macro-F1 of the network in the published epoch, without the additions to its graph, and thus
        comparable to scores in the search; None for an ensemble, which has several networks."""
        if self.metrics.kind == "ensemble":
            return None
        found = self.metrics.additions
        tried = (found.mirrored_view, found.prior_correction, found.temperature) if found else ()
        before = (one.f1_macro_before for one in tried if one.f1_macro_before is not None)
        return next(before, self.metrics.val.f1_macro)


@dataclass(frozen=True)
class Rival:
    """The best run compared with another one.

    Attributes:
        difference: test macro-F1 of the best run minus that of the other; means over seeds if there are several.
        low, high: simultaneous 95 % interval of the difference; None if predictions were not kept.
        standing: verdict on the other run: "tied", "worse", "better in the mean" or "seeds unknown"; None if
            predictions were not kept.
    """

    difference: float
    low: float | None
    high: float | None
    standing: str | None


@dataclass(frozen=True)
class Claims:
    """The statistical comparison of a search's runs.

    Attributes:
        rivals: by run id, all runs except the best.
        noise: variation between training seeds, from all runs on the same data; None if unknown.
        corrected: the best score, corrected for selection; None if predictions were not kept.
        seeds: by run id, statistics of its configuration over seeds, including runs that no search trained.
    """

    rivals: Mapping[str, Rival]
    noise: SeedNoise | None = None
    corrected: float | None = None
    seeds: Mapping[str, Seeds] = field(default_factory=dict)


def read_evidence(workspace: Workspace, run_ids: Sequence[str]) -> tuple[list[Evidence], list[str]]:
    """Returns the readable runs among `run_ids`, best test score first, and a sentence for each unreadable one."""
    found, problems = [], []
    short = aliases([*(folder.name for folder in run_folders(workspace)), *run_ids])
    for run_id in run_ids:
        folder = workspace.run(run_id)
        try:
            metrics = read_run(folder)
        except DataError as error:
            problems.append(error.problem)
            continue
        kept = kept_arrays(workspace, run_id, *TESTED)
        found.append(
            Evidence(
                metrics,
                configuration(workspace, metrics),
                calibration=calibration(kept[0], kept[1], units=kept[2]) if kept else None,
                untempered=untempered(kept[0], kept[1], metrics.additions, kept[2]) if kept else None,
                mistakes=_mistakes(workspace, metrics, kept[0], kept[1]) if kept else (),
                validated=_validated(workspace, metrics),
                loss=_loss(folder, metrics),
                short=short[run_id],
            )
        )
    seeds = Counter(run.metrics.config_digest for run in found)
    found = [replace(run, repeated=seeds[run.metrics.config_digest] > 1) for run in found]
    return sorted(found, key=lambda run: (-run.score, run.metrics.run_id)), problems


def compare(workspace: Workspace, runs: Sequence[Evidence]) -> Claims:
    """Compares the best run, which is the first, with the others, on one board with all runs on the same data."""
    if not runs:
        return Claims({})
    best, digest = runs[0], runs[0].metrics.data_digest
    tested = [metrics for metrics in readable_runs(workspace) if metrics.data_digest == digest]
    board = Board(workspace, tested)
    rivals = {}
    for run in runs[1:]:
        # From the other run's point of view, as in the leaderboard.
        name, first = run.metrics.run_id, best.metrics.run_id
        found = board.difference(name, first)
        rivals[name] = (
            Rival(best.score - run.score, None, None, None)
            if found is None
            else Rival(-found.value, -found.high, -found.low, board.standing(name, first))
        )
    corrected = board.chosen_score([run.metrics.run_id for run in runs])
    return Claims(rivals, board.noise, corrected, over_seeds(workspace, tested))


def in_search(history: History, runs: Sequence[Evidence], reused: int | None = None) -> list[Evidence]:
    """Returns the runs with the results of their configurations in the search.

    Args:
        reused: seed of the runs that continued a trial, whose configurations were thus trained only once; None if none
            did.
    """
    found = []
    for run in runs:
        trial = run.metrics.trial
        if trial is not None and run.metrics.seed == reused:
            found.append(run)
            continue
        known = history.baseline if run.is_baseline else history.configuration_of(trial) if trial else None
        if known is not None and known.score is not None:
            run = replace(run, searched=Searched(known.score, known.epochs))
        found.append(run)
    return found


def _validated(workspace: Workspace, metrics: Metrics) -> tuple[float, float] | None:
    from tuning.trials.intervals import intervals

    kept = run_predictions(workspace, metrics.run_id, "val")
    if kept is None:
        return None
    labels, probabilities = kept
    try:
        same = read_info(workspace).digest == metrics.data_digest
        units = read_units(workspace, "val") if same else None
    except DataError:
        units = None
    if units is not None and len(units) != len(labels):
        units = None
    return intervals(labels, probabilities.argmax(axis=1), len(metrics.classes), units).f1_macro


def _loss(folder: Path, metrics: Metrics) -> str:
    """Explains the run's training loss; empty for an ensemble, whose history is only the mean of its members'."""
    if metrics.kind == "ensemble":
        return ""
    try:
        history = read_columns(folder / "history.json", "")
        values = read_params(folder / "params.json", "").values
    except (DataError, OSError):
        return ""
    return explanation(history, values, metrics.best_epoch, len(metrics.classes))


def _mistakes(
    workspace: Workspace, metrics: Metrics, labels: np.ndarray, probabilities: np.ndarray
) -> tuple[Mistake, ...]:
    worst = kept_arrays(workspace, metrics.run_id, "worst", "worst_images")
    if worst is None:
        return ()
    rows, images = worst
    classes, sources = metrics.classes, _sources(workspace, metrics.data_digest)
    found = []
    for row, pixels in zip(rows.tolist(), images, strict=True):
        guess = int(probabilities[row].argmax())
        shares = float(probabilities[row, labels[row]]), float(probabilities[row, guess])
        source = sources[row] if row < len(sources) else ""
        found.append(Mistake(pixels, classes[labels[row]], classes[guess], *shares, source))
    return tuple(found)


def _sources(workspace: Workspace, data_digest: str) -> list[str]:
    """Returns the sources of the test images, in the order of the split; empty if the data has changed since."""
    try:
        manifest = read_split_manifest(workspace.split_manifest)
        if manifest is None or read_info(workspace).digest != data_digest:
            return []
    except DataError:
        return []
    return [place.source for place in manifest.of("test")]
