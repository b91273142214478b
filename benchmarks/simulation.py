"""Simulated workers: the duration of a trial is drawn at random, and the clock jumps to the next event.

Only training is simulated. The real time that the strategy, the loop and the journal take also passes for the workers:
an idle worker stays idle until it really gets its next trial.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, keyed_seed
from tuning.engine.executors import Event, Finished, Job

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "val_f1_macro", "learning_rate")


class SimulatedWorkers:
    """An executor of `workers` workers in simulated time.

    Args:
        workers: number of workers.
        epoch_seconds: returns the seconds of an epoch, given the id of the first trial of a configuration.
    """

    def __init__(self, workers: int, epoch_seconds: Callable[[str], float]) -> None:
        self._workers, self._epoch_seconds = workers, epoch_seconds
        self._began, self._skipped = time.perf_counter(), 0.0
        self._running: list[tuple[float, int, Job]] = []
        self._spans: list[tuple[float, float]] = []

    def now(self) -> float:
        """Return the simulated seconds since the start."""
        return time.perf_counter() - self._began + self._skipped

    def free(self) -> int:
        return self._workers - len(self._running)

    def submit(self, job: Job) -> None:
        spec: TrialSpec = job.payload["spec"]
        began = self.now()
        ends = began + (spec.epochs - spec.initial_epoch) * self._epoch_seconds(spec.root)
        self._spans.append((began, ends))
        heapq.heappush(self._running, (ends, job.fence, job))

    def collect(self, timeout: float) -> list[Event]:
        self._skipped += max(0.0, self._running[0][0] - self.now())
        now, events = self.now(), []
        while self._running and self._running[0][0] <= now:
            _, _, job = heapq.heappop(self._running)
            events.append(Finished(job.key, job.fence, result(job.payload["spec"])))
        return events

    def cancel(self) -> None:
        self._running.clear()

    def close(self) -> None:
        self.cancel()

    def busy(self, until: float) -> float:
        """Return the share of all workers' time up to the moment `until` that was spent on training."""
        return sum(min(end, until) - began for began, end in self._spans if began < until) / (self._workers * until)

    def last_start(self) -> float:
        """Return the moment when the last trial was started."""
        return max(began for began, _ in self._spans)


def epoch_seconds(typical: float, spread: float) -> Callable[[str], float]:
    """Return a function of the trial id that draws log-normal seconds per epoch, with median `typical`."""

    def draw(root: str) -> float:
        generator = np.random.default_rng(keyed_seed(0, "epoch seconds", root))
        return typical * float(np.exp(spread * generator.standard_normal()))

    return draw


def score(spec: TrialSpec, epoch: int) -> float:
    """Return the score of a simulated training, a function of its configuration and the epoch."""
    values = [value for name, value in sorted(spec.values.items()) if name.startswith("x")]
    distance = sum((value - 0.3) ** 2 for value in values) / max(1, len(values))
    return float(np.exp(-4 * distance) * (1 - np.exp(-(epoch + 1) / 6)))


def result(spec: TrialSpec) -> dict[str, Any]:
    """Return the result of a trial with its curve, as a worker sends it."""
    curve = [{"epoch": epoch, **dict.fromkeys(METRICS, score(spec, epoch))} for epoch in range(1, spec.epochs + 1)]
    outcome = TrialOutcome(
        spec.trial_id, COMPLETED, curve[-1]["val_f1_macro"], tuple(curve), seconds=(10.0,) * spec.epochs
    )
    return msgspec.to_builtins(outcome)


def space():
    """Return a space of ten hyperparameters: continuous, logarithmic, discrete and conditional."""
    from keras_tuner import HyperParameters

    hp = HyperParameters()
    for number in range(5):
        hp.Float(f"x{number}", 0.0, 1.0)
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Int("width", 16, 256, step=16)
    hp.Choice("batch", [32, 64, 128, 256])
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.5, 0.99)
    return hp
