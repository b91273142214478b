"""Curves that have clearly ended: what a longer training cannot change, as pure functions of the curve.

Two rules, both cautious. A trial that they end counts as having reached its rung with the score it has; nothing else
about it changes, and a search without them only takes longer.

*Dead*: for `DEAD` epochs every validation image has got the same label, and neither loss has become better by a
hundredth. Nothing reaches the weights any more, or nothing but noise.

*Flat*: a power law fitted to the score, extrapolated to the end of the training, stays below what the best epoch has
already reached, by less than the noise between seeds. Extrapolating learning curves of neural networks with parametric
families, of which the power law is one, is Domhan, Springenberg and Hutter's (Speeding up automatic hyperparameter
optimization of deep neural networks by extrapolation of learning curves, IJCAI 2015); that a criterion should look at
whole runs of epochs, because validation curves are not smooth, is Prechelt's (Early stopping, but when?, 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

from tuning.core.jobs import Entry
from tuning.trials.plan import TrainingPlan, warmup_epochs

#: Epochs in a row that show a trial to be dead.
DEAD = 5
#: What a loss must gain, relative to its best before, to be alive.
GAIN = 0.01

#: Epochs before a curve can be flat, and the share of all epochs that must be over.
SHORTEST, SHARE = 10, 1 / 3
#: Epochs without a better score before a curve is extrapolated.
PATIENCE = 5
#: Macro-F1 by which two seeds of one configuration differ (standard deviation, rounded down).
NOISE = 0.01
#: Exponents of the power law that are tried.
EXPONENTS = (0.25, 0.5, 1.0, 2.0, 3.0)
#: While the learning rate will still fall below this share of what it is now, a flat curve may rise again.
RATE = 0.1


def curve_end(
    curve: Sequence[Entry],
    plan: TrainingPlan,
    total_epochs: int,
    classes: int,
    reduce_lr: int | None = None,
) -> str | None:
    """Why the curve has ended: "dead" or "flat"; None where it may still go somewhere.

    Args:
        curve: entries of whole epochs.
        plan, reduce_lr: what the learning rate follows.
        total_epochs: of the full training.
        classes: how many labels there are.
    """
    after = list(curve[warmup_epochs(plan, total_epochs) :])
    if is_dead(after, classes):
        return "dead"
    steady = plan.schedule == "constant" and reduce_lr is None
    return "flat" if _rate_has_fallen(curve, steady) and is_flat(curve, total_epochs) else None


def is_dead(curve: Sequence[Entry], classes: int) -> bool:
    """Whether the last epochs all predict one and the same label for everything, and no loss gets better."""
    if len(curve) <= DEAD:
        return False
    before, last = curve[:-DEAD], curve[-DEAD:]
    return all(predicts_one_label(entry, classes) for entry in last) and not any(
        _has_improved(before, last, name) for name in ("loss", "val_loss")
    )


def _has_improved(before: Sequence[Entry], last: Sequence[Entry], name: str) -> bool:
    """Whether the smallest loss of the last epochs is clearly below the smallest one before; missing ones aside."""
    earlier, later = ([loss for entry in e if (loss := entry[name]) is not None] for e in (before, last))
    if not earlier or not later:
        return bool(later)
    return min(later) <= (1 - GAIN) * min(earlier)


def predicts_one_label(entry: Entry, classes: int) -> bool:
    """Whether an epoch's figures are those of a constant prediction: accuracy p and macro-F1 2p / (1 + p) / classes."""
    share, score = entry["val_accuracy"], entry["val_f1_macro"]
    return share is not None and score is not None and abs(score - 2 * share / (1 + share) / classes) < 1e-9


def is_flat(curve: Sequence[Entry], total_epochs: int) -> bool:
    """Whether the score cannot be expected to gain more than the noise between seeds before the training ends.

    A curve with a missing score is not: a law fitted to the rest would say nothing about that.
    """
    scores = [score for entry in curve if (score := entry["val_f1_macro"]) is not None]
    if len(scores) < len(curve) or len(scores) < max(SHORTEST, SHARE * total_epochs) or len(scores) >= total_epochs:
        return False
    best = max(scores)
    if best > max(scores[:-PATIENCE]):
        return False
    return extrapolated(scores, total_epochs) <= best + NOISE


def extrapolated(scores: Sequence[float], epoch: int) -> float:
    """What `scores` (of epochs 1, 2, …) may reach by `epoch`: two standard deviations above a fitted power law.

    c - a t^-b by least squares, epoch t with weight t, because what came last says most of what is to come; for each b
    of `EXPONENTS`, and of the fits that are nearly as good as the best one (half as much error again) the highest.
    """
    fits = [_power_law(scores, exponent, epoch) for exponent in EXPONENTS]
    least = min(variance for variance, _ in fits)
    return max(value + 2 * variance**0.5 for variance, value in fits if variance <= 1.5 * least + 1e-12)


def _power_law(scores: Sequence[float], exponent: float, epoch: int) -> tuple[float, float]:
    """(weighted mean of squared errors, value at `epoch`) of the best c - a t^-exponent."""
    times = range(1, len(scores) + 1)
    weight = sum(times)
    powers = [t**-exponent for t in times]
    mean_power = sum(t * power for t, power in zip(times, powers, strict=True)) / weight
    mean_score = sum(t * score for t, score in zip(times, scores, strict=True)) / weight
    deviations = [(t, p - mean_power, s - mean_score) for t, p, s in zip(times, powers, scores, strict=True)]
    slope = sum(t * p * s for t, p, s in deviations) / sum(t * p * p for t, p, _ in deviations)
    variance = sum(t * (s - slope * p) ** 2 for t, p, s in deviations) / weight
    return variance, mean_score + slope * (epoch**-exponent - mean_power)


def _rate_has_fallen(curve: Sequence[Entry], steady: bool) -> bool:
    """Whether no fall of the learning rate is to come that could lift a flat curve.

    Under a schedule of the builder's own, no rate is recorded, and no fall can be ruled out.
    """
    rates = [rate for entry in curve if (rate := entry.get("learning_rate")) is not None]
    return bool(rates) and (steady or rates[-1] <= RATE * max(rates))
