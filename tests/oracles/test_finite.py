"""A search of a finite space ends by itself, once every configuration of active hyperparameters was tried."""

from __future__ import annotations

import keras_tuner
import pytest

from tuning.core.records import configuration
from tuning.oracles import STRATEGIES
from tuning.oracles.adapter import OracleSearch


def nested():
    """Conditions below conditions."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Choice("deep", [1, 2])
        with hp.conditional_scope("deep", [2]):
            hp.Choice("batch_size", [16, 32, 64, 128])
    return hp, 1 + 1 + 4


def twice():
    """A name that is declared under two conditions."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        hp.Choice("units", list(range(20)))
    with hp.conditional_scope("kind", ["b"]):
        hp.Choice("norm", [1, 2])
        with hp.conditional_scope("norm", [1]):
            hp.Choice("units", list(range(20)))
    return hp, 20 + 20 + 1


@pytest.mark.parametrize("name", ["random", "bayesian", "hyperband"])
@pytest.mark.parametrize("declared", [nested, twice])
def test_every_configuration_is_tried_once_and_the_search_ends(simulated, name, declared):
    hp, count = declared()
    objective = keras_tuner.Objective("objective", "max")
    oracle = STRATEGIES[name](objective, hyperparameters=hp, max_epochs=1, max_trials=2 * count)
    asked = simulated.drive(OracleSearch(oracle), 1)
    tried = [str(sorted(configuration(spec.values).items())) for spec in asked]
    assert len(tried) == len(set(tried)) == count


def test_the_value_of_an_inactive_hyperparameter_makes_no_other_configuration(simulated):
    search = simulated.build("random", max_trials=3)
    values = configuration(search.ask().values)
    assert values["optimizer"] == "adam"
    assert search.oracle.is_tried(values)
    assert not search.oracle.is_tried({**values, "width": 64})
