"""Formats of export, by name; a new one is one file and one row."""

from __future__ import annotations

from tuning.results.exporters import keras, litert, onnx, savedmodel
from tuning.results.exporters.form import Format

FORMATS: dict[str, Format] = {
    "keras": keras.FORMAT,
    "savedmodel": savedmodel.FORMAT,
    "onnx": onnx.FORMAT,
    "litert": litert.FORMAT,
}
