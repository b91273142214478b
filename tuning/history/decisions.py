"""What the clock decided during a search with a budget, in words: each decision stands in the journal. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tuning.core.plan import FinalTraining
from tuning.engine.budget import duration
from tuning.engine.entries import Closing, Entry, Extended, PlannedFinals, ShortenedFinals, Spent, Stopped


def decisions(records: Iterable[Entry]) -> tuple[str, ...]:
    """One sentence a decision, in order, each with the running time at which it was made."""
    found, spent = [], 0.0
    for record in records:
        if isinstance(record, Spent):
            spent += record.seconds
        elif words := _words(record):
            found.append(f"after {duration(spent)}: {words}")
    return tuple(found)


def _words(record: Entry) -> str | None:
    match record:
        case Closing():
            return (
                f"no new configuration was begun; up to {record.promotions} of those begun could still be trained to "
                "the end"
            )
        case Stopped():
            return "the search ended, because the rest of the time was kept for the finals"
        case Extended():
            return f"the budget became {duration(record.budget)}, {duration(record.finals)} of it kept for the finals"
        case PlannedFinals() if record.runs:
            return f"final trainings were planned: {_planned(record.runs)}"
        case ShortenedFinals():
            cut = [f"{run.run_id} to {run.until} epochs" for run in record.runs if run.until]
            left_out = [run.run_id for run in record.runs if not run.until]
            parts = [
                *([f"shortened: {', '.join(cut)}"] if cut else ()),
                *(f"left out: {run_id}" for run_id in left_out),
            ]
            return f"trainings took longer than planned; {'; '.join(parts)}"
    return None


def _planned(runs: Iterable[FinalTraining]) -> str:
    seeds: dict[tuple[str, int], int] = defaultdict(int)
    for run in runs:
        seeds[run.key, run.epochs] += 1
    return ", ".join(
        f"{key} for {epochs} epochs" + (f" with {count} seeds" if count > 1 else "")
        for (key, epochs), count in seeds.items()
    )
