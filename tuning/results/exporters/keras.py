"""`.keras`, Keras's own format: opens with safe_mode=True and no custom objects, on any Keras backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tuning.results.exporters.form import Format

if TYPE_CHECKING:
    import numpy as np


def load(path: str) -> Callable[[np.ndarray], np.ndarray]:
    import keras

    model = keras.saving.load_model(path, safe_mode=True, compile=False)
    return lambda images: model.predict(images, verbose=0)


FORMAT = Format(
    product="model.keras",
    title="the model as Keras saves it",
    runtime="Keras",
    # A published model has no custom objects, so it is already what plain Keras opens.
    keras_format=None,
    load=load,
    install="keras tensorflow",
    imports="keras",
    opening="keras.saving.load_model(PATH, safe_mode=True, compile=False)",
    outputs="model.predict(IMAGES, verbose=0)",
)
