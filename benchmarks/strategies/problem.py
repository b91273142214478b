"""Tuning problems with the learning curves and run times of real trainings, in microseconds.

Data: LCBench (Zimmer, Lindauer, Hutter, "Auto-PyTorch Tabular", TPAMI 2021) through the surrogate of YAHPO Gym
(Pfisterer et al., AutoML-Conf 2022): 34 tasks, 7 hyperparameters, 51 epochs.
"""

from __future__ import annotations

import importlib.util
import math
import os
from functools import cache
from pathlib import Path
from statistics import NormalDist
from types import ModuleType
from typing import Any

import numpy as np

from tuning.core.records import keyed_seed

EPOCHS = 51
#: Tasks that results are reported on. The other ten are there to choose by.
REPORTED = [
    "3945",
    "34539",
    "126026",
    "126029",
    "167104",
    "167152",
    "167161",
    "167181",
    "167184",
    "167185",
    "167200",
    "167201",
    "168330",
    "168331",
    "168335",
    "168868",
    "168910",
    "189354",
    "189865",
    "189866",
    "189873",
    "189905",
    "189906",
    "189909",
]
DEVELOPMENT = ["7593", "126025", "146212", "167149", "167168", "167190", "168329", "168908", "189862", "189908"]
#: Random configurations that the median, and the mean training time, of a task are taken from.
SAMPLE = 1000
#: Spread of the logarithm of time over counted cost.
COUNTING_ERROR = 0.3
TIME, SCORE = 0, 3  # columns: cumulative seconds, val_balanced_accuracy


def folder() -> Path:
    """Where `lcbench.py` is: TUNING_BENCH, else ../shared/bench beside this repository."""
    return Path(os.environ.get("TUNING_BENCH") or Path(__file__).resolve().parents[3] / "shared" / "bench")


@cache
def library() -> ModuleType:
    """The module `lcbench` of that folder.

    Raises:
        FileNotFoundError: it is not there.
        ImportError: it needs onnxruntime.
    """
    path = folder() / "lcbench.py"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: set TUNING_BENCH to the folder that holds lcbench.py")
    spec = importlib.util.spec_from_file_location("lcbench", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Problem:
    """One task.

    Attributes:
        task: its OpenML number.
        best: best score known.
        median: median score of random configurations after 51 epochs.
        epoch_seconds: mean seconds of an epoch of random configurations.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self._task = library().Task(task)
        self._curves: dict[tuple, np.ndarray] = {}
        self.best = self._task.best("val_balanced_accuracy")
        generator = np.random.default_rng(20)
        configurations = [library().sample(generator) for _ in range(SAMPLE)]
        final = self._task.evaluate_many(configurations, [EPOCHS] * SAMPLE)
        self.median = float(np.median(final[:, SCORE]))
        self.epoch_seconds = float(final[:, TIME].mean()) / EPOCHS

    def scores(self, configuration: dict[str, Any]) -> np.ndarray:
        """(51,) scores after each epoch."""
        return self._curve(configuration)[:, SCORE]

    def seconds(self, configuration: dict[str, Any], first: int, last: int) -> float:
        """Seconds that epochs `first` + 1 to `last` take."""
        cumulative = np.maximum.accumulate(np.maximum(self._curve(configuration)[:, TIME], 1e-3))
        return float(cumulative[last - 1] - (cumulative[first - 1] if first else 0.0)) + 1e-6

    def cost(self, configuration: dict[str, Any]) -> float:
        """What stands in for the multiply-adds of a model, which a real trial counts: the seconds of an epoch.

        With an error of its own for each configuration, log-normal with a spread of 0.3: counts foretell time roughly.
        """
        key = sorted((name, configuration[name]) for name in space())
        error = NormalDist().inv_cdf((keyed_seed(0, "cost", self.task, key) + 0.5) / 2**31)
        return self.seconds(configuration, 0, EPOCHS) / EPOCHS * math.exp(COUNTING_ERROR * error)

    def regret(self, configuration: dict[str, Any]) -> float:
        """(best known - score after 51 epochs) / (best known - median of random configurations)."""
        return float((self.best - self.scores(configuration)[-1]) / (self.best - self.median))

    def _curve(self, configuration: dict[str, Any]) -> np.ndarray:
        key = tuple(configuration[name] for name in space())
        if key not in self._curves:
            self._curves[key] = self._task.curve(configuration, EPOCHS).astype(float)
        return self._curves[key]


problem = cache(Problem)


def space() -> dict[str, dict[str, Any]]:
    """name -> type, lower, upper, log, default of each hyperparameter."""
    return library().SPACE


def defaults() -> dict[str, Any]:
    """The middle of every range, as the surrogate's authors wrote it down."""
    return {name: entry["default"] for name, entry in space().items()}


def keras_tuner_space():
    """The same space for Keras Tuner.

    Its logarithmic floats are fine; an integer on a logarithmic scale has no step there, so none is given.
    """
    import keras_tuner

    hyperparameters = keras_tuner.HyperParameters()
    for name, entry in space().items():
        sampling = "log" if entry["log"] else "linear"
        kind = hyperparameters.Int if entry["type"] == "uniform_int" else hyperparameters.Float
        default = entry["default"]
        kind(
            name,
            entry["lower"],
            entry["upper"],
            sampling=sampling,
            default=min(max(default, entry["lower"]), entry["upper"]),
        )
    return hyperparameters


def normal_interval(values: np.ndarray) -> float:
    """Half the width of the 95 % interval of the mean of (n,) values."""
    return 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
