from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning.core.errors import UsageError
from tuning.oracles.rungs import Bracket, Halving, Rung, brackets, plan, total_epochs, total_trials


def table(max_epochs, factor, min_epochs=1):
    return {
        bracket.number: [(rung.size, rung.epochs) for rung in bracket.rungs]
        for bracket in brackets(max_epochs, factor, min_epochs)
    }


def test_the_table_of_the_paper():
    """Li et al. 2018, Table 1: R = 81, eta = 3."""
    assert table(81, 3) == {
        4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        3: [(34, 3), (11, 9), (3, 27), (1, 81)],
        2: [(15, 9), (5, 27), (1, 81)],
        1: [(8, 27), (2, 81)],
        0: [(5, 81)],
    }


@pytest.mark.parametrize(
    ("max_epochs", "factor", "expected"),
    [
        (
            27,
            3,
            {3: [(27, 1), (9, 3), (3, 9), (1, 27)], 2: [(12, 3), (4, 9), (1, 27)], 1: [(6, 9), (2, 27)], 0: [(4, 27)]},
        ),
        (16, 4, {2: [(16, 1), (4, 4), (1, 16)], 1: [(6, 4), (1, 16)], 0: [(3, 16)]}),
        (
            16,
            2,
            {
                4: [(16, 1), (8, 2), (4, 4), (2, 8), (1, 16)],
                3: [(10, 2), (5, 4), (2, 8), (1, 16)],
                2: [(7, 4), (3, 8), (1, 16)],
                1: [(5, 8), (2, 16)],
                0: [(5, 16)],
            },
        ),
        (
            50,
            3,
            {
                3: [(27, 2), (9, 6), (3, 17), (1, 50)],
                2: [(12, 6), (4, 17), (1, 50)],
                1: [(6, 17), (2, 50)],
                0: [(4, 50)],
            },
        ),
        (1, 3, {0: [(1, 1)]}),
        (2, 3, {0: [(1, 2)]}),
    ],
)
def test_other_schedules(max_epochs, factor, expected):
    assert table(max_epochs, factor) == expected


def test_exact_powers_are_counted_exactly():
    """log(243) / log(3) is 4.999…, so that float logarithms lose a bracket."""
    assert table(243, 3)[5] == [(243, 1), (81, 3), (27, 9), (9, 27), (3, 81), (1, 243)]
    assert [rungs[0][0] for rungs in table(243, 3).values()] == [243, 98, 41, 18, 9, 6]
    assert len(table(1000, 10)) == 4


def test_a_longer_first_rung_drops_the_short_ones():
    assert table(27, 3, min_epochs=3) == {2: [(9, 3), (3, 9), (1, 27)], 1: [(5, 9), (1, 27)], 0: [(3, 27)]}
    assert min(epochs for rungs in table(27, 3, min_epochs=2).values() for _, epochs in rungs) == 3


def test_a_rung_that_is_rounded_up_to_the_first_one_asked_for_is_not_dropped():
    assert table(20, 3, min_epochs=7) == {1: [(3, 7), (1, 20)], 0: [(2, 20)]}
    assert table(50, 3, min_epochs=6)[2] == [(9, 6), (3, 17), (1, 50)]


@given(st.integers(1, 2000), st.integers(2, 10), st.data())
def test_every_schedule_is_sound(max_epochs, factor, data):
    min_epochs = data.draw(st.integers(1, max_epochs))
    for bracket in brackets(max_epochs, factor, min_epochs):
        epochs = [rung.epochs for rung in bracket.rungs]
        sizes = [rung.size for rung in bracket.rungs]
        assert epochs[-1] == max_epochs
        assert epochs[0] >= min_epochs
        assert all(a < b for a, b in itertools.pairwise(epochs))
        assert all(a // factor == b for a, b in itertools.pairwise(sizes))
        assert sizes[-1] >= 1
        assert len(bracket.rungs) == bracket.number + 1


@pytest.mark.parametrize("numbers", [(0, 3, 1), (27, 1, 1), (27, 3, 0), (27, 3, 28)])
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(UsageError):
        brackets(*numbers)


def test_totals_count_only_epochs_that_are_trained():
    one = Bracket(1, (Rung(6, 9), Rung(2, 27)))
    assert (one.trials, one.epochs) == (8, 6 * 9 + 2 * 18)
    assert total_trials(plan(27, 3)) == 27 + 9 + 3 + 1 + 12 + 4 + 1 + 6 + 2 + 4
    assert total_epochs([one, one]) == 180
    assert total_trials(plan(27, 3, iterations=2)) == 2 * total_trials(plan(27, 3))


def test_a_cap_beyond_the_plan_changes_nothing():
    assert list(plan(27, 3, max_trials=1000)) == list(plan(27, 3))


def test_without_a_limit_the_plan_has_no_end():
    endless = list(itertools.islice(plan(9, 3, iterations=None), 7))
    assert [bracket.number for bracket in endless] == [2, 1, 0, 2, 1, 0, 2]


def test_a_cap_shortens_the_bracket_that_does_not_fit():
    # 20 trials do not fill 27-9-3-1; they fill three rungs, and the one that is left over is a full training.
    assert [[(r.size, r.epochs) for r in b.rungs] for b in plan(27, 3, max_trials=20)] == [
        [(14, 3), (4, 9), (1, 27)],
        [(1, 27)],
    ]
    assert [[(r.size, r.epochs) for r in b.rungs] for b in plan(27, 3, max_trials=2)] == [[(2, 27)]]


@given(st.integers(1, 300), st.integers(2, 5), st.integers(1, 500))
def test_a_cap_is_used_up_and_never_passed(max_epochs, factor, cap):
    planned = list(plan(max_epochs, factor, iterations=None, max_trials=cap))
    assert total_trials(planned) == cap
    assert all(bracket.rungs[-1].epochs == max_epochs for bracket in planned)


class Run:
    """Drives one bracket; `outcome(rung, index)` is a score or None, `configurations` how many there are."""

    def __init__(self, bracket, outcome, configurations=10**9, cap=None, choose=lambda running: 0, workers=10**9):
        self.halving = Halving(bracket, "max")
        self.started, self.order = 0, []
        fresh, running, told = configurations, [], 0
        while True:
            allowance = None if cap is None else cap - self.started
            step = self.halving.next_step(allowance, fresh > 0) if len(running) < workers else None
            if step is not None:
                trial_id = f"{self.started:04d}"
                self.halving.start(trial_id, step)
                fresh -= step.parent is None
                running.append((trial_id, outcome(step.rung, len(self.halving.asked[step.rung]) - 1)))
                self.order.append((trial_id, step))
                self.started += 1
                continue
            if not running:
                break
            self.halving.tell(*running.pop(choose(running)))
            told += 1

    @property
    def sizes(self):
        return [len(ids) for ids in self.halving.asked]


DEEP = brackets(27, 3)[0]


def test_a_bracket_without_failures_follows_the_plan_and_promotes_the_best():
    run = Run(DEEP, lambda rung, index: float(index % 10))
    assert run.sizes == [27, 9, 3, 1]
    promoted = [step.parent for _, step in run.order if step.rung == 1]
    assert promoted == ["0009", "0019", "0008", "0018", "0007", "0017", "0006", "0016", "0026"]
    assert [(s.epochs, s.initial_epoch) for _, s in run.order[-4:]] == [(9, 3), (9, 3), (9, 3), (27, 9)]
    assert run.halving.spent


def test_lower_is_better_where_the_objective_says_so():
    halving = Halving(Bracket(1, (Rung(2, 1), Rung(1, 3))), "min")
    for trial_id, score in (("0000", 0.9), ("0001", 0.1)):
        halving.start(trial_id, halving.next_step())
        halving.tell(trial_id, score)
    assert halving.next_step().parent == "0001"


def test_no_promotion_before_the_rung_is_whole():
    halving = Halving(Bracket(1, (Rung(3, 1), Rung(1, 3))), "max")
    for trial_id in ("0000", "0001", "0002"):
        halving.start(trial_id, halving.next_step())
    halving.tell("0000", 0.9)
    halving.tell("0002", 0.1)
    assert halving.next_step() is None
    halving.tell("0001", 0.5)
    assert halving.next_step().parent == "0000"


def test_failures_in_the_first_rung_are_replaced_by_new_configurations():
    run = Run(DEEP, lambda rung, index: None if rung == 0 and index < 5 else float(index))
    assert run.sizes == [32, 9, 3, 1]


def test_a_failed_promotion_is_replaced_by_the_next_best():
    run = Run(DEEP, lambda rung, index: None if rung == 1 and index == 0 else float(index))
    assert run.sizes == [27, 10, 3, 1]
    assert [step.parent for _, step in run.order if step.rung == 1][-1] == "0017"


def test_a_builder_that_always_fails_ends():
    run = Run(DEEP, lambda rung, index: None)
    assert run.sizes == [54, 0, 0, 0]
    assert run.halving.spent


@pytest.mark.parametrize(("configurations", "sizes"), [(5, [5, 5, 3, 1]), (1, [1, 1, 1, 1]), (0, [0, 0, 0, 0])])
def test_where_configurations_run_out_the_bracket_shrinks(configurations, sizes):
    assert Run(DEEP, lambda rung, index: float(index), configurations=configurations).sizes == sizes


def test_a_cap_keeps_promotions_before_replacements():
    def outcome(rung, index):
        return None if rung == 0 and index < 5 else float(index)

    assert Run(DEEP, outcome, cap=40).sizes == [27, 9, 3, 1]
    assert Run(DEEP, outcome, cap=42).sizes == [29, 9, 3, 1]


def test_under_a_cap_a_rung_without_survivors_is_kept_alive():
    run = Run(DEEP, lambda rung, index: None if rung == 1 and index < 9 else float(index), cap=40)
    assert run.sizes == [27, 10, 1, 1]


@given(st.integers(1, 100), st.integers(2, 4), st.data())
@settings(max_examples=150)
def test_any_failures_in_any_order(max_epochs, factor, data):
    bracket = data.draw(st.sampled_from(brackets(max_epochs, factor)))
    configurations = data.draw(st.sampled_from([10**9, 7, 3, 1]))
    workers = data.draw(st.sampled_from([1, 3, 10**9]))
    random = data.draw(st.randoms(use_true_random=False))
    rate = data.draw(st.sampled_from([0.0, 0.2, 0.7, 0.95]))
    capped = data.draw(st.booleans())

    def outcome(rung, index):
        return None if random.random() < rate else random.random()

    run = Run(
        bracket,
        outcome,
        configurations=configurations,
        cap=bracket.trials if capped else None,
        choose=lambda running: random.randrange(len(running)),
        workers=workers,
    )
    ended = run.halving
    assert run.started <= (bracket.trials if capped else 2 * bracket.rungs[0].size * len(bracket.rungs))
    promoted = [step.parent for _, step in run.order if step.parent is not None]
    assert len(promoted) == len(set(promoted))
    assert ended.running == 0
    # It reaches max_epochs unless a whole rung, replacements included, has failed (or nothing could be started).
    assert ended.asked[-1] or not ended._scores
    if rate == 0.0:
        assert len(ended.asked[-1]) >= 1
    if not capped:
        # Uncapped, it stops early only where a whole rung and everything that could replace it has failed.
        assert ended.spent or configurations < 10**9


@given(st.integers(0, 60), st.randoms(use_true_random=False))
def test_a_replayed_bracket_goes_on_as_the_original(cut, random):
    results: dict[str, float | None] = {}

    def walk(halving, steps, number=0):
        proposals = []
        for _ in range(steps):
            step = halving.next_step()
            if step is not None and random.random() < 0.7:
                halving.start(f"{number:04d}", step)
                proposals.append(step)
                number += 1
            elif halving.running:
                open_ids = [i for ids in halving.asked for i in ids if i not in results]
                trial_id = random.choice(open_ids)
                results[trial_id] = None if random.random() < 0.3 else random.random()
                halving.tell(trial_id, results[trial_id])
        return proposals

    original = Halving(DEEP, "max")
    walk(original, cut)
    copy = Halving(DEEP, "max")
    copy.replay(original.asked, results)
    assert copy.next_step() == original.next_step()
    assert (copy.running, copy.reserved, copy.spent) == (original.running, original.reserved, original.spent)
    state = random.getstate()
    saved = dict(results)
    number = sum(map(len, original.asked))
    first = walk(original, 200, number)
    random.setstate(state)
    results.clear()
    results.update(saved)
    assert walk(copy, 200, number) == first


@given(st.randoms(use_true_random=False), st.sampled_from([0.0, 0.3, 0.8]))
def test_what_a_running_or_later_trial_goes_on_from_is_kept_and_no_more(random, rate):
    halving = Halving(DEEP, "max")
    running: dict[str, str | None] = {}
    told, gone = set(), set()
    while not halving.spent:
        step = halving.next_step()
        if step is not None and (not running or random.random() < 0.7):
            assert step.parent not in gone
            trial_id = f"{len(told) + len(running):04d}"
            halving.start(trial_id, step)
            running[trial_id] = step.parent
        else:
            trial_id = random.choice(sorted(running))
            del running[trial_id]
            told.add(trial_id)
            halving.tell(trial_id, None if random.random() < rate else random.random())
            gone |= told - halving.continuable()
            assert not gone & set(running.values())
    if rate == 0.0:
        assert gone == told
