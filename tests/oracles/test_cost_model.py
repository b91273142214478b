from __future__ import annotations

import keras_tuner
import numpy as np

from tuning.core.records import COMPLETED, TrialOutcome
from tuning.oracles import STRATEGIES
from tuning.oracles.cost_model import FIXED, CostModel
from tuning.oracles.embedding import Embedding


def network():
    """A space in which width and depth decide about the cost, and nothing else does."""
    hp = keras_tuner.HyperParameters()
    hp.Int("filters", 16, 96, step=16, default=32)
    hp.Int("blocks", 2, 4, default=3)
    hp.Choice("pool", ["flatten", "average"])
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-3)
    return hp


def cost_of(values) -> float:
    """Multiply-adds of a plain convolutional network on 48 x 48 pixels."""
    total, channels, size = 0.0, 1, 48
    for block in range(values["blocks"]):
        filters = values["filters"] * 2**block
        total += 9 * channels * filters * size * size
        channels, size = filters, size // 2
    return total + (channels * size * size if values["pool"] == "flatten" else channels) * 128


def drawn(count, seed=0):
    embedding = Embedding(network().space)
    rows = np.random.default_rng(seed).random((count, len(embedding.entries)))
    costs = np.array([cost_of(embedding.configuration(row)) for row in rows])
    return embedding.features(rows), costs


def test_it_learns_what_widths_and_depths_cost():
    reference = cost_of({"filters": 32, "blocks": 3, "pool": "flatten"})
    model = CostModel(*drawn(15), reference)
    new, costs = drawn(300, seed=1)
    expected = FIXED + (1 - FIXED) * costs / reference
    wrong = np.log(model.relative(new) / expected)
    assert np.median(np.abs(wrong)) < 0.15
    assert np.corrcoef(np.log(expected), np.log(model.relative(new)))[0, 1] > 0.95


def test_too_few_costs_say_nothing():
    features, costs = drawn(12)
    assert CostModel(features[:1], costs[:1], 5.0).relative(features).tolist() == [1.0] * 12


def test_nothing_is_free_and_nothing_is_beyond_all_that_was_seen():
    features, costs = drawn(8)
    relative = CostModel(features, costs, costs.max()).relative(np.random.default_rng(2).random((500, 4)) * 9 - 4)
    assert (relative >= FIXED).all()
    assert relative.max() <= FIXED + (1 - FIXED) * 4.001


def search(name, seed, **settings):
    objective = keras_tuner.Objective("objective", "max")
    return STRATEGIES[name](objective, hyperparameters=network(), max_epochs=1, max_trials=40, seed=seed, **settings)


def test_costs_survive_a_saved_state():
    oracle = search("bayesian", 0)
    trial = oracle.create_trial("one")
    oracle.note(trial, TrialOutcome(trial.trial_id, COMPLETED, 0.5, cost=3e6))
    copy = search("bayesian", 0)
    copy.set_state(oracle.get_state())
    assert copy.costs == {trial.trial_id: 3e6}
