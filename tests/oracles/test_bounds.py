"""Configurations that would be beyond a limit are not proposed: memory that was counted, time that was measured."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tuning.oracles import STRATEGIES
from tuning.oracles.bounds import Bound
from tuning.oracles.embedding import Embedding
from tuning.records import FAILED, Failure


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
            return dataclasses.replace(outcome, failure=Failure("memory", "too large"), memory=amount)
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
