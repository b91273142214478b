"""Compiled steps kept from trial to trial: where an architecture comes back, nothing is traced or compiled again.

What is kept is the graph. Every number in it (weights, optimizer state, learning rate) is set to that of the model that
the trial's own seed has just initialised, so a trial computes the same bits whether its architecture was kept or not.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import keras

from tuning.core.files import digest
from tuning.trials.keras_private import all_layers, compiled_arguments, excludes_weights_from_decay
from tuning.trials.portable import custom_objects
from tuning.trials.steps import Steps, build_optimizer

#: Models kept at most, and what their variables may take together, in bytes.
KEPT_MODELS, KEPT_BYTES = 8, 2**28
#: Methods of layers that Keras itself wraps on each object.
_WRAPPED = frozenset({"build", "quantize"})

_kept: OrderedDict[str, Steps] = OrderedDict()


def reused(model: keras.Model, make: Callable[[], Steps]) -> Steps:
    """Steps for a compiled model just built: kept ones of its architecture, set to its state, or else those of `make`.

    The caller goes on with the model of these steps, whichever it is.
    """
    key = architecture(model)
    if key is None:
        return make()
    if key in _kept:
        _kept.move_to_end(key)
        set_to_state_of(_kept[key].model, model)
        return _kept[key]
    steps = _kept[key] = make()
    while len(_kept) > KEPT_MODELS or (len(_kept) > 1 and sum(map(_bytes, _kept.values())) > KEPT_BYTES):
        _kept.popitem(last=False)
    return steps


def set_to_state_of(kept: keras.Model, fresh: keras.Model) -> None:
    """Sets weights and optimizer of `kept` to those of `fresh`, a model of the same architecture."""
    for model in (kept, fresh):
        build_optimizer(model)
    for old, new in zip(_variables(kept), _variables(fresh), strict=True):
        old.assign(new)


def architecture(model: keras.Model) -> str | None:
    """Digest of everything that decides about a model's training graph, numbers in variables apart.

    None where configurations alone do not decide: wherever custom code takes part.
    """
    with warnings.catch_warnings(action="ignore"):  # about functions that a file could not hold
        try:
            variables = [_about(variable) for variable in model.variables]
        except (TypeError, ValueError, NotImplementedError):
            return None
        compiled, optimizer = model.get_compile_config() or {}, keras.optimizers.serialize(model.optimizer)
    compiled.pop("optimizer", None)
    if isinstance(optimizer["config"].get("learning_rate"), float):
        optimizer["config"].pop("learning_rate")  # a variable
    described = {
        "class": type(model).__name__,
        "model": model.get_config(),
        "optimizer": optimizer,
        "compiled": compiled,
        "variables": variables,
    }
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    objects = [model, model.optimizer, inner, *all_layers(model, include_self=False), *_compiled_objects(model)]
    if (
        custom_objects([described])
        or not compiled
        or any(_replaces_a_method(part) for part in objects)
        or any(not type(part).__module__.startswith("keras.") for part in objects)
        # Set by a method, not by the constructor.
        or excludes_weights_from_decay(inner)
    ):
        return None
    try:
        return digest(described)
    except TypeError:
        return None


def _compiled_objects(model: keras.Model) -> list[Any]:
    """Losses and metrics that were compiled in as objects."""
    parts = keras.tree.flatten(compiled_arguments(model))
    return [part for part in parts if isinstance(part, (keras.losses.Loss, keras.metrics.Metric))]


def _replaces_a_method(part: Any) -> bool:
    """Whether something that can be called was set on this one object in the place of what its class defines.

    No configuration tells of it.
    """
    return any(
        callable(value) and callable(getattr(type(part), name, None)) and not _is_by_keras(name, value)
        for name, value in vars(part).items()
    )


def _is_by_keras(name: str, value: Any) -> bool:
    wraps_its_own = name in _WRAPPED and str(getattr(value, "__module__", "")).startswith("keras.")
    return wraps_its_own or name == "loss"  # of a model: what was compiled, which the configuration tells of


def _about(variable: keras.Variable) -> list[Any]:
    # A layer's configuration need not tell of these: they can be set on the variable itself.
    regularizer, constraint = getattr(variable, "regularizer", None), getattr(variable, "constraint", None)
    extras = [
        regularizer and keras.regularizers.serialize(regularizer),
        constraint and keras.constraints.serialize(constraint),
    ]
    overwrites = getattr(variable, "overwrite_with_gradient", False)
    return [variable.path, list(variable.shape), str(variable.dtype), variable.trainable, overwrites, *extras]


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _bytes(steps: Steps) -> int:
    """Float32 weights, and twice as much for the optimizer's averages."""
    return 12 * steps.model.count_params()
