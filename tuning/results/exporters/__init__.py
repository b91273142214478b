"""Export formats by name; a new format is one module and one row."""

from __future__ import annotations

from tuning.results.exporters import keras, litert, onnx, savedmodel
from tuning.results.exporters.form import Format

FORMATS: dict[str, Format] = {
    "keras": keras.FORMAT,
    "savedmodel": savedmodel.FORMAT,
    "onnx": onnx.FORMAT,
    "litert": litert.FORMAT,
}
