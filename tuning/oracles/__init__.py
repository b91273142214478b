"""Search strategies: one file and one row in `STRATEGIES` each. Importing it loads neither Keras nor NumPy."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuning.core.errors import UsageError

if TYPE_CHECKING:
    import keras_tuner


@dataclass(frozen=True)
class Strategy:
    """A row of `STRATEGIES`: calling it builds the oracle.

    Attributes:
        module: the module that defines the strategy's `build` function.
        window: default limit on trials that were proposed and have no result yet; more workers than that cannot be
            busy. Large for strategies that do not learn from results, small where each result improves the next trial.
        options: further arguments of `build` that a command may offer.
    """

    module: str
    window: int
    options: tuple[str, ...] = ()

    def __call__(
        self,
        objective: keras_tuner.Objective | str,
        *,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        max_epochs: int = 27,
        factor: int = 3,
        max_trials: int | None = None,
        seed: int | None = 0,
        **options: Any,
    ) -> keras_tuner.Oracle:
        """Builds the oracle, on whatever Keras backend is set.

        Args:
            objective: e.g. `keras_tuner.Objective("val_f1_macro", "max")`.
            hyperparameters: the space; hyperparameters that a builder declares later are added.
            max_epochs: epochs of a full training.
            factor: reduction factor of strategies that compare short trainings first.
            max_trials: limit on the number of trials; None leaves it to the strategy.
            seed: any integer, 0 included; None draws one.
            **options: further arguments of the oracle's class.

        Raises:
            UsageError: a number out of its range.
        """
        return importlib.import_module(self.module).build(
            objective,
            hyperparameters=hyperparameters,
            max_epochs=max_epochs,
            factor=factor,
            max_trials=max_trials,
            seed=seed,
            **options,
        )


#: Options of strategies that train to rungs.
RUNGS = ("min_epochs", "iterations")
STRATEGIES: dict[str, Strategy] = {
    "hyperband": Strategy("tuning.oracles.hyperband", window=4, options=(*RUNGS, "sampler", "chance")),
    "bayesian": Strategy("tuning.oracles.bayesian", window=8),
    "random": Strategy("tuning.oracles.random", window=64),
}
#: The best strategy according to the benchmark. A search's settings record this name, not `auto`.
BEST = "hyperband"
STRATEGIES["auto"] = STRATEGIES[BEST]


def find_strategy(name: str) -> Strategy:
    """Returns the row of `STRATEGIES` called `name`.

    Raises:
        UsageError: there is no such strategy.
    """
    if name not in STRATEGIES:
        raise UsageError(f"there is no strategy {name!r}", f"choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
