"""A `keras_tuner.Tuner` that trains each trial for the epochs that our oracles set, and continues promoted trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial

from tuning.core.errors import StateError, UsageError
from tuning.oracles.base import EPOCHS, INITIAL_EPOCH, PARENT

#: In a trial's folder: weights and optimizer after the last epoch; shapes to build a model that declares no input.
LAST, SHAPES = "last.weights.h5", "last.build.json"


class Tuner(keras_tuner.Tuner):
    """Replaces `keras_tuner.Tuner(oracle=…)`, which trains every trial in full whatever the oracle says.

    A trial trains from `tuner/initial_epoch` to `tuner/epochs`; a trial that continues another (`tuner/trial_id`)
    begins with the final weights and optimizer state of that trial. The oracle gets the objective after every epoch.
    The `epochs` given to `search` are used only if the oracle sets none.

    Args:
        *args, **kwargs: as for `keras_tuner.Tuner`.

    Raises:
        UsageError: `executions_per_trial` is not 1, since a promoted trial continues a single training.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        executions = kwargs.get("executions_per_trial", 1)
        if executions != 1:
            raise UsageError(f"executions_per_trial is {executions}", "leave it out; a trial is one training here")
        super().__init__(*args, **kwargs)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        values = trial.hyperparameters.values
        if EPOCHS in values:
            kwargs["epochs"], kwargs["initial_epoch"] = values[EPOCHS], values.get(INITIAL_EPOCH, 0)
        parent = values.get(PARENT)
        begin = None if parent is None else self._last(parent)
        if begin is not None and not begin.exists():
            raise StateError(
                f"trial {trial.trial_id} continues trial {parent}, but {begin} is gone",
                "restore it from a copy, or search anew with overwrite=True",
            )
        kwargs["callbacks"] = [*kwargs.get("callbacks", ()), _Resumed(begin, self._last(trial.trial_id))]
        return super().run_trial(trial, *args, **kwargs)

    def on_epoch_end(self, trial: Trial, model: keras.Model, epoch: int, logs: dict[str, float] | None = None) -> None:
        objective = self.oracle.objective
        if logs and objective.has_value(logs):
            # For a list of objectives, Keras Tuner expects each one in addition to their sum.
            parts = {name: logs[name] for name in getattr(objective, "name_to_direction", ())}
            metrics = {**parts, objective.name: objective.get_value(logs)}
            self.oracle.update_trial(trial.trial_id, metrics, step=epoch + 1)

    def _last(self, trial_id: str) -> Path:
        return Path(self.get_trial_dir(trial_id)) / LAST


class _Resumed(keras.callbacks.Callback):
    """Restores weights and optimizer from the parent trial, and saves them at the end for a trial that continues."""

    def __init__(self, begin: Path | None, end: Path) -> None:
        super().__init__()
        self.begin, self.end = begin, end

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if self.begin is None:
            return
        # On TensorFlow, Keras builds model and optimizer with the first batch, and loads nothing into unbuilt ones.
        if not self.model.built:
            self.model.build_from_config(json.loads(self.begin.with_name(SHAPES).read_bytes()))
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(self.begin)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.end.parent.mkdir(parents=True, exist_ok=True)
        self.end.with_name(SHAPES).write_text(json.dumps(self.model.get_build_config()), encoding="utf-8")
        self.model.save_weights(self.end)
