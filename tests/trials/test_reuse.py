"""Which models count as the same architecture; that kept ones train to the same bits is shown with the jobs."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from keras import layers

from tuning.trials import reuse
from tuning.trials.reuse import architecture, reused


def build(
    units=4, dropout=0.2, rate=1e-3, policy="float32", seed=0, smoothing=0.0, optimizer=keras.optimizers.Adam, **kw
):
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 1))
    x = layers.Flatten()(inputs)
    x = layers.Dropout(dropout)(layers.Dense(units, **kw)(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    model.compile(optimizer(rate), loss, metrics=["accuracy"])
    return model


def own_loss(y_true, y_pred):
    return keras.losses.categorical_crossentropy(y_true, y_pred)


class OwnAdam(keras.optimizers.Adam):
    pass


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(reuse, "_kept", type(reuse._kept)())
    yield
    keras.config.set_dtype_policy("float32")


def test_seed_and_learning_rate_are_no_part_of_the_architecture():
    assert architecture(build()) == architecture(build(seed=7, rate=0.5)) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"units": 5},
        {"dropout": 0.3},
        {"policy": "mixed_bfloat16"},
        {"smoothing": 0.1},
        {"optimizer": keras.optimizers.SGD},
        {"optimizer": lambda rate: keras.optimizers.Adam(rate, beta_1=0.8)},
        {"optimizer": lambda rate: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(rate, 5, 0.9))},
        {"activation": "relu"},
        {"kernel_regularizer": keras.regularizers.L2(1e-4)},
        {"trainable": False},
    ],
)
def test_whatever_the_graph_holds_is(change):
    found = architecture(build(**change))
    assert found is not None
    assert found != architecture(build())


def test_code_of_a_person_s_own_is_never_taken_for_known():
    model = build()
    model.compile("adam", own_loss)
    assert architecture(model) is None
    model.compile("adam", "categorical_crossentropy", metrics=[lambda y_true, y_pred: 0.0])
    assert architecture(model) is None
    assert architecture(build(optimizer=OwnAdam)) is None
    for part in (model := build(), model.layers[2]):
        part.call = type(part).call.__get__(part)
        assert architecture(model) is None
        del part.call
        assert architecture(model) is not None
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert architecture(model) is None


def test_a_weight_frozen_by_itself_counts():
    model = build()
    model.layers[2].bias.trainable = False
    assert architecture(model) != architecture(build())


def test_what_is_set_on_a_weight_itself_counts():
    def regularized(strength):
        model = build()
        model.layers[2].kernel.regularizer = keras.regularizers.L2(strength)
        return architecture(model)

    def constrained(most):
        model = build()
        model.layers[2].kernel.constraint = keras.constraints.MaxNorm(most)
        return architecture(model)

    different = [regularized(1e-4), regularized(1.0), constrained(1.0), constrained(2.0), architecture(build())]
    assert len(set(different)) == 5
    assert regularized(1.0) == different[1]


def test_what_no_configuration_tells_of_on_a_weight_is_never_taken_for_known():
    for own in (functools.partial(keras.ops.sum), lambda weights: 0.0, object()):
        model = build()
        model.layers[2].kernel.regularizer = own if callable(own) else OwnPenalty()
        assert architecture(model) is None


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (lambda model: model.optimizer, "apply"),
        (lambda model: model.optimizer, "apply_gradients"),
        (lambda model: model, "get_metrics_result"),
        (lambda model: model, "compute_loss"),
        (lambda model: model.layers[2], "build"),
        (lambda model: model.layers[2], "add_loss"),
        (lambda model: model.loss, "call"),
    ],
)
def test_a_method_that_was_replaced_on_one_object_is_never_taken_for_known(of, name):
    model = build()
    setattr(of(model), name, lambda *arguments, **options: None)
    assert architecture(model) is None


def test_a_method_that_was_replaced_within_a_loss_scaling_optimizer_is_neither():
    model = build(optimizer=lambda rate: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate)))
    assert architecture(model) is not None
    model.optimizer.inner_optimizer.update_step = lambda *arguments: None
    assert architecture(model) is None


def test_what_keras_itself_sets_on_objects_is_no_replaced_method():
    model = build()
    metrics = ["accuracy", keras.metrics.F1Score(average="macro"), keras.metrics.CategoricalAccuracy()]
    for loss in ("categorical_crossentropy", keras.losses.CategoricalFocalCrossentropy()):
        for optimizer in (keras.optimizers.AdamW(1e-3), keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())):
            model.compile(optimizer, loss, metrics=metrics)
            assert architecture(model) is not None


def test_a_weight_that_takes_its_gradient_for_its_value_counts():
    model = build()
    model.layers[2].kernel.overwrite_with_gradient = True
    assert architecture(model) != architecture(build())


class OwnPenalty(keras.regularizers.Regularizer):
    def __call__(self, weights):
        return 0.0


class Made:
    def __init__(self, model):
        self.model = model


def take(model):
    return reused(model, lambda: Made(model))


def variables(model):
    return [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]


def test_kept_steps_take_the_state_of_the_fresh_model():
    first = build(seed=1)
    steps = take(first)
    assert steps.model is first
    for variable in (*first.variables, *first.optimizer.variables):
        variable.assign(np.ones(variable.shape))
    second = build(seed=2, rate=0.25)
    again = take(second)
    assert again is steps
    assert float(again.model.optimizer.learning_rate) == 0.25
    fresh = build(seed=2, rate=0.25)
    fresh.optimizer.build(fresh.trainable_variables)
    for kept, new in zip(variables(again.model), variables(fresh), strict=True):
        assert np.array_equal(kept, new)


def test_a_scaled_loss_can_be_kept_too():
    """Keras's optimizer for it adds its variables each time that it is built."""
    first, again = (take(build(policy="mixed_float16", optimizer=scaled)) for _ in range(2))
    assert first is again
    assert variables(first.model)


def scaled(rate):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate))


def test_as_many_are_kept_as_memory_allows_the_latest_used_last(monkeypatch):
    monkeypatch.setattr(reuse, "KEPT_MODELS", 2)
    kept = [take(build(units=units)) for units in (1, 2)]
    assert take(build(units=1)) is kept[0]
    take(build(units=3))
    assert take(build(units=1)) is kept[0]
    assert take(build(units=2)) is not kept[1]
    monkeypatch.setattr(reuse, "KEPT_BYTES", 1)
    large = take(build(units=9))
    assert list(reuse._kept.values()) == [large]
