"""Importance of hyperparameters: permutation importance of a random forest, measured on unseen configurations.

Source: Breiman, "Random Forests", Machine Learning 45 (2001), section 10, as implemented by scikit-learn's
`RandomForestRegressor` and `permutation_importance`. In each of five folds, the forest learns to predict the score from
the hyperparameters on four fifths of the configurations; on the last fifth, one hyperparameter after the other is
shuffled. The importance is the growth of the squared error, as a share of the variance of the scores: 0 if the forest
does not use the hyperparameter, below 0 only by chance.

If a forest predicts unseen scores no better than their mean, its importances mean nothing. They are therefore measured
only if the 90 % interval of the explained share of variance (cross-validated R²) lies entirely above 0. With 10 to 60
configurations whose scores are pure chance, that happens in 0 to 10 % of cases, while R² itself is above 0 in up to
22 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuning.core.records import keyed_seed
from tuning.history.records import Configuration, History, Parameter
from tuning.trials.bootstrap import SEED

if TYPE_CHECKING:
    import numpy as np

#: With fewer configurations, importances are not estimated.
FEWEST = 10
#: Most configurations, and most budgets, for which importances are estimated.
MOST, BUDGETS = 1_000, 3
FOLDS, SHUFFLES, TREES = 5, 4, 30
LOW, HIGH = 0.05, 0.95
#: Bootstrap resamples of configurations for the interval of the explained share of variance.
RESAMPLES = 2_000


@dataclass(frozen=True)
class Share:
    """One hyperparameter's importance: mean, 5 % and 95 % quantile over all folds and shuffles."""

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """The importances for the scores after one number of epochs (budget).

    Attributes:
        epochs: the budget; None if all configurations have the same one, so that their final scores count.
        configurations: number of configurations that reached the budget.
        explained: share of the variance of unseen scores that the forest explains; below 0, their mean would have been
            the better prediction.
        low, high: 90 % interval of `explained`, by bootstrap over the configurations.
        shares: most important first; empty if the forest explains nothing.
    """

    epochs: float | None
    configurations: int
    explained: float
    low: float
    high: float
    shares: tuple[Share, ...]

    @property
    def tells(self) -> bool:
        """Whether the forest explains unseen scores beyond chance."""
        return self.low > 0


def importances(history: History, seed: int) -> tuple[Importance, ...]:
    """Returns the importances at each budget that enough configurations reached, the shortest budget first.

    Scores after different numbers of epochs are never mixed. Only good configurations reach the longer budgets, and
    they differ less, so a hyperparameter that was decisive early seems to matter less there.
    """
    budgets: list[float | None] = [*history.rung_epochs()] or [None]
    found = []
    for epochs in budgets:
        rows = _rows(history.configurations, epochs)
        if len(rows) >= FEWEST and len({score for _, score in rows}) > 1:
            found.append(_importance(history.parameters, rows, epochs, seed))
    return tuple(found[:BUDGETS])


def most_telling(found: Sequence[Importance]) -> Importance:
    """Returns the importances of the budget with the highest lower bound of the explained share."""
    return max(found, key=lambda entry: entry.low)


def _rows(configurations: Sequence[Configuration], epochs: float | None) -> list[tuple[dict[str, Any], float]]:
    scored = [
        (entry.values, entry.score if epochs is None else entry.score_after(epochs), entry.root)
        for entry in configurations
    ]
    rows = [(values, score, root) for values, score, root in scored if score is not None]
    # If there are more than `MOST`, take a pseudo-random sample, keyed by the root trial.
    rows.sort(key=lambda row: keyed_seed(0, row[2]))
    return [(values, score) for values, score, _ in rows[:MOST]]


def _importance(
    parameters: Sequence[Parameter], rows: Sequence[tuple[dict[str, Any], float]], epochs: float | None, seed: int
) -> Importance:
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    columns = {entry.name: [_number(entry, values.get(entry.name)) for values, _ in rows] for entry in parameters}
    # Skip hyperparameters that never varied. NaN, which stands for inactive, counts as a value.
    varied = [name for name, column in columns.items() if len(set(map(str, column))) > 1]
    data, scores = np.array([columns[name] for name in varied]).T, np.array([score for _, score in rows])
    folds = list(KFold(FOLDS, shuffle=True, random_state=seed % 2**32).split(data))
    forests, missed, spread = [], np.empty(len(scores)), np.empty(len(scores))
    for fold, (seen, unseen) in enumerate(folds):
        forest = RandomForestRegressor(TREES, max_features=0.5, random_state=keyed_seed(seed, "forest", fold))
        forests.append(forest.fit(data[seen], scores[seen]))
        missed[unseen] = (forest.predict(data[unseen]) - scores[unseen]) ** 2
        # The mean of the training folds only: the mean of all scores would use the unseen ones.
        spread[unseen] = (scores[seen].mean() - scores[unseen]) ** 2
    explained, low, high = _explained(missed, spread)
    if low <= 0:
        return Importance(epochs, len(rows), explained, low, high, ())
    grown = []
    for fold, (forest, (_, unseen)) in enumerate(zip(forests, folds, strict=True)):
        measured = permutation_importance(
            forest,
            data[unseen],
            scores[unseen],
            scoring="neg_mean_squared_error",
            n_repeats=SHUFFLES,
            random_state=keyed_seed(seed, "shuffle", fold),
        )
        grown.append(measured.importances / scores.var())
    samples = np.concatenate(grown, axis=1)
    ends = np.quantile(samples, [LOW, HIGH], axis=1)
    means = samples.mean(axis=1)
    shares = [Share(name, float(m), float(a), float(b)) for name, m, a, b in zip(varied, means, *ends, strict=True)]
    shares.sort(key=lambda share: (-share.mean, share.name))
    return Importance(epochs, len(rows), explained, low, high, tuple(shares))


def _explained(missed: np.ndarray, spread: np.ndarray) -> tuple[float, float, float]:
    """Returns 1 − Σ missed / Σ spread and its 90 % interval by bootstrap over configurations, each at least −1."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(missed), size=(RESAMPLES, len(missed)))
    # A resample may hold only equal scores, whose variance is 0.
    shares = 1 - missed[drawn].sum(axis=1) / np.maximum(spread[drawn].sum(axis=1), np.finfo(float).tiny)
    low, high = np.quantile(np.maximum(shares, -1.0), [LOW, HIGH])
    return max(-1.0, 1 - float(missed.sum()) / float(spread.sum())), float(low), float(high)


def _number(parameter: Parameter, value: Any) -> float:
    """Encodes a value for the forest: a choice by its index, an inactive hyperparameter as NaN."""
    found = parameter.place(value) if parameter.kind == "choice" else value
    return float("nan") if found is None else float(found)
