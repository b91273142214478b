"""The same search by this package and by a plain Keras Tuner script, alternating; parts share one measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.context import Context
from benchmarks.data import Sample
from benchmarks.processes import Measured
from benchmarks.searches import SearchRun, our_search, plain_search

SPACE = "benchmarks.spaces:usual_cnn"
FACTOR = 3
#: Options with which a search trains all epochs of its schedule, as the plain script does.
EVERYTHING = ("--no-stop-curves",)


@dataclass(frozen=True)
class PlainRun:
    """A run of the plain script.

    Attributes:
        measured: its cost.
        began: when it was started, in monotonic seconds.
        found: its output file: trials, epochs, best score.
    """

    measured: Measured
    began: float
    found: dict[str, Any]

    @property
    def best(self) -> float:
        return self.found["best_val_f1_macro"]

    def seconds_to(self, target: float) -> float | None:
        """Return the seconds from the start to the end of the first epoch that reaches `target`; None: none did."""
        moments = [epoch["time"] for epoch in self.found["epochs"] if epoch["val_f1_macro"] >= target]
        return min(moments) - self.began if moments else None


@dataclass(frozen=True)
class Comparison:
    """Pairs of runs, and the settings that both sides share."""

    sample: Sample
    max_epochs: int
    iterations: int
    pairs: list[tuple[PlainRun, SearchRun]]


def compared(context: Context) -> Comparison:
    """Return the comparison, measured at the first call.

    With at most three epochs, both schedules have the same numbers of trials and epochs. With nine, ours has one
    promotion less, because Keras Tuner rounds rung sizes up where the paper rounds them down.
    """
    return context.once("comparison", lambda folder: _compare(context, folder))


def _compare(context: Context, folder) -> Comparison:
    images, max_epochs, iterations, pairs = (5700, 9, 1, 2) if context.full else (2800, 3, 2, 1)
    sample = context.sample(images)
    schedule = ("--max-epochs", max_epochs, "--factor", FACTOR, "--iterations", iterations)
    method = ("--space", SPACE, "--strategy", "hyperband", "--sampler", "random")
    runs = []
    for pair in range(pairs):
        context.say(f"pair {pair + 1} of {pairs}: plain Keras Tuner")
        # Keras Tuner takes seed 0 for none.
        plain = PlainRun(*plain_search(sample, folder / f"plain-{pair}", *schedule, "--seed", pair + 1))
        context.say(f"pair {pair + 1} of {pairs}: ours")
        ours = our_search(sample, f"compared-{pair}", *method, *schedule, *EVERYTHING, "--seed", pair)
        runs.append((plain, ours))
    return Comparison(sample, max_epochs, iterations, runs)
