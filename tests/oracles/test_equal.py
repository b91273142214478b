"""Configurations that differ only in values that nothing looks at are one configuration."""

from __future__ import annotations

import dataclasses
import itertools

import keras_tuner
import pytest

from tuning.core.records import WAIT
from tuning.oracles import STRATEGIES
from tuning.oracles.adapter import OracleSearch
from tuning.oracles.base import ENUMERATED


def loose_space():
    """As many builders declare it: `units_1` and `units_2` are always there, but read only in deeper models."""
    hp = keras_tuner.HyperParameters()
    hp.Int("depth", 1, 3)
    for layer in range(3):
        hp.Choice(f"units_{layer}", [4, 8, 16])
    return hp


def effective(values):
    return {name: value for name, value in values.items() if name == "depth" or name[-1] < str(values["depth"])}


def ignored(spec):
    values = {name: value for name, value in spec.values.items() if "/" not in name}
    return tuple(sorted(set(values) - set(effective(values))))


def search_of(name, skip_equal, max_epochs=4, **settings):
    objective = keras_tuner.Objective("objective", "max")
    oracle = STRATEGIES[name](objective, hyperparameters=loose_space(), max_epochs=max_epochs, **settings)
    return OracleSearch(oracle, skip_equal=skip_equal)


def keys(asked):
    plain = [{name: value for name, value in spec.values.items() if "/" not in name} for spec in asked]
    return [tuple(sorted(effective(values).items())) for values in plain]


@pytest.mark.parametrize("name", ["random", "bayesian"])
def test_no_equal_configuration_is_proposed(simulated, name):
    def outcome(spec):
        return dataclasses.replace(simulated.completed(spec), ignored=ignored(spec))

    asked = simulated.drive(search_of(name, True, max_trials=30), 1, outcome)
    found = keys(asked)
    assert len(found) == len(set(found)) == 30
    repeated = keys(simulated.drive(search_of(name, False, max_trials=30), 1, outcome))
    assert len(set(repeated)) < 30


def test_a_space_without_a_new_one_ends_the_search(simulated):
    def outcome(spec):
        return dataclasses.replace(simulated.completed(spec), ignored=ignored(spec))

    asked = simulated.drive(search_of("random", True, max_trials=200), 1, outcome)
    assert len(asked) == 3 + 9 + 27
    assert len(simulated.drive(search_of("random", False, max_trials=200), 1, outcome)) == 81


def test_a_value_that_was_read_makes_a_difference(simulated):
    search = search_of("random", True, max_trials=5)
    spec = search.ask()
    assert spec.values["depth"] == 1
    search.tell(dataclasses.replace(simulated.completed(spec), ignored=("units_1", "units_2")))
    oracle, first = search.oracle, {"depth": 1, "units_0": 4, "units_1": 4, "units_2": 4}
    assert oracle.is_tried(first | {"units_1": 16, "units_2": 8})
    assert not oracle.is_tried(first | {"units_0": 8})
    assert not oracle.is_tried(first | {"depth": 2})
    assert not oracle.is_tried({"depth": 1})


SHALLOW = [({"depth": 1, "units_0": units}, {"depth", "units_0"}) for units in (4, 8, 16)]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_what_was_built_beforehand_is_proposed_once_even_before_any_result(name):
    def shallow(**settings):
        search = search_of(name, True, max_epochs=27, max_trials=20, **settings)
        asked = iter(search.ask, WAIT)
        return [key for key in keys(itertools.islice(asked, 20)) if key[0] == ("depth", 1)]

    found = shallow(built=SHALLOW)
    assert len(found) == len(set(found)) <= 3
    assert len(shallow()) > len(found)


def test_what_was_missing_when_it_was_looked_at_is_no_other_value(simulated):
    """A configuration of before a name was known is another one than those with a value of that name."""
    search = search_of("random", True, max_trials=9)
    spec = search.ask()
    values = {name: value for name, value in spec.values.items() if "/" not in name}
    read = (*effective(values), "missed", "declared")
    declared = keras_tuner.HyperParameters()
    declared.Int("declared", 1, 3, default=2)
    told = dataclasses.replace(simulated.completed(spec), read=read, space=tuple(declared.get_config()["space"]))
    search.tell(told)
    assert search.oracle.is_tried(values)
    assert search.oracle.is_tried({**values, "units_2": 99})
    for name in ("declared", "missed"):
        assert not search.oracle.is_tried({**values, "units_2": 99, name: 2})


def test_a_name_that_appears_later_makes_no_difference_to_those_who_never_looked_at_it(simulated):
    search = search_of("random", True, max_trials=9)
    spec = search.ask()
    values = {name: value for name, value in spec.values.items() if "/" not in name}
    search.tell(dataclasses.replace(simulated.completed(spec), read=tuple(values)))
    assert search.oracle.is_tried({**values, "later": 1})
    assert not search.oracle.is_tried({**values, "batch_size": 16})


def branches(kinds, kind_first):
    """The kind decides which two values are read: 16 configurations of each, in a space of kinds * 16 ** kinds."""
    hp = keras_tuner.HyperParameters()
    names = [f"k{index}" for index in range(kinds)]
    if kind_first:
        hp.Choice("kind", names)
    for name in names:
        hp.Choice(f"{name}_units", [4, 8, 16, 32])
        hp.Choice(f"{name}_norm", [1, 2, 3, 4])
    if not kind_first:
        hp.Choice("kind", names)
    return hp


@pytest.mark.parametrize("kind_first", [True, False])
@pytest.mark.parametrize(("name", "kinds"), [("random", 8), ("bayesian", 5), ("freeze_thaw", 5)])
def test_the_last_different_configuration_is_found_and_then_the_end(simulated, name, kinds, kind_first):
    """At once: looking at all that differ in what nobody reads would take minutes, or years."""

    def outcome(spec):
        read = [name for name in spec.values if name == "kind" or name.startswith(spec.values["kind"] + "_")]
        return dataclasses.replace(simulated.completed(spec), read=tuple(read))

    oracle = STRATEGIES[name](
        keras_tuner.Objective("objective", "max"),
        hyperparameters=branches(kinds, kind_first),
        max_epochs=1,
        max_trials=kinds * 16 + 9,
    )
    search = OracleSearch(oracle, skip_equal=True)
    asked = simulated.drive(search, 1, outcome)
    assert len(asked) == kinds * 16
    known, looks = oracle._tried_by, []
    oracle._tried_by = lambda values: looks.append(values) or known(values)
    assert oracle.draw(999) is None
    first = len(looks)
    assert first < ENUMERATED / 10
    assert oracle.draw(999) is None
    assert len(looks) - first <= first - kinds * 16  # what was enumerated is not enumerated again


def nested():
    """What is below is read less often than it is listed, or has the name of something else."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Choice("deep", [1, 2])
        with hp.conditional_scope("deep", [2]):
            hp.Choice("batch_size", [16, 32, 64, 128])
    return hp, 1 + 1 + 4


def twice():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        hp.Choice("units", list(range(20)))
    with hp.conditional_scope("kind", ["b"]):
        hp.Choice("norm", [1, 2])
        with hp.conditional_scope("norm", [1]):
            hp.Choice("units", list(range(20)))
    return hp, 20 + 20 + 1


@pytest.mark.parametrize("name", ["random", "bayesian", "freeze_thaw"])
@pytest.mark.parametrize("declared", [nested, twice])
def test_conditions_are_kept_when_the_last_configurations_are_looked_for(simulated, name, declared):
    def outcome(spec):
        read = [name for name in spec.values if "/" not in name]
        return dataclasses.replace(simulated.completed(spec), read=tuple(read))

    hp, count = declared()
    objective = keras_tuner.Objective("objective", "max")
    oracle = STRATEGIES[name](objective, hyperparameters=hp, max_epochs=1, max_trials=2 * count)
    assert len(simulated.drive(OracleSearch(oracle, skip_equal=True), 1, outcome)) == count


def test_an_older_version_told_what_was_ignored_and_what_was_declared(simulated):
    search = search_of("random", True, max_trials=9)
    spec = search.ask()
    values = {name: value for name, value in spec.values.items() if "/" not in name}
    declared = keras_tuner.HyperParameters()
    declared.Int("declared", 1, 3, default=2)
    told = dataclasses.replace(
        simulated.completed(spec), ignored=("units_2",), space=tuple(declared.get_config()["space"])
    )
    search.tell(told)
    assert search.oracle.is_tried({**values, "units_2": 99})
    assert not search.oracle.is_tried({**values, "declared": 3})


def test_what_a_training_looks_at_makes_a_difference_whether_its_builder_declares_it_or_not(simulated):
    """Here the builder declares `batch_size` in deeper models only; every training looks at it."""
    search = search_of("random", True, max_trials=5, built=SHALLOW)
    search.ask()
    first = {"depth": 1, "units_0": 4, "units_1": 4}
    assert search.oracle.is_tried(first | {"units_1": 8})
    assert not search.oracle.is_tried(first | {"units_1": 8, "batch_size": 16})


def test_parts_of_an_epoch_are_what_the_oracle_counts(simulated):
    oracle = simulated.build("hyperband", max_epochs=9).oracle
    search = OracleSearch(oracle, slices=3)
    spec = search.ask()
    assert spec.epochs == 1
    curve = tuple({"epoch": epoch, "objective": 0.1} for epoch in (1 / 3, 2 / 3, 1, 2, 3))
    search.tell(dataclasses.replace(simulated.completed(spec), curve=curve))
    history = oracle.get_trial(spec.trial_id).metrics.get_history("objective")
    assert sorted(observation.step for observation in history) == [1, 2, 3, 6, 9]
