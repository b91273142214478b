"""Keras for a process that trains nothing: its NumPy backend, which starts in a fraction of a second.

Keras Tuner imports Keras, and Keras imports its backend: five seconds and 400 MB for TensorFlow, which the process that
only holds the oracle never uses. Keras's NumPy backend imports JAX, but only its convolutions and FFTs call it; where
JAX is not installed, empty modules stand in for it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types

_FFT_NAMES = ("fft", "fft2", "ifft2", "rfft", "irfft", "stft", "istft")


def use() -> None:
    """Imports Keras on its NumPy backend; without effect once Keras is imported."""
    if "keras" in sys.modules:
        return
    os.environ["KERAS_BACKEND"] = "numpy"
    missing = importlib.util.find_spec("jax") is None
    if missing:
        monitoring = types.SimpleNamespace(record_scalar=None)
        _stand_in("jax", lax=None, monitoring=monitoring)
        _stand_in("keras.src.backend.jax")
        _stand_in("keras.src.backend.jax.math", **dict.fromkeys(_FFT_NAMES))
    importlib.import_module("keras")
    if missing:
        # Other libraries must not take it for the real one.
        del sys.modules["jax"]


def _stand_in(name: str, **attributes: object) -> None:
    module = types.ModuleType(name, "Stands in for a library that this process never calls.")
    module.__dict__.update(attributes)
    sys.modules[name] = module
