"""Additions to the network in a published graph: a mirrored view, a prior correction, a temperature. NumPy only.

Each one is decided on the validation split alone, in the order in which the graph computes them, and left out if it
does not improve the metrics there. The decision is a deterministic function of the probabilities.
"""

from __future__ import annotations

import numpy as np

from tuning.core.jobs import Addition, Additions
from tuning.trials.bootstrap import macro_f1_difference, numbered
from tuning.trials.metrics import CLIP, cross_entropy, macro_f1_of, rounded

#: Exponents tried for the classes' shares. Those below 0 favour rare classes.
EXPONENTS = (-1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.0)
#: Temperatures tried: from 1/4 to 4, with this many per doubling.
_PER_DOUBLING = 8
TEMPERATURES = tuple(2.0 ** (step / _PER_DOUBLING) for step in range(-2 * _PER_DOUBLING, 2 * _PER_DOUBLING + 1))
#: Number of imaginary images, labelled by the model's own probabilities, that are added when a temperature is fitted.
PRIOR_IMAGES = 10
#: Smallest useful reduction of the cross-entropy by a temperature, in nats.
LEAST_GAIN = 1e-3

_LOGITS = "the model puts out logits"


def decide(
    labels: np.ndarray,
    plain: np.ndarray,
    mirrored: np.ndarray | None,
    counts: np.ndarray,
    units: np.ndarray | None = None,
) -> Additions:
    """Decides which additions improve the metrics on the validation split.

    The view is used if macro-F1 rises; the prior correction if the 95 % interval of its paired gain is above 0, because
    the best of several exponents always seems to gain something; the temperature if cross-entropy falls. The
    temperature is fitted with a prior towards 1 (see `_fitted_loss`); whether it is used, and the losses returned,
    depend on the plain cross-entropy of the images alone.

    Args:
        labels: (n,) of the validation split.
        plain: (n, k) probabilities of these images.
        mirrored: (n, k) probabilities of their mirror images; None if mirroring may change the labels.
        counts: (k,) number of training images of each class.
        units: (n,) the unit of each image; images of one unit are not independent. None: all are.
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
    # With a single unit, such as one person, the interval has no width, and shows nothing.
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
        # Macro-F1 is unchanged: a power keeps the order of the classes.
        f1_macro_before=f1,
        f1_macro_after=f1,
        loss_before=rounded(before),
        loss_after=rounded(after),
    )
    return Additions(mirrored_view=view, prior_correction=prior, temperature=temperature)


def none_for_logits() -> Additions:
    """Returns the result without any addition, for models that return logits: additions need probabilities."""
    one = Addition(used=False, reason=_LOGITS)
    return Additions(mirrored_view=one, prior_correction=one, temperature=one)


def prior_scale(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Returns the factor of each class, (k,), the largest being 1; a class without training images counts as one."""
    shares = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    scale = shares.astype(np.float64) ** exponent
    return scale / scale.max()


def corrected(probabilities: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Multiplies probabilities by each class's factor, and normalises them."""
    return _normalised(probabilities * scale)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Raises probabilities to the power of 1 / temperature, and normalises them."""
    return _normalised(probabilities ** (1 / temperature))


def _fitted_loss(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Returns the cross-entropy of `after` including `PRIOR_IMAGES` imaginary images labelled according to `before`.

    If all images are predicted correctly, as often with few, plain cross-entropy has no minimum: it falls the more
    confident the model is made. The loss of the imaginary images is lowest at temperature 1, which gives a prior
    towards it that many real images outweigh.
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
