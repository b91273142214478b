"""Keras for processes that need little of it: it starts in a fraction of the time.

A process that trains nothing takes Keras on its NumPy backend (`choose`, `use`). Keras Tuner imports Keras, and Keras
imports its backend: three seconds and 400 MB for TensorFlow, which the process that only holds the oracle never uses.
Keras's NumPy backend imports JAX, but only its convolutions and FFTs call it; where JAX is not installed, empty modules
stand in for it.

On any backend Keras also imports scikit-learn, Matplotlib and pandas, for wrappers, galleries and data frames of which
no search has need; that takes a third of its start. `without_extras` lets it find them missing, which it takes well. So
does Keras Tuner, two of whose own tuners, which a person's notebook may use as well, then import them when they need
them (`use_keras_tuner`).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator

BACKEND = "numpy"
#: What Keras takes along if it is installed.
EXTRAS = ("sklearn", "matplotlib", "pandas")
#: Keras Tuner's modules that look for what it could do without, and under which names.
_NEEDY_TUNERS, _NEEDS = ("bayesian", "sklearn_tuner"), {"sklearn": "sklearn", "pd": "pandas"}
_FFT_NAMES = ("fft", "fft2", "ifft2", "rfft", "irfft", "stft", "istft")


def choose() -> None:
    """Has whoever imports Keras in this process get it on the NumPy backend; `use` completes that."""
    os.environ["KERAS_BACKEND"] = BACKEND


def chosen() -> bool:
    return os.environ.get("KERAS_BACKEND") == BACKEND


def use() -> None:
    """Imports Keras on its NumPy backend; without effect once Keras is imported."""
    if "keras" in sys.modules:
        return
    choose()
    missing = importlib.util.find_spec("jax") is None
    if missing:
        monitoring = types.SimpleNamespace(record_scalar=None)
        _stand_in("jax", lax=None, monitoring=monitoring)
        _stand_in("keras.src.backend.jax")
        _stand_in("keras.src.backend.jax.math", **dict.fromkeys(_FFT_NAMES))
    with without_extras():
        importlib.import_module("keras")
    if missing:
        # Other libraries must not take it for the real one.
        del sys.modules["jax"]


def use_keras_tuner() -> None:
    """Imports Keras Tuner; without effect once it is imported."""
    if "keras_tuner" in sys.modules:
        return
    with without_extras():
        importlib.import_module("keras_tuner")
    for tuner in _NEEDY_TUNERS:
        module = sys.modules[f"keras_tuner.src.tuners.{tuner}"]
        for attribute, name in _NEEDS.items():
            if getattr(module, attribute, module) is None and importlib.util.find_spec(name):
                setattr(module, attribute, _OnDemand(name))


class _OnDemand(types.ModuleType):
    """A package that is imported, and its submodules, when somebody looks into it."""

    def __getattr__(self, attribute: str) -> object:
        package = importlib.import_module(self.__name__)
        if not hasattr(package, attribute):
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"{self.__name__}.{attribute}")
        return getattr(package, attribute)


@contextlib.contextmanager
def without_extras() -> Iterator[None]:
    """Within the block, what Keras could do without seems not to be installed, where it is not imported already."""
    hidden = [name for name in EXTRAS if name not in sys.modules]
    # A module that is None there cannot be imported.
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _stand_in(name: str, **attributes: object) -> None:
    module = types.ModuleType(name, "Stands in for a library that this process never calls.")
    module.__dict__.update(attributes)
    sys.modules[name] = module
