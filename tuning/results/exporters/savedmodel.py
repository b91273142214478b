"""TensorFlow's SavedModel: for TensorFlow Serving, TensorFlow.js, and languages other than Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tuning.results.exporters.form import Format

if TYPE_CHECKING:
    import numpy as np


def load(path: str) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow

    model = tensorflow.saved_model.load(path)
    return lambda images: model.serve(images).numpy()


FORMAT = Format(
    product="saved_model",
    title="a TensorFlow SavedModel (a folder)",
    runtime="TensorFlow",
    keras_format="tf_saved_model",
    load=load,
    install="tensorflow",
    imports="tensorflow",
    opening="tensorflow.saved_model.load(PATH)",
    outputs="model.serve(IMAGES).numpy()",
    unneeded=("keras",),
)
