"""The surrogate model of one search and its proposals, shared by all strategies that use a model.

Its cost is bounded: beyond about a hundred scores it uses a subset of fixed size, and it is refitted only when the
number of scores has grown by the factor `GROWTH`. Its state depends only on the seed and on the completed trials, in
order of completion: never on how often it is queried, or in which process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameter
from threadpoolctl import ThreadpoolController

from tuning.core import records
from tuning.oracles import candidates
from tuning.oracles.acquisition import log_expected_improvement, standardised
from tuning.oracles.affordable import Affordable
from tuning.oracles.cost_model import CostModel, with_fixed
from tuning.oracles.embedding import Embedding
from tuning.oracles.feasibility import Feasibility
from tuning.oracles.surrogate import Points, Prior, Surrogate, Timeline, fit

#: Number of best known configurations around which candidates are generated.
CENTRES = 5
#: Number of best candidates examined; the first untried one is proposed.
PROPOSALS = 50
#: The expected improvement is multiplied by the probability that a configuration works, to this power.
CAUTION = 4.0
#: Largest number of scores that the model uses, because its cost is cubic.
KNOWN = 120
#: Smallest number of scores for a model.
FEWEST = 4
#: Largest number of pending trials that the model takes into account: the latest ones.
PENDING = 16
#: The parameters are refitted when the number of scores has grown by this factor since the last fit.
GROWTH = 1.15
#: Largest number of configurations that the models of feasibility and of cost are fitted to.
COUNTED = 300


@dataclass(frozen=True)
class Score:
    """A score that the model may use.

    Attributes:
        configuration: number of the configuration.
        rung: number of the rung, from 0.
        epoch: the epoch after which the score was measured.
        left: the epoch in which the curve left chance.
        score: larger is better.
    """

    configuration: int
    rung: int
    epoch: int
    left: int
    score: float


@dataclass(frozen=True)
class Proposal:
    """An untried configuration, and the logarithm of its expected improvement at the last rung."""

    gain: float
    values: dict[str, Any]


class SearchModel:
    """The surrogate model of one search.

    Args:
        seed: seed of the search.
        rungs: epochs of the rungs, ascending.
        values_of: returns the values of a configuration, given its number.

    Attributes:
        embedding: encoding of the hyperparameters known so far.
        scores: all scores, in order of completion.
        costs: configuration number -> cost of an epoch, in order of completion.
    """

    def __init__(self, seed: int, rungs: Sequence[int], values_of: Callable[[int], Mapping[str, Any]]) -> None:
        self._seed, self._values_of = seed, values_of
        self._timeline = Timeline(rungs)
        self.scores: list[Score] = []
        self.costs: dict[int, float] = {}
        self._works: list[tuple[int, bool]] = []  # (configuration, whether it works)
        self._entries = -1
        self.follow([])

    def follow(self, entries: Sequence[HyperParameter]) -> None:
        """Adopts the entries of the space, and discards fitted models if a builder has added entries."""
        if len(entries) != self._entries:
            self._entries = len(entries)
            self.embedding = Embedding(entries)
            self._rows: dict[int, np.ndarray] = {}  # latent rows by configuration
            self._x: dict[int, np.ndarray] = {}  # features by configuration
            self._fitted: tuple[int, np.ndarray] | None = None  # (number of scores, parameters)
            self._model: tuple[int, Surrogate] | None = None  # (number of scores, posterior)
            # (posterior, pending trials, posterior given both)
            self._believing: tuple[Surrogate, Sequence[tuple[int, int]], Surrogate] | None = None
            self._cost_model: tuple[int, CostModel] | None = None  # (number of costs, model)
            self._feasibility: Feasibility | None = None  # from `_works`

    def forget(self, number: int) -> None:
        """Drops the cached encoding of a configuration whose values may have changed."""
        self._rows.pop(number, None)
        self._x.pop(number, None)

    @property
    def is_ready(self) -> bool:
        return len(self.scores) >= FEWEST and bool(self.embedding.entries)

    # The posterior -------------------------------------------------------------------------------------------------

    def posterior(self, pending: Sequence[tuple[int, int]] = ()) -> Surrogate:
        """Returns the posterior given the completed trials, assuming that pending ones score as predicted.

        Args:
            pending: (configuration, its epochs once the trial ends), the latest first.
        """
        model = self._completed()
        if not pending:
            return model
        if self._believing is None or self._believing[0] is not model or self._believing[1] != pending:
            numbers = np.array([number for number, _ in pending[:PENDING]])
            weights = np.array([self._timeline.weights(epochs) for _, epochs in pending[:PENDING]])
            after = model.believing(Points(self._features(numbers), numbers, weights))
            self._believing = model, list(pending), after
        return self._believing[2]

    def _completed(self) -> Surrogate:
        """Returns the posterior given the completed trials, updated less often the more scores there are."""
        count = len(self.scores)
        count -= count % max(count // KNOWN, 1)
        if self._model is None or self._model[0] != count:
            prior = Prior(self._features([self.scores[0].configuration]).shape[1], self._timeline)
            vector, used = self._fit(prior, count)
            points, targets = self._seen(used)
            self._model = count, Surrogate(points, targets, vector, prior)
        return self._model[1]

    def _fit(self, prior: Prior, count: int) -> tuple[np.ndarray, list[int]]:
        """Returns the parameters, and the indices of the scores to use among the first `count`.

        These include the scores since the last fit, up to a quarter of `KNOWN`.
        """
        fitted = milestone(FEWEST, count)
        if self._fitted is None or self._fitted[0] != fitted:
            self._fitted = fitted, fit(*self._seen(_subset(self.scores[:fitted], KNOWN)), prior)
        recent = range(max(fitted, count - KNOWN // 4), count)
        return self._fitted[1], [*_subset(self.scores[: recent.start], KNOWN - len(recent)), *recent]

    def _seen(self, indices: Iterable[int]) -> tuple[Points, np.ndarray]:
        """Returns the points and the standardised targets of the scores at these indices."""
        scores = [self.scores[index] for index in indices]
        numbers = np.array([score.configuration for score in scores])
        weights = np.array([self._timeline.weights(score.epoch, score.left) for score in scores])
        return Points(self._features(numbers), numbers, weights), standardised(np.array([s.score for s in scores]))

    def known(self) -> list[int]:
        """Returns the configurations whose scores the posterior uses, in the order of their numbers."""
        return sorted({int(number) for number in self._completed().seen.curve})

    def ends(self, numbers: Sequence[int]) -> Points:
        """Returns the points of these configurations at the last rung."""
        return Points(self._features(numbers), np.array(numbers), self._timeline.end[None])

    def _features(self, numbers: Iterable[int]) -> np.ndarray:
        wanted = [int(number) for number in numbers]
        if missing := [number for number in wanted if number not in self._x]:
            rows = np.array([self._row(number) for number in missing])
            self._x.update(zip(missing, self.embedding.features(rows), strict=True))
        return np.array([self._x[number] for number in wanted])

    def _row(self, number: int) -> np.ndarray:
        """Returns the latent row (d,) of a configuration."""
        if number not in self._rows:
            self._rows[number] = self.embedding.latent(self._values_of(number))
        return self._rows[number]

    # Proposals -----------------------------------------------------------------------------------------------------

    def propose(
        self,
        key: int,
        posterior: Surrogate,
        numbers: Sequence[int],
        is_tried: Callable[[Mapping[str, Any]], bool],
        affordable: Affordable | None = None,
    ) -> Proposal | None:
        """Proposes the untried configuration with the largest expected improvement over the best of `numbers`.

        Returns None if no candidate is untried and affordable.

        Args:
            key: number of the trial, which keys the draws.
            numbers: known configurations; some candidates are generated around the best of them.
            is_tried: whether a configuration was tried.
            affordable: predicts affordable configurations; None: all are.
        """
        means = posterior.mean(self.ends(numbers))
        order = np.argsort(-means, kind="stable")[:CENTRES]
        rows, gains = candidates.maximise(
            self.embedding,
            functools.partial(self._gains, posterior, float(means.max()), affordable),
            np.array([self._row(numbers[index]) for index in order]),
            np.random.default_rng(records.keyed_seed(self._seed, "candidates", key)),
        )
        for row, gain in zip(rows[:PROPOSALS], gains, strict=False):
            values = self.embedding.configuration(row)
            if gain > -np.inf and not is_tried(values):
                return Proposal(float(gain), values)
        return None

    def _gains(self, posterior: Surrogate, best: float, affordable: Affordable | None, rows: np.ndarray) -> np.ndarray:
        x = self.embedding.features(rows)
        # Negative numbers, which no configuration has: candidates share no curve with any known score.
        points = Points(x, -1 - np.arange(len(rows)), self._timeline.end[None])
        gains = log_expected_improvement(*posterior.predict(points), best)
        if affordable is not None:
            gains = np.where(affordable.rows(rows), gains, -np.inf)
        if not self._works:
            return gains
        if self._feasibility is None:
            sample = _spread(self._works)
            failed = np.array([not works for _, works in sample])
            self._feasibility = Feasibility(self._features(number for number, _ in sample), failed)
        return gains + CAUTION * np.log(np.maximum(self._feasibility.probability(x, posterior.scales), 1e-12))

    def set_works(self, works: Sequence[tuple[int, bool]]) -> None:
        """Sets which configurations work and which do not; with no failure among them, all count as working."""
        self._works = list(works) if any(not working for _, working in works) else []
        self._feasibility = None

    # Costs ---------------------------------------------------------------------------------------------------------

    def relative_cost(self, number: int) -> float | None:
        """Returns the cost of an epoch of a configuration relative to the first of `costs`; None: unknown.

        The counted cost is used where there is one, else a prediction from the costs of other configurations.
        """
        if not self.costs:
            return None
        first = next(iter(self.costs.values()))
        if number in self.costs:
            return with_fixed(self.costs[number] / first)
        if not self.embedding.entries:
            return None
        count = milestone(1, len(self.costs))
        if self._cost_model is None or self._cost_model[0] != count:
            sample = _spread(list(self.costs)[:count])
            costs = np.array([self.costs[each] for each in sample])
            self._cost_model = count, CostModel(self._features(sample), costs, first)
        return float(self._cost_model[1].relative(self._features([number]))[0])


def milestone(first: int, count: int) -> int:
    """Returns the last milestone up to `count`: models are refitted only at these counts.

    Milestones start at `first` and grow by the factor `GROWTH`, at least by 1.
    """
    while (later := max(first + 1, int(first * GROWTH))) <= count:
        first = later
    return first


def _subset(scores: Sequence[Score], size: int) -> list[int]:
    """Returns `size` indices: the `KNOWN` / 2 best scores of the highest rungs, then an even sample of the rest."""
    if len(scores) <= size:
        return list(range(len(scores)))
    order = sorted(range(len(scores)), key=lambda i: (-scores[i].rung, -scores[i].score))
    best, rest = order[: KNOWN // 2], sorted(order[KNOWN // 2 :])
    return best + [rest[index] for index in np.linspace(0, len(rest) - 1, size - len(best)).astype(int)]


def one_thread() -> AbstractContextManager[Any]:
    """Limits BLAS to one thread: sums are the same on every machine, and the cores stay free for the workers."""
    return _libraries().limit(limits=1, user_api="blas")


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _spread(items: Sequence[Any]) -> list[Any]:
    """Returns at most `COUNTED` of the items, evenly spread."""
    return [items[index] for index in np.unique(np.linspace(0, len(items) - 1, COUNTED).astype(int))]
