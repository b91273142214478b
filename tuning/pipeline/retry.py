"""Runs failed trials again: `search --retry-failed`, after their cause has been mended.

The strategy is told results in a logical order that depends on its proposals alone. A retry takes back the results of
the failed trials, and every proposal made after the strategy was told the first of them. What is left is exactly the
search as it stood at that moment, as if that trial had not ended yet. From there it goes on like any search, with the
trials' new results, and so ends as it would have ended with these results the first time. A proposal that is made
again, equal to one that was taken back, keeps its result.

The decision is one journal entry, `retry-failed`, with the trials and the number of proposals that stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuning.core.errors import StateError
from tuning.core.files import remove_directory
from tuning.core.progress import Progress
from tuning.core.records import OWN
from tuning.core.settings import SearchSettings
from tuning.engine.entries import RetryFailed
from tuning.engine.order import LogicalOrder
from tuning.engine.state import SearchState, trial_key
from tuning.pipeline.session import Session


def retry_failed(session: Session, settings: SearchSettings, progress: Progress) -> None:
    """Takes back the trials that have failed so far, except for failures of the configuration itself: a diverged loss.

    Raises:
        StateError: the search is over: its budget has ended it, or its finalists have been tested.
    """
    state, name = session.dispatcher.state, settings.name
    failed = failed_trials(state)
    if not failed:
        progress.say(f"no trial of {name} has failed that could be run again")
        return
    over = (
        (state.test_openings, "its finalists were tested already", "start the search over with --fresh"),
        (state.stopped, "its budget has ended it", "give a larger --budget too"),
    )
    for happened, why, remedy in over:
        if happened:
            raise StateError(f"the failed trials of {name} cannot be run again: {why}", remedy)
    asks = unaffected_asks(state, failed, settings.window)
    # Before journaling: a trial without checkpoints trains anew, but none may find those of another configuration.
    for trial_id in [*(ask.trial.trial_id for ask in state.asks[asks:]), *failed]:
        remove_directory(session.checkpoints(trial_key(trial_id)))
    session.dispatcher.record(RetryFailed(trials=failed, asks=asks))
    progress.say(f"running {len(failed)} failed trial{'s' * (len(failed) != 1)} of {name} again")


def failed_trials(state: SearchState) -> list[str]:
    """Returns the ids of trials that failed for reasons other than their own configuration."""
    found = []
    for ask in state.asks:
        job = state.jobs.get(trial_key(ask.trial.trial_id))
        result = job.result if job else None
        if result is None:
            continue
        failure = result.get("error") or result.get("failure")
        if failure and failure["kind"] not in OWN:
            found.append(ask.trial.trial_id)
    return found


def unaffected_asks(state: SearchState, failed: Sequence[str], window: int) -> int:
    """Returns how many proposals were made before the strategy was told the first result of these trials."""
    order, completed = LogicalOrder(window), 0
    for index, ask in enumerate(state.asks):
        while completed < ask.completed:
            if order.next().trial_id in failed:
                return index
            order.completed()
            completed += 1
        order.ask(ask.trial)
    return len(state.asks)
