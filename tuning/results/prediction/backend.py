"""Keras in this process, on the backend that the user has chosen."""

from __future__ import annotations

import importlib
import sys

from tuning.core.errors import EnvironmentProblem
from tuning.core.quiet import without_greeting


def import_keras() -> None:
    """Imports Keras and its backend without their output; changes no environment variable.

    Raises:
        EnvironmentProblem: Keras or its backend is missing or broken.
    """
    if "keras" in sys.modules:
        return
    try:
        with without_greeting():
            importlib.import_module("keras")
    except ImportError as error:
        raise EnvironmentProblem(f"Keras cannot be imported: {error}", "run: python -m tuning.doctor") from None


def unable(error: Exception) -> EnvironmentProblem | None:
    """Returns the error to raise instead of `error`, which a model raised, if Keras runs on NumPy; None otherwise.

    Keras's NumPy backend lacks operations that some layers need.
    """
    import keras

    backend = keras.backend.backend()
    if backend != "numpy":
        return None
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return EnvironmentProblem(
        f"the model does not run on Keras's {backend} backend: {first}",
        "start Python anew with KERAS_BACKEND=tensorflow (or jax, torch)",
    )
