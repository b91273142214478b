"""Our oracles in Keras Tuner's own loop: `tuning.Tuner` obeys them, a plain tuner is refused."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import keras_tuner
import pytest

from tuning.core.errors import StateError, UsageError
from tuning.oracles import STRATEGIES
from tuning.oracles.tuner import Tuner

CONTINUING = [{}, {"sampler": "random"}]


def oracle(name="hyperband", **settings):
    return STRATEGIES[name](keras_tuner.Objective("val_accuracy", "max"), max_epochs=9, **settings)


def build(hp):
    hp.Int("units", 1, 9)


@pytest.mark.parametrize("settings", CONTINUING)
def test_a_plain_tuner_is_refused(settings, tmp_path):
    with pytest.raises(UsageError, match="every trial of this oracle in full") as refused:
        keras_tuner.Tuner(oracle(**settings), build, directory=str(tmp_path))
    assert "tuning.Tuner" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


class OwnFit(keras_tuner.HyperModel):
    def build(self, hp):
        build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return float(hp.values["tuner/epochs"])


class OwnTrial(keras_tuner.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        return float(trial.hyperparameters.values["tuner/epochs"])


@pytest.mark.parametrize("settings", CONTINUING)
def test_who_trains_by_himself_is_believed(settings, tmp_path):
    keras_tuner.Tuner(oracle(**settings), OwnFit(), directory=str(tmp_path / "fit"))
    OwnTrial(oracle(**settings), build, directory=str(tmp_path / "trial"))


@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_strategies_that_train_in_full_run_in_any_tuner(name, tmp_path):
    keras_tuner.Tuner(oracle(name), build, directory=str(tmp_path))


def test_several_trainings_a_trial_are_refused(tmp_path):
    with pytest.raises(UsageError, match="executions_per_trial is 2"):
        Tuner(oracle(), build, directory=str(tmp_path), executions_per_trial=2)


def test_a_state_that_is_gone_is_named(tmp_path):
    tuner = Tuner(oracle(), build, directory=str(tmp_path))
    values = {"tuner/epochs": 9, "tuner/initial_epoch": 3, "tuner/trial_id": "0001"}
    trial = SimpleNamespace(trial_id="0007", hyperparameters=SimpleNamespace(values=values))
    with pytest.raises(StateError, match=r"0007 continues trial 0001.*trial_0001.*is gone"):
        tuner.run_trial(trial)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_list_of_objectives_is_told_after_each_epoch(name, tmp_path):
    objective = ["val_loss", keras_tuner.Objective("val_accuracy", "max")]
    tuner = Tuner(STRATEGIES[name](objective, max_epochs=9, max_trials=3), build, directory=str(tmp_path))
    trial = tuner.oracle.create_trial("tuner0")
    tuner.on_epoch_end(trial, None, 0, {"loss": 0.5, "val_loss": 0.75, "val_accuracy": 0.5})
    tuner.on_epoch_end(trial, None, 1, {"loss": 0.4, "val_loss": 0.5, "val_accuracy": 0.75})
    trial.status = "COMPLETED"
    tuner.oracle.end_trial(trial)
    (best,) = tuner.oracle.get_best_trials()
    assert (best.score, best.best_step) == (-0.25, 2)


PROGRAM = """
import keras, keras_tuner, numpy as np
import tuning
from tuning.oracles import STRATEGIES

seen = []  # (trial, first epoch, epochs, steps of the optimizer before and after, weights before and after)

class Watch(keras.callbacks.Callback):
    before = None
    def on_epoch_begin(self, epoch, logs=None):
        if self.before is None:
            self.first = epoch
            weights = self.model.get_weights()[0].copy() if self.model.built else None
            self.before = int(self.model.optimizer.iterations), weights
    def on_train_end(self, logs=None):
        after = int(self.model.optimizer.iterations), self.model.get_weights()[0].copy()
        seen.append((self.first, self.params["epochs"], self.before, after))

def build(hp):
    # Without an input it is built by the first batch.
    layers = [keras.layers.Dense(hp.Int("units", 2, 6)), keras.layers.Dense(2, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")),
                  "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

x = np.random.default_rng(0).random((32, 4), "float32")
y = (x[:, 0] > 0.5).astype(int)
for sampler in ("model", "random"):
    seen.clear()
    oracle = STRATEGIES["hyperband"](
        keras_tuner.Objective("val_accuracy", "max"), max_epochs=4, factor=2, max_trials=7, sampler=sampler
    )
    tuner = tuning.Tuner(oracle, build, directory="tuner", project_name=sampler)
    tuner.search(x, y, validation_data=(x, y), epochs=50, batch_size=16, verbose=0, callbacks=[Watch()])
    trials = [oracle.trials[trial] for trial in oracle.end_order]
    assert len(trials) == len(seen) == 7, sampler
    continued = 0
    for trial, (first, epochs, before, after) in zip(trials, seen, strict=True):
        values = trial.hyperparameters.values
        assert trial.status == "COMPLETED", trial.message
        assert (first, epochs) == (values["tuner/initial_epoch"], values["tuner/epochs"])
        assert [each.step for each in trial.metrics.get_history("val_accuracy")] == list(range(first + 1, epochs + 1))
        assert (before[0], after[0]) == (2 * first, 2 * epochs), "the optimizer goes on where it was"
        if "tuner/trial_id" in values:
            continued += 1
            end = seen[oracle.end_order.index(values["tuner/trial_id"])][3]
            assert (end[1] == before[1]).all(), "so do the weights"
    assert continued, sampler
    (best,) = tuner.get_best_models()
    assert round(best.evaluate(x, y, verbose=0)[1], 4) == round(oracle.get_best_trials()[0].score, 4)
"""


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_trial_is_trained_as_far_as_the_oracle_says_and_gone_on_with(sample_environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=sample_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
