"""Averages of a model's weights over its training (`use_ema`), where that goes on after each epoch.

Keras's `fit` puts them in the place of the weights at its end, once.
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
    """Within, a model whose optimizer averages its weights (`use_ema`) has the averages, as after Keras's `fit`.

    Afterwards it has the weights again with which training goes on.
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
    """The optimizers in an optimizer that average weights."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return [one for one in getattr(inner, "optimizers", [inner]) if getattr(one, "use_ema", False)]


@contextlib.contextmanager
def averages_deferred(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Within, the end of a `fit` is that of an epoch: averages do not yet take the place of the weights."""
    if not _averaging(optimizer):
        yield
        return
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values
