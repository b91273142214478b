from __future__ import annotations

import numpy as np
import pytest

from tuning.oracles.bayesian import BayesianOracle
from tuning.oracles.embedding import Embedding


def best_score(simulated, name: str, seed: int) -> float:
    search = simulated.build(name, seed=seed, max_trials=30)
    simulated.drive(search)
    return search.oracle.get_best_trials()[0].score


def test_it_beats_random_search(simulated):
    differences = [best_score(simulated, "bayesian", seed) - best_score(simulated, "random", seed) for seed in range(5)]
    assert np.mean(differences) > 0.02


def test_it_follows_the_direction(simulated):
    search = simulated.build("bayesian", direction="min", max_trials=30)
    simulated.drive(search)
    scores = [search.oracle.get_trial(f"{number:04d}").score for number in range(30)]
    assert np.mean(scores[-10:]) < np.mean(scores[:10])


def test_the_design_covers_every_range(simulated):
    search = simulated.build("bayesian", max_trials=100)
    asked = [search.ask() for _ in range(11)][1:]
    assert search.oracle._initial_points() == 11
    # Each in an eleventh of the range of its own; instead of the first of the design, the defaults were asked.
    assert len({int(11 * np.log10(spec.values["rate"] / 1e-4) / 3) for spec in asked}) == 10
    assert {spec.values["balance"] for spec in asked} == {"none", "weights", "sampler"}


def test_pending_trials_push_proposals_apart(simulated):
    """A whole window asked after the same results is spread out, because each proposal knows those before it."""
    search = simulated.build("bayesian", max_trials=40)
    for _ in range(15):
        search.tell(simulated.completed(search.ask()))
    window = [search.ask() for _ in range(8)]
    embedding = Embedding(search.oracle.hyperparameters.space)
    points = embedding.features(np.array([embedding.latent(spec.values) for spec in window]))
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=-1)
    assert distances[np.triu_indices(8, 1)].min() > 0.01


def test_failed_trials_repel(simulated):
    """Everything with sgd crashes: the model stops proposing it."""

    def outcome_of(spec):
        return (simulated.failed if spec.values["optimizer"] == "sgd" else simulated.completed)(spec)

    asked = simulated.drive(simulated.build("bayesian", max_trials=40), outcome_of=outcome_of)
    assert sum(spec.values["optimizer"] == "sgd" for spec in asked[25:]) <= 4


def test_without_any_score_it_goes_on_at_random(simulated):
    assert len(simulated.drive(simulated.build("bayesian", max_trials=20), outcome_of=simulated.failed)) == 20


def test_equal_scores_are_no_problem(simulated):
    from tuning.core.records import COMPLETED, TrialOutcome

    asked = simulated.drive(
        simulated.build("bayesian", max_trials=20),
        outcome_of=lambda spec: TrialOutcome(spec.trial_id, COMPLETED, 0.5),
    )
    assert len(asked) == 20


def test_initial_points_by_default(simulated):
    oracle = simulated.build("bayesian", max_trials=90).oracle
    oracle._model.follow(oracle.hyperparameters.space)
    assert oracle._initial_points() == 9 + 2
    few = BayesianOracle("val_loss", max_trials=6)
    assert few._initial_points() == 3


def test_a_configuration_survives_the_embedding(simulated):
    entries = simulated.mixed_space().space
    embedding = Embedding(entries)
    rows = np.random.default_rng(0).random((50, len(embedding.entries)))
    for row in rows:
        values = embedding.configuration(row)
        again = embedding.configuration(embedding.latent(values))
        assert again == {**values, **{k: pytest.approx(v) for k, v in values.items() if isinstance(v, float)}}


def test_features_do_not_see_inactive_entries(simulated):
    embedding = Embedding(simulated.mixed_space().space)
    names = [entry.name for entry in embedding.entries]
    row = embedding.latent({"optimizer": "adam"})
    moved = row.copy()
    moved[names.index("momentum")] = 0.1
    assert (embedding.features(np.array([row])) == embedding.features(np.array([moved]))).all()
    moved[names.index("optimizer")] = 0.9
    assert not (embedding.features(np.array([row])) == embedding.features(np.array([moved]))).all()


def test_unordered_choices_are_equally_far_from_each_other(simulated):
    embedding = Embedding(simulated.mixed_space().space)
    rows = np.array([embedding.latent({"balance": name}) for name in ("none", "weights", "sampler")])
    points = embedding.features(rows)
    distances = {round(float(np.linalg.norm(points[i] - points[j])), 9) for i, j in ((0, 1), (0, 2), (1, 2))}
    assert len(distances) == 1
