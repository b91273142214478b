"""A user's own model builder: an epoch takes a tenth of a second, and dropout makes the random state matter.

Each epoch notes when it begins, when writing its checkpoint begins, and when that is done, see `stress.evidence`.
STRESS_EPOCH_SECONDS makes an epoch longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from stress.evidence import BEGAN, SAVED, SAVING, Note, note
from tuning.trials import checkpoint, runtime, tryout
from tuning.trials.checkpoint import Saver, TrainingState


def build_model(hp, input_shape, num_classes):
    import keras
    from keras import layers

    inputs = keras.Input(input_shape)
    x = layers.Conv2D(hp.Choice("filters", [4, 8]), 3, strides=2, activation="relu")(inputs)
    x = layers.Dropout(hp.Float("dropout", 0.1, 0.5, step=0.1))(x)
    outputs = layers.Dense(num_classes, activation="softmax")(layers.Flatten()(x))
    model = keras.Model(inputs, outputs)
    rate = hp.Float("learning_rate", 1e-3, 3e-2, sampling="log", default=3e-3)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _note(epoch: int, what: str) -> None:
    # The try-out of the defaults is left out: it trains an epoch twice on purpose, and starts over after a kill.
    if (seed := _running["seed"]) != tryout.SEED:
        note(Note(seed, epoch, what))


def _noting(begin_epoch: Callable[..., None]) -> Callable[..., None]:
    def noted(model, seed: int, epoch: int, *others) -> None:
        _running["seed"] = seed
        _note(epoch, BEGAN)
        time.sleep(float(os.environ.get("STRESS_EPOCH_SECONDS", "0")))
        begin_epoch(model, seed, epoch, *others)

    return noted


def _noting_saves(
    save: Callable[[Saver, TrainingState], None], save_state: Callable[[Path, int, TrainingState], None]
) -> None:
    def begun(saver: Saver, state: TrainingState) -> None:
        _note(state.epoch, SAVING)
        save(saver, state)

    def whole(directory: Path, attempt: int, state: TrainingState) -> None:
        save_state(directory, attempt, state)
        _note(state.epoch, SAVED)

    Saver.save = begun
    checkpoint.save_state = whole


#: Seed of the current training. A process trains one configuration at a time, and waits for its last checkpoint.
_running: dict[str, int] = {}
runtime.begin_epoch = _noting(runtime.begin_epoch)
_noting_saves(Saver.save, checkpoint.save_state)
