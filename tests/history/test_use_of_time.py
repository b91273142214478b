"""Where a search's time went, and how a plan is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.written_searches import PLAN
from tuning.core.plan import CostLimit
from tuning.history.records import History, Point, Trial
from tuning.history.use_of_time import by_rung, plan_text, share_at_chance


def trial(name: str, epochs: int, scores: list[float], inherited: int = 0, seconds: float = 10.0) -> Trial:
    curve = tuple(Point(epoch, score, 1.0) for epoch, score in enumerate(scores, start=1))
    return Trial(
        name, name, {}, epochs, inherited, None, None, score=max(scores, default=None), curve=curve, seconds=seconds
    )


HISTORY = History(
    trials=(
        trial("0000", 3, [0.10, 0.20, 0.30]),
        trial("0001", 1, [0.14]),
        trial("0002", 1, [0.16]),
        trial("0003", 3, [0.16, 0.10, 0.40], inherited=1, seconds=7.0),
        trial("0004", 3, [], seconds=0.0),
    )
)


def test_epochs_count_for_the_trial_that_trained_them_and_at_chance_below_eleven_tenths():
    short, long = by_rung(HISTORY, 7)
    assert (short.name, short.trainings, short.epochs, short.at_chance) == ("search, to epoch 1", 2, 2, 1)
    assert (long.trainings, long.epochs, long.seconds, long.at_chance) == (3, 5, 17.0, 2)
    assert share_at_chance([short, long]) == pytest.approx(3 / 7)


def test_without_classes_nobody_knows_what_chance_is():
    shares = by_rung(HISTORY, None)
    assert all(share.at_chance is None for share in shares)
    assert share_at_chance(shares) is None
    assert by_rung(History(), 7) == []


def test_a_plan_is_told_in_three_lines():
    first, search, finals = plan_text(PLAN)
    assert "2 trainings at a time" in first
    assert "20.0 s" in first
    assert "20 epochs, the shortest 3 to 7" in search
    assert "9 full trainings (6 to 18)" in search
    assert "up to 38 min, start-up included, plus what the finals cannot use;" in search
    assert "21 min or more, unless five seeds of each take less:" in finals
    assert "20 to 60 epochs" in finals


def test_finals_that_a_person_asked_for_are_told_as_asked_and_what_they_leave():
    asked = replace(PLAN, final_runs=6, final_epochs=40, finals=3000.0)
    *_, finals = plan_text(asked)
    assert "about 50 min, as requested: up to 6 trainings of 40 epochs" in finals
    assert "take longer than the budget" in plan_text(replace(asked, search=0.0))[-1]
    assert not any("take longer" in line for line in plan_text(asked))


def test_a_range_without_width_is_not_told():
    price = replace(PLAN.price, low=20.01, high=20.02)
    first, search, _ = plan_text(replace(PLAN, price=price, seats=1))
    assert "1 training at a time; an epoch takes 20.0 s on average (" in first and "half of the space" not in first
    assert search.endswith("9 full trainings")


def test_what_is_left_out_is_told():
    limit = CostLimit(most=1e6, relative=2.5, excluded=0.4, known=[])
    *_, limited, untried = plan_text(replace(PLAN, limit=limit, untried=[{"width": 64}]))
    assert "more than 2.5 times the multiply-adds of the default one, about 40% of the space" in limited
    [*_, limited] = plan_text(replace(PLAN, limit=replace(limit, relative=1.0)))
    assert "configurations with more than the multiply-adds of the default one" in limited
    assert untried.endswith("too expensive for this budget: 1")


def test_what_a_starting_point_counts_more_is_told():
    *_, line = plan_text(replace(PLAN, good=[{"width": 64}]))
    assert "each of the space's first two starting points counts as 6% closer to a score of 1" in line
