"""Seconds until our search reaches the best validation macro-F1 of the plain Keras Tuner script."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.comparison import FACTOR, SPACE, compared
from benchmarks.context import Context
from benchmarks.report import Report, Target
from benchmarks.searches import our_search
from benchmarks.watching import TrialRun, reached

#: What a user who wants a good model soon would choose. There are more passes than can be trained, so that the search
#: runs until it reaches the target.
STRATEGY, EPOCHS, ITERATIONS = "auto", 9, 100


def measure(context: Context) -> Report:
    """For each run of the plain script, search until as good a score is reached or as much time has passed."""
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
    # The target is about our own space, which is what a user gets by default.
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
