from __future__ import annotations

import keras_tuner
import pytest

from tuning.oracles import space


def halves(entry, draw):
    return 0.5


def test_defaults_contain_active_entries_only(simulated):
    values = space.defaults(simulated.mixed_space().space)
    assert values == {
        "rate": 1e-3, "width": 32, "batch": 32, "balance": "none", "norm": False, "classes": 7,
        "optimizer": "adam", "decay": 0.5,
    }  # fmt: skip


def test_a_name_under_two_conditions_keeps_the_active_value(simulated):
    """Keras Tuner's own version drops "decay" here, because its second entry is inactive."""
    hyperparameters = simulated.mixed_space()
    hyperparameters.values = {"optimizer": "sgd", "decay": 0.05, "unknown": 1}
    space.ensure_active_values(hyperparameters)
    assert hyperparameters.values["decay"] == 0.05
    assert hyperparameters.values["momentum"] == 0.9
    assert hyperparameters.values["unknown"] == 1
    hyperparameters.values["optimizer"] = "adam"
    space.ensure_active_values(hyperparameters)
    assert "momentum" not in hyperparameters.values


def test_a_shallow_copy_has_values_and_lists_of_its_own(simulated):
    original = simulated.five_points()
    copy = space.shallow_copy(original, {"point": 3})
    copy.Int("new", 1, 9)
    assert copy.values == {"point": 3, "new": 1}
    assert (original.values, len(original.space)) == ({"point": 0}, 1)
    assert copy.Choice("point", [0, 1, 2, 3, 4]) == 3


def test_enumeration_finds_every_configuration_once():
    hp = keras_tuner.HyperParameters()
    hp.Int("a", 1, 3)
    hp.Int("b", 10, 12, sampling="log")
    hp.Float("c", 0.0, 1.0, step=0.5)
    hp.Float("d", 0.5, 0.5)
    hp.Fixed("f", 1)
    hp.Boolean("e")
    with hp.conditional_scope("e", [True]):
        hp.Choice("g", ["x", "y"])
    found = list(space.enumerate_configurations(hp.space, halves))
    assert len(found) == 3 * 3 * 3 * (1 + 2)
    assert len({str(sorted(values.items())) for values in found}) == len(found)
    assert all(("g" in values) == values["e"] for values in found)


def test_an_interval_gives_a_few_draws():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    found = list(space.enumerate_configurations(hp.space, lambda entry, draw: draw / 10))
    assert found == [{"x": 0.0}, {"x": 0.1}, {"x": 0.2}]


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (lambda hp: hp.Fixed("x", 1), 1),
        (lambda hp: hp.Boolean("x"), 2),
        (lambda hp: hp.Choice("x", [1, 2, 3]), 3),
        (lambda hp: hp.Int("x", 1, 1_000_000), 1_000_000),
        (lambda hp: hp.Float("x", 1e-4, 1e-1, step=10, sampling="log"), 4),
        (lambda hp: hp.Float("x", 0, 1), None),
        (lambda hp: hp.Int("x", 1, 100, sampling="log"), None),
    ],
)
def test_levels(declare, expected):
    hp = keras_tuner.HyperParameters()
    declare(hp)
    assert space.levels(hp.space[0]) == expected


STEPPED = [
    (0.0, 0.5, 0.1, "linear", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    (0.1, 0.6, 0.1, "linear", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    (0.0, 0.15, 0.05, "linear", [0.0, 0.05, 0.1, 0.15]),
    (0.0, 1.0, 0.3, "linear", [0.0, 0.3, 0.6, 0.9]),
    (1e-4, 1e-1, 10, "log", [1e-4, 1e-3, 1e-2, 1e-1]),
    (1.0, 100.0, 10, "reverse_log", [100.0, 91.0, 1.0]),
]


@pytest.mark.parametrize(("low", "high", "step", "sampling", "values"), STEPPED)
def test_a_stepped_float_has_the_values_that_a_person_would_list(low, high, step, sampling, values):
    """Keras Tuner leaves out 0.5 of the first, and knows 0.30000000000000004 beside a default of 0.3."""
    hp = keras_tuner.HyperParameters()
    hp.Float("x", low, high, step=step, sampling=sampling)
    (entry,) = hp.space
    shares = [(index + 0.5) / len(values) for index in range(len(values))]
    assert space.levels(entry) == len(values)
    assert [space.value_at(entry, share) for share in shares] == values
    assert [space.probability_of(entry, value) for value in values] == pytest.approx(shares, abs=1e-12)


@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
@pytest.mark.parametrize("kind", ["Float", "Int"])
def test_no_value_leaves_its_range(kind, sampling):
    """Keras Tuner's `reverse_log` begins one rounding error below the least value."""
    ranges = [(0.5, 0.9), (0.5, 0.92), (1e-4, 0.3), (0.1, 0.7)] if kind == "Float" else [(1, 9), (3, 80), (7, 1000)]
    for low, high in ranges:
        hp = keras_tuner.HyperParameters()
        getattr(hp, kind)("x", low, high, sampling=sampling)
        for probability in (0.0, 1e-12, 0.5, 1 - 1e-9, 1 - 1e-16):
            value = space.value_at(hp.space[0], probability)
            assert low <= value <= high
            assert space.accepts(hp.space[0], value)


def test_two_steps_of_an_integer_stay_integers():
    hp = keras_tuner.HyperParameters()
    hp.Int("x", 16, 128, step=2, sampling="log")
    values = [space.value_at(hp.space[0], (index + 0.5) / 4) for index in range(4)]
    assert (values, {type(value) for value in values}) == ([16, 32, 64, 128], {int})
