"""What a person is told about the trials of a search, and that telling it takes no longer the more there are."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from tests.written_searches import DEFAULTS, PLAN, SPACE
from tuning.core.jobs import Description
from tuning.core.records import COMPLETED, DONE, FAILED, TrialOutcome, TrialSpec
from tuning.engine.entries import Ask
from tuning.engine.state import trial_key
from tuning.pipeline.trials import build_strategy, counts, never_learned


def outcome(*scores: float | None) -> TrialOutcome:
    curve = [{"epoch": epoch, "val_f1_macro": score} for epoch, score in enumerate(scores, start=1)]
    return TrialOutcome("0000", COMPLETED, score=0.1, curve=curve, seconds=[1.0] * len(curve))


def test_defaults_that_never_leave_chance_are_named():
    warning = never_learned(outcome(0.10, 0.14, None, 0.12), 7)
    assert warning is not None
    assert "nothing in 3 epochs (val_f1_macro 0.1400 is no better than guessing)" in warning


def test_defaults_that_leave_it_once_are_not_nor_those_that_failed():
    assert never_learned(outcome(0.10, 0.16, 0.12), 7) is None
    assert never_learned(TrialOutcome("0000", FAILED), 7) is None


def test_what_has_ended_is_counted_before_it_is_told_and_looked_at_once():
    results, looked_at = {}, []

    def result(key):
        looked_at.append(key)
        return results.get(key)

    asks = [Ask(trial=TrialSpec(f"{number:04d}", {}, epochs=1), completed=0) for number in range(2000)]
    results |= {trial_key(ask.trial.trial_id): {} for ask in asks[:1990]}
    dispatcher = SimpleNamespace(state=SimpleNamespace(asks=asks), result=result, running=lambda: ("a", "b"))
    count = counts(dispatcher)
    assert count() == (1990, 2)
    results["trial/1995"] = {}
    asks.append(Ask(trial=TrialSpec("2000", {}, epochs=1), completed=1990))
    results["trial/2000"] = {}
    assert [count(), count()] == [(1992, 2)] * 2
    assert looked_at[2000:] == [key for key in looked_at[2000:] if int(key[-4:]) >= 1990]
    assert len(looked_at) == 2000 + 11 + 9


@pytest.mark.parametrize("strategy", ["random", "bayesian"])
@pytest.mark.parametrize(
    ("plan", "most", "trials"),
    [(None, None, 30), (PLAN, None, 35), (PLAN, 5, 5)],
)
def test_with_a_budget_only_its_time_ends_a_search_unless_a_person_says_how_many_trials(
    settings, strategy, plan, most, trials
):
    space = [{"class_name": kind, "config": {"conditions": [], **config}} for kind, config in SPACE]
    described = Description(space=space, defaults=DEFAULTS, parameters={})
    frozen = settings(strategy=strategy, plan=plan, max_trials=most, learned=[])
    search = build_strategy(frozen, described, 7)
    for asked in itertools.takewhile(lambda spec: spec is not DONE, (search.ask() for _ in range(35))):
        curve = tuple({"epoch": epoch, "val_f1_macro": 0.5} for epoch in (1, 2))
        search.tell(TrialOutcome(asked.trial_id, COMPLETED, 0.5, curve, seconds=(1.0, 1.0)))
    assert len(search.oracle.trials) == trials
