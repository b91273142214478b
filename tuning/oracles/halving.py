"""The settings of strategies that train to rungs: the paper's numbers, and a limit on trials or epochs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras_tuner

from tuning.core.errors import UsageError
from tuning.oracles import rungs
from tuning.oracles.base import ReplayableOracle


class HalvingOracle(ReplayableOracle):
    """Base class; a subclass defines how the limits apply.

    Args:
        objective: as for `keras_tuner.Oracle`.
        max_epochs: epochs of the last rung.
        factor: each rung has `factor` times the epochs of the one below.
        min_epochs: smallest number of epochs of any first rung, so that its scores are informative.
        iterations: passes of Hyperband; None: no limit, if there is no `max_trials` either.
        max_trials: limit on the number of trials, promotions included.
        **settings: see `ReplayableOracle`.

    Attributes:
        one_pass: the brackets of one pass, as in the paper.

    Raises:
        UsageError: a number out of its range.
    """

    continues_trials = True

    def __init__(
        self,
        objective: keras_tuner.Objective | str | None = None,
        *,
        max_epochs: int = 100,
        factor: int = 3,
        min_epochs: int = 1,
        iterations: int | None = 1,
        max_trials: int | None = None,
        **settings: Any,
    ) -> None:
        if iterations is not None and iterations < 1:
            raise UsageError(f"Hyperband needs at least 1 iteration, not {iterations}", "leave the iterations out")
        super().__init__(objective, max_epochs=max_epochs, max_trials=max_trials, **settings)
        self.factor, self.min_epochs, self.iterations = factor, min_epochs, iterations
        self.one_pass = rungs.brackets(max_epochs, factor, min_epochs)
        self._begin_anew()

    @abstractmethod
    def _begin_anew(self) -> None:
        """Resets the strategy's state to that before the first trial."""
