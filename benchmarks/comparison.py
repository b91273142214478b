"""The same search by us and by a plain Keras Tuner script, in turn; measured once for all parts that speak of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.context import Context
from benchmarks.data import Sample
from benchmarks.processes import Measured
from benchmarks.searches import SearchRun, our_search, plain_search

SPACE = "benchmarks.spaces:usual_cnn"
FACTOR = 3
#: The plain script trains whatever its schedule says.
EVERYTHING = ("--no-stop-curves",)


@dataclass(frozen=True)
class PlainRun:
    """A run of the plain script: what it cost, when it began, what it found."""

    measured: Measured
    began: float
    found: dict[str, Any]

    @property
    def best(self) -> float:
        return self.found["best_val_f1_macro"]

    def seconds_to(self, target: float) -> float | None:
        """From its start to the first epoch that reaches `target`."""
        moments = [epoch["time"] for epoch in self.found["epochs"] if epoch["val_f1_macro"] >= target]
        return min(moments) - self.began if moments else None


@dataclass(frozen=True)
class Comparison:
    """Pairs of runs, and what both had in common."""

    sample: Sample
    max_epochs: int
    iterations: int
    pairs: list[tuple[PlainRun, SearchRun]]


def compared(context: Context) -> Comparison:
    """With three epochs at most both schedules are the same trials and epochs; with nine ours is one promotion short of
    Keras Tuner's, which rounds the sizes of its rungs up where the paper rounds them down."""
    return context.once("comparison", lambda folder: _compare(context, folder))


def _compare(context: Context, folder) -> Comparison:
    images, max_epochs, iterations, pairs = (5700, 9, 1, 2) if context.full else (2800, 3, 2, 1)
    sample = context.sample(images)
    runs = []
    for pair in range(pairs):
        context.say(f"pair {pair + 1} of {pairs}: plain Keras Tuner")
        plain = PlainRun(*plain_search(sample, folder / f"plain-{pair}", max_epochs, iterations))
        context.say(f"pair {pair + 1} of {pairs}: ours")
        schedule = ("--max-epochs", max_epochs, "--factor", FACTOR, "--iterations", iterations, *EVERYTHING)
        ours = our_search(
            sample,
            f"compared-{pair}",
            "--space",
            SPACE,
            "--strategy",
            "hyperband",
            "--sampler",
            "random",
            *schedule,
            "--seed",
            pair,
        )
        runs.append((plain, ours))
    return Comparison(sample, max_epochs, iterations, runs)
