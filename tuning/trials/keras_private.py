"""Every private part of other libraries that this package uses, in one place.

Keras and Keras Tuner have no public way to do what these do, and may change them in any minor version: that is why
`setup.cfg` bounds both. To raise a bound, run `tests/trials/test_keras_private.py` on the new version first. The
accessors here are used by `tuning.trials`; what is overridden or inherited cannot be called through a function, so
`INHERITED` lists it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

#: "module:class" -> private methods and attributes that subclasses of ours call or set; the class must have them.
INHERITED = {
    # `on_tensorflow.layers.EightBitSpatialDropout2D`
    "keras.layers:SpatialDropout2D": ("_get_noise_shape",),
    # `on_tensorflow.optimizers`
    "keras.optimizers:Adam": ("_get_variable_index",),
    # `oracles.space`
    "keras_tuner.engine.hyperparameters:Float": ("_get_value_by_index",),
    # `oracles.base`, `oracles.saving`
    "keras_tuner:Oracle": (
        "_check_consecutive_failures",
        "_check_objective_found",
        "_compute_values_hash",
        "_duplicate",
        "_get_oracle_fname",
        "_get_trial_dir",
        "_record_values",
        "_retry",
        "_save_trial",
        "_set_project_dir",
    ),
}
#: The same of attributes that objects of the class have once they are made.
INHERITED_OF_OBJECTS = {
    # `on_tensorflow.optimizers`, once it is built
    "keras.optimizers:Adam": ("_momentums", "_velocities"),
    # `oracles.base`, `oracles.saving`
    "keras_tuner:Oracle": ("_display", "_id_to_hash", "_retry_queue", "_run_times", "_tried_so_far"),
    # `oracles.space`
    "keras_tuner:HyperParameters": ("_hps", "_space"),
}


# Models and their graphs ---------------------------------------------------------------------------------------------


def all_layers(model: keras.layers.Layer, include_self: bool = True) -> list[keras.layers.Layer]:
    """The layers of a model or a layer, those nested in others included."""
    return list(model._flatten_layers(include_self=include_self))


def symbolic_build(model: keras.Model, batch: Any) -> None:
    """Makes the variables of loss and metrics, from the shapes of a batch, as the first step of `fit` does."""
    model._symbolic_build(data_batch=batch)


def nodes_in_order(model: keras.Model) -> list[Any]:
    """The calls of layers of a functional or sequential model, from its input on; none of any other layer."""
    by_depth = getattr(functional_graph(model), "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def functional_graph(model: keras.Model) -> Any:
    """The functional model inside a sequential one; any other layer is returned itself."""
    import keras

    return model._functional if isinstance(model, keras.Sequential) else model


def producer(tensor: Any) -> keras.layers.Layer:
    """The layer that a tensor of a functional model is an output of."""
    return tensor._keras_history.operation


def sources(tensor: Any) -> list[Any]:
    """The tensors that a tensor of a functional model is computed from by the layer that put it out."""
    history = tensor._keras_history
    if history.node_index < 0 or not history.operation._inbound_nodes:
        return []
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)


# Losses and optimizers -----------------------------------------------------------------------------------------------


def loss_arguments(loss: Any) -> dict[str, Any]:
    """The arguments that a loss object passes on to its function; none for any other loss."""
    return getattr(loss, "_fn_kwargs", {})


def learning_rate_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """The variable of an optimizer's rate, or of the one's within `LossScaleOptimizer`, whose own nobody reads.

    None where a schedule or a function says the rate, or several optimizers have one each.
    """
    import keras

    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = None if hasattr(inner, "optimizers") else getattr(inner, "_learning_rate", None)
    return rate if isinstance(rate, keras.Variable) else None


def weight_averages(optimizer: keras.optimizers.Optimizer) -> Iterable[tuple[Any, Any]]:
    """(variable, its average or None) of a built optimizer with `use_ema`."""
    return zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)


# Keras Tuner ---------------------------------------------------------------------------------------------------------


def own_build(builder: Any) -> Any:
    """The `build` of a HyperModel as it was written, whose own one hides its arguments; of other objects, theirs, and
    a function itself."""
    import keras_tuner

    build = getattr(builder, "build", builder)
    return getattr(builder, "_build", build) if isinstance(builder, keras_tuner.HyperModel) else build


# Backends ------------------------------------------------------------------------------------------------------------


def make_shared_seed_generator() -> Any:
    """Keras's global seed generator, made now where there is none: made within a graph, it would begin anywhere."""
    from keras.src.random.seed_generator import global_seed_generator

    return global_seed_generator()


def shared_seed_generator() -> Any:
    """Keras's global seed generator, which layers without one of their own draw from; None before its first use."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute("global_seed_generator")


def torch_device() -> str:
    """The device that Keras computes on with PyTorch."""
    from keras.src.backend.torch.core import get_device

    return get_device()
