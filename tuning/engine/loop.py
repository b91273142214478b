"""The search loop: ask, submit, collect, tell, in logical order.

A window limits how many trials may be asked for and not yet told, and results are told in the order that
`tuning.engine.order` defines, in which neither clock nor workers occur. So the strategy sees the same sequence of asks
and tells however many workers there are and however often the search was killed; replaying a journal is running this
loop with the results already there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tuning.core.errors import StateError, TuningError
from tuning.core.files import canonical_json
from tuning.core.records import DONE, FAILED, WAIT, Failure, Signal, TrialOutcome, TrialSpec
from tuning.engine.dispatch import Dispatcher
from tuning.engine.order import LogicalOrder


class Strategy(Protocol):
    """What the loop needs of a strategy."""

    def ask(self, recorded: TrialSpec | None = None) -> TrialSpec | Signal:
        """The next trial, WAIT (a told result is needed first) or DONE.

        `recorded` is the trial that the journal holds at this place, so that it need not be computed again.
        """

    def tell(self, outcome: TrialOutcome) -> None:
        """The outcome of a trial; in logical order."""


def trial_key(trial_id: str) -> str:
    """The name of a trial's job in the journal."""
    return f"trial/{trial_id}"


def run_loop(
    strategy: Strategy,
    dispatcher: Dispatcher,
    window: int,
    payload: Callable[[TrialSpec, int], dict[str, Any]],
    on_told: Callable[[TrialSpec, TrialOutcome], None] = lambda spec, outcome: None,
    out_of_time: Callable[[], bool] = lambda: False,
    at_leisure: Callable[[], bool] = lambda: False,
) -> list[tuple[TrialSpec, TrialOutcome]]:
    """Runs a strategy to its end and returns every trial with its outcome, in logical order.

    Args:
        window: how many trials may be asked for and not yet told; part of the search's settings.
        payload: (spec, fencing number) -> what the worker is given.
        on_told: called after each tell.
        out_of_time: looked at every few seconds; once it is True, nothing more is asked, what runs is given up, and
            the trials that have a result by then are the search. That moment is journaled: a resume ends there too.
        at_leisure: called while a worker has nothing to do, again and again until it returns False; takes no part in
            the search, and a fraction of a second at most, for which results wait.

    Raises:
        StateError: the strategy proposes something else than the journal says it proposed.
    """
    outstanding = LogicalOrder(window)
    told: list[tuple[TrialSpec, TrialOutcome]] = []
    asked, finished, leisure = 0, False, True

    def tell(spec: TrialSpec, result: dict[str, Any]) -> None:
        outcome = outcome_of(spec, result)
        strategy.tell(outcome)
        told.append((spec, outcome))
        on_told(spec, outcome)

    while True:
        while not finished and not outstanding.full:
            recorded = dispatcher.state.asks[asked] if asked < len(dispatcher.state.asks) else None
            if recorded is not None and outstanding and len(told) < dispatcher.state.told[asked]:
                # The strategy waited for results here; what it proposes may depend on them.
                break
            if recorded is None and _stopped(dispatcher, out_of_time):
                finished = True
                break
            answer = strategy.ask(TrialSpec(**recorded) if recorded else None)
            if answer is WAIT:
                if not outstanding:
                    raise TuningError("the strategy waits for a result, but nothing is running", "report this defect")
                break
            if answer is DONE:
                finished = True
                break
            _journal_ask(dispatcher, asked, answer, len(told))
            asked += 1
            end = outstanding.ask(answer)
            if not _stopped(dispatcher):
                dispatcher.request(
                    trial_key(answer.trial_id),
                    "trial",
                    lambda fence, spec=answer: payload(spec, fence),
                    precedence=outstanding.precedence(answer, end),
                )
            if recorded is None:
                # At once: with a wide window the last proposal can be a minute away.
                dispatcher.start()
        if not outstanding:
            return told
        spec = outstanding.next()
        while (result := dispatcher.result(trial_key(spec.trial_id))) is None:
            if _stopped(dispatcher, out_of_time):
                break
            dispatcher.start()
            if leisure and dispatcher.executor.free():
                leisure = at_leisure()
                dispatcher.wait(0)
            else:
                dispatcher.wait()
        if result is None:
            dispatcher.cancel()
            for later in outstanding:
                if (result := dispatcher.result(trial_key(later.trial_id))) is not None:
                    tell(later, result)
            return told
        outstanding.told()
        tell(spec, result)


def _stopped(dispatcher: Dispatcher, out_of_time: Callable[[], bool] = lambda: False) -> bool:
    """Whether the search has been stopped before its end; journaled when it is."""
    if dispatcher.state.first("stopped") is None and out_of_time():
        dispatcher.record("stopped")
    return dispatcher.state.first("stopped") is not None


def outcome_of(spec: TrialSpec, result: dict[str, Any]) -> TrialOutcome:
    """The outcome of a trial job's result, errors included."""
    error = result.get("error")
    if error is None:
        return TrialOutcome.from_json(result)
    failure = Failure(error["kind"], error["message"], error.get("epoch"), error.get("traceback"))
    return TrialOutcome(spec.trial_id, FAILED, failure=failure)


def _journal_ask(dispatcher: Dispatcher, index: int, spec: TrialSpec, told: int) -> None:
    asks = dispatcher.state.asks
    if index >= len(asks):
        dispatcher.record("ask", trial=spec.to_json(), told=told)
    elif canonical_json(asks[index]) != canonical_json(spec.to_json()):
        raise StateError(
            f"{dispatcher.journal.path}: proposal {index} was {canonical_json(asks[index])}, "
            f"now the strategy proposes {canonical_json(spec.to_json())}",
            "the strategy's code has changed since the search began: go back to that version, or use --fresh",
        )
