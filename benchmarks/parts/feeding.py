"""The share of training time spent on preparing batches, with a worker on each core."""

from __future__ import annotations

from statistics import median

from benchmarks.context import Context
from benchmarks.processes import Child, closing_all, together
from benchmarks.report import Report, Target
from tuning.core import machine
from tuning.trials.runtime import environment

#: Input pipeline -> the space that uses it.
SPACES = {
    "random order": "benchmarks.spaces:usual_cnn",
    "balanced sampler, flips, augmentation at 1": "benchmarks.spaces:augmented_cnn",
}


def measure(context: Context) -> Report:
    folder, epochs = context.folder("feeding"), 7 if context.full else 3
    # Hardly any validation images, so that an epoch consists almost entirely of training steps.
    sample = context.sample(12_000 if context.full else 2_800, "96/2/2")
    cores, one_thread = machine.usable_cores(), environment("tensorflow", 1)
    rows, shares = [], {}
    for number, (what, space) in enumerate(SPACES.items()):
        context.say(what)
        trial = ["-m", "benchmarks.children.our_trial", sample.workspace.root, space]
        children = [
            Child([*trial, f"feeding-{number}-{slot}", "auto"], folder / f"{number}-{slot}.log", one_thread)
            for slot in range(cores)
        ]
        with closing_all(children):
            together(children)  # tracing and compiling
            answers = [answer for _ in range(epochs) for answer in together(children)]
        fed, whole = (
            [1e3 * answer[key] / answer["batches"] for answer in answers] for key in ("feeding_seconds", "seconds")
        )
        shares[what] = [one / other for one, other in zip(fed, whole, strict=True)]
        rows.append([what, median(fed), median(whole), median(shares[what])])
    return Report(
        ("what", "feeding, ms a batch", "epoch, ms a batch", "share"),
        rows,
        targets=(Target("feeding ÷ training step", max(row[-1] for row in rows), 0.03, at_least=False),),
        notes=(f"{cores} workers, one thread each, {epochs} epochs each: medians. An epoch ends with validation.",),
        data=sample.to_json(),
        details={"shares": shares},
    )
