"""Detects learning curves that a longer training would not improve, as pure functions of the curve.

Two rules, both cautious. A trial ended by one of them counts as having reached its rung with its current score; nothing
else about it changes, and a search without the rules only takes longer.

*Dead*: for `DEAD` epochs all validation images have got the same label, and neither loss has improved by a hundredth.
No gradient reaches the weights any more, or only noise.

*Flat*: a power law fitted to the score and extrapolated to the end of the training exceeds the best score so far by at
most the noise between seeds. Extrapolating learning curves of neural networks with parametric
families, of which the power law is one, is Domhan, Springenberg and Hutter's (Speeding up automatic hyperparameter
optimization of deep neural networks by extrapolation of learning curves, IJCAI 2015); that a criterion should look at
whole runs of epochs, because validation curves are not smooth, is Prechelt's (Early stopping, but when?, 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

from tuning.core.jobs import Entry
from tuning.trials.plan import TrainingPlan, warmup_epochs

#: Number of consecutive epochs without improvement that show a trial to be dead.
DEAD = 5
#: By how much a loss must fall, relative to its smallest value before, to count as improved.
GAIN = 0.01

#: Smallest number of epochs of a flat curve, and smallest share of all its epochs.
SHORTEST, SHARE = 10, 1 / 3
#: Epochs without a better score before a curve is extrapolated.
PATIENCE = 5
#: Macro-F1 by which two seeds of one configuration differ (standard deviation, rounded down).
NOISE = 0.01
#: Exponents tried for the power law.
EXPONENTS = (0.25, 0.5, 1.0, 2.0, 3.0)
#: A curve can be flat only once the learning rate is at most this share of its maximum: it may rise as the rate falls.
RATE = 0.1


def curve_end(
    curve: Sequence[Entry],
    plan: TrainingPlan,
    total_epochs: int,
    classes: int,
    reduce_lr: int | None = None,
) -> str | None:
    """Returns why the curve has ended, "dead" or "flat"; None if it may still improve.

    Args:
        curve: entries of whole epochs.
        plan, reduce_lr: the schedule of the learning rate.
        total_epochs: epochs of the full training.
        classes: number of classes.
    """
    after = list(curve[warmup_epochs(plan, total_epochs) :])
    if is_dead(after, classes):
        return "dead"
    steady = plan.schedule == "constant" and reduce_lr is None
    return "flat" if _rate_has_fallen(curve, steady) and is_flat(curve, total_epochs) else None


def is_dead(curve: Sequence[Entry], classes: int) -> bool:
    """Returns whether each of the last epochs predicts a single label for all images, and no loss improves."""
    if len(curve) <= DEAD:
        return False
    before, last = curve[:-DEAD], curve[-DEAD:]
    return all(predicts_one_label(entry, classes) for entry in last) and not any(
        _has_improved(before, last, name) for name in ("loss", "val_loss")
    )


def _has_improved(before: Sequence[Entry], last: Sequence[Entry], name: str) -> bool:
    """Returns whether the smallest of the last losses is clearly below the smallest before; None is ignored."""
    earlier, later = ([loss for entry in e if (loss := entry[name]) is not None] for e in (before, last))
    if not earlier or not later:
        return bool(later)
    return min(later) <= (1 - GAIN) * min(earlier)


def predicts_one_label(entry: Entry, classes: int) -> bool:
    """Returns whether an epoch predicts one constant class: accuracy p and macro-F1 2p / (1 + p) / classes."""
    share, score = entry["val_accuracy"], entry["val_f1_macro"]
    return share is not None and score is not None and abs(score - 2 * share / (1 + share) / classes) < 1e-9


def is_flat(curve: Sequence[Entry], total_epochs: int) -> bool:
    """Returns whether the score is not expected to rise by more than the noise between seeds.

    A curve with a missing score is never flat: a power law fitted to the other scores cannot predict it.
    """
    scores = [score for entry in curve if (score := entry["val_f1_macro"]) is not None]
    if len(scores) < len(curve) or len(scores) < max(SHORTEST, SHARE * total_epochs) or len(scores) >= total_epochs:
        return False
    best = max(scores)
    if best > max(scores[:-PATIENCE]):
        return False
    return extrapolated(scores, total_epochs) <= best + NOISE


def extrapolated(scores: Sequence[float], epoch: int) -> float:
    """Extrapolates `scores` (of epochs 1, 2, …) to `epoch`: two standard deviations above a fitted power law.

    Fits c - a t^-b by least squares for each b of `EXPONENTS`, with weight t for epoch t, because the latest scores
    predict best. Returns the highest value among the fits with at most 1.5 times the error of the best one.
    """
    fits = [_power_law(scores, exponent, epoch) for exponent in EXPONENTS]
    least = min(variance for variance, _ in fits)
    return max(value + 2 * variance**0.5 for variance, value in fits if variance <= 1.5 * least + 1e-12)


def _power_law(scores: Sequence[float], exponent: float, epoch: int) -> tuple[float, float]:
    """Fits c - a t^-exponent; returns (weighted mean of squared errors, value at `epoch`)."""
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
    """Returns whether no further fall of the learning rate is to come that could raise a flat curve.

    With a schedule of the builder's own no rate is recorded, so that a later fall cannot be ruled out.
    """
    rates = [rate for entry in curve if (rate := entry.get("learning_rate")) is not None]
    return bool(rates) and (steady or rates[-1] <= RATE * max(rates))
