"""Keras in this process, on whatever backend a person has chosen."""

from __future__ import annotations

import importlib
import sys

from tuning.core.errors import EnvironmentProblem
from tuning.core.quiet import without_greeting


def import_keras() -> None:
    """Imports Keras and its backend, silently; changes nothing in the environment.

    Raises:
        EnvironmentProblem: one of them is missing or broken.
    """
    if "keras" in sys.modules:
        return
    try:
        with without_greeting():
            importlib.import_module("keras")
    except ImportError as error:
        raise EnvironmentProblem(f"Keras cannot be imported: {error}", "run: python -m tuning.doctor") from None


def unable(error: Exception) -> EnvironmentProblem | None:
    """The error to raise in place of `error`, which came out of a model, where Keras's NumPy backend is the cause: it
    lacks operations that some layers need. None on any other backend."""
    import keras

    backend = keras.backend.backend()
    if backend != "numpy":
        return None
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return EnvironmentProblem(
        f"the model does not run on Keras's {backend} backend: {first}",
        "start Python anew with KERAS_BACKEND=tensorflow (or jax, torch)",
    )
