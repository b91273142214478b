"""How one configuration is trained, as pure functions: training hyperparameters, learning rates, early stopping.

There are no stateful callbacks: everything is a function of the curve so far, so that a resumed trial cannot differ
from an uninterrupted one.
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
from tuning.core.plan import NewLength
from tuning.core.records import RESERVED_PREFIX

CLASS_BALANCE = ("none", "weights", "sampler")
SCHEDULES = ("constant", "cosine", "plateau")

#: Plateau: halve the rate after this many epochs without a better validation loss.
PLATEAU_PATIENCE = 3
PLATEAU_FACTOR = 0.5
#: Never below this share of the base learning rate.
FLOOR = 0.01
#: Warm-up of the cosine schedule, as a share of all epochs.
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
        """Reads the plan from hyperparameter values.

        Raises:
            UsageError: a training hyperparameter has an invalid value.
        """
        return TrainingPlan(**{name: _read(name, values.get(name, getattr(TrainingPlan, name))) for name in MEANINGS})


#: Name of a training hyperparameter -> its valid values, in words.
MEANINGS = {
    "batch_size": "a whole number, 1 or more",
    "class_balance": f"one of {', '.join(CLASS_BALANCE)}",
    "augmentation": "a magnitude from 0 to 1",
    "flip": "True or False",
    "schedule": f"one of {', '.join(SCHEDULES)}",
}
#: Positions in a range, unevenly spread, at which its values are checked besides its ends: a value between two valid
#: ones need not be valid.
_SHARES = [number * 0.6180339887 % 1 for number in range(1, 17)]


def _read(name: str, value: Any) -> Any:
    """Converts a value to the type of the plan; strictly, because the strings "none" and "False" are truthy in Python.

    Raises:
        UsageError: the value is invalid.
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
    """Refuses a space with a hyperparameter whose name or values are invalid.

    Args:
        entries: Keras Tuner's hyperparameters.

    Raises:
        UsageError: a training hyperparameter has an invalid value; a name is reserved by Keras Tuner, so that the
            builder would never get its value, or by params.json; the name is `epochs`, which would have no effect; or
            the step of a range is not positive.
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
    """The training between two checkpoints: a whole epoch, or a part of the first one.

    Attributes:
        done: number of parts trained by its end, in total; if an epoch is one part, epochs.
        epoch: the epoch (from 1) that it belongs to.
        subset: (index from 0, count) of the subset of that epoch's images; None: all images.
        epochs: epochs trained by its end, in total: a whole number, or a fraction in the first epoch.
    """

    done: int
    epoch: int
    subset: tuple[int, int] | None
    epochs: int | float


def next_part(done: int, parts: int = 1) -> Part:
    """Returns the part that follows after `done` parts, if an epoch has `parts` parts.

    The first epoch is trained part by part, so that trainings shorter than an epoch can be compared; later epochs are
    trained whole. The parts do not depend on where a training stops, so a resumed training equals an uninterrupted one.
    """
    if done < parts:
        subset = (done, parts) if parts > 1 else None
        return Part(done + 1, 1, subset, 1 if done + 1 == parts else (done + 1) / parts)
    epoch = done // parts + 1
    return Part(epoch * parts, epoch, None, epoch)


def epochs_trained(done: int, parts: int) -> int | float:
    """Returns the epochs of a training of `done` parts: beyond the first epoch, rounded up to whole epochs."""
    return done / parts if 0 < done < parts else -(-done // parts)


def whole_epochs(curve: Sequence[Entry]) -> list[Entry]:
    """Returns the entries of a curve after whole epochs, in which patience and schedules are counted."""
    return [entry for entry in curve if (epoch := entry["epoch"]) is not None and epoch == int(epoch)]


def warmup_epochs(plan: TrainingPlan, total_epochs: int) -> int:
    """Returns the number of warm-up epochs, in which the learning rate rises."""
    return max(1, round(WARMUP * total_epochs)) if plan.schedule == "cosine" and total_epochs >= 4 else 0


def laid_out(total_epochs: int, changes: Sequence[NewLength]) -> int:
    """Returns the number of epochs that the schedule of a training is laid out for: its first planned length, or the
    last one that was decided before it began."""
    return next((change.until for change in reversed(changes) if not change.after), total_epochs)


def learning_rate_factor(
    plan: TrainingPlan,
    epoch: float,
    total_epochs: int,
    val_losses: Sequence[float | None],
    reduce_patience: int | None = None,
    changes: Sequence[NewLength] = (),
) -> float:
    """Returns the factor on the compiled learning rate in `epoch` (from 1).

    `cosine` warms up over the first 5 % of epochs (at least one, if there are four or more), then follows half a cosine
    to 1 % (Loshchilov & Hutter 2017, SGDR, eq. 5, one cycle). In the warm-up, the factor is that at the end of the
    epoch; `warmup_factors` has one per step. `plateau`, or `reduce_patience` with a constant schedule, halves the rate
    after that many epochs without a better validation loss, down to 1 %.

    If the training's length changes, the rest of a cosine is stretched or compressed to the new length. Other schedules
    have no end that could be moved: there, the rate falls by half a cosine to 1 % of what it was. A training that ends
    at a high rate ends far from its optimum (Hu et al. 2024, MiniCPM, section 4).

    Args:
        total_epochs: what the schedule is laid out for, see `laid_out`.
        val_losses: validation losses of the epochs before this one; None: not finite.
        changes: the changes of the length, in order. Each one affects the rate only after the epoch at which it was
            decided, so that no finished epoch has to be repeated.
    """
    if plan.schedule == "cosine":
        warmup = warmup_epochs(plan, total_epochs)
        if epoch <= warmup:
            return epoch / warmup
        at = _scheduled(epoch - 1, total_epochs, warmup, changes)
        progress = (at - warmup) / max(1, total_epochs - warmup)
        return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * max(0.0, min(1.0, progress))))
    cooling = _cooling(epoch, changes)
    patience = PLATEAU_PATIENCE if plan.schedule == "plateau" else reduce_patience
    if not patience:
        return cooling
    return cooling * max(FLOOR, PLATEAU_FACTOR ** plateaus(val_losses, patience))


def _scheduled(done: float, total_epochs: int, warmup: int, changes: Sequence[NewLength]) -> float:
    """Returns the point of the schedule that a training has reached after `done` epochs, in epochs of the schedule.

    A change of the length within the warm-up counts from the warm-up's end.
    """
    if not changes:
        return done
    *before, last = changes
    begin = max(last.after, warmup)
    if done <= begin:
        return _scheduled(done, total_epochs, warmup, before)
    reached = _scheduled(begin, total_epochs, warmup, before)
    return reached + (total_epochs - reached) * (done - begin) / (last.until - begin)


def _cooling(epoch: float, changes: Sequence[NewLength]) -> float:
    """Returns the factor by which the rate of `epoch` (from 1) has fallen since the training's length changed."""
    if not changes:
        return 1.0
    *before, last = changes
    if epoch <= last.after:
        return _cooling(epoch, before)
    begin = _cooling(last.after, before)
    epochs = last.until - last.after + 1
    return FLOOR + (begin - FLOOR) * 0.5 * (1 + math.cos(math.pi * (epoch - last.after) / epochs))


def warmup_factors(
    plan: TrainingPlan, before: float, epoch: float, total_epochs: int, steps: int
) -> list[float] | None:
    """Returns the factor of each step between `before` and `epoch` epochs during the warm-up; None after it.

    The factor rises with every step from 0 to 1 (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2): if
    it rose by epochs, a warm-up of a single epoch would have no effect.

    Args:
        steps: number of optimizer steps between the two.
    """
    warmup = warmup_epochs(plan, total_epochs)
    if epoch > warmup:
        return None
    return [(before + (epoch - before) * (step + 1) / steps) / warmup for step in range(steps)]


def plateaus(losses: Sequence[float | None], patience: int) -> int:
    """Counts how often `patience` losses in a row did not improve on the best one before; None is no improvement."""
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
    """Returns whether none of the last `patience` epochs improved on the best score before (larger is better).

    A missing score is no improvement; before the first score, the result is False.
    """
    if not patience or len(scores) <= patience:
        return False
    before = best_score(scores[:-patience])
    last = best_score(scores[-patience:])
    return before is not None and (last is None or last <= before)


def best_score(scores: Sequence[float | None]) -> float | None:
    """Returns the highest score; None if all are missing."""
    return max((score for score in scores if score is not None), default=None)


def chosen_epoch(scores: Sequence[float | None], images: int) -> int | None:
    """Returns the epoch (from 1) whose weights are published: the last within one standard error of the best score.

    The highest of many noisy scores is partly luck, especially with few images, whereas epochs at the end of a schedule
    are usually better. This is the one-standard-error rule (Breiman, Friedman, Olshen and Stone, Classification and
    regression trees, 1984, 3.4.3), with the standard error of a proportion.

    Args:
        scores: macro-F1 after each epoch; an epoch without a score is never chosen.
        images: number of images that the scores were measured on.

    Returns:
        The epoch; None if all scores are missing.
    """
    best = best_score(scores)
    if best is None:
        return None
    enough = best - math.sqrt(best * (1 - best) / images)
    return max(epoch for epoch, score in enumerate(scores, 1) if score is not None and score >= enough)
