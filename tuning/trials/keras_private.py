"""All private parts of other libraries that this package uses, in one place.

Keras and Keras Tuner have no public equivalents, and may change these parts in any minor version: that is why
`setup.cfg` bounds both. To raise a bound, run `tests/trials/test_keras_private.py` on the new version first. The
functions here are used by `tuning.trials`; overridden or inherited members cannot be wrapped in functions, so
`INHERITED` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

#: "module:class" -> private methods and attributes that our subclasses call, override or set; the class must have them.
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
#: The same for attributes that only instances have.
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
    """Returns the layers of a model or a layer, including nested ones."""
    return list(model._flatten_layers(include_self=include_self))


def symbolic_build(model: keras.Model, batch: Any) -> None:
    """Creates the variables of loss and metrics from the shapes of a batch, as the first step of `fit` does."""
    model._symbolic_build(data_batch=batch)


def nodes_in_order(model: keras.Model) -> list[Any]:
    """Returns the layer calls (nodes) of a functional or sequential model, from its input on; none for other layers."""
    by_depth = getattr(functional_graph(model), "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def functional_graph(model: keras.Model) -> Any:
    """Returns the functional model inside a sequential one; any other layer unchanged."""
    import keras

    return model._functional if isinstance(model, keras.Sequential) else model


def producer(tensor: Any) -> keras.layers.Layer:
    """Returns the layer that produces a tensor of a functional model."""
    return tensor._keras_history.operation


def sources(tensor: Any) -> list[Any]:
    """Returns the input tensors of the layer call that produces a tensor of a functional model."""
    history = tensor._keras_history
    if history.node_index < 0 or not history.operation._inbound_nodes:
        return []
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)


# Losses and optimizers -----------------------------------------------------------------------------------------------


def loss_arguments(loss: Any) -> dict[str, Any]:
    """Returns the arguments that a loss object passes to its function; none for any other loss."""
    return getattr(loss, "_fn_kwargs", {})


def learning_rate_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Returns the variable of an optimizer's learning rate; of the inner optimizer for `LossScaleOptimizer`.

    None if a schedule or a function determines the rate, or if there are several inner optimizers.
    """
    import keras

    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = None if hasattr(inner, "optimizers") else getattr(inner, "_learning_rate", None)
    return rate if isinstance(rate, keras.Variable) else None


def weight_averages(optimizer: keras.optimizers.Optimizer) -> Iterable[tuple[Any, Any]]:
    """Returns pairs (variable, its average or None) of a built optimizer with `use_ema`."""
    return zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)


# Keras Tuner ---------------------------------------------------------------------------------------------------------


def own_build(builder: Any) -> Any:
    """Returns the original `build` of a HyperModel, which Keras Tuner wraps, hiding its arguments.

    For other objects returns their `build`, and for a function the function itself.
    """
    import keras_tuner

    build = getattr(builder, "build", builder)
    return getattr(builder, "_build", build) if isinstance(builder, keras_tuner.HyperModel) else build


# Backends ------------------------------------------------------------------------------------------------------------


def make_shared_seed_generator() -> Any:
    """Returns Keras's global seed generator, created now if missing: inside a graph, its state would be arbitrary."""
    from keras.src.random.seed_generator import global_seed_generator

    return global_seed_generator()


def shared_seed_generator() -> Any:
    """Returns Keras's global seed generator, used by layers without their own; None before its first use."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute("global_seed_generator")


def torch_device() -> str:
    """Returns the device that Keras uses with PyTorch."""
    from keras.src.backend.torch.core import get_device

    return get_device()
