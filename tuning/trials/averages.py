"""Handles averages of weights (`use_ema`) in a training that is split into epochs.

Keras's `fit` replaces the weights by their averages once, at its end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.trials.keras_private import weight_averages

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Sets a model's weights to their averages (`use_ema`) within the context, as Keras's `fit` does at its end.

    Restores the weights afterwards, so that training can go on.
    """
    pairs = [
        (variable, average)
        for optimizer in _averaging(model.optimizer)
        for variable, average in weight_averages(optimizer)
        if average is not None
    ]
    before = [np.asarray(variable).copy() for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(average)
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, before, strict=True):
            variable.assign(value)


def _averaging(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Returns the optimizers that average weights: `optimizer` itself, or those that it wraps."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return [one for one in getattr(inner, "optimizers", [inner]) if getattr(one, "use_ema", False)]


@contextlib.contextmanager
def averages_deferred(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Keeps `fit` from replacing the weights by their averages within the context, where `fit` trains one epoch."""
    if not _averaging(optimizer):
        yield
        return
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values
