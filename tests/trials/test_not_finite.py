"""Metrics that are not finite are missing from the curve, and the trial lives; training that has diverged ends."""

from __future__ import annotations

import json
import math
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest

from tuning.core.errors import Outdated
from tuning.core.jobs import FinalJob, TrialJob
from tuning.dataset.store.arrays import open_dataset
from tuning.trials import ending
from tuning.trials.checkpoint import TrainingState, save_state
from tuning.trials.final import _start
from tuning.trials.fit import NotFinite, fit, never_finite
from tuning.trials.jobs import run_job
from tuning.trials.plan import TrainingPlan, chosen_epoch, learning_rate_factor, plateaus, should_stop
from tuning.trials.randomness import Randomness
from tuning.trials.spaces import Interface


class Scripted:
    """Steps whose logs and outputs are given, epoch by epoch."""

    interface = batch_interface = Interface(sparse=True, scaled=True, logits=False)
    randomness, traces_late = Randomness(), False

    def __init__(self, logs, outputs, weights=None):
        self.model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        self.model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        self._logs, self._outputs, self._weights = iter(logs), iter(outputs), weights

    def prepare(self, batches):
        pass

    def train(self, batches, rates=None):
        if self._weights is not None:
            self.model.layers[-1].bias.assign(np.full(3, self._weights))
        return next(self._logs)

    def outputs(self, images):
        value = next(self._outputs)
        found = np.tile(np.float32([0.2, 0.5, 0.3]), (len(images), 1))
        found[0] = found[0] if value is None else value
        return found


@pytest.fixture
def run(prepared, tmp_path, job):
    dataset, reported = open_dataset(prepared), []

    def fitted(steps, epochs):
        payload = job("trial", tmp_path, "tiny", until=epochs, total_epochs=epochs, keep_chosen=True)["payload"]
        return fit(steps, TrainingPlan(), dataset, msgspec.convert(payload, TrialJob), None, reported.append), reported

    return fitted


def test_a_metric_that_is_not_finite_is_missing_and_the_trial_goes_on(run):
    logs = [{"loss": 1.0, "acc": math.nan}, {"loss": 0.9, "acc": math.inf}, {"loss": 0.8, "acc": 0.5}]
    state, reported = run(Scripted(logs, [math.nan, None, math.inf]), 3)
    assert [entry["accuracy"] for entry in state.curve] == [None, None, 0.5]
    for name in ("val_loss", "val_accuracy", "val_f1_macro"):
        assert [entry[name] is None for entry in state.curve] == [True, False, True]
    assert state.chosen
    assert state.chosen_epoch == 2
    assert json.loads(json.dumps([state.curve, reported], allow_nan=False))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_training_loss_that_is_not_finite_ends_the_trial(run, loss):
    with pytest.raises(NotFinite, match=f"loss became {loss} in epoch 2") as failed:
        run(Scripted([{"loss": 1.0}, {"loss": loss}], [None, None]), 3)
    assert failed.value.epoch == 2


def test_weights_that_are_not_finite_end_the_trial_however_the_loss_was(run):
    with pytest.raises(NotFinite, match="weights became NaN or infinite in epoch 1"):
        run(Scripted([{"loss": 1.0}], [math.nan], weights=math.nan), 3)


def test_a_training_that_could_never_be_validated_has_failed(run):
    state, _ = run(Scripted([{"loss": 1.0}] * 2, [math.nan] * 2), 2)
    assert not state.chosen
    assert "no finite val_f1_macro in epoch 2" in never_finite(state.curve).problem


@pytest.mark.parametrize(
    ("scores", "kept", "goes_on"),
    [
        ([None, None], (), True),
        ([None, 0.5], (np.float32([1]),), True),
        ([None, 0.5], (), False),  # a trial's that kept none
    ],
)
def test_a_final_goes_on_from_what_it_has_though_no_epoch_was_finite_yet(tmp_path, job, scores, kept, goes_on):
    payload = job("final", tmp_path, "tiny")["payload"]
    curve = tuple({"epoch": epoch, "val_f1_macro": score} for epoch, score in enumerate(scores, 1))
    state = TrainingState(len(scores), curve, (0.1,) * len(scores), (np.float32([2]),), (), kept)
    save_state(Path(payload["checkpoints"]), 1, state)
    found = _start(msgspec.convert(payload, FinalJob))
    assert (found is not None) is goes_on
    assert found is None or found.epoch == len(scores)


@pytest.mark.parametrize(
    ("scores", "patience", "stop"),
    [
        ([0.5, None, None], 2, True),
        ([None, None, None], 2, False),
        ([None, 0.5, 0.4], 2, False),  # nothing before them to compare with
        ([0.5, None, 0.6], 2, False),
        ([0.5, 0.4, None], 2, True),
    ],
)
def test_a_missing_score_is_no_better_than_any_other(scores, patience, stop):
    assert should_stop(scores, patience) is stop


def test_a_missing_loss_is_no_better_than_any_other():
    assert plateaus([1.0, None, None, 0.5], 2) == 1
    assert plateaus([None, None], 2) == 1
    assert learning_rate_factor(TrainingPlan(schedule="plateau"), 5, 9, [1.0, None, None, None]) == 0.5


def test_the_chosen_epoch_is_one_with_a_score():
    assert chosen_epoch([None, 0.1, None, 0.3], 1000) == 4
    assert chosen_epoch([None, 0.3, None, None], 10) == 2
    assert chosen_epoch([None, None], 10) is None


def test_a_curve_with_missing_figures_is_neither_flat_nor_dead():
    def curve(epochs, **changed):
        share = 0.25
        plain = {"learning_rate": 1e-3, "loss": 1.9, "val_loss": 1.9, "val_accuracy": share}
        plain["val_f1_macro"] = 2 * share / (1 + share) / 7
        return [{"epoch": n, **plain, **(changed if n == epochs else {})} for n in range(1, epochs + 1)]

    constant = TrainingPlan()
    assert ending.curve_end(curve(8), constant, 30, 7) == "dead"
    missing = dict.fromkeys(("val_loss", "val_accuracy", "val_f1_macro"))
    assert ending.curve_end(curve(8, **missing), constant, 30, 7) is None
    assert ending.curve_end(curve(20, **missing), constant, 27, 7) is None
    # A missing validation loss alone gets no better.
    assert ending.curve_end(curve(8, val_loss=None), constant, 30, 7) == "dead"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"until": "four"}, "until"),
        ({"slices": 3}, "slices"),
        ({"values": {"units": [1]}}, "values"),
        ({"seed": None}, "seed"),
    ],
)
def test_a_job_that_does_not_fit_is_refused_before_anything_is_read(job, tmp_path, change, said):
    payload = job("trial", tmp_path, "tiny", **change)["payload"]
    with pytest.raises(Outdated, match=said) as refused:
        run_job("trial", payload, lambda entry: None)
    assert "same version" in refused.value.remedy
