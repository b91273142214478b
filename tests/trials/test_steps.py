"""Our loops around Keras's training step against Keras's own, each backend in one process of its own."""

from __future__ import annotations

import functools
import importlib.util

import pytest

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

_COMPARE = """
import json
import functools, importlib, sys
import keras, numpy as np
from keras import layers
from tuning.dataset.store.packing import ImageSplit
from tuning.trials import runtime
from tuning.trials.batches import TrainingBatches
from tuning.trials.plan import TrainingPlan
from tuning.trials.spaces import interface
from tuning.trials.averages import averaged
from tuning.trials.steps import KerasSteps, build_optimizer, steps_of

runtime.configure(1)
on = importlib.import_module(f"tuning.trials.on_{keras.backend.backend()}.steps")
rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 70)
split = ImageSplit(rng.integers(0, 256, (70, 8, 8, 1)).astype(np.uint8), labels)


def build(rescaling=True, sparse=False, kind=keras.Model, dropout=0.2, optimizer=keras.optimizers.Adam, **options):
    runtime.begin_trial(4, "float32")
    inputs = keras.Input((8, 8, 1))
    x = layers.Rescaling(1 / 255)(inputs) if rescaling else inputs
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(x))
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    model = kind(inputs, layers.Dense(3, activation="softmax", kernel_regularizer="l2")(x))
    loss = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
    metrics = ["accuracy"] if sparse else ["accuracy", keras.metrics.F1Score(average="macro")]
    model.compile(optimizer(1e-2), loss, metrics=metrics, **options)
    return model


def trained(model, kind, balance, images):
    steps = kind(model, interface(model, "a space"))
    plan = TrainingPlan(batch_size=16, class_balance=balance, flip=True)
    few, logs = ImageSplit(split.images[:images], split.labels[:images]), []
    for epoch in (1, 2):
        runtime.begin_epoch(model, 1, epoch)
        if on.__name__.endswith("on_torch.steps") and kind is not KerasSteps:
            # The loader that Keras lays around its batches draws a number that it does not use.
            on.torch.empty((), dtype=on.torch.int64).random_()
        batches = TrainingBatches(few, 3, plan, steps.batch_interface, 1, epoch)
        # As a warm-up does, and then a schedule.
        # Keras's own loop on JAX takes one rate for all steps.
        rising = keras.backend.backend() != "jax"
        rates = [1e-3 * (1 + rising * step) for step in range(len(batches))] if epoch == 1 else None
        logs.append({name: float(value) for name, value in steps.train(batches, rates).items()})
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        assert rates is None or abs(rate - rates[-1]) < 1e-9, rate
    return logs, [keras.ops.convert_to_numpy(w) for w in model.weights], steps.outputs(split.images)


@functools.cache
def by_keras(balance, images, **options):
    return trained(build(**options), KerasSteps, balance, images)


def compare(balance, images=70, **options):
    ours, weights, outputs = trained(build(**options), on.steps_of, balance, images)
    theirs, their_weights, their_outputs = by_keras(balance, images, **options)
    return {
        "names": [sorted(ours[0]), sorted(theirs[0])],
        "logs": [max(abs(a[name] - b[name]) for name in b) for a, b in zip(ours, theirs)],
        "weights": max(float(np.abs(a.astype(float) - b).max()) for a, b in zip(weights, their_weights)),
        "outputs": [float(np.abs(outputs - their_outputs).max()), str(outputs.dtype), list(outputs.shape)],
    }


def moved_by(rates, optimizer):
    # How far weights move in one epoch at these rates, by plain gradient descent, and the rate at its end.
    model = build(dropout=0, optimizer=optimizer)
    steps = on.steps_of(model, interface(model, "a space"))
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    steps.train(TrainingBatches(split, 3, TrainingPlan(batch_size=16), steps.batch_interface, 1, 1), rates)
    after = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    return max(float(np.abs(a - b).max()) for a, b in zip(before, after)), rate


def scaled_descent(rate):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate), initial_scale=4.0)


def programs():
    # How many steps a warm-up and what comes after it are compiled to, on JAX.
    if keras.backend.backend() != "jax":
        return None
    model = build()
    steps = on.steps_of(model, interface(model, "a space"))
    trained(model, lambda *arguments: steps, "none", 70)
    return steps._train._cache_size()


class Chained(keras.utils.PyDataset):
    # The batches of several epochs as those of one.

    def __init__(self, epochs):
        super().__init__()
        self.batches = [batches[index] for batches in epochs for index in range(len(batches))]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@functools.cache
def fitted(optimizer):
    model = build(dropout=0, optimizer=lambda rate: optimizer(rate, True))
    plan = TrainingPlan(batch_size=16)
    model.fit(Chained([TrainingBatches(split, 3, plan, interface(model, "a space"), 1, e) for e in (1, 2)]),
              shuffle=False, verbose=0)
    return [np.array(w) for w in model.weights]


@functools.cache
def keras_averaging():
    return averaging(KerasSteps, plain)


def averaging(kind, optimizer):
    # Largest differences of weights after two epochs: averages from Keras's, weights from those without averaging, and
    # the two from each other.
    plan, found = TrainingPlan(batch_size=16), {}
    for name, use_ema in (("ours", True), ("never", False)):
        model = build(dropout=0, optimizer=lambda rate: optimizer(rate, use_ema))
        steps = kind(model, interface(model, "a space"))
        build_optimizer(model)
        for epoch in (1, 2):
            steps.train(TrainingBatches(split, 3, plan, steps.batch_interface, 1, epoch))
            with averaged(model):
                averages = [np.array(w) for w in model.weights]
        found[name] = averages, [np.array(w) for w in model.weights]
    theirs = fitted(optimizer)
    apart = lambda one, other: max(float(np.abs(a.astype(float) - b).max()) for a, b in zip(one, other))
    return apart(found["ours"][0], theirs), apart(found["ours"][1], found["never"][1]), apart(*found["ours"])


def plain(rate, use_ema):
    return keras.optimizers.Adam(rate, use_ema=use_ema, ema_momentum=0.9)


def scaled(rate, use_ema):
    return keras.optimizers.LossScaleOptimizer(plain(rate, use_ema), initial_scale=4.0)


class OwnLoop(keras.Model):
    def fit(self, *arguments, **options):
        return super().fit(*arguments, **options)


class OwnStep(keras.Model):
    def train_step(self, data):
        return {"loss": super().train_step(data)["loss"]}


class OwnMetrics(keras.Model):
    def compute_metrics(self, *arguments, **options):
        return {**super().compute_metrics(*arguments, **options), "mine": 0.5}


def kind(model):
    return type(steps_of(model, interface(model, "a space"))).__name__


class OwnFunction(keras.Model):
    def make_train_function(self, force=False):
        return super().make_train_function(force)


replaced = build()
replaced.fit = lambda *arguments, **options: None
found = {}
for case in sys.argv[1:]:
    _, *most = case.split()
    if most:
        # As a GPU is handed its batches: the four whole ones in two calls.
        on.BATCHES_A_CALL, on.jax.default_backend = int(most[0]), lambda: "gpu"
    found[case] = {
        "rescaling": compare("weights"),
        # 2 images are too few for a last batch of their own: 16, 16, 16, 18.
        "joined": compare("weights", images=66),
        "moved": [[moved_by(rates, optimizer) for rates in ([0.0] * 5, [0.0] * 4 + [0.5], [0.5] + [0.0] * 4)]
                  for optimizer in (keras.optimizers.SGD, scaled_descent)],
        "programs": programs(),
        "scaled": compare("none", rescaling=False, sparse=True),
        "averaging": [averaging(on.steps_of, plain), keras_averaging(), averaging(on.steps_of, scaled)],
        "plain": kind(build()),
        "kept to Keras": [kind(build(kind=OwnLoop)), kind(build(kind=OwnStep)), kind(build(kind=OwnFunction)),
                          kind(build(kind=OwnMetrics)),
                          kind(replaced), kind(build(run_eagerly=True)), kind(build(steps_per_execution=4))],
    }
print(json.dumps(found))
"""


BACKENDS = {"TensorFlowSteps": "tensorflow", "JaxSteps": "jax", "TorchSteps": "torch"}


def _case(case: str):
    backend = BACKENDS[case.split()[0]]
    missing = importlib.util.find_spec(backend) is None
    marks = [pytest.mark.skipif(missing, reason=f"{backend} is not there")]
    return pytest.param(case, marks=marks if backend == "tensorflow" else [*marks, pytest.mark.long])


#: Class of the steps, and how many batches a call gets of those that may get several.
CASES = ("TensorFlowSteps", "JaxSteps", "JaxSteps 3", "TorchSteps")


@pytest.fixture(scope="module")
def comparisons(printed_by):
    """`comparisons("jax")` is what was found on a backend, by case; what Keras does is the same for all of them."""

    @functools.cache
    def found(backend):
        cases = [case for case in CASES if BACKENDS[case.split()[0]] == backend]
        return printed_by(_COMPARE, backend, *cases)

    return found


@pytest.fixture(params=map(_case, CASES))
def compared(request, comparisons):
    """(name of the class, whether calls get several batches, what the comparison found)."""
    name, *most = request.param.split()
    return name, bool(most), comparisons(BACKENDS[name])[request.param]


@pytest.mark.parametrize("kind", ["rescaling", "joined"])
def test_the_same_bits_as_keras_where_the_model_scales_its_images(compared, kind):
    _, in_a_loop, found = compared
    result = found[kind]
    ours, theirs = result["names"]
    assert ours == theirs == ["accuracy", "f1_score", "loss"]
    # Within a loop, XLA may put the same operations together in another way.
    most = 1e-5 if in_a_loop else 0
    assert max(result["logs"]) <= most
    assert result["weights"] <= most
    assert result["outputs"][0] <= most
    assert result["outputs"][1:] == ["float32", [70, 3]]


def test_images_scaled_in_the_graph_are_those_scaled_before_it(compared):
    result = compared[2]["scaled"]
    assert max(result["logs"]) < 1e-5
    assert result["outputs"][0] < 1e-4


def test_every_step_has_the_rate_that_it_was_given(compared):
    """An epoch in which only the last, or only the first, step may move anything."""
    for (nothing, _), (last, ends_high), (first, ends_low) in compared[2]["moved"]:
        assert nothing == 0
        assert (ends_high, ends_low) == (0.5, 0)
        assert last > 0
        assert first > 0
        assert last != first


def test_a_warm_up_and_what_follows_are_one_program_for_each_length_of_a_batch(compared):
    name, _, found = compared
    assert found["programs"] == (2 if name == "JaxSteps" else None)


def test_averages_of_the_weights_are_asked_and_never_trained_on(compared):
    """As at the end of Keras's `fit` of as many epochs; that of a second epoch is no end of it."""
    for averages, weights, between in compared[2]["averaging"]:
        assert averages < 1e-5
        assert weights < 1e-5
        assert between > 1e-3


def test_a_model_with_a_loop_of_its_own_is_trained_by_it(compared):
    name, _, found = compared
    assert found["plain"] == name
    assert found["kept to Keras"] == ["KerasSteps"] * 7


def test_several_optimizers_have_no_one_rate():
    import keras

    from tuning.trials.fit import _base_learning_rate

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1), {".*bias": keras.optimizers.Adam(0.2)})
    model.compile(keras.optimizers.MultiOptimizer(optimizers), "mse")
    assert _base_learning_rate(model) is None


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_schedule_of_the_builder_s_own_rules_within_a_loss_scaling_optimizer_too(wrapped):
    import keras

    from tuning.trials.fit import _base_learning_rate

    def compiled(rate):
        optimizer = keras.optimizers.SGD(rate)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile(keras.optimizers.LossScaleOptimizer(optimizer) if wrapped else optimizer, "mse")
        return model

    assert _base_learning_rate(compiled(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))) is None
    assert _base_learning_rate(compiled(lambda: 0.25)) is None
    assert _base_learning_rate(compiled(0.25)) == 0.25
