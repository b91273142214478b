"""Seconds until we have what the plain Keras Tuner script has in the end: its best macro-F1 on validation."""

from __future__ import annotations

from statistics import median

from benchmarks.comparison import compared
from benchmarks.context import Context
from benchmarks.report import Report, Target
from benchmarks.searches import our_search
from benchmarks.watching import reached


def measure(context: Context) -> Report:
    comparison = compared(context)
    rows, ratios = [], {"the same space": [], "our own space": []}
    for number, (plain, ours) in enumerate(comparison.pairs, 1):
        target = plain.best
        theirs = plain.seconds_to(target)
        rows.append([f"{number}: plain Keras Tuner", target, theirs, plain.measured.seconds, None])
        runs = {"the same space": ours}
        if context.full:
            context.say("ours, with the space that comes with it")
            runs["our own space"] = our_search(
                comparison.sample,
                f"own-space-{number}",
                *("--strategy", "hyperband", "--max-epochs", comparison.max_epochs),
                *("--iterations", comparison.iterations, "--seed", number - 1),
            )
        for name, run in runs.items():
            moment = reached(run.trials, target)
            seconds = None if moment is None else moment - run.began
            ratio = None if seconds is None else theirs / seconds
            ratios[name].append(ratio)
            rows.append([f"{number}: ours, {name}", run.best, seconds, run.measured.seconds, ratio])
    # The product as it comes is what a person would use; small runs have no time for it.
    name = "our own space" if context.full else "the same space"
    complete = all(ratio is not None for ratio in ratios[name])
    return Report(
        ("what", "best val F1", "seconds to the plain one's best", "seconds in all", "plain ÷ ours"),
        rows,
        targets=(Target(f"time to the plain script's best, {name}", median(ratios[name]) if complete else None, 8.0),),
        notes=("From the start of each command; an epoch counts when its validation is over. – : not reached.",),
        data=comparison.sample.to_json(),
        details={"ratios": ratios},
    )
