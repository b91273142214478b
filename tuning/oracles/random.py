"""Random search: every trial a new configuration, drawn uniformly over the space and trained to the end.

Source: Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13 (2012).
"""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuning.oracles.base import ReplayableOracle

#: Default number of trials: enough for a surrogate model of about ten hyperparameters.
DEFAULT_TRIALS = 30


class RandomOracle(ReplayableOracle):
    """Uniform draws without repeats; the space's defaults are the first trial.

    Args:
        objective: as for `keras_tuner.Oracle`.
        max_trials: how many trials to run.
        **settings: see `ReplayableOracle`.
    """

    def __init__(
        self, objective: keras_tuner.Objective | str | None = None, *, max_trials: int = DEFAULT_TRIALS, **settings: Any
    ) -> None:
        super().__init__(objective, max_trials=max_trials, **settings)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        return self.full_training(self.new_configuration())


def build(
    objective: keras_tuner.Objective | str | None, *, factor: int, max_trials: int | None, **settings: Any
) -> RandomOracle:
    """Builds the oracle of a row of `STRATEGIES`; `factor` is unused, since every training is a full one."""
    return RandomOracle(objective, max_trials=DEFAULT_TRIALS if max_trials is None else max_trials, **settings)
