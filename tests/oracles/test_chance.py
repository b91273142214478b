"""When curves leave chance."""

from __future__ import annotations

from tuning.oracles.chance import ChanceLevel


def test_the_probability_of_leaving_chance_is_the_share_of_those_trained_on_that_left_chance():
    level = ChanceLevel(0.1, (3, 9, 27))
    assert level.record(0, 2, {1: 0.1, 2: 0.5, 27: 0.9}) == 2  # the defaults: they had left it by the second epoch
    assert level.probability_of_leaving(0) == 1.0  # 2 * 2 > 3: others may be later
    assert level.record(1, 0, {1: 0.1, 3: 0.1}) is None
    assert level.share_at_chance(0) == 0.5
    assert level.record(1, 1, {1: 0.1, 3: 0.1, 9: 0.1}) is None
    assert level.probability_of_leaving(0) == 0.5  # one was trained on and did not
    assert level.record(1, 2, {3: 0.1, 9: 0.1, 20: 0.6}) == 20
    assert level.probability_of_leaving(0) == 1.0
    assert ChanceLevel(None, (3, 9)).record(0, 0, {3: -5.0}) == 1


def test_what_varies_by_more_than_chance_has_not_left_it():
    """Of 355 classes chance is 0.003: 1.1 times that says nothing."""
    level = ChanceLevel(1 / 355, (3, 9))
    assert level.record(0, 0, {1: 0.004, 2: 0.015, 3: 0.001}) is None
    assert level.record(1, 0, {1: 0.004, 2: 0.015, 3: 0.05}) == 3
    assert ChanceLevel(0.5, (3, 9)).record(0, 0, {1: 0.54}) is None


def test_what_one_frequent_class_alone_gives_can_be_left():
    """Accuracy where 95 % are of one class: 1.1 times that is more than there is."""
    level = ChanceLevel(0.95, (3, 9))
    assert level.record(0, 0, {1: 0.95, 2: 0.96, 3: 0.98}) == 3
    assert level.record(1, 0, {1: 0.95, 2: 0.96}) is None
    assert ChanceLevel(50.0, (3, 9)).record(0, 0, {1: 52.0, 2: 54.0, 3: 56.0}) == 3
