"""Which runs make an ensemble: greedily, on the validation split (Caruana et al., Ensemble selection from libraries of
models, ICML 2004). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from tuning.trials.metrics import macro_f1_of

#: Most picks; a run that is picked again weighs more.
PICKS = 5


def chosen_members(labels: np.ndarray, probabilities: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Returns run id -> weight of the mean with the highest macro-F1; empty if no mean of several beats the best run.

    Starts with the best run and adds the run that makes the mean best, up to `PICKS` picks; of the means on the way,
    the best is returned, among equals the one with the fewest picks. Ties between runs go to the first by run id.

    Args:
        labels: (n,) of the validation split.
        probabilities: run id -> (n, k) of the same images.
    """
    names = sorted(probabilities)
    picked: list[str] = []
    total = np.zeros((1, 1))
    best: tuple[float, list[str]] | None = None
    for _ in range(PICKS if names else 0):
        scores = {name: macro_f1_of(labels, total + probabilities[name]) for name in names}
        # The sorted order decides among equals: `max` keeps the first.
        name = max(names, key=lambda one: scores[one])
        picked.append(name)
        total = total + probabilities[name].astype(np.float64)
        if best is None or scores[name] > best[0]:
            best = scores[name], list(picked)
    weights = Counter(best[1] if best else [])
    return dict(sorted(weights.items())) if len(weights) > 1 else {}
