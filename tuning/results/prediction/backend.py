"""Keras in this process, on whatever backend a person has chosen."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator

from tuning.core.errors import EnvironmentProblem


def import_keras() -> None:
    """Imports Keras and its backend, silently; changes nothing in the environment.

    Raises:
        EnvironmentProblem: one of them is missing or broken.
    """
    if "keras" in sys.modules:
        return
    try:
        with _native_messages_dropped():
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


@contextlib.contextmanager
def _native_messages_dropped() -> Iterator[None]:
    """TensorFlow writes about itself to file descriptor 2 while it is imported, whatever log level it is told."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
