"""Seconds until we have what the plain Keras Tuner script has in the end: its best macro-F1 on validation."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.comparison import FACTOR, SPACE, compared
from benchmarks.context import Context
from benchmarks.report import Report, Target
from benchmarks.searches import our_search
from benchmarks.watching import TrialRun, reached

#: What a person would choose who wants a good model soon. It takes as many passes as nobody will wait for: the search
#: goes on until it has what is wanted.
STRATEGY, EPOCHS, ITERATIONS = "auto", 9, 100


def measure(context: Context) -> Report:
    """The plain script once more in each pair, ours until it is as good, or has taken as long."""
    comparison = compared(context)
    spaces = {"our own space": ()}
    if context.full:
        spaces = {"the same space": ("--space", SPACE), **spaces}
    rows: list[list] = []
    ratios: dict[str, list[float | None]] = {name: [] for name in spaces}
    for number, (plain, _) in enumerate(comparison.pairs, 1):
        target, limit = plain.best, plain.measured.seconds
        theirs = plain.seconds_to(target)
        rows.append([f"{number}: plain Keras Tuner", target, len(plain.found["epochs"]), theirs, None])
        for index, (name, space) in enumerate(spaces.items()):
            context.say(f"ours, {name}, until val_f1_macro {target:.3f}")
            began = time.monotonic()

            def enough(trials: list[TrialRun], began: float = began, target: float = target, limit: float = limit):
                return reached(trials, target) is not None or time.monotonic() - began > limit

            schedule = ("--max-epochs", EPOCHS, "--factor", FACTOR, "--iterations", ITERATIONS)
            ours = our_search(
                comparison.sample,
                f"until-{index}-{number}",
                *("--strategy", STRATEGY, *space, *schedule, "--seed", number - 1),
                enough=enough,
            )
            moment = reached(ours.trials, target)
            seconds = None if moment is None else moment - ours.began
            ratios[name].append(None if seconds is None else theirs / seconds)
            rows.append([f"{number}: ours, {name}", ours.best, ours.epochs, seconds, ratios[name][-1]])
    # The product as it comes is what a person would use.
    name = list(spaces)[-1]
    complete = None not in ratios[name]
    return Report(
        ("what", "best val F1", "epochs", "seconds to the plain one's best", "plain ÷ ours"),
        rows,
        targets=(Target(f"time to the plain script's best, {name}", median(ratios[name]) if complete else None, 8.0),),
        notes=(
            "From the start of each command; an epoch counts when its validation is over. The plain script: Hyperband, "
            f"{comparison.max_epochs} epochs at most. Ours: --strategy {STRATEGY} --max-epochs {EPOCHS}, until it is "
            "as good; – : it was not when the plain script would have ended.",
        ),
        data=comparison.sample.to_json(),
        details={"ratios": ratios},
    )
