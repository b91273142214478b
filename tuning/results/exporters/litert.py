"""LiteRT, formerly TensorFlow Lite: for phones, microcontrollers and other small devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tuning.results.exporters.form import Format

if TYPE_CHECKING:
    import numpy as np


def load(path: str) -> Callable[[np.ndarray], np.ndarray]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        # TensorFlow contains the same interpreter under its old name.
        import tensorflow

        Interpreter = tensorflow.lite.Interpreter
    predict = Interpreter(path).get_signature_runner()
    return lambda images: predict(image=images)["output_0"]


FORMAT = Format(
    product="model.tflite",
    title="the model for LiteRT (TensorFlow Lite)",
    runtime="LiteRT",
    keras_format="litert",
    load=load,
    install="ai-edge-litert",
    imports="ai_edge_litert.interpreter",
    opening="ai_edge_litert.interpreter.Interpreter(str(PATH)).get_signature_runner()",
    outputs='model(image=IMAGES)["output_0"]',
)
