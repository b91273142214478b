"""The decisions of a search while it ran, as text, in order; each was journaled before it took effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuning.core.plan import FinalTraining, NewLength
from tuning.engine.budget import duration
from tuning.engine.entries import Closing, Entry, Extended, NewLengths, PlannedFinals, RetryFailed, Spent, Stopped

_FINALIST = re.compile(r"-t(?P<trial>[^-]+)-[0-9a-f]+$")


@dataclass(frozen=True)
class Decision:
    """A decision of a search.

    Attributes:
        seconds: running time at which it was made, to within half a minute.
        words: the decision and its reason.
    """

    seconds: float
    words: str


def decisions(records: Iterable[Entry]) -> tuple[Decision, ...]:
    """The decisions in a journal."""
    seconds = 0.0
    found: list[Decision] = []
    trained = False
    planned: dict[str, int] = {}  # epochs of each configuration's final trainings
    ends: dict[str, int] = {}  # the last epoch of each training whose length was changed
    for record in records:
        match record:
            case Spent():
                seconds += record.seconds
            case PlannedFinals():
                found.append(Decision(seconds, _finals(record.runs, trained)))
                planned |= {run.key: run.epochs for run in record.runs}
                trained = True
            case NewLengths(runs=runs):
                is_longer = any(
                    run.until > ends.get(run.run_id, planned.get(_key(run.run_id), run.until)) for run in runs
                )
                found.append(Decision(seconds, _lengths(runs, is_longer)))
                ends |= {run.run_id: run.until for run in runs}
            case Closing() | Extended() | RetryFailed() | Stopped():
                found.append(Decision(seconds, _words(record)))
                trained = trained and not isinstance(record, Extended)
    return tuple(found)


def _words(record: Closing | Extended | RetryFailed | Stopped) -> str:
    match record:
        case Closing(asks=asks, promotions=promotions):
            return (
                f"No new configuration after the first {counted(asks, 'proposal')}: the rest of the search's time is "
                f"needed to train {counted(promotions, 'promising one')} to the end."
            )
        case Extended(asks=asks, budget=budget, finals=finals):
            # Without a plan nothing is reserved for the finals, and this budget may be the first one.
            given = f"A budget was given, {duration(budget)} in all"
            if finals:
                given = (
                    f"A larger budget was given, {duration(budget)} in all with {duration(finals)} kept for the finals"
                )
            return f"{given}: the search continues after {counted(asks, 'proposal')}."
        case RetryFailed(trials=trials):
            return f"{counted(len(trials), 'failed trial')} tried again, as requested by --retry-failed."
        case Stopped():
            return "The search ends here, because its part of the time is over."


def _lengths(runs: Sequence[NewLength], is_longer: bool) -> str:
    words = [f"{_run(run.run_id)} {f'ends after epoch {run.until}' if run.until else 'is left out'}" for run in runs]
    why = "There is time for more epochs" if is_longer else "Trainings take longer than planned"
    return f"{why}: {', '.join(words)}."


def _finals(runs: Sequence[FinalTraining], trained: bool) -> str:
    if not runs:
        return "No further final training: none fits into the time left, or every finalist has all its seeds."
    groups: dict[tuple[str, int], int] = {}
    for run in runs:
        groups[(_name(run.key), run.epochs)] = groups.get((_name(run.key), run.epochs), 0) + 1
    items = [
        f"{name} for {counted(epochs, 'epoch')}{f', {seeds} seeds' if seeds > 1 else ''}"
        for (name, epochs), seeds in groups.items()
    ]
    kind = "further final training" if trained else "final training"
    why = "with the time still left" if trained else "as many as fit into the time kept for them"
    return f"{counted(len(runs), kind)}, {why}: {'; '.join(items)}."


def _run(run_id: str) -> str:
    return f"{_name(_key(run_id))} (seed {run_id.rpartition('-s')[2]})"


def _key(run_id: str) -> str:
    return run_id.rpartition("-s")[0]


def _name(key: str) -> str:
    found = _FINALIST.search(key)
    return f"trial {found['trial']}" if found else "the baseline"


def counted(number: float, noun: str) -> str:
    """A number with its noun, in the plural unless the number is 1."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
