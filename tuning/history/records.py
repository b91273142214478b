"""The read model of a search as frozen records: trials, configurations, rungs, time.

In Hyperband a promoted trial continues from the last state of another trial; together they are one training, that of a
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
    """An entry of a learning curve.

    Attributes:
        epoch: epochs trained; a fraction within a first epoch that is trained in slices.
        score, loss: val_f1_macro and val_loss; None: not finite.
    """

    epoch: float
    score: float | None
    loss: float | None


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        trial_id: the oracle's id.
        root: the first trial of its configuration.
        values: hyperparameter values, without the tuner's bookkeeping.
        epochs: total number of epochs that it was asked to reach; None if the strategy leaves that open.
        inherited: number of the curve's points that were inherited from the trial that it continues.
        continues: the trial that it continues from; None: from scratch.
        bracket: number of its Hyperband bracket; None for other strategies.
        score: best objective of its whole curve; None while it runs, and if it failed.
        curve: from the first epoch of the configuration on.
        seconds: wall-clock seconds of its own epochs.
        failure: why it failed; None if it did not.
        done: its index among the ended trials, from 0; None while it runs.
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
        """Epochs that this trial trained itself."""
        before = self.curve[: self.inherited]
        return last_epoch(self.curve) - last_epoch(before)


@dataclass(frozen=True)
class Configuration:
    """A configuration, with the trials that trained it.

    Attributes:
        trials: in order.
        curve: the longest curve among its completed trials, or among its failed ones if none completed.
        score: the score of the trial with that curve; None if none completed.
        seconds: total of all trials.
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
        """Number of epochs of its curve."""
        return last_epoch(self.curve)

    def score_after(self, epochs: float) -> float | None:
        """The best score of the first `epochs` epochs; None if it was not asked to train that long, or failed before.

        A training that was asked to train longer but stopped early counts with its best score.
        """
        asked = max((trial.epochs or 0 for trial in self.trials if trial.score is not None), default=0)
        if self.score is None or max(asked, self.epochs) < epochs:
            return None
        return max(
            (point.score for point in self.curve if point.score is not None and point.epoch <= epochs), default=None
        )


def last_epoch(curve: Sequence[Point]) -> float:
    """The number of epochs at the end of a curve; 0 for an empty one."""
    return curve[-1].epoch if curve else 0


@dataclass(frozen=True)
class Step:
    """The progress of a search at the end of a trial.

    Attributes:
        trials: number of trials that have ended, this one included.
        epochs: number of epochs trained so far, each counted once.
        seconds: running time so far, to within half a minute; None if the journal holds no times.
        score: of this trial; None if it failed.
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
        name: as declared by the builder.
        kind: "number" (an interval) or "choice" (a few values, including booleans, fixed values and short ranges).
        choices: the values of a choice, in order.
        low, high: the interval of a number.
        log: whether it is sampled on a logarithmic scale.
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
        """The index of a value among the choices; None if it is none of them, as for an inactive hyperparameter."""
        for place, choice in enumerate(self.choices):
            # Steps of a float accumulate rounding errors: 0.30000000000000004 is 0.3.
            numbers = isinstance(value, float) and isinstance(choice, int | float)
            if value == choice or (numbers and math.isclose(value, choice, rel_tol=1e-9)):
                return place
        return None


@dataclass(frozen=True)
class FinalRun:
    """A final training: open, failed (`error` says why) or done; `published` once its files are in the workspace."""

    run_id: str
    purpose: str
    error: str | None = None
    done: bool = False
    published: bool = False


@dataclass(frozen=True)
class Facts:
    """The content of a journal, in the engine's terms.

    Attributes:
        proposals: the trials, in the order in which they were proposed.
        outcomes: trial id -> outcome of an ended trial, in the order in which they ended.
        times: running time at the end of each of these; None if the journal holds no times.
        space: Keras Tuner configs of the hyperparameters, including those that a builder declared only in a trial.
        defaults: the default configuration.
        finals: the final trainings that were begun.
        test_evaluations: the run id of each evaluation on the test split, in order.
        seconds: total running time; None if the journal holds no times.
        stopped: the budget ended the search before its strategy did.
        reopened: the search continues after its finals, because of a larger budget or of `--retry-failed`.
        decisions: the decisions made while it ran.
        nodes: a line for each node of a cluster that it ran on.
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
        """The trials that have ended, with their outcomes, in the order in which they were proposed."""
        return [(spec, self.outcomes[spec.trial_id]) for spec in self.proposals if spec.trial_id in self.outcomes]


@dataclass(frozen=True)
class History(Facts):
    """The facts, and what is derived from them.

    Attributes:
        defaults: the baseline's values; empty if the search started from a pretrained model, because its defaults are
            then those of fine-tuning, and the baseline (from scratch) is none of the trials.
        trials: in the order in which they were proposed.
        configurations: those with an ended trial.
        steps: one for each ended trial, in the order in which they ended.
        parameters: one for each name of a hyperparameter.
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
        """The best configuration: the one with the highest score among those trained longest."""
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
        """The configuration that is retrained as the baseline; None if no trial has it."""
        return next((entry for entry in self.configurations if entry.values == self.defaults), None)

    def rung_epochs(self) -> tuple[float, ...]:
        """The numbers of epochs that trials were asked to reach, in order; empty if all had the same."""
        found = sorted({trial.epochs for trial in self.trials if trial.epochs})
        return tuple(found) if len(found) > 1 else ()
