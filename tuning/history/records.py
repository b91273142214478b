"""A search for its readers: trials, configurations, rungs, time. Frozen records, nothing else.

In Hyperband a promoted trial continues from the last state of another; only together they are one training, that of a
configuration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tuning.core.records import Failure, TrialOutcome, TrialSpec
from tuning.history.decisions import Decision
from tuning.oracles.ranking import RankedTrial, rank


class Point(NamedTuple):
    """An entry of a learning curve; figures that are not finite are None.

    Attributes:
        epoch: epochs trained: a fraction within a first epoch that is trained in slices.
        score, loss: val_f1_macro and val_loss.
    """

    epoch: float
    score: float | None
    loss: float | None


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        trial_id: the oracle's name for it.
        root: the first trial of its configuration.
        values: hyperparameters, the tuner's bookkeeping apart.
        epochs: epochs it was asked to reach; None where the strategy leaves that open.
        inherited: points of the curve that were there when it began.
        continues: the trial that it goes on from.
        bracket: of Hyperband; None elsewhere.
        score: best objective of its whole curve; None while it runs, and where it failed.
        curve: from the first epoch of the configuration on.
        seconds: wall-clock seconds of its own epochs.
        failure: why it failed.
        done: its place among the ended trials, from 0; None while it runs.
    """

    trial_id: str
    root: str
    values: dict[str, Any]
    epochs: float | None
    inherited: int
    continues: str | None
    bracket: int | None
    score: float | None = None
    curve: tuple[Point, ...] = ()
    seconds: float = 0.0
    failure: Failure | None = None
    done: int | None = None

    @property
    def new_epochs(self) -> float:
        """Epochs that it trained itself."""
        before = self.curve[: self.inherited]
        return last_epoch(self.curve) - last_epoch(before)


@dataclass(frozen=True)
class Configuration:
    """A configuration, with the trials that trained it.

    Attributes:
        trials: in order; the last one that ended well has the longest curve.
        curve: of that one; of the one that failed where none ended well.
        score: the best of the curve; None where none ended well.
        seconds: of all trials together.
    """

    trials: tuple[Trial, ...]
    curve: tuple[Point, ...]
    score: float | None
    seconds: float

    @property
    def root(self) -> str:
        return self.trials[0].trial_id

    @property
    def trial_ids(self) -> tuple[str, ...]:
        return tuple(trial.trial_id for trial in self.trials)

    @property
    def values(self) -> dict[str, Any]:
        return self.trials[0].values

    @property
    def epochs(self) -> float:
        """Epochs that it was trained for."""
        return last_epoch(self.curve)

    def score_after(self, epochs: float) -> float | None:
        """The best score of its first `epochs` epochs; None where it was not asked to train so long, or failed before.

        A training that was asked for more and stopped early counts with what it had.
        """
        asked = max((trial.epochs or 0 for trial in self.trials if trial.score is not None), default=0)
        if self.score is None or max(asked, self.epochs) < epochs:
            return None
        return max(
            (point.score for point in self.curve if point.score is not None and point.epoch <= epochs), default=None
        )


def last_epoch(curve: Sequence[Point]) -> float:
    """Epochs trained at the end of a curve."""
    return curve[-1].epoch if curve else 0


@dataclass(frozen=True)
class Step:
    """The search at the end of a trial.

    Attributes:
        trials: ended so far, this one included.
        epochs: trained so far, each counted once.
        seconds: running time so far, to within half a minute; None where the journal does not say.
        score: of this trial; None where it failed.
        best: the best score so far; None before the first.
        trial_id: of this trial.
    """

    trials: int
    epochs: float
    seconds: float | None
    score: float | None
    best: float | None
    trial_id: str


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter of the space.

    Attributes:
        name: as the builder declares it.
        kind: "number" (an interval) or "choice" (a few values: booleans, fixed values and short ranges included).
        choices: the values of a choice, in their order.
        low, high: the interval.
        log: whether it is drawn on a logarithmic scale.
    """

    name: str
    kind: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def varies(self) -> bool:
        """Whether it has more than one value to take."""
        return len(self.choices) > 1 if self.kind == "choice" else self.high > self.low

    def place(self, value: Any) -> int | None:
        """The place of a value among the choices; None where it is none of them, or the hyperparameter is inactive."""
        for place, choice in enumerate(self.choices):
            # Steps of a float are counted in floats: 0.30000000000000004 is 0.3.
            numbers = isinstance(value, float) and isinstance(choice, int | float)
            if value == choice or (numbers and math.isclose(value, choice, rel_tol=1e-9)):
                return place
        return None


@dataclass(frozen=True)
class FinalRun:
    """A retraining: open, failed (`error` says why) or done; `published` once its files are there."""

    run_id: str
    purpose: str
    error: str | None = None
    done: bool = False
    published: bool = False


@dataclass(frozen=True)
class Facts:
    """What a journal says, in the engine's own terms.

    Attributes:
        proposals: the trials, in the order in which they were proposed.
        outcomes: of those that have ended, by trial id, in the order in which they ended.
        times: running time at the end of each of these; None where the journal holds no times.
        space: Keras Tuner configs of the hyperparameters, those that only a trial's builder declared included.
        defaults: the default configuration.
        finals: the retrainings that were begun.
        test_evaluations: the run id of each evaluation on the test split, in order.
        seconds: running time in all; None where the journal holds no times.
        stopped: the budget ended the search before its strategy did.
        reopened: it goes on after its finals, because of a larger budget or of `--retry-failed`.
        decisions: what was decided while it ran.
        nodes: machines of a cluster that it ran on, in words.
    """

    proposals: tuple[TrialSpec, ...] = ()
    outcomes: Mapping[str, TrialOutcome] = field(default_factory=dict)
    times: tuple[float | None, ...] = ()
    space: tuple[Mapping[str, Any], ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    finals: tuple[FinalRun, ...] = ()
    test_evaluations: tuple[str, ...] = ()
    seconds: float | None = None
    stopped: bool = False
    reopened: bool = False
    decisions: tuple[Decision, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def completed(self) -> list[tuple[TrialSpec, TrialOutcome]]:
        """The trials that have ended, with what came of them, in the order in which they were proposed."""
        return [(spec, self.outcomes[spec.trial_id]) for spec in self.proposals if spec.trial_id in self.outcomes]


@dataclass(frozen=True)
class History(Facts):
    """The facts, and what follows from them.

    Attributes:
        defaults: the baseline's values; empty where the search started from a model: its defaults are then those of
            fine-tuning, and the baseline, from scratch, is in no trial.
    """

    trials: tuple[Trial, ...] = ()
    configurations: tuple[Configuration, ...] = ()
    steps: tuple[Step, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    @property
    def failed(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.failure)

    @property
    def running(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.done is None)

    @property
    def epochs(self) -> float:
        return self.steps[-1].epochs if self.steps else 0

    @property
    def best(self) -> Configuration | None:
        """The configuration that ranks first: among those trained longest, the highest score."""
        ranked = rank(
            [RankedTrial(t.trial_id, t.epochs or last_epoch(t.curve), t.score, t.root) for t in self.trials],
            direction="max",
        )
        return self.configuration_of(ranked[0].trial_id) if ranked else None

    def configuration_of(self, trial_id: str) -> Configuration | None:
        """The configuration that a trial belongs to."""
        return next((entry for entry in self.configurations if trial_id in entry.trial_ids), None)

    @property
    def baseline(self) -> Configuration | None:
        """The configuration that is retrained as the baseline; None where it is in no trial."""
        return next((entry for entry in self.configurations if entry.values == self.defaults), None)

    def rung_epochs(self) -> tuple[float, ...]:
        """The budgets that trials were asked to reach, in order; empty where all had the same."""
        found = sorted({trial.epochs for trial in self.trials if trial.epochs})
        return tuple(found) if len(found) > 1 else ()
