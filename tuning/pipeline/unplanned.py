"""A budget for a search that was begun without one, and so has no plan: it only decides when its trials end."""

from __future__ import annotations

from tuning.core.errors import UsageError
from tuning.core.progress import Progress
from tuning.engine.budget import as_given, duration
from tuning.engine.dispatch import Dispatcher
from tuning.engine.entries import Extended


def limited(dispatcher: Dispatcher, budget: float | None, spent: float, progress: Progress) -> None:
    """Journals a first budget, or a larger one: a search that the previous budget has ended goes on.

    A smaller one is in force for this command only; what it ends is journaled.

    Args:
        budget: given by the user; None: not given.
        spent: seconds that have passed.

    Raises:
        UsageError: the given budget is used up already.
    """
    state = dispatcher.state
    before = state.extension.budget if state.extension else None
    if budget is not None and budget < min(spent, before or spent):
        raise UsageError(
            f"--budget is {as_given(budget)}, but this search has used {duration(spent)}",
            "give more, or leave --budget out",
        )
    if budget is not None and (before is None or budget > before):
        if state.stopped:
            progress.say(f"budget: {duration(budget)}; the search resumes where it ended")
        dispatcher.record(Extended(asks=len(state.asks), budget=budget, finals=0.0))
    elif state.stopped:
        progress.say(f"this search has used up its budget after {duration(spent)}; a larger --budget resumes it")
