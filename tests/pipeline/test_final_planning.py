"""The final trainings of a budget: which configurations, with how many seeds, for how many epochs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuning.core.plan import FinalTraining
from tuning.pipeline.final_planning import MOST_SEEDS, Candidate, makespan, more_finals, plan_finals

TOP_K = 3


def candidate(key: str, epoch: float, start: float = 2.0) -> Candidate:
    return Candidate(key=key, epoch=epoch, start=start)


def test_the_time_that_is_left_is_used():
    base, best, second = candidate("base", 8), candidate("a", 25), candidate("b", 30)
    chosen = plan_finals(base, [best, second], TOP_K, 1300, 2, 20, 60)
    lengths = {"base": base, "a": best, "b": second}
    used = makespan([lengths[final.key].seconds(final.epochs) for final in chosen], 2)
    assert 0.95 * 1300 < used <= 1300
    assert len({final.epochs for final in chosen}) == 1


def test_the_baseline_and_the_best_get_a_second_seed_before_anything_gets_longer():
    base, best, second = candidate("base", 1), candidate("a", 1), candidate("b", 1)
    chosen = plan_finals(base, [best, second], TOP_K, 5 * 22.0, 1, 20, 20)
    assert [(final.key, final.seed) for final in chosen] == [("a", 0), ("a", 1), ("b", 0), ("base", 0), ("base", 1)]
    assert chosen[0].epochs == 20


def test_finalists_beyond_the_second_wait_until_trainings_are_long():
    base, others = candidate("base", 1), [candidate(key, 4) for key in "abc"]
    short = plan_finals(base, others, TOP_K, 170, 2, 6, 60)
    assert {final.key for final in short} == {"a", "b", "base"}
    assert short[0].epochs > 20
    long = plan_finals(base, others, TOP_K, 300, 2, 6, 60)
    assert {final.key for final in long} == {"a", "b", "c", "base"}
    assert long[0].epochs >= 30


def test_a_finalist_that_fits_beside_longer_ones_on_a_seat_of_its_own_is_not_left_out():
    base, finalists = candidate("base", 8), [candidate("a", 21), candidate("b", 21), candidate("c", 5)]
    chosen = plan_finals(base, finalists, TOP_K, 440, 8, 12, 46)
    assert list(dict.fromkeys(final.key for final in chosen)) == ["a", "b", "c", "base"]
    assert {final.epochs for final in chosen} == {20}
    # Nor what comes after one that does not fit.
    finalists.insert(2, candidate("d", 25))
    assert plan_finals(base, finalists, TOP_K, 440, 8, 12, 46) == chosen


def test_where_the_third_best_is_too_expensive_a_worker_that_would_be_idle_trains_a_cheaper_one():
    base, ranked = candidate("base", 40), [candidate(key, 57) for key in "abc"] + [candidate("d", 25)]
    chosen = plan_finals(base, ranked, 3, 2400, 2, 6, 60)
    assert [final.key for final in chosen] == ["a", "b", "d", "base"]
    assert {final.epochs for final in chosen} == {24}
    # It makes no other one shorter, is worth more than a second seed, and is one of at most `top_k`.
    without = plan_finals(base, ranked[:3], 3, 2400, 2, 6, 60)
    assert [(one.key, one.seed) for one in without] == [("a", 0), ("b", 0), ("base", 0), ("base", 1)]
    assert {final.epochs for final in without} == {24}
    assert {final.key for final in plan_finals(base, ranked, 2, 2400, 2, 6, 60)} == {"a", "b", "base"}


def test_with_much_time_all_have_five_seeds_of_the_longest_training():
    chosen = plan_finals(candidate("base", 1), [candidate("a", 1)], TOP_K, 1e6, 2, 20, 60)
    assert len(chosen) == 2 * MOST_SEEDS
    assert {final.epochs for final in chosen} == {60}


def test_with_little_time_finalists_are_left_out_and_the_best_stays():
    chosen = plan_finals(candidate("base", 8), [candidate(k, 25) for k in "abc"], TOP_K, 10, 2, 20, 60)
    assert [final.key for final in chosen] == ["a", "base"]
    assert chosen[0].epochs == 1


def test_a_second_finalist_stays_where_it_lacks_little_of_a_full_training():
    # A search from a base of 15 minutes, a second short of twice 34 epochs: one of them had 40 to itself.
    base, both = candidate("base", 1.7), [candidate(key, 7.0) for key in "ab"]
    whole = makespan([one.seconds(34) for one in (base, *both)], 2)
    for seconds, epochs in ((whole, 34), (whole - 1, 33), (0.8 * whole, 27)):
        chosen = plan_finals(base, both, TOP_K, seconds, 2, 34, 40)
        assert {final.key for final in chosen} == {"a", "b", "base"}
        assert {final.epochs for final in chosen} == {epochs}
    chosen = plan_finals(base, both, TOP_K, 0.7 * whole, 2, 34, 40)
    assert {final.key for final in chosen} == {"a", "base"}
    assert chosen[0].epochs > 27


def test_the_baseline_may_be_the_only_one():
    base = candidate("base", 1)
    assert {final.key for final in plan_finals(base, [], TOP_K, 1000, 2, 20, 60)} == {"base"}


def test_what_is_left_over_goes_to_further_seeds_of_equal_length():
    base, best = candidate("base", 10), candidate("a", 20)
    done = [FinalTraining(key="a", seed=0, epochs=10), FinalTraining(key="base", seed=0, epochs=10)]
    assert more_finals(base, [best], done, 50, 1) == []
    more = more_finals(base, [best], done, 110, 1)
    assert more == [FinalTraining(key="base", seed=1, epochs=10)]
    more = more_finals(base, [best], done, 205, 2)
    assert more[0] == FinalTraining(key="a", seed=1, epochs=10)


def test_what_was_left_out_is_no_seed_that_there_is_and_its_number_is_not_used_again():
    base, best = candidate("base", 10), candidate("a", 20)
    done = [FinalTraining(key=key, seed=0, epochs=10) for key in ("a", "base")]
    left_out = [FinalTraining(key="base", seed=seed, epochs=0) for seed in (1, 2, 3, 4)]
    more = more_finals(base, [best], [*done, *left_out], 1e6, 1)
    assert [one.seed for one in more if one.key == "base"] == [5, 6, 7, 8]
    assert [one.seed for one in more if one.key == "a"] == [1, 2, 3, 4]


def test_what_failed_gets_no_further_seed_and_the_next_best_its_first_with_as_many_epochs_as_fit():
    base, others = candidate("base", 10), [candidate(key, 20) for key in "ab"]
    done = [FinalTraining(key=key, seed=0, epochs=10) for key in ("a", "base")]
    assert more_finals(base, others, done, 150, 1, {"a"}, 5) == [FinalTraining(key="b", seed=0, epochs=7)]
    assert more_finals(base, others, done, 90, 1, {"a"}, 5) == []
    (more,) = more_finals(base, others, done, 1e6, 1, {"a", "base"}, 5)[:1]
    assert more == FinalTraining(key="b", seed=0, epochs=10)
    assert more_finals(base, others, done, 1e6, 1, {"a", "b", "base"}, 5) == []
    both = [*done, FinalTraining(key="b", seed=0, epochs=10)]
    assert more_finals(base, others, both, 210, 1, {"a"}, 5)[0].key == "b"


@given(
    st.floats(0.1, 100),
    st.lists(st.floats(0.1, 100), min_size=1, max_size=5),
    st.floats(1, 1e5),
    st.integers(1, 16),
    st.integers(1, 60),
)
def test_nothing_is_planned_that_does_not_fit(base, others, seconds, seats, epochs):
    finalists = [candidate(str(number), epoch) for number, epoch in enumerate(others)]
    known = {c.key: c for c in (candidate("base", base), *finalists)}
    chosen = plan_finals(known["base"], finalists, TOP_K, seconds, seats, epochs, max(epochs, 60))
    used = makespan([known[final.key].seconds(final.epochs) for final in chosen], seats)
    assert used <= seconds or {(final.seed, final.epochs) for final in chosen} == {(0, 1)}
    assert {final.key for final in chosen} >= {"base", "0"}
    assert len({(final.key, final.seed) for final in chosen}) == len(chosen)
