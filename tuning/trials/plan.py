"""How one configuration is trained, as pure functions: which hyperparameters mean what, the learning rate of an
epoch, when to stop. Callbacks without state: everything is a function of the curve so far, so a resumed trial cannot
differ from an uninterrupted one.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuning.core.errors import UsageError
from tuning.core.jobs import Entry
from tuning.core.plan import ShortenedFinal
from tuning.core.records import RESERVED_PREFIX

CLASS_BALANCE = ("none", "weights", "sampler")
SCHEDULES = ("constant", "cosine", "plateau")

#: Plateau: halve the rate after this many epochs without a better validation loss.
PLATEAU_PATIENCE = 3
PLATEAU_FACTOR = 0.5
#: Never below this share of the base learning rate.
FLOOR = 0.01
#: Epochs that cosine warms up for, as a share of all.
WARMUP = 0.05


@dataclass(frozen=True)
class TrainingPlan:
    """The training hyperparameters of a configuration.

    A builder that declares none of them (such as a plain Keras Tuner function) gets these defaults: batches of 32 as
    in Keras, no rebalancing, no augmentation, the learning rate as compiled.
    """

    batch_size: int = 32
    class_balance: str = "none"
    augmentation: float = 0.0
    flip: bool = False
    schedule: str = "constant"

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> TrainingPlan:
        """Reads the plan out of hyperparameter values.

        Raises:
            UsageError: a value of one of these names that cannot be meant.
        """
        return TrainingPlan(**{name: _read(name, values.get(name, getattr(TrainingPlan, name))) for name in MEANINGS})


#: Name of a hyperparameter that means something to a trial -> what its values can be, in words.
MEANINGS = {
    "batch_size": "a whole number, 1 or more",
    "class_balance": f"one of {', '.join(CLASS_BALANCE)}",
    "augmentation": "a magnitude from 0 to 1",
    "flip": "True or False",
    "schedule": f"one of {', '.join(SCHEDULES)}",
}
#: Shares of a range, spread over it unevenly, whose values are looked at beside its ends: a number between two that can
#: be meant need not be one.
_SHARES = [number * 0.6180339887 % 1 for number in range(1, 17)]


def _read(name: str, value: Any) -> Any:
    """A value as the plan has it; strictly, for "none" and "False" are true to Python.

    Raises:
        UsageError: it cannot be meant.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if name == "batch_size" and number and math.isfinite(value) and value >= 1 and value == int(value):
        return int(value)
    if name == "augmentation" and number and 0 <= value <= 1:
        return float(value)
    if name == "flip" and (isinstance(value, bool | np.bool_) or (number and value in (0, 1))):
        return bool(value)
    if (name == "class_balance" and value in CLASS_BALANCE) or (name == "schedule" and value in SCHEDULES):
        return str(value)
    raise UsageError(
        f"hyperparameter {name} is {value!r}",
        f"use {MEANINGS[name]}; or give it another name if it means something else to the builder",
    )


def check_values(space: str, entries: Sequence[Any]) -> None:
    """Refuses a space in which a hyperparameter has a name or values that cannot be meant.

    Args:
        entries: Keras Tuner's hyperparameters.

    Raises:
        UsageError: there is one; or the number of epochs is one, which would have no effect; or one has a name that is
            Keras Tuner's, which no builder is given a value of, or that params.json has for something else; or the
            steps of a range lead nowhere.
    """
    for entry in entries:
        if entry.name.startswith(RESERVED_PREFIX):
            raise UsageError(
                f"search space {space!r} has a hyperparameter {entry.name!r}: names that begin with "
                f"{RESERVED_PREFIX!r} are Keras Tuner's own, and the builder would always get its default",
                "give it another name, or its hp.name_scope",
            )
        if (step := getattr(entry, "step", None)) is not None and step <= 0:
            raise UsageError(
                f"search space {space!r}: hyperparameter {entry.name!r} goes in steps of {step}",
                "give a step above 0, or leave it out",
            )
        if entry.name == "epochs":
            raise UsageError(
                f"search space {space!r} has a hyperparameter 'epochs', which would have no effect: how long "
                "configurations are trained is the strategy's business",
                "leave it out and give --max-epochs; or give it another name if it means something else to the builder",
            )
        if entry.name == "settings":
            raise UsageError(
                f"search space {space!r} has a hyperparameter 'settings', whose value would be lost: params.json has "
                "that name for the settings of a run",
                "give it another name",
            )
        if entry.name in MEANINGS:
            if hasattr(entry, "min_value"):
                between = [min(entry.prob_to_value(share), entry.max_value) for share in _SHARES]
                values = [entry.min_value, entry.max_value, *between]
            else:
                values = list(getattr(entry, "values", None) or [getattr(entry, "value", entry.default)])
            for value in values:
                _read(entry.name, value)


@dataclass(frozen=True)
class Part:
    """What is trained between two checkpoints: a whole epoch, or a part of the first one.

    Attributes:
        done: parts trained by its end, in total; where an epoch is one part, epochs.
        epoch: the epoch (from 1) that it belongs to.
        subset: (index from 0, count) of the subset of that epoch's images; None: all of them.
        epochs: epochs trained by its end, in total: a whole number, or a fraction in the first epoch.
    """

    done: int
    epoch: int
    subset: tuple[int, int] | None
    epochs: int | float


def next_part(done: int, parts: int = 1) -> Part:
    """What comes after `done` parts, where an epoch has `parts`.

    The first epoch is trained part by part, so that trainings shorter than an epoch can be compared; all later ones
    whole. Where a training stops has no influence on it, so one that goes on is exactly one that never stopped.
    """
    if done < parts:
        subset = (done, parts) if parts > 1 else None
        return Part(done + 1, 1, subset, 1 if done + 1 == parts else (done + 1) / parts)
    epoch = done // parts + 1
    return Part(epoch * parts, epoch, None, epoch)


def epochs_trained(done: int, parts: int) -> int | float:
    """Epochs of a training that was asked for `done` parts: beyond the first epoch, whole ones."""
    return done / parts if 0 < done < parts else -(-done // parts)


def whole_epochs(curve: Sequence[Entry]) -> list[Entry]:
    """The entries of a curve that stand for whole epochs: patience and schedules are counted in them."""
    return [entry for entry in curve if (epoch := entry["epoch"]) is not None and epoch == int(epoch)]


def warmup_epochs(plan: TrainingPlan, total_epochs: int) -> int:
    """Epochs in which the learning rate still rises."""
    return max(1, round(WARMUP * total_epochs)) if plan.schedule == "cosine" and total_epochs >= 4 else 0


def learning_rate_factor(
    plan: TrainingPlan,
    epoch: float,
    total_epochs: int,
    val_losses: Sequence[float | None],
    reduce_patience: int | None = None,
) -> float:
    """The factor on the compiled learning rate in `epoch` (from 1); in a warm-up, at its end (see `warmup_factors`).

    `cosine` warms up over the first 5 % of epochs (at least one, where there are four or more), then follows half a
    cosine to 1 % (Loshchilov & Hutter 2017, SGDR, eq. 5, one cycle). `plateau`, or `reduce_patience` with a constant
    schedule, halves the rate after that many epochs without a better validation loss, down to 1 %.

    Args:
        val_losses: validation losses of the epochs before this one; None: not finite.
    """
    if plan.schedule == "cosine":
        warmup = warmup_epochs(plan, total_epochs)
        if epoch <= warmup:
            return epoch / warmup
        progress = max(0, epoch - 1 - warmup) / max(1, total_epochs - warmup)
        return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    patience = PLATEAU_PATIENCE if plan.schedule == "plateau" else reduce_patience
    if not patience:
        return 1.0
    return max(FLOOR, PLATEAU_FACTOR ** plateaus(val_losses, patience))


def cooling_factor(epoch: float, cuts: Sequence[ShortenedFinal]) -> float:
    """The factor on the rate of `epoch` (from 1) where a training ends earlier than planned: half a cosine to 1 %.

    A rate that ends high leaves a model far from where it could be (Hu et al. 2024, MiniCPM, section 4).

    Args:
        cuts: each time that it was shortened, in order. From there the rate falls from what those before have left of
            it; until there it is theirs, so that no epoch that was trained has to be trained again.
    """
    if not cuts:
        return 1.0
    *before, last = cuts
    if epoch <= last.after:
        return cooling_factor(epoch, before)
    begin = cooling_factor(last.after, before)
    epochs = last.until - last.after + 1
    return FLOOR + (begin - FLOOR) * 0.5 * (1 + math.cos(math.pi * (epoch - last.after) / epochs))


def warmup_factors(
    plan: TrainingPlan, before: float, epoch: float, total_epochs: int, steps: int
) -> list[float] | None:
    """The factor of each step between `before` and `epoch` epochs, where the rate still rises; None after that.

    It rises with every step, from nothing to 1 (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2): a
    warm-up that starts at half the rate, as one by epochs does, warms up nothing where the first epoch is the warm-up.

    Args:
        steps: optimizer steps between the two.
    """
    warmup = warmup_epochs(plan, total_epochs)
    if epoch > warmup:
        return None
    return [(before + (epoch - before) * (step + 1) / steps) / warmup for step in range(steps)]


def plateaus(losses: Sequence[float | None], patience: int) -> int:
    """How often `patience` losses in a row were no better than the best one before them; a missing one is no better."""
    count, best, waited = 0, math.inf, 0
    for loss in losses:
        if loss is not None and loss < best:
            best, waited = loss, 0
        else:
            waited += 1
            if waited == patience:
                count, waited = count + 1, 0
    return count


def should_stop(scores: Sequence[float | None], patience: int | None) -> bool:
    """Whether the last `patience` epochs brought no better score (larger is better) than an epoch before them.

    A missing score is no better than any other; until there has been one, nothing is known to have stopped.
    """
    if not patience or len(scores) <= patience:
        return False
    before = best_score(scores[:-patience])
    last = best_score(scores[-patience:])
    return before is not None and (last is None or last <= before)


def best_score(scores: Sequence[float | None]) -> float | None:
    """The highest score; None where all are missing."""
    return max((score for score in scores if score is not None), default=None)


def chosen_epoch(scores: Sequence[float | None], images: int) -> int | None:
    """The epoch (from 1) whose weights are published: the last within one standard error of the best score.

    The highest of many noisy scores is a lucky one, all the more where few images are behind it, while epochs at the
    end of a schedule are better as a rule. This is the one-standard-error rule (Breiman, Friedman, Olshen and Stone,
    Classification and regression trees, 1984, 3.4.3), with the standard error of a share.

    Args:
        scores: macro-F1 after each epoch; one that is missing is never chosen.
        images: that they were measured on.

    Returns:
        None where all scores are missing.
    """
    best = best_score(scores)
    if best is None:
        return None
    enough = best - math.sqrt(best * (1 - best) / images)
    return max(epoch for epoch, score in enumerate(scores, 1) if score is not None and score >= enough)
