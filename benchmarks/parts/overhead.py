"""The share of the workers' time that is not spent on training and validation steps."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.report import Report, Target
from benchmarks.searches import SearchRun, our_search
from tuning.core import machine

SPACE = "benchmarks.spaces:equal_cnns"
#: Average length of a trial of Hyperband with up to 27 epochs: a pass over its brackets is 357 epochs in 69 trials.
EPOCHS = 5


def searched(context: Context) -> tuple[SearchRun, object, int]:
    """Run a random search whose trials take equally long; return (search, sample, number of workers).

    The part `memory` uses the same search.
    """

    def make(folder):
        cores = machine.usable_cores()
        # All images: what a trial costs beside its steps hardly grows with their number.
        sample = context.sample(None)
        trials = (4 if context.full else 1) * cores
        options = ("--space", SPACE, "--strategy", "random", "--max-epochs", EPOCHS, "--no-stop-curves")
        context.say(f"{trials} trials of {EPOCHS} epochs")
        return our_search(sample, "overhead", *options, "--max-trials", trials, "--workers", cores), sample, cores

    return context.once("overhead", make)


def measure(context: Context) -> Report:
    search, sample, workers = searched(context)
    stage = workers * search.stage
    steps = sum(trial.steps() for trial in search.trials)
    first = sum(trial.seconds[0] for trial in search.trials) - steps / EPOCHS
    within = sum(sum(trial.seconds) for trial in search.trials)
    busy = sum(trial.ended - trial.began for trial in search.trials)
    whole = workers * search.measured.seconds
    parts = {
        "training and validation steps": steps,
        "first steps: tracing, compiling": within - steps,
        "building, data, checkpoints": busy - within,
        "between trials, and at the end": stage - busy,
    }
    rows = [[name, seconds, seconds / stage, seconds / whole] for name, seconds in parts.items()]
    rows.append(["before and after all trials", whole - stage, None, (whole - stage) / whole])
    return Report(
        ("worker seconds", "seconds", "of the trials' time", "of the whole command"),
        rows,
        targets=(Target(f"time outside steps, {sample.source}", 1 - steps / stage, 0.05, at_least=False),),
        notes=(
            f"{len(search.trials)} trials of {EPOCHS} epochs by {workers} workers, {search.measured.seconds:.0f} s "
            f"in all, {search.start_up:.1f} s before the first trial. A step takes what it takes in later epochs.",
            f"The first epoch of a trial takes {first / len(search.trials):.2f} s longer than the others.",
        ),
        data=sample.to_json(),
        details={"parts": parts, "whole": whole, "stage": stage},
    )
