"""The plan of a budget: how long a full training is, how many fit, what the finals get."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.core.errors import UsageError
from tuning.oracles import hyperband
from tuning.oracles.rungs import brackets
from tuning.pipeline import planning
from tuning.pipeline.prices import Prices, Sample


def sample(cost: float, epoch: float) -> Sample:
    return Sample(values={"width": cost}, cost=cost, epoch=epoch)


def prices(*epochs: float, default: float = 8.0, start: float = 3.0, good: tuple[float, ...] = ()) -> Prices:
    """Configurations that cost what their epochs take."""
    return Prices(
        default=sample(default, default),
        samples=tuple(sample(epoch, epoch) for epoch in epochs),
        good=tuple(sample(epoch, epoch) for epoch in good),
        start=start,
        timed=2,
    )


#: Epochs of 4 to 64 seconds, 25 in the mean.
FACES = prices(4, 7, 10, 14, 20, 30, 51, 64)

all_prices = st.builds(
    prices,
    st.floats(0.05, 200),
    st.floats(0.05, 200),
    st.floats(0.05, 200),
    st.floats(0.05, 200),
    default=st.floats(0.05, 50),
    start=st.floats(0.1, 10),
    good=st.sampled_from([(), (1.0,), (30.0, 60.0)]),
)


class TestPrices:
    def test_the_mean_of_the_samples_counts_not_the_default_one(self):
        price = FACES.price(FACES.by_cost())
        assert (price.epoch, price.default, price.start) == (25.0, 8.0, 3.0)
        assert price.low < 14 < price.high

    def test_one_sample_is_enough_and_none_is_the_default(self):
        one = prices(10)
        assert one.price(one.by_cost()).low == 10.0
        none = prices()
        assert none.price(none.by_cost()).epoch == none.default.epoch
        assert none.limit(none.by_cost()) is None


class TestFullTrainings:
    def test_their_length_follows_from_the_steps_of_an_epoch(self):
        assert planning.full_training(13) == 100
        assert planning.full_training(333) == 24
        assert planning.full_training(5000) == 20

    @given(st.integers(1, 20_000))
    def test_the_shortest_is_never_longer(self, steps):
        epochs = planning.full_training(steps)
        assert 1 <= planning.least_training(steps) <= epochs <= planning.MOST_EPOCHS

    @given(st.integers(3, 200), st.integers(1, 20_000), st.integers(2, 5))
    def test_the_first_rung_is_one_that_the_brackets_have_and_never_more_than_a_third(self, epochs, steps, factor):
        least = planning.least_rung(epochs, steps, factor)
        rungs = [rung.epochs for rung in brackets(epochs, factor, least)[0].rungs]
        assert rungs[0] == least
        assert factor > 3 or least <= (epochs / 3 + 0.5 if factor == 3 else epochs / 2 + 0.5)

    @pytest.mark.parametrize("epochs", range(9, 101))
    def test_whatever_the_length_trainings_of_long_epochs_begin_at_a_ninth(self, epochs):
        least = planning.least_rung(epochs, 300)
        assert least == round(epochs / 9)
        assert [rung.epochs for rung in brackets(epochs, 3, least)[0].rungs] == [least, round(epochs / 3), epochs]


class TestBudgets:
    def test_an_hour_of_two_cores_on_faces(self):
        plan = planning.plan_budget(3600, 20, FACES, 333, 2)
        assert plan.trainings >= 8
        assert planning.short_training(333) <= plan.max_epochs <= 24
        assert plan.finals == pytest.approx(0.35 * 3600)
        assert plan.final_epochs >= 60

    def test_four_times_the_time_buys_longer_trainings_of_the_whole_space(self):
        hour, four = (planning.plan_budget(3600 * n, 20, FACES, 333, 2) for n in (1, 4))
        assert four.max_epochs == 24 >= hour.max_epochs
        assert four.limit is None
        assert hour.limit is not None
        assert four.trainings > hour.trainings

    def test_a_night_has_longer_trainings(self):
        plan = planning.plan_budget(3600 * 24, 20, FACES, 333, 2)
        assert plan.max_epochs > 24
        assert 25 <= plan.trainings <= 45

    def test_with_little_time_the_expensive_configurations_are_left_out(self):
        plan = planning.plan_budget(900, 20, FACES, 333, 2)
        assert plan.limit is not None
        assert plan.limit.most == 20.0
        assert plan.limit.relative == 2.5
        assert plan.limit.excluded == pytest.approx(3 / 8, abs=0.01)
        assert plan.max_epochs == 9
        assert plan.price.epoch < FACES.price(FACES.by_cost()).epoch
        assert {known.cost for known in plan.limit.known} >= {4, 64}

    def test_no_training_takes_more_than_half_of_the_search(self):
        plan = planning.plan_budget(36_000, 20, prices(1, 1, 1, 1, 1, 1, 1, 5000), 333, 2)
        assert plan.limit is not None
        assert plan.limit.most == 8.0  # the default itself

    def test_where_good_configurations_are_known_the_finals_get_more(self):
        known = prices(4, 7, 10, 14, 20, 30, 51, 64, good=(20,))
        assert planning.plan_budget(3600, 20, known, 333, 2).finals == pytest.approx(0.65 * 3600)
        dear = prices(4, 7, 10, 14, 20, 30, 51, 64, good=(20, 300))
        plan = planning.plan_budget(3600, 20, dear, 333, 2)
        assert plan.untried == [{"width": 300}]
        dear = prices(4, 7, 10, 14, 20, 30, 51, 64, good=(300,))
        plan = planning.plan_budget(3600, 20, dear, 333, 2)
        assert plan.finals == pytest.approx(0.35 * 3600)
        assert plan.untried == [{"width": 300}]

    def test_a_second_worker_drops_no_starting_point_for_longer_trainings(self):
        known = prices(4, 7, 10, 14, 20, 30, 51, 64, good=(40, 41))
        one, two = (planning.plan_budget(3600, 20, known, 333, seats) for seats in (1, 2))
        assert one.untried == two.untried == []
        assert two.max_epochs > one.max_epochs
        assert one.finals == two.finals == pytest.approx(0.65 * 3600)

    def test_for_one_more_starting_point_trainings_become_no_shorter_than_half(self):
        alone, both, dear = (
            planning.plan_budget(3600, 20, prices(*[1.0] * 8, good=good), 333, 2)
            for good in [(50,), (50, 90), (50, 150)]
        )
        assert both.untried == []
        assert alone.max_epochs / 2 <= both.max_epochs < alone.max_epochs
        assert dear.untried == [{"width": 150}]
        assert dear.max_epochs == alone.max_epochs

    def test_a_starting_point_waits_until_the_finals_have_time_for_a_training_as_long_as_its_price(self):
        # FER2013: 9 epochs are 2,700 steps. What costs half as much again as the default has to have 13 of them.
        known = prices(9, 12, 17, 17, 24, 32, 36, 36, 46, 57, 77, 145, default=17, good=(25.5, 25.6))
        tried = {minutes: planning.plan_budget(60 * minutes, 50, known, 332, 2) for minutes in (10, 13, 16)}
        assert [2 - len(plan.untried) for plan in tried.values()] == [0, 1, 2]
        assert [plan.finals > 5 * 60 for plan in tried.values()] == [False, True, True]

    def test_an_expensive_starting_point_waits_until_the_finals_have_time_for_a_full_training_of_it(self):
        # FER2013: 24 epochs are 8,000 steps. With fewer, it is behind what costs less than half.
        known = prices(9, 12, 17, 17, 24, 32, 36, 36, 46, 57, 77, 145, default=17, good=(60, 61, 27, 28))
        tried = {}
        for minutes in (10, 15, 30, 40, 50, 90):
            plan = planning.plan_budget(60 * minutes, 50, known, 332, 2)
            tried[minutes] = [one for one in (60, 61, 27, 28) if {"width": one} not in plan.untried]
        both, all_of_them = [27, 28], [60, 61, 27, 28]
        assert tried == {10: [], 15: [27], 30: both, 40: [60, 27, 28], 50: all_of_them, 90: all_of_them}
        # The lead of those trained in full, beside the defaults, is not that of cheap ones that were promoted.
        assert planning.TRAINED_WHOLE == hyperband.WHOLE - 1
        assert plan.good == [{"width": 60}, {"width": 61}]

    def test_trainings_become_no_longer_than_a_starting_point_can_be_paid_for(self):
        plan = planning.plan_budget(3600, 20, prices(*[0.01] * 8, default=0.01, good=(30,)), 333, 2)
        assert plan.untried == []
        assert plan.max_epochs * 30 <= plan.search

    @given(
        all_prices,
        st.integers(1, 2000),
        st.integers(1, 64),
        st.floats(30, 1e5),
        st.sampled_from([(1, 0), (1, 1), (1, 7), (1.2, 0), (4, 0)]),
    )
    def test_more_time_or_workers_never_cost_a_starting_point(self, prices, steps, seats, budget, more):
        try:
            less = planning.plan_budget(budget, 5, prices, steps, seats)
        except UsageError:
            return
        plan = planning.plan_budget(more[0] * budget, 5, prices, steps, seats + more[1])
        assert len(plan.untried) <= len(less.untried)

    def test_a_length_that_a_person_gave_stays(self):
        assert planning.plan_budget(3600, 20, FACES, 333, 2, max_epochs=9).max_epochs == 9
        with pytest.raises(UsageError):
            planning.plan_budget(1200, 20, FACES, 333, 2, max_epochs=100)

    def test_too_small_a_budget_is_refused_with_the_least_that_works(self):
        with pytest.raises(UsageError, match="--budget is 1m: in that time") as refused:
            planning.plan_budget(60, 5, FACES, 333, 2)
        minutes = int(refused.value.remedy.split("m or more")[0].removeprefix("give "))
        assert planning.plan_budget(60 * minutes, 5, FACES, 333, 2).max_epochs >= 5
        with pytest.raises(UsageError):
            planning.plan_budget(60 * (minutes - 1) - 1, 5, FACES, 333, 2)

    @given(all_prices, st.integers(1, 2000), st.integers(1, 64), st.floats(30, 1e6))
    def test_every_plan_keeps_its_limits(self, prices, steps, seats, budget):
        try:
            plan = planning.plan_budget(budget, 5, prices, steps, seats)
        except UsageError as refused:
            least = 60 * int(refused.remedy.split("m or more")[0].removeprefix("give "))
            assert least > budget * 0.999
            planning.plan_budget(least, 5, prices, steps, seats)
            return
        assert planning.least_training(steps) <= plan.max_epochs <= planning.MOST_EPOCHS
        assert plan.trainings >= planning.FEWEST_OF_ALL - 0.1
        assert plan.window >= plan.seats
        assert plan.max_epochs <= plan.final_epochs <= planning.MOST_EPOCHS
        dearest = max(s.epoch for s in prices.samples if plan.limit is None or s.cost <= plan.limit.most)
        if plan.limit is None or plan.limit.most > prices.default.cost:
            assert plan.max_epochs * dearest <= plan.finals


def test_from_a_base_trainings_are_shorter():
    scratch = prices(*[1.0] * 20)
    found = planning.plan_budget(36_000, 10, replace(scratch, most_epochs=40), 11, 2)
    assert found.max_epochs == found.final_epochs == 40
    assert planning.plan_budget(36_000, 10, scratch, 11, 2).max_epochs == planning.MOST_EPOCHS
