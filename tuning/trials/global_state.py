"""Detects builders that change Keras's global state, which would affect other trials and the published model."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from tuning.core.errors import UsageError


class ChangedKeras(UsageError):
    """A builder changed Keras's global state."""


@contextlib.contextmanager
def unchanged(space: str) -> Iterator[None]:
    """Refuses a builder, run within the context, that changes Keras's dtype policy, float type or image format.

    The builder's settings for warnings and for NumPy's floating-point errors are undone silently.

    Raises:
        ChangedKeras: the builder changed one of them; the change is named and undone.
    """
    before = _state()
    with warnings.catch_warnings(), np.errstate():
        yield
    after = _state()
    changed = {name: (old, after[name]) for name, old in before.items() if after[name] != old}
    if changed:
        _put_back(before)
        words = ", ".join(f"the {name} from {old!r} to {new!r}" for name, (old, new) in changed.items())
        raise ChangedKeras(
            f"search space {space!r} changes Keras for all that follows: {words}",
            "take clear_session() and what sets it out of the builder; each trial begins with a cleared session, and "
            "--dtype says what it computes in",
        )


def _state() -> dict[str, Any]:
    import keras

    return {
        "dtype policy": keras.config.dtype_policy().name,
        "float type": keras.config.floatx(),
        "image data format": keras.config.image_data_format(),
    }


def _put_back(state: dict[str, Any]) -> None:
    import keras

    keras.config.set_floatx(state["float type"])
    keras.config.set_image_data_format(state["image data format"])
    keras.config.set_dtype_policy(state["dtype policy"])
