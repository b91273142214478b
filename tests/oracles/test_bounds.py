"""Configurations that would be beyond a limit are not proposed: memory that was counted, time that was measured."""

from __future__ import annotations

import dataclasses
import json

import keras_tuner
import numpy as np
import pytest

from tuning.core.records import FAILED, Failure
from tuning.oracles import STRATEGIES
from tuning.oracles.bounds import Bound
from tuning.oracles.embedding import Embedding


def needed(values) -> int:
    """What training takes: as much as weights and activations would, a product of width and batch size."""
    return values["width"] * (1000 + values["batch"] * 40)


#: About half of the space of `mixed_space` is beyond it.
LIMIT = needed({"width": 40, "batch": 40})


def sized(hyperparameters, count=6):
    """As a search begins: the largest of everything, the defaults, and some at random."""
    embedding = Embedding(hyperparameters.space)
    rows = np.random.default_rng(3).random((count, len(embedding.entries)))
    rows[0] = 1 - 1e-9
    found = [embedding.configuration(row) for row in rows] + [{"width": 32, "batch": 32}]
    return [(values, needed(values)) for values in found]


def test_nothing_is_ruled_out_before_something_is_known_to_be_beyond(simulated):
    embedding = Embedding(simulated.mixed_space().space)
    rows = np.random.default_rng(0).random((50, len(embedding.entries)))
    for bound in (Bound(None), Bound(LIMIT)):
        bound.note(embedding.configuration(rows[0] * 0.1), LIMIT / 9)
        bound.note(embedding.configuration(rows[1] * 0.1), LIMIT)
        assert not bound.binding
        assert bound.keeps(embedding, rows).all()


def test_what_is_predicted_is_nearly_what_is_counted(simulated):
    hyperparameters = simulated.mixed_space()
    bound, embedding = Bound(LIMIT), Embedding(hyperparameters.space)
    for values, amount in sized(hyperparameters, count=20):
        bound.note(values, amount)
    rows = np.random.default_rng(1).random((1000, len(embedding.entries)))
    truth = np.array([needed(embedding.configuration(row)) <= LIMIT for row in rows])
    assert 0.3 < truth.mean() < 0.7
    assert (bound.keeps(embedding, rows) == truth).mean() > 0.85


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "auto"])
def test_every_strategy_keeps_within_memory_from_its_first_trials_on(name, simulated):
    hyperparameters = simulated.mixed_space()

    def outcome_of(spec):
        amount = needed(spec.values)
        if amount > LIMIT:
            outcome = simulated.failed(spec)
            return dataclasses.replace(outcome, failure=Failure("too-large", "too large"), memory=amount)
        return dataclasses.replace(simulated.completed(spec), memory=amount)

    def shares(**limits):
        search = simulated.build(name, hyperparameters, max_trials=40, **limits)
        asked = [spec for spec in simulated.drive(search, outcome_of=outcome_of) if spec.continues is None]
        beyond = [needed(spec.values) > LIMIT for spec in asked]
        return sum(beyond) / len(beyond), sum(beyond[len(beyond) // 2 :])

    share, late = shares(max_memory=LIMIT, sized=sized(hyperparameters))
    free, _ = shares()
    assert share < free / 2
    assert late <= 2


def test_epochs_that_would_take_longer_than_there_is_are_not_begun(simulated):
    def outcome_of(spec):
        outcome = simulated.completed(spec)
        # The first one, with all that is compiled in it, tells nothing.
        return dataclasses.replace(outcome, seconds=(500.0, *[spec.values["width"] / 4.0] * (spec.epochs - 1)))

    search = simulated.build("random", max_trials=30, max_epoch_seconds=10.0)
    asked = simulated.drive(search, window=1, outcome_of=outcome_of)
    assert any(spec.values["width"] > 40 for spec in asked)
    assert {spec.values["width"] for spec in asked[15:]} == {16, 32}


def test_the_first_epoch_of_a_process_tells_nothing_of_the_others(simulated):
    """Nor does the second one of a training that went on elsewhere after its first."""

    def outcome_of(spec):
        return dataclasses.replace(simulated.completed(spec), seconds=(500.0,) * min(spec.epochs, 2))

    search = simulated.build("asha", max_epochs=2, factor=2, max_trials=12, max_epoch_seconds=10.0)
    asked = simulated.drive(search, window=1, outcome_of=outcome_of)
    assert {(spec.initial_epoch, spec.epochs) for spec in asked} == {(0, 1), (1, 2)}
    assert search.oracle.bounds["seconds"].known == []


@pytest.mark.parametrize("name", ["random", "hyperband", "asha", "bayesian", "freeze_thaw"])
def test_in_a_space_of_which_little_fits_that_little_is_found(name, simulated):
    hyperparameters = keras_tuner.HyperParameters()
    for entry in "abc":
        hyperparameters.Int(entry, 4, 512, step=4, default=16)

    def cube(values):
        return values["a"] * values["b"] * values["c"]

    limit = 60**3
    embedding = Embedding(hyperparameters.space)
    known = [embedding.configuration(row) for row in np.random.default_rng(2).random((6, 3))]
    known += [{entry: 512 for entry in "abc"}, {entry: 16 for entry in "abc"}]

    def outcome_of(spec):
        if cube(spec.values) > limit:
            failure = Failure("too-large", "too large")
            return dataclasses.replace(simulated.failed(spec), failure=failure, memory=cube(spec.values))
        return dataclasses.replace(simulated.completed(spec), memory=cube(spec.values))

    limits = {"max_memory": limit, "sized": [(values, cube(values)) for values in known]}
    search = simulated.build(name, hyperparameters, max_trials=30, **limits)
    asked = [spec for spec in simulated.drive(search, outcome_of=outcome_of) if spec.continues is None]
    beyond = [cube(spec.values) > limit for spec in asked]
    # Of uniform draws, more than nine in ten are beyond it.
    assert sum(beyond) / len(beyond) < 0.5
    assert sum(beyond[len(beyond) // 2 :]) <= len(beyond) // 4


def test_where_nothing_fits_the_search_goes_on_all_the_same(simulated):
    limits = {"max_memory": 1, "sized": [({"point": 0}, 5), ({"point": 3}, 9)]}
    asked = simulated.drive(simulated.build("random", simulated.five_points(), max_trials=30, **limits))
    assert len(asked) == 5


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "auto"])
def test_a_range_that_depends_on_another_value_is_no_problem(name, simulated):
    """Keras Tuner then knows two entries of one name, and a value of one may be none of the other."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("depth", [1, 2])
    for width in ([8, 16], [16, 32]):
        hyperparameters._space.append(keras_tuner.engine.hyperparameters.Choice("width", width))
        hyperparameters._hps["width"].append(hyperparameters._space[-1])
    hyperparameters.values["width"] = 8
    limits = {"max_memory": 20, "sized": [({"depth": 1, "width": 8}, 8), ({"depth": 2, "width": 32}, 64)]}
    search = simulated.build(name, hyperparameters, max_trials=4, **limits)
    assert simulated.drive(search)


def test_what_is_known_survives_a_snapshot(simulated):
    search = simulated.build("random", max_trials=30, max_memory=LIMIT)
    spec = search.ask()
    failure = dataclasses.replace(simulated.failed(spec), status=FAILED, memory=2 * LIMIT)
    search.tell(failure)
    state = json.loads(json.dumps(search.oracle.get_state()))
    again = simulated.build("random", max_trials=30, max_memory=LIMIT)
    again.oracle.set_state(state)
    assert again.oracle.bounds["memory"].binding
    assert [list(entry) for entry in again.oracle.bounds["memory"].known] == state["bounds"]["memory"]
