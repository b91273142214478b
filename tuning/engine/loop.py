"""The search loop: ask, submit, collect, tell, in logical order.

A window limits how many trials may be asked for before their results are told, and results are told in the order that
`tuning.engine.order` defines, which depends on neither clock nor workers. So the strategy sees the same sequence of
asks and tells, however many workers there are and however often the search was killed. To replay a journal is to run
this loop with the results already present.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from tuning.core.errors import StateError, TuningError
from tuning.core.files import canonical_json
from tuning.core.records import DONE, FAILED, WAIT, Signal, TrialOutcome, TrialSpec
from tuning.engine.dispatch import UNKNOWN_RESULT, Dispatcher, error_of
from tuning.engine.entries import Ask, Closing, Stopped
from tuning.engine.order import LogicalOrder
from tuning.engine.state import trial_key

Completed = tuple[TrialSpec, TrialOutcome]


class Strategy(Protocol):
    """The interface of a strategy."""

    def ask(self, recorded: TrialSpec | None = None) -> TrialSpec | Signal:
        """Returns the next trial, WAIT (a result is needed first) or DONE.

        `recorded` is the journal's trial at this position, so that it need not be computed again.
        """

    def tell(self, outcome: TrialOutcome) -> None:
        """Receives the outcome of a trial; called in logical order."""

    def close(self, promotions: int | None) -> None:
        """Begins no new configuration from now on, and trains at most `promotions` of those begun to the end.

        None lifts the restriction.
        """


def outcome_of(spec: TrialSpec, result: Mapping[str, Any]) -> TrialOutcome:
    """Converts a trial job's result, or its error, to an outcome.

    Raises:
        StateError: the result in the journal has a form that this version does not know.
    """
    if (error := error_of(result)) is not None:
        return TrialOutcome(spec.trial_id, FAILED, failure=error.failure())
    try:
        return msgspec.convert(result, TrialOutcome)
    except msgspec.ValidationError as problem:
        raise StateError(
            f"the journal's result of trial {spec.trial_id} is none that this version knows: {problem}", UNKNOWN_RESULT
        ) from None


class SearchLoop:
    """A running search.

    Args:
        window: number of trials that may be asked for before their results are told; part of the search's settings.
        payload: (spec, fencing number) -> the job's payload for the worker.
        on_completed: called after the strategy was told a result.
        out_of_time: called every few seconds. Once it returns True, no more trials are asked for, running ones are
            given up, and only trials that have a result by then count. This is journaled, so that a resume ends there,
            too.
        on_idle: called repeatedly while a worker is idle, until it returns False. It must not affect the search, and
            must return within a fraction of a second, because results wait meanwhile.
        last_trainings: called before a proposal. Once it returns a number, no new configuration is begun, and this many
            of those begun may be trained to the end. This is journaled, too.
    """

    def __init__(
        self,
        strategy: Strategy,
        dispatcher: Dispatcher,
        window: int,
        payload: Callable[[TrialSpec, int], dict[str, Any]],
        on_completed: Callable[[TrialSpec, TrialOutcome], None] = lambda spec, outcome: None,
        out_of_time: Callable[[], bool] = lambda: False,
        on_idle: Callable[[], bool] = lambda: False,
        last_trainings: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._strategy, self._dispatcher, self._payload = strategy, dispatcher, payload
        self._on_completed, self._out_of_time, self._on_idle = on_completed, out_of_time, on_idle
        self._last_trainings = last_trainings
        self._outstanding = LogicalOrder(window)
        self._asked = 0
        self._completed: list[Completed] = []
        self._phases = 0  # number of the journal's phases that the strategy was told of
        self._exhausted = False  # no more trials are asked for
        self._idle_work = True

    def run(self) -> list[Completed]:
        """Runs the strategy to its end and returns every trial with its outcome, in logical order.

        Raises:
            StateError: the strategy does not propose what the journal says it proposed.
        """
        while True:
            self._fill_window()
            if not self._outstanding:
                return self._completed
            spec = self._outstanding.next()
            result = self._awaited(spec)
            if result is None:
                self._end_here()
                return self._completed
            self._outstanding.completed()
            self._tell(spec, result)

    def _fill_window(self) -> None:
        """Asks for trials until the window is full, the strategy needs a result, or the strategy is done."""
        while not self._exhausted and not self._outstanding.full:
            recorded = self._recorded()
            if recorded is None and self._stopped():
                self._exhausted = True
            elif recorded is not None and self._outstanding and len(self._completed) < recorded.completed:
                # The strategy waited for results at this point; its proposal may depend on them.
                return
            else:
                self._close_where_due(recorded)
                if not self._ask(recorded):
                    return

    def _close_where_due(self, recorded: Ask | None) -> None:
        """Tells the strategy of the journal's phases that are due; journals a `Closing` first if it is time."""
        state = self._dispatcher.state
        if recorded is None and self._completed and not state.is_closing:
            promotions = self._last_trainings()
            if promotions is not None:
                self._dispatcher.record(Closing(asks=self._asked, promotions=promotions))
        for phase in state.phases[self._phases :]:
            if self._asked < phase.asks:
                return
            self._strategy.close(phase.promotions if isinstance(phase, Closing) else None)
            self._phases += 1

    def _recorded(self) -> Ask | None:
        """The journal's next proposal, or None if all have been replayed."""
        asks = self._dispatcher.state.asks
        return asks[self._asked] if self._asked < len(asks) else None

    def _ask(self, recorded: Ask | None) -> bool:
        """Asks for one trial and requests its job; returns False if the strategy has none for now."""
        answer = self._strategy.ask(recorded.trial if recorded else None)
        if recorded is not None:
            self._check_replay(recorded, answer)
        if answer is WAIT and not self._outstanding:
            raise TuningError("the strategy waits for a result, but nothing is running", "report this defect")
        if not isinstance(answer, TrialSpec):
            self._exhausted = answer is DONE
            return False
        if recorded is None:
            self._dispatcher.record(Ask(trial=answer, completed=len(self._completed)))
        self._asked += 1
        end = self._outstanding.ask(answer)
        if not self._dispatcher.state.stopped:
            self._request(answer, end)
        if recorded is None:
            # Start it at once: with a wide window, the last proposal can be a minute away.
            self._dispatcher.start()
        return True

    def _request(self, spec: TrialSpec, end: float) -> None:
        self._dispatcher.request(
            trial_key(spec.trial_id),
            "trial",
            lambda fence: self._payload(spec, fence),
            priority=self._outstanding.priority(spec, end),
        )

    def _check_replay(self, recorded: Ask, answer: TrialSpec | Signal) -> None:
        now = f"proposes {_text(answer)}" if isinstance(answer, TrialSpec) else f"says {answer}"
        if isinstance(answer, TrialSpec) and _text(answer) == _text(recorded.trial):
            if recorded.completed == len(self._completed):
                return
            now = f"proposes it after {len(self._completed)} results, not {recorded.completed}"
        raise StateError(
            f"{self._dispatcher.journal.path}: proposal {self._asked} was {_text(recorded.trial)}, now the strategy "
            f"{now}",
            "the strategy's code has changed since the search began: go back to that version, or use --fresh",
        )

    def _awaited(self, spec: TrialSpec) -> dict[str, Any] | None:
        """Waits for the result of a trial; returns None if the search is stopped first."""
        while (result := self._dispatcher.result(trial_key(spec.trial_id))) is None:
            if self._stopped():
                return None
            self._dispatcher.start()
            if self._idle_work and self._dispatcher.executor.free():
                self._idle_work = self._on_idle()
                self._dispatcher.wait(0)
            else:
                self._dispatcher.wait()
        return result

    def _stopped(self) -> bool:
        """Whether the search has been stopped before its end; journals it when time runs out."""
        if not self._dispatcher.state.stopped and self._out_of_time():
            self._dispatcher.record(Stopped())
        return self._dispatcher.state.stopped

    def _end_here(self) -> None:
        """Gives up running trials; tells the strategy those outstanding trials that have a result."""
        self._dispatcher.cancel()
        for spec in self._outstanding:
            if (result := self._dispatcher.result(trial_key(spec.trial_id))) is not None:
                self._tell(spec, result)

    def _tell(self, spec: TrialSpec, result: dict[str, Any]) -> None:
        outcome = outcome_of(spec, result)
        self._strategy.tell(outcome)
        self._completed.append((spec, outcome))
        self._on_completed(spec, outcome)


def _text(spec: TrialSpec) -> str:
    return canonical_json(msgspec.to_builtins(spec))
