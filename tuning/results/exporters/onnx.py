"""ONNX, written by tf2onnx: for ONNX Runtime, on nearly every platform and in browsers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tuning.results.exporters.form import Format

if TYPE_CHECKING:
    import numpy as np


def load(path: str) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})[0]


FORMAT = Format(
    product="model.onnx",
    title="the model for ONNX Runtime",
    runtime="ONNX Runtime",
    keras_format="onnx",
    load=load,
    install="onnxruntime",
    imports="onnxruntime",
    opening="onnxruntime.InferenceSession(PATH)",
    outputs='model.run(None, {"image": IMAGES})[0]',
    modules=("tf2onnx", "onnx", "onnxruntime"),
    extra="onnx",
    unneeded=("keras", "tensorflow"),
)
