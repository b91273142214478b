"""What each way of training less saves, against the same search without it. Not part of a small run."""

from __future__ import annotations

from benchmarks.comparison import EVERYTHING
from benchmarks.context import Context
from benchmarks.report import Report
from benchmarks.searches import SearchRun, our_search

NOTHING = "everything is trained"


def measure(context: Context) -> Report:
    sample = context.sample(12_000 if context.full else 2_800)
    schedule = ("--strategy", "hyperband", "--sampler", "random", "--max-epochs", 27 if context.full else 9)
    rows: list[list] = []

    def compare(about: str, common: tuple, cases: dict[str, tuple], finals: bool = False) -> None:
        """Run a search that trains everything, then one per case with the case's options and at most as many trials."""
        first: SearchRun | None = None
        for name, options in {NOTHING: EVERYTHING, **cases}.items():
            context.say(f"{about}: {name}")
            limit = ("--max-trials", len(first.trials)) if first else ()
            run = our_search(sample, f"less-{len(rows)}", *schedule, *common, *limit, *options, finals=finals)
            first = first or run
            epochs = sum(trial.epochs for trial in run.trials)
            seconds = run.measured.seconds
            rows.append([about, name, len(run.trials), epochs, seconds, seconds / first.measured.seconds, run.best])

    compare(
        "our space",
        (),
        {
            "curves that have ended": (),
            "a first rung of a third of an epoch": (*EVERYTHING, "--min-epochs", "1/3"),
        },
    )
    compare("with finalists", (), {"finalists go on": (*EVERYTHING, "--reuse-trials")}, finals=True)
    return Report(
        ("what", "what is spared", "trials", "epochs", "seconds", "share of the first", "best val F1"),
        rows,
        notes=(
            "One search each, of at most as many trials as the first; epochs are those of the search, parts of an "
            "epoch counted as such.",
        ),
        data=sample.to_json(),
    )
