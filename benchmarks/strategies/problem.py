"""Tuning problems with the learning curves and run times of real trainings; a lookup takes microseconds.

Data: LCBench (Zimmer, Lindauer, Hutter, "Auto-PyTorch Tabular", TPAMI 2021) through the surrogate of YAHPO Gym
(Pfisterer et al., AutoML-Conf 2022): 34 tasks, 7 hyperparameters, 51 epochs.

In the surrogate, curves are smooth and rise at once, and the best configurations lie in corners of the space, the box
of all ranges. Therefore each task has four forms:

- shipped: the surrogate as it is;
- inner: the inner 90 % of each range, without the corners of the original box;
- late: each configuration's curve starts 0 to 8 epochs late and every score is noisy, as on face images;
- dead: about two thirds of the box never leave chance, as with a learning rate that is too large; the median is
  therefore chance.
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
#: Tasks that results are reported on; choices are made on the other ten, DEVELOPMENT.
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
#: Number of random configurations that give a task's median score and mean training time.
SAMPLE = 1000
#: Standard deviation of the logarithm of (training time ÷ counted cost).
COUNTING_ERROR = 0.3
FORMS = ("shipped", "inner", "late", "dead")
#: Share of each range that `inner` cuts off at either end.
MARGIN = 0.05
#: `late`: most epochs by which a curve starts late; standard deviation of a score, as a share of (best - median).
LATEST, NOISE = 8, 0.067
#: `dead`: share of the box that learns; standard deviation of a score at chance, as a share of (best - median).
ALIVE, FLICKER = 0.35, 0.01
#: Columns of the surrogate's curves: cumulative seconds, val_balanced_accuracy.
TIME, SCORE = 0, 3


def folder() -> Path:
    """Return the folder of `lcbench.py`: TUNING_BENCH, or shared/bench beside this repository."""
    return Path(os.environ.get("TUNING_BENCH") or Path(__file__).resolve().parents[3] / "shared" / "bench")


@cache
def library() -> ModuleType:
    """Import the module `lcbench` from that folder.

    Raises:
        FileNotFoundError: the folder does not contain it.
        ImportError: onnxruntime is missing.
    """
    path = folder() / "lcbench.py"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: set TUNING_BENCH to the folder that holds lcbench.py")
    spec = importlib.util.spec_from_file_location("lcbench", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Problem:
    """One task in one form.

    Attributes:
        task: its OpenML number.
        form: one of `FORMS`.
        best: best known score.
        median: median score of random configurations after 51 epochs; with `dead`, `chance`.
        chance: score of a configuration that has learned nothing: LCBench's first epoch, which is before training.
        epoch_seconds: mean seconds per epoch of random configurations.
    """

    def __init__(self, task: str, form: str = "shipped") -> None:
        self.task, self.form = task, form
        self._task = library().Task(task)
        self._curves: dict[tuple, np.ndarray] = {}
        self.best = self._task.best("val_balanced_accuracy")
        generator = np.random.default_rng(20)
        configurations = [library().sample(generator) for _ in range(SAMPLE)]
        final = self._task.evaluate_many(configurations, [EPOCHS] * SAMPLE)
        self.median = float(np.median(final[:, SCORE]))
        self.epoch_seconds = float(final[:, TIME].mean()) / EPOCHS
        self.chance = float(np.median(self._task.evaluate_many(configurations, [1] * SAMPLE)[:, SCORE]))
        if form == "dead":
            self._alive = self._living_ranges()
            self.best = max(
                float(score)
                for configuration, score in zip(configurations, final[:, SCORE], strict=True)
                if self.lives(configuration)
            )
            self.median = self.chance  # because most configurations stay at chance

    def scores(self, configuration: dict[str, Any]) -> np.ndarray:
        """Return the (51,) scores after each epoch, noise included, as a training would report them."""
        clean, spread = self._clean(configuration), self.best - self.median
        generator = np.random.default_rng(self._own_seed(configuration, "noise"))
        if self.form == "late":
            return clean + NOISE * spread * generator.standard_normal(EPOCHS)
        if self.form == "dead" and not self.lives(configuration):
            return clean + FLICKER * spread * generator.standard_normal(EPOCHS)
        return clean

    def seconds(self, configuration: dict[str, Any], first: int, last: int) -> float:
        """Return the seconds that epochs `first` + 1 to `last` take."""
        cumulative = np.maximum.accumulate(np.maximum(self._curve(configuration)[:, TIME], 1e-3))
        return float(cumulative[last - 1] - (cumulative[first - 1] if first else 0.0)) + 1e-6

    def cost(self, configuration: dict[str, Any]) -> float:
        """Return a stand-in for the multiply-adds that a real trial counts: the seconds of an epoch, with an error.

        The error is log-normal with a spread of 0.3 between configurations, because counts predict time only roughly.
        """
        error = NormalDist().inv_cdf((self._own_seed(configuration, "cost") + 0.5) / 2**31)
        return self.seconds(configuration, 0, EPOCHS) / EPOCHS * math.exp(COUNTING_ERROR * error)

    def regret(self, configuration: dict[str, Any]) -> float:
        """Return (best known - score after 51 epochs, without noise) / (best known - median), at least 0."""
        return max(0.0, float((self.best - self._clean(configuration)[-1]) / (self.best - self.median)))

    def lives(self, configuration: dict[str, Any]) -> bool:
        """Return whether a configuration of the form `dead` ever leaves chance."""
        return all(low <= _share(name, configuration[name]) <= high for name, (low, high) in self._alive.items())

    def _living_ranges(self) -> dict[str, tuple[float, float]]:
        """Draw two hyperparameters for the task, and of each the part of its range that learns, defaults included."""
        generator = np.random.default_rng(keyed_seed(0, "alive", self.task))
        names = generator.choice(sorted(library().SPACE), size=2, replace=False)
        length = math.sqrt(ALIVE)
        lows = {str(name): float(generator.uniform(0.0, 1.0 - length)) for name in names}
        ranges = {name: (low, low + length) for name, low in lows.items()}
        middle = {name: _share(name, defaults()[name]) for name in ranges}
        return {n: (min(low, middle[n]), max(high, middle[n])) for n, (low, high) in ranges.items()}

    def _clean(self, configuration: dict[str, Any]) -> np.ndarray:
        curve = self._curve(configuration)[:, SCORE]
        if self.form == "late":
            delay = self._own_seed(configuration, "delay") % (LATEST + 1)
            return np.concatenate([np.full(delay, self.chance), curve[: EPOCHS - delay]])
        if self.form == "dead" and not self.lives(configuration):
            return np.full(EPOCHS, self.chance)
        return curve

    def _own_seed(self, configuration: dict[str, Any], purpose: str) -> int:
        return keyed_seed(0, purpose, self.task, sorted((name, configuration[name]) for name in space()))

    def _curve(self, configuration: dict[str, Any]) -> np.ndarray:
        key = tuple(configuration[name] for name in space())
        if key not in self._curves:
            self._curves[key] = self._task.curve(configuration, EPOCHS).astype(float)
        return self._curves[key]


problem = cache(Problem)
_form = FORMS[0]


def use_form(form: str) -> None:
    """Make `space`, and the functions that use it, return the space of this form from now on."""
    global _form
    _form = form


def space() -> dict[str, dict[str, Any]]:
    """Return, by name, the type, lower, upper, log and default of each hyperparameter."""
    return _space(_form == "inner")


@cache
def _space(inner: bool) -> dict[str, dict[str, Any]]:
    whole = library().SPACE
    if not inner:
        return whole
    return {
        name: {**entry, "lower": _at_share(name, MARGIN), "upper": _at_share(name, 1.0 - MARGIN)}
        for name, entry in whole.items()
    }


def _share(name: str, value: float) -> float:
    """Return the position of a value in its range of the original box, in [0, 1]."""
    entry = library().SPACE[name]
    scale = math.log if entry["log"] else float
    low, high = scale(entry["lower"]), scale(entry["upper"])
    return (scale(value) - low) / (high - low)


def _at_share(name: str, share: float) -> float | int:
    entry = library().SPACE[name]
    scale, back = (math.log, math.exp) if entry["log"] else (float, float)
    low, high = scale(entry["lower"]), scale(entry["upper"])
    value = back(low + share * (high - low))
    return round(value) if entry["type"] == "uniform_int" else value


def defaults() -> dict[str, Any]:
    """Return the middle of every range, as the surrogate's authors defined it."""
    return {name: entry["default"] for name, entry in space().items()}


def keras_tuner_space():
    """Return the same space for Keras Tuner; integers have no step."""
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
    """Return half the width of the 95 % interval of the mean of (n,) values; NaN for a single value."""
    return 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
