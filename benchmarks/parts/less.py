"""What is not computed at all: each way of training less, against the same search without it. Long: by name only."""

from __future__ import annotations

from benchmarks.comparison import EVERYTHING
from benchmarks.context import Context
from benchmarks.report import Report
from benchmarks.searches import SearchRun, our_search

NOTHING = "everything is trained"
#: name -> what differs from a search in which everything is trained.
CASES = {
    "curves that have ended": ("--stop-curves", "--no-skip-equal"),
    "configurations that are equal": ("--no-stop-curves", "--skip-equal"),
    "a first rung of a third of an epoch": (*EVERYTHING, "--min-epochs", "1/3"),
    "the defaults": (),
}


def measure(context: Context) -> Report:
    sample = context.sample(12_000 if context.full else 2_800)
    schedule = ("--strategy", "hyperband", "--max-epochs", 27 if context.full else 9)
    runs: dict[str, SearchRun] = {}
    for number, (name, options) in enumerate({NOTHING: EVERYTHING, **CASES}.items()):
        context.say(name)
        runs[name] = our_search(sample, f"less-{number}", *schedule, *options)
    finals = {}
    for name, options in {NOTHING: EVERYTHING, "finalists go on": (*EVERYTHING, "--reuse-trials")}.items():
        context.say(f"with finalists: {name}")
        finals[f"with finalists: {name}"] = our_search(
            sample, f"finals-{len(finals)}", *schedule, *options, finals=True
        )
    rows = [*_rows(runs), *_rows(finals)]
    return Report(
        ("what is spared", "trials", "epochs", "seconds", "share of the first", "best val F1"),
        rows,
        notes=(
            "The space that comes with this package, one search each; epochs are those of the search, parts of an "
            "epoch counted as such.",
        ),
        data=sample.to_json(),
    )


def _rows(runs: dict[str, SearchRun]) -> list[list]:
    first = next(iter(runs.values())).measured.seconds
    return [
        [
            name,
            len(run.trials),
            sum(trial.epochs for trial in run.trials),
            run.measured.seconds,
            run.measured.seconds / first,
            run.best,
        ]
        for name, run in runs.items()
    ]
