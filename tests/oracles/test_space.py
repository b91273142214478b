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
