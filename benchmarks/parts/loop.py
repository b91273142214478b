"""The search loop with simulated trials: what a proposal and a result cost, and how busy many workers are kept.

Strategy, loop, dispatcher and journal are the real ones; `benchmarks.simulation` simulates the rest.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from benchmarks.context import Context
from benchmarks.report import Report, Target
from benchmarks.simulation import SimulatedWorkers, epoch_seconds, space
from tuning.core.records import TrialSpec
from tuning.engine.dispatch import Dispatcher
from tuning.engine.journal import Journal
from tuning.engine.loop import SearchLoop

MAX_EPOCHS, FACTOR = 27, 3
#: Log-normal seconds of a simulated epoch: median, and standard deviation of the logarithm between models.
EPOCH_SECONDS, SPREAD = 10.0, 0.3
#: The window is this many times the workers, as a user chooses it after the warning about idle workers. Bayesian search
#: keeps its default.
WINDOWS = 4
#: The cost at the end of a run is the median over this many last proposals and results.
LAST = 100

#: Hyperband as in the paper, with uniform draws instead of a model.
PAPERS = "hyperband --sampler random"
#: (strategy, workers, trials, trials in a small run). Bayesian search is not meant for many workers or many trials.
CASES = (
    ("hyperband", 64, 10_000, 2_000),
    ("hyperband", 1024, 10_000, 10_000),
    (PAPERS, 1024, 10_000, 10_000),
    ("random", 1024, 10_000, 10_000),
    ("bayesian", 8, 1_000, 200),
)


@dataclass(frozen=True)
class Looped:
    """A simulated search.

    Attributes:
        window: trials that may be proposed and still without a result.
        trials: number of trials with a result.
        asks, tells, appends: milliseconds of each proposal, each result and each append to the journal.
        busy: share of the workers' time spent on training while there was more to do.
        busy_to_the_end: the same up to the last result; None for a search that was left in the middle.
        seconds: real time that the simulation took.
    """

    strategy: str
    workers: int
    window: int
    trials: int
    asks: list[float]
    tells: list[float]
    appends: list[float]
    busy: float
    busy_to_the_end: float | None
    seconds: float

    def last(self) -> float:
        """Return the median milliseconds of a proposal plus a result at the end of the run."""
        return median(self.asks[-LAST:]) + median(self.tells[-LAST:])


def measure(context: Context) -> Report:
    os.environ.setdefault("KERAS_BACKEND", "numpy")  # trains nothing
    folder, found = context.folder("loop"), []
    for strategy, workers, many, few in CASES:
        trials = many if context.full else few
        context.say(f"{strategy}, {workers} workers, {trials:,} trials")
        found.append(looped(folder, strategy, workers, trials))
    smaller, largest = found[:2]
    ending = looped(folder, PAPERS, 1024, 10_000, ends=True) if context.full else None
    rows = [
        [
            f"{one.strategy}, {one.workers} workers",
            one.trials,
            one.window,
            *(mean(one.asks), _p99(one.asks), mean(one.tells), _p99(one.tells), one.last()),
            *(median(one.appends), one.busy),
        ]
        for one in found
    ]
    notes = [
        "Milliseconds of processor and disk; an append is one fsynced record of the journal, three a trial. "
        f"Simulated epochs take {EPOCH_SECONDS:.0f} s (log-normal, spread {SPREAD}); Hyperband up to {MAX_EPOCHS}. "
        "Busy: of the workers' time until that many results were in, while there was more to do.",
    ]
    if ending is not None:
        notes.append(
            f"A search that ends after {ending.trials:,} trials, ten a worker, keeps 1,024 workers busy "
            f"{ending.busy_to_the_end:.1%} of the time to the end of its very last training."
        )
    return Report(
        (
            "simulated",
            "trials",
            "window",
            *("ask", "p99", "tell", "p99 ", "both, at the end"),
            *("append", "busy"),
        ),
        rows,
        targets=(
            Target("share of busy workers, 64, Hyperband", smaller.busy, 0.95),
            Target("share of busy workers, 1,024, Hyperband, 10,000 trials", largest.busy, 0.95),
            Target("ask + tell at the 10,000th trial, ms", largest.last(), 5.0, at_least=False),
        ),
        notes=notes,
        details={"cases": [_figures(one) for one in (*found, *([ending] if ending else []))]},
    )


def looped(folder: Path, strategy: str, workers: int, trials: int, ends: bool = False) -> Looped:
    """Simulate a search with `workers` workers until `trials` results are in.

    Args:
        ends: plan a search of about `trials` trials and run it to its end, instead of leaving a longer one in the
            middle.
    """
    from tuning.oracles import find_strategy
    from tuning.oracles.adapter import OracleSearch

    row = find_strategy(strategy.split()[0])
    path = folder / f"{strategy.replace(' ', '-')}-{workers}-{trials}-{ends}.jsonl"
    window = row.window if strategy == "bayesian" else max(row.window, WINDOWS * workers)
    search = OracleSearch(_oracle(row, strategy, trials, ends))
    asks: list[float] = []
    tells: list[float] = []
    appends: list[float] = []
    search.ask = _timed(search.ask, asks, lambda answer: isinstance(answer, TrialSpec))
    search.tell = _timed(search.tell, tells)
    began = time.perf_counter()
    executor = SimulatedWorkers(workers, epoch_seconds(EPOCH_SECONDS, SPREAD))
    moments: list[float] = []

    def told(spec: TrialSpec, outcome: Any) -> None:
        # A real search asks this after each result, to delete checkpoints.
        search.continuable()
        moments.append(executor.now())

    with Journal(path) as journal:
        journal.append = _timed(journal.append, appends)
        dispatcher = Dispatcher(journal, executor)
        SearchLoop(
            search,
            dispatcher,
            window,
            lambda spec, fence: {"spec": spec},
            told,
            lambda: not ends and len(moments) >= trials,
        ).run()
    until = moments[trials - 1] if not ends else executor.last_start()
    return Looped(
        strategy,
        workers,
        window,
        len(moments) if ends else trials,
        asks[:trials],
        tells[:trials],
        appends,
        executor.busy(until),
        executor.busy(moments[-1]) if ends else None,
        time.perf_counter() - began,
    )


def _oracle(row, strategy: str, trials: int, ends: bool):
    from keras_tuner import Objective

    options: dict[str, Any] = {"max_trials": trials if ends else 2 * trials}
    if strategy == "hyperband":
        options = {"iterations": None}
    elif strategy == PAPERS:
        random = {"sampler": "random"}
        one_pass = row(None, max_epochs=MAX_EPOCHS, factor=FACTOR, iterations=1, **random).planned()[0]
        passes = math.ceil(trials / one_pass)
        options = {"iterations": passes if ends else 2 * passes + 1, **random}
    return row(
        Objective("val_f1_macro", "max"),
        hyperparameters=space(),
        max_epochs=MAX_EPOCHS,
        factor=FACTOR,
        seed=0,
        **options,
    )


def _timed(function: Callable[..., Any], into: list[float], counts=lambda answer: True) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        answer = function(*arguments)
        if counts(answer):
            into.append(1000 * (time.perf_counter() - began))
        return answer

    return timed


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def _figures(one: Looped) -> dict[str, Any]:
    return {
        "strategy": one.strategy,
        "workers": one.workers,
        "window": one.window,
        "trials": one.trials,
        "ask_ms": {"mean": mean(one.asks), "p99": _p99(one.asks), "last": median(one.asks[-LAST:])},
        "tell_ms": {"mean": mean(one.tells), "p99": _p99(one.tells), "last": median(one.tells[-LAST:])},
        "append_ms": {"median": median(one.appends), "p99": _p99(one.appends)},
        "busy": one.busy,
        "busy_to_the_end": one.busy_to_the_end,
        "seconds": one.seconds,
    }
