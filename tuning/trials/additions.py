"""What a published graph has beside the network: a mirrored view, a prior correction, a temperature. NumPy only.

Each is decided on the validation split alone, in the order in which the graph computes them, and left out where it does
not pay there: figures of the same probabilities always decide the same.
"""

from __future__ import annotations

import numpy as np

from tuning.core.jobs import Addition, Additions
from tuning.trials.bootstrap import macro_f1_difference, numbered
from tuning.trials.metrics import CLIP, cross_entropy, macro_f1_of, rounded

#: Exponents of the classes' shares that are tried. Those below 0 favour rare classes.
EXPONENTS = (-1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.0)
#: Temperatures that are tried: from a quarter to four, so many of them for each doubling.
_PER_DOUBLING = 8
TEMPERATURES = tuple(2.0 ** (step / _PER_DOUBLING) for step in range(-2 * _PER_DOUBLING, 2 * _PER_DOUBLING + 1))
#: Images that obey the model's own probabilities and are added to those that a temperature is fitted on.
PRIOR_IMAGES = 10
#: What a temperature must take off the cross-entropy, in nats: less is nothing that anyone could tell.
LEAST_GAIN = 1e-3

_LOGITS = "the model puts out logits"


def decide(
    labels: np.ndarray,
    plain: np.ndarray,
    mirrored: np.ndarray | None,
    counts: np.ndarray,
    units: np.ndarray | None = None,
) -> Additions:
    """What pays on the validation split.

    The view is in where macro-F1 rises; the prior correction where the 95 % interval of its paired gain is above 0,
    because the best of several exponents always seems to gain something; the temperature where cross-entropy falls.
    Which temperature that is, a prior towards 1 decides with the images (see `_fitted_loss`); the losses that are
    returned are plain cross-entropy of the images alone, and so is the fall that decides whether it pays.

    Args:
        labels: (n,) of the validation split.
        plain: (n, k) probabilities of these images.
        mirrored: the same of their mirror images; None where mirroring is no change that the labels are known to stand.
        counts: (k,) training images of each class.
        units: (n,) which images of the validation split depend on each other; None: none does.
    """
    now = plain.astype(np.float64)
    if mirrored is None:
        view = Addition(used=False, reason="the configuration was trained without mirror images (flip)")
    else:
        view = _compared(labels, now, both := (now + mirrored) / 2)
        if view.used:
            now = both
    candidates = {exponent: corrected(now, prior_scale(counts, exponent)) for exponent in EXPONENTS}
    exponent = max(EXPONENTS, key=lambda one: (macro_f1_of(labels, candidates[one]), -abs(one), one))
    guesses = candidates[exponent].argmax(axis=1), now.argmax(axis=1)
    _, low, _ = macro_f1_difference(labels, guesses[0], guesses[1], now.shape[1], units)
    # Of a single unit, say one person, the interval has no width, and nothing is known.
    clearly = low > 0 and numbered(units, len(labels))[1] > 1
    prior = _compared(labels, now, candidates[exponent], exponent, clearly)
    if prior.used:
        now = candidates[exponent]
    cooled = {value: tempered(now, value) for value in TEMPERATURES}
    value = min(TEMPERATURES, key=lambda one: (_fitted_loss(labels, now, cooled[one]), abs(np.log(one))))
    before, after = cross_entropy(labels, now), cross_entropy(labels, cooled[value])
    f1 = rounded(macro_f1_of(labels, now))
    pays = before - after >= LEAST_GAIN
    temperature = Addition(
        used=pays,
        reason=None if pays else "cross-entropy does not fall",
        value=round(value, 6),
        # A power keeps the order of the classes.
        f1_macro_before=f1,
        f1_macro_after=f1,
        loss_before=rounded(before),
        loss_after=rounded(after),
    )
    return Additions(mirrored_view=view, prior_correction=prior, temperature=temperature)


def none_for_logits() -> Additions:
    """All left out: they are arithmetic of probabilities, and whoever uses the model expects logits."""
    one = Addition(used=False, reason=_LOGITS)
    return Additions(mirrored_view=one, prior_correction=one, temperature=one)


def prior_scale(counts: np.ndarray, exponent: float) -> np.ndarray:
    """The factor of each class, (k,); the largest is 1. A class without training images counts as one image."""
    shares = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    scale = shares.astype(np.float64) ** exponent
    return scale / scale.max()


def corrected(probabilities: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Probabilities times each class's factor, with sums of 1 again."""
    return _normalised(probabilities * scale)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities to the power of 1 / temperature, with sums of 1 again."""
    return _normalised(probabilities ** (1 / temperature))


def _fitted_loss(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Cross-entropy of `after`, as if `PRIOR_IMAGES` more had each label as often as `before` says.

    Where the images hold no error, as a few often do, cross-entropy alone falls the surer a model is made, without end.
    The loss of the added images is lowest where nothing is changed, at temperature 1: a prior towards it, which many
    images outweigh.
    """
    own = -(before * np.log(np.clip(after, CLIP, 1.0))).sum(axis=1).mean()
    count = len(labels)
    return float((count * cross_entropy(labels, after) + PRIOR_IMAGES * own) / (count + PRIOR_IMAGES))


def _compared(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, value: float | None = None, clearly: bool = True
) -> Addition:
    one, other = macro_f1_of(labels, before), macro_f1_of(labels, after)
    used = other > one and clearly
    reason = None if used else "macro-F1 does not rise" if other <= one else "macro-F1 does not clearly rise"
    return Addition(
        used=used,
        reason=reason,
        value=value,
        f1_macro_before=rounded(one),
        f1_macro_after=rounded(other),
        loss_before=rounded(cross_entropy(labels, before)),
        loss_after=rounded(cross_entropy(labels, after)),
    )


def _normalised(values: np.ndarray) -> np.ndarray:
    return values / values.sum(axis=1, keepdims=True)
