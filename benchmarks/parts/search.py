"""The same search by this package and by a plain Keras Tuner script: wall-clock time, processor time, memory."""

from __future__ import annotations

from statistics import median

from benchmarks.comparison import FACTOR, compared
from benchmarks.context import Context
from benchmarks.processes import MIB
from benchmarks.report import Report, Target
from tuning.core import machine


def measure(context: Context) -> Report:
    comparison = compared(context)
    rows = []
    for number, (plain, ours) in enumerate(comparison.pairs, 1):
        epochs = len(plain.found["epochs"])
        rows += [
            [f"{number}: plain Keras Tuner", plain.found["trials"], epochs, *_cost(plain.measured, epochs, plain.best)],
            [f"{number}: ours", len(ours.trials), ours.epochs, *_cost(ours.measured, ours.epochs, ours.best)],
        ]
    walls = [plain.measured.seconds / ours.measured.seconds for plain, ours in comparison.pairs]
    per_epoch = [
        (plain.measured.seconds / len(plain.found["epochs"])) / (ours.measured.seconds / ours.epochs)
        for plain, ours in comparison.pairs
    ]
    return Report(
        ("what", "trials", "epochs", "seconds", "CPU seconds", "seconds/epoch", "peak MiB", "best val F1"),
        rows,
        targets=(
            Target("same search, plain Keras Tuner ÷ ours", median(walls), 4.0 if machine.has_bfloat16() else 2.5),
        ),
        notes=(
            "Equal: the builder and its space, training and validation images, batches of 64, Hyperband with "
            f"{comparison.max_epochs} epochs, factor {FACTOR}, {comparison.iterations} iteration(s), macro-F1 on "
            "validation after every epoch. Not equal: which configurations are drawn, and what each side does about "
            "threads and types. Both times start with the command and include imports.",
            f"For the same number of epochs: {median(per_epoch):.2f} times.",
        ),
        data=comparison.sample.to_json(),
        details={"wall_ratios": walls, "per_epoch_ratios": per_epoch},
    )


def _cost(measured, epochs: int, best: float) -> list[float]:
    seconds = measured.seconds
    return [seconds, measured.cpu_seconds, seconds / epochs, round(measured.peak_pss / MIB), best]
