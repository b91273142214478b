from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuning.core.records import TrialSpec
from tuning.engine.order import LogicalOrder


def spec(number: int, epochs: int | None = 1, done: int = 0, cost: float | None = None) -> TrialSpec:
    return TrialSpec(f"{number:04d}", {}, epochs, done, cost=cost)


def told(order: LogicalOrder) -> list[str]:
    names = []
    while len(order):
        names.append(order.next().trial_id)
        order.completed()
    return names


def filled(window: int, *specs: TrialSpec) -> LogicalOrder:
    order = LogicalOrder(window)
    for one in specs:
        order.ask(one)
    return order


def test_the_shortest_training_is_told_first_and_of_equals_the_one_asked_for_first():
    order = filled(9, spec(0, 27), spec(1, 3), spec(2, 1), spec(3, 3))
    assert [one.trial_id for one in order] == ["0002", "0001", "0003", "0000"]
    assert told(order) == ["0002", "0001", "0003", "0000"]


def test_only_epochs_still_to_be_trained_take_time():
    assert told(filled(9, spec(0, 9), spec(1, 27, done=20))) == ["0001", "0000"]


def test_an_epoch_takes_what_it_is_expected_to_cost():
    order = LogicalOrder(9)
    assert order.ask(spec(0, 3, cost=2.0)) == 6
    assert order.ask(spec(1, 9, done=4, cost=0.5)) == 2.5
    assert order.ask(spec(2, 4)) == 4
    assert told(order) == ["0001", "0002", "0000"]


def test_where_costs_are_foreseen_the_result_that_is_told_first_is_worked_for_first():
    costly, cheap = spec(0, 9, cost=3.0), spec(1, 27, done=9, cost=0.5)
    order = LogicalOrder(9)
    assert order.priority(cheap, order.ask(cheap)) < order.priority(costly, order.ask(costly))
    assert order.priority(spec(2, 27, done=9), 99.0) < order.priority(spec(3, 1), 1.0)


def test_a_trial_begins_when_it_is_asked_for():
    """Two epochs asked for at time 1 end before a training of four, and after one of three, asked for at time 0."""
    order = filled(9, spec(0, 4), spec(1, 3), spec(2, 1))
    assert order.next().trial_id == "0002"
    order.completed()
    order.ask(spec(3, 2))
    assert told(order) == ["0001", "0003", "0000"]


def test_the_window_is_full_until_one_is_told():
    order = filled(2, spec(0), spec(1))
    assert order.full
    order.completed()
    assert not order.full
    assert len(order) == 1


@given(st.lists(st.sampled_from([5, None]), min_size=1, max_size=40), st.integers(1, 8))
def test_equal_trainings_are_told_in_the_order_of_asking(kinds, window):
    """Proposal i is asked for when proposal i - window has been told."""
    epochs = kinds[0]
    order, names = LogicalOrder(window), []
    for number in range(len(kinds)):
        while order.full:
            names.append(order.next().trial_id)
            order.completed()
        assert len(names) == max(0, number - window + 1)
        order.ask(spec(number, epochs))
    assert names + told(order) == [f"{number:04d}" for number in range(len(kinds))]
