"""The plan of a budget: how long a full training is, how many fit, what the finals get."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.core.errors import UsageError
from tuning.core.plan import FinalTraining
from tuning.oracles import hyperband
from tuning.oracles.rungs import brackets
from tuning.pipeline import planning
from tuning.pipeline.planning import Candidate
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


def candidate(key: str, epoch: float, start: float = 2.0) -> Candidate:
    return Candidate(key=key, epoch=epoch, start=start)


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


class TestFinals:
    def test_the_time_that_is_left_is_used(self):
        base, best, second = candidate("base", 8), candidate("a", 25), candidate("b", 30)
        chosen = planning.plan_finals(base, [best, second], 1300, 2, 20, 60)
        lengths = {"base": base, "a": best, "b": second}
        used = planning.makespan([lengths[final.key].seconds(final.epochs) for final in chosen], 2)
        assert 0.95 * 1300 < used <= 1300
        assert len({final.epochs for final in chosen}) == 1

    def test_the_baseline_and_the_best_get_a_second_seed_before_anything_gets_longer(self):
        base, best, second = candidate("base", 1), candidate("a", 1), candidate("b", 1)
        chosen = planning.plan_finals(base, [best, second], 5 * 22.0, 1, 20, 20)
        assert [(final.key, final.seed) for final in chosen] == [("a", 0), ("a", 1), ("b", 0), ("base", 0), ("base", 1)]
        assert chosen[0].epochs == 20

    def test_finalists_beyond_the_second_wait_until_trainings_are_long(self):
        base, others = candidate("base", 1), [candidate(key, 4) for key in "abc"]
        short = planning.plan_finals(base, others, 170, 2, 6, 60)
        assert {final.key for final in short} == {"a", "b", "base"}
        assert short[0].epochs > 20
        long = planning.plan_finals(base, others, 300, 2, 6, 60)
        assert {final.key for final in long} == {"a", "b", "c", "base"}
        assert long[0].epochs >= 30

    def test_a_finalist_that_fits_beside_longer_ones_on_a_seat_of_its_own_is_not_left_out(self):
        base, finalists = candidate("base", 8), [candidate("a", 21), candidate("b", 21), candidate("c", 5)]
        chosen = planning.plan_finals(base, finalists, 440, 8, 12, 46)
        assert list(dict.fromkeys(final.key for final in chosen)) == ["a", "b", "c", "base"]
        assert {final.epochs for final in chosen} == {20}
        # Nor what comes after one that does not fit.
        finalists.insert(2, candidate("d", 25))
        assert planning.plan_finals(base, finalists, 440, 8, 12, 46) == chosen

    def test_with_much_time_all_have_five_seeds_of_the_longest_training(self):
        chosen = planning.plan_finals(candidate("base", 1), [candidate("a", 1)], 1e6, 2, 20, 60)
        assert len(chosen) == 2 * planning.MOST_SEEDS
        assert {final.epochs for final in chosen} == {60}

    def test_with_little_time_finalists_are_left_out_and_the_best_stays(self):
        chosen = planning.plan_finals(candidate("base", 8), [candidate(k, 25) for k in "abc"], 10, 2, 20, 60)
        assert [final.key for final in chosen] == ["a", "base"]
        assert chosen[0].epochs == 1

    def test_a_second_finalist_stays_where_it_lacks_little_of_a_full_training(self):
        # A search from a base of 15 minutes, a second short of twice 34 epochs: one of them had 40 to itself.
        base, both = candidate("base", 1.7), [candidate(key, 7.0) for key in "ab"]
        whole = planning.makespan([one.seconds(34) for one in (base, *both)], 2)
        for seconds, epochs in ((whole, 34), (whole - 1, 33), (0.8 * whole, 27)):
            chosen = planning.plan_finals(base, both, seconds, 2, 34, 40)
            assert {final.key for final in chosen} == {"a", "b", "base"}
            assert {final.epochs for final in chosen} == {epochs}
        chosen = planning.plan_finals(base, both, 0.7 * whole, 2, 34, 40)
        assert {final.key for final in chosen} == {"a", "base"}
        assert chosen[0].epochs > 27

    def test_the_baseline_may_be_the_only_one(self):
        base = candidate("base", 1)
        assert {final.key for final in planning.plan_finals(base, [], 1000, 2, 20, 60)} == {"base"}

    def test_what_is_left_over_goes_to_further_seeds_of_equal_length(self):
        base, best = candidate("base", 10), candidate("a", 20)
        done = [FinalTraining(key="a", seed=0, epochs=10), FinalTraining(key="base", seed=0, epochs=10)]
        assert planning.more_finals(base, [best], done, 50, 1) == []
        more = planning.more_finals(base, [best], done, 110, 1)
        assert more == [FinalTraining(key="base", seed=1, epochs=10)]
        more = planning.more_finals(base, [best], done, 205, 2)
        assert more[0] == FinalTraining(key="a", seed=1, epochs=10)

    def test_what_was_left_out_is_no_seed_that_there_is_and_its_number_is_not_used_again(self):
        base, best = candidate("base", 10), candidate("a", 20)
        done = [FinalTraining(key=key, seed=0, epochs=10) for key in ("a", "base")]
        left_out = [FinalTraining(key="base", seed=seed, epochs=0) for seed in (1, 2, 3, 4)]
        more = planning.more_finals(base, [best], [*done, *left_out], 1e6, 1)
        assert [one.seed for one in more if one.key == "base"] == [5, 6, 7, 8]
        assert [one.seed for one in more if one.key == "a"] == [1, 2, 3, 4]

    def test_what_failed_gets_no_further_seed_and_the_next_best_its_first_with_as_many_epochs_as_fit(self):
        base, others = candidate("base", 10), [candidate(key, 20) for key in "ab"]
        done = [FinalTraining(key=key, seed=0, epochs=10) for key in ("a", "base")]
        assert planning.more_finals(base, others, done, 150, 1, {"a"}, 5) == [FinalTraining(key="b", seed=0, epochs=7)]
        assert planning.more_finals(base, others, done, 90, 1, {"a"}, 5) == []
        (more,) = planning.more_finals(base, others, done, 1e6, 1, {"a", "base"}, 5)[:1]
        assert more == FinalTraining(key="b", seed=0, epochs=10)
        assert planning.more_finals(base, others, done, 1e6, 1, {"a", "b", "base"}, 5) == []
        both = [*done, FinalTraining(key="b", seed=0, epochs=10)]
        assert planning.more_finals(base, others, both, 210, 1, {"a"}, 5)[0].key == "b"

    @given(
        st.floats(0.1, 100),
        st.lists(st.floats(0.1, 100), min_size=1, max_size=5),
        st.floats(1, 1e5),
        st.integers(1, 16),
        st.integers(1, 60),
    )
    def test_nothing_is_planned_that_does_not_fit(self, base, others, seconds, seats, epochs):
        finalists = [candidate(str(number), epoch) for number, epoch in enumerate(others)]
        known = {c.key: c for c in (candidate("base", base), *finalists)}
        chosen = planning.plan_finals(known["base"], finalists, seconds, seats, epochs, max(epochs, 60))
        used = planning.makespan([known[final.key].seconds(final.epochs) for final in chosen], seats)
        assert used <= seconds or {(final.seed, final.epochs) for final in chosen} == {(0, 1)}
        assert {final.key for final in chosen} >= {"base", "0"}
        assert len({(final.key, final.seed) for final in chosen}) == len(chosen)


def test_from_a_base_trainings_are_shorter():
    scratch = prices(*[1.0] * 20)
    found = planning.plan_budget(36_000, 10, replace(scratch, most_epochs=40), 11, 2)
    assert found.max_epochs == found.final_epochs == 40
    assert planning.plan_budget(36_000, 10, scratch, 11, 2).max_epochs == planning.MOST_EPOCHS
