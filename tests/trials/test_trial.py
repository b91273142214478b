"""What a trial reports, beside its training, of the builder that it ran."""

from __future__ import annotations

from types import SimpleNamespace

import keras_tuner
import msgspec
import pytest

from tuning.core.jobs import TrialJob
from tuning.core.records import entry_key
from tuning.trials import trial


def declare(kind: str) -> keras_tuner.HyperParameters:
    """As builders do that enter the scope of the kind alone that they build."""
    hp = keras_tuner.HyperParameters()
    hp.values = {"kind": kind}
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", [kind]):
        hp.Int("units", 4, 32 if kind == "a" else 64)
    return hp


@pytest.fixture
def reported(job, tmp_path, prepared, monkeypatch):
    """`reported(hp, known)`: the hyperparameters that a trial tells of, before it trains; it is too large for that."""
    monkeypatch.setattr(trial, "least_memory", lambda model, batch: 2)
    monkeypatch.setattr(trial, "multiply_adds", lambda model: 1)

    def run(hp, known):
        steps = SimpleNamespace(model=None)
        monkeypatch.setattr(trial, "training_steps", lambda job, seed, dataset: (steps, hp))
        payload = job("trial", tmp_path, "tiny", known=known, max_memory=1)["payload"]
        return trial.run_trial(msgspec.convert(payload, TrialJob), lambda entry: None).space

    return run


def test_a_known_name_under_another_condition_is_new(reported):
    """Else the search would never give it a value."""
    first, other = (declare(kind).get_config()["space"] for kind in "ab")
    known = [entry_key(entry) for entry in first]
    assert reported(declare("a"), known) == ()
    (found,) = reported(declare("b"), known)
    assert found == other[1] and found["config"]["name"] == "units"
    assert reported(declare("b"), [*known, entry_key(found)]) == ()
