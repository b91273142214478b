"""What the surrogate knows of one search, and what it proposes: the same for all strategies that have a model.

Its cost has a bound: beyond some hundred scores it knows a fixed subset, and it is fitted anew only when there are
`GROWTH` times as many. All of it depends only on the seed and on what was completed, in that order: never on how often
it was asked, or in which process.
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

#: The best known configurations, around which candidates are looked for.
CENTRES = 5
#: The best candidates, of which the first untried one is proposed.
PROPOSALS = 50
#: Power of the probability that a configuration works, beside its expected improvement.
CAUTION = 4.0
#: Scores that the model knows at most: cubic cost.
KNOWN = 120
#: Scores without which there is no model.
FEWEST = 4
#: Pending trials that it believes at most, the latest.
PENDING = 16
#: The parameters are fitted anew when there are this many times as many scores as at the last fit.
GROWTH = 1.15
#: Configurations that say which work, and what an epoch costs.
COUNTED = 300


@dataclass(frozen=True)
class Score:
    """A score that the model may know.

    Attributes:
        configuration: its number.
        rung: from 0.
        epoch: after which it was scored.
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
    """Of one search.

    Args:
        seed: of the search.
        rungs: epochs of the rungs, growing.
        values_of: values of the configuration of a number.

    Attributes:
        embedding: of the entries that are known.
        scores: all that is known, in the order of completion.
        costs: of an epoch of a configuration, by number, in the order of completion.
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
        """Takes over the entries of the space, which a builder may have added to."""
        if len(entries) != self._entries:
            self._entries = len(entries)
            self.embedding = Embedding(entries)
            self._rows: dict[int, np.ndarray] = {}  # latent
            self._x: dict[int, np.ndarray] = {}  # features
            self._fitted: tuple[int, np.ndarray] | None = None  # scores then, parameters
            self._model: tuple[int, Surrogate] | None = None  # scores then
            self._believing: tuple[Surrogate, Sequence[tuple[int, int]], Surrogate] | None = None  # of what, pending
            self._cost_model: tuple[int, CostModel] | None = None  # costs then
            self._feasibility: Feasibility | None = None  # from `_works`

    def forget(self, number: int) -> None:
        """A configuration's values may have changed."""
        self._rows.pop(number, None)
        self._x.pop(number, None)

    @property
    def is_ready(self) -> bool:
        return len(self.scores) >= FEWEST and bool(self.embedding.entries)

    # The posterior -------------------------------------------------------------------------------------------------

    def posterior(self, pending: Sequence[tuple[int, int]] = ()) -> Surrogate:
        """Given what is completed, and that what is pending comes out as expected.

        Args:
            pending: (configuration, epochs that it will have), the latest first.
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
        """Where hundreds of scores are known, one more changes nothing."""
        count = len(self.scores)
        count -= count % max(count // KNOWN, 1)
        if self._model is None or self._model[0] != count:
            prior = Prior(self._features([self.scores[0].configuration]).shape[1], self._timeline)
            vector, kept = self._fit(prior, count)
            points, targets = self._seen(kept)
            self._model = count, Surrogate(points, targets, vector, prior)
        return self._model[1]

    def _fit(self, prior: Prior, count: int) -> tuple[np.ndarray, list[int]]:
        """Parameters, and which of the first `count` scores are known: the latest all."""
        at = milestone(FEWEST, count)
        if self._fitted is None or self._fitted[0] != at:
            self._fitted = at, fit(*self._seen(_subset(self.scores[:at], KNOWN)), prior)
        recent = range(max(at, count - KNOWN // 4), count)
        return self._fitted[1], [*_subset(self.scores[: recent.start], KNOWN - len(recent)), *recent]

    def _seen(self, kept: Iterable[int]) -> tuple[Points, np.ndarray]:
        """The scores of these indices, and their targets."""
        scores = [self.scores[index] for index in kept]
        numbers = np.array([score.configuration for score in scores])
        weights = np.array([self._timeline.weights(score.epoch, score.left) for score in scores])
        return Points(self._features(numbers), numbers, weights), standardised(np.array([s.score for s in scores]))

    def known(self) -> list[int]:
        """Configurations whose scores the posterior knows, in the order of their numbers."""
        return sorted({int(number) for number in self._completed().seen.curve})

    def ends(self, numbers: Sequence[int]) -> Points:
        """The last rung of configurations."""
        return Points(self._features(numbers), np.array(numbers), self._timeline.end[None])

    def _features(self, numbers: Iterable[int]) -> np.ndarray:
        asked = [int(number) for number in numbers]
        if missing := [number for number in asked if number not in self._x]:
            rows = np.array([self._row(number) for number in missing])
            self._x.update(zip(missing, self.embedding.features(rows), strict=True))
        return np.array([self._x[number] for number in asked])

    def _row(self, number: int) -> np.ndarray:
        """(d,) latent row of a configuration."""
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
        """The untried configuration with the largest expected improvement on the best of `numbers`.

        Args:
            key: number of the trial; what is drawn is keyed by it.
            numbers: configurations, around the best of which is looked too.
            is_tried: whether a configuration was tried.
            affordable: what the search can pay for; None: everything.
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
        # Numbers that no configuration has: their curves are nobody's.
        points = Points(x, -1 - np.arange(len(rows)), self._timeline.end[None])
        gains = log_expected_improvement(*posterior.predict(points), best)
        if affordable is not None:
            gains = np.where(affordable.rows(rows), gains, -np.inf)
        if not self._works:
            return gains
        if self._feasibility is None:
            known = _spread(self._works)
            failed = np.array([not works for _, works in known])
            self._feasibility = Feasibility(self._features(number for number, _ in known), failed)
        return gains + CAUTION * np.log(np.maximum(self._feasibility.probability(x, posterior.scales), 1e-12))

    def set_works(self, works: Sequence[tuple[int, bool]]) -> None:
        """Which configurations are known to work, and which not to; without one that does not, all do."""
        self._works = list(works) if any(not one for _, one in works) else []
        self._feasibility = None

    # Costs ---------------------------------------------------------------------------------------------------------

    def relative_cost(self, number: int) -> float | None:
        """What an epoch of a configuration costs, in units of the first of `costs`; None while nothing can be said.

        As counted, where that is known, else predicted from others'.
        """
        if not self.costs:
            return None
        first = next(iter(self.costs.values()))
        if number in self.costs:
            return with_fixed(self.costs[number] / first)
        if not self.embedding.entries:
            return None
        at = milestone(1, len(self.costs))
        if self._cost_model is None or self._cost_model[0] != at:
            known = _spread(list(self.costs)[:at])
            costs = np.array([self.costs[each] for each in known])
            self._cost_model = at, CostModel(self._features(known), costs, first)
        return float(self._cost_model[1].relative(self._features([number]))[0])


def milestone(first: int, count: int) -> int:
    """The last of a growing row of numbers, from `first`, that is not above `count`: when models are fitted anew."""
    while (later := max(first + 1, int(first * GROWTH))) <= count:
        first = later
    return first


def _subset(scores: Sequence[Score], size: int) -> list[int]:
    """Indices of so many: half of `KNOWN` are the best of the highest rungs, the rest an even spread of the others."""
    if len(scores) <= size:
        return list(range(len(scores)))
    order = sorted(range(len(scores)), key=lambda i: (-scores[i].rung, -scores[i].score))
    best, others = order[: KNOWN // 2], sorted(order[KNOWN // 2 :])
    return best + [others[index] for index in np.linspace(0, len(others) - 1, size - len(best)).astype(int)]


def one_thread() -> AbstractContextManager[Any]:
    """Sums come out the same on every machine, and the cores belong to the workers."""
    return _libraries().limit(limits=1, user_api="blas")


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _spread(known: Sequence[Any]) -> list[Any]:
    """At most `COUNTED` of them, evenly spread."""
    return [known[index] for index in np.unique(np.linspace(0, len(known) - 1, COUNTED).astype(int))]
