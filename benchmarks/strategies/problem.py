"""Tuning problems with the learning curves and run times of real trainings, in microseconds.

Data: LCBench (Zimmer, Lindauer, Hutter, "Auto-PyTorch Tabular", TPAMI 2021) through the surrogate of YAHPO Gym
(Pfisterer et al., AutoML-Conf 2022): 34 tasks, 7 hyperparameters, 51 epochs.

As shipped, curves are smooth, begin at once, and winners sit in corners of the box. So there are four forms of each
task:

- shipped: the surrogate as it is;
- inner: the inner 90 % of each range, where no corner of the original box is;
- late: each configuration's curve starts 0 to 8 epochs late and every score is noisy, as on face images;
- dead: about two thirds of the box never leave chance, as with a learning rate that is too large; so that the median
  is chance.
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
#: See above.
FORMS = ("shipped", "inner", "late", "dead")
#: Share of each range that `inner` cuts off at either end.
MARGIN = 0.05
#: Of `late`: epochs that a curve starts late at most; deviation of a score, as a share of (best - median).
LATEST, NOISE = 8, 0.067
#: Of `dead`: share of the box that learns; deviation of a score at chance, as a share of (best - median).
ALIVE, FLICKER = 0.35, 0.01
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
    """One task in one form.

    Attributes:
        task: its OpenML number.
        form: one of `FORMS`.
        best: best score known.
        median: median score of random configurations after 51 epochs.
        chance: what a configuration scores that has learned nothing; the first epoch of LCBench is before training.
        epoch_seconds: mean seconds of an epoch of random configurations.
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
            self.median = self.chance  # most of the box

    def scores(self, configuration: dict[str, Any]) -> np.ndarray:
        """(51,) scores after each epoch, as a training of it would report them."""
        clean, spread = self._clean(configuration), self.best - self.median
        generator = np.random.default_rng(self._own_seed(configuration, "noise"))
        if self.form == "late":
            return clean + NOISE * spread * generator.standard_normal(EPOCHS)
        if self.form == "dead" and not self.lives(configuration):
            return clean + FLICKER * spread * generator.standard_normal(EPOCHS)
        return clean

    def seconds(self, configuration: dict[str, Any], first: int, last: int) -> float:
        """Seconds that epochs `first` + 1 to `last` take."""
        cumulative = np.maximum.accumulate(np.maximum(self._curve(configuration)[:, TIME], 1e-3))
        return float(cumulative[last - 1] - (cumulative[first - 1] if first else 0.0)) + 1e-6

    def cost(self, configuration: dict[str, Any]) -> float:
        """What stands in for the multiply-adds of a model, which a real trial counts: the seconds of an epoch.

        With an error of its own for each configuration, log-normal with a spread of 0.3: counts foretell time roughly.
        """
        error = NormalDist().inv_cdf((self._own_seed(configuration, "cost") + 0.5) / 2**31)
        return self.seconds(configuration, 0, EPOCHS) / EPOCHS * math.exp(COUNTING_ERROR * error)

    def regret(self, configuration: dict[str, Any]) -> float:
        """(best known - score after 51 epochs, without noise) / (best known - median), at least 0."""
        return max(0.0, float((self.best - self._clean(configuration)[-1]) / (self.best - self.median)))

    def lives(self, configuration: dict[str, Any]) -> bool:
        """Whether a configuration of the form `dead` ever leaves chance."""
        return all(low <= _share(name, configuration[name]) <= high for name, (low, high) in self._alive.items())

    def _living_ranges(self) -> dict[str, tuple[float, float]]:
        """Of two hyperparameters of the task's own, the part of the range that learns; the defaults lie in it."""
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
    """From now on, `space` and what is made from it are those of this form."""
    global _form
    _form = form


def space() -> dict[str, dict[str, Any]]:
    """name -> type, lower, upper, log, default of each hyperparameter."""
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
    """Where in its range of the whole box a value lies, in [0, 1]."""
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
