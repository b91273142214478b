"""The baseline, the space around it, and what the space says is good; on Keras's NumPy backend, in this process."""

from __future__ import annotations

import keras_tuner
import pytest

from tuning.oracles.space import accepts
from tuning.trials.plan import TrainingPlan
from tuning.trials.spaces import Interface, build_model, interface, load_builder, starting_points


def baseline(values=None, shape=(48, 48, 1), classes=7):
    return build_model("baseline_cnn", values or {}, shape, classes)


def test_the_defaults_are_the_documented_baseline():
    model, hp = baseline()
    kinds = [type(layer).__name__ for layer in model.layers]
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [32, 64, 128]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * 3
    assert kinds.count("MaxPooling2D") == 3
    assert "BatchNormalization" not in kinds
    dense = [layer for layer in model.layers if type(layer).__name__ == "Dense"]
    assert [layer.units for layer in dense] == [128, 7]
    assert dense[-1].activation.__name__ == "softmax"
    assert dense[-1].dtype_policy.name == "float32"
    assert type(model.optimizer).__name__ == "Adam"
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    assert TrainingPlan.from_values(hp.values) == TrainingPlan(64, "sampler", 0.0, True, "cosine")
    assert interface(model, "baseline_cnn") == Interface(sparse=False, scaled=False, logits=False)


def test_every_hyperparameter_that_is_known_to_matter_is_in_the_space():
    _, hp = baseline()
    ranges = {"learning_rate", "augmentation"}
    fixed = {"flip": True, "schedule": "cosine"}
    values = {entry.name: set(entry.values) for entry in hp.space if entry.name not in ranges | fixed.keys()}
    expected = {
        "class_balance": {"none", "sampler"},
        "block": {"plain", "normalised", "double"},
        "blocks": {3, 4},
        "width": {16, 32, 48},
        "spatial_dropout": {0.0, 0.05, 0.1},
        "head": {"dense", "average"},
        "head_dropout": {0.2, 0.3, 0.4, 0.5},
        "label_smoothing": {0.0, 0.05, 0.1, 0.15},
        "batch_size": {32, 64, 128},
        "weight_decay": {0.0, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1},
    }
    assert values == expected
    rates = [entry for entry in hp.space if entry.name == "learning_rate"]
    expected_rates = [(7e-4, 3e-3, 1e-3, "log"), (1e-3, 6e-3, 2e-3, "log")]  # of plain blocks, and of normalised ones
    assert [(rate.min_value, rate.max_value, rate.default, rate.sampling) for rate in rates] == expected_rates
    [magnitude] = [entry for entry in hp.space if entry.name == "augmentation"]
    assert (magnitude.min_value, magnitude.max_value, magnitude.default) == (0.0, 0.75, 0.0)
    assert ranges | fixed.keys() == {entry.name for entry in hp.space} - expected.keys()
    assert {name: hp.values[name] for name in fixed} == fixed


def test_large_images_have_a_fifth_block_to_choose():
    for side, most in ((95, 4), (96, 5)):
        _, hp = baseline(shape=(side, side, 3))
        [blocks] = [entry for entry in hp.space if entry.name == "blocks"]
        assert (blocks.min_value, blocks.max_value, blocks.default) == (3, most, 3)


def test_the_first_starting_point_is_a_small_vgg():
    model, hp = baseline(starting_points("baseline_cnn")[0])
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [16, 32, 64, 64, 128, 128, 256, 256]
    assert not any(layer.use_bias for layer in convolutions)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert (kinds.count("BatchNormalization"), kinds.count("MaxPooling2D"), kinds.count("Flatten")) == (9, 4, 1)
    assert "SpatialDropout2D" not in kinds
    assert (type(model.optimizer).__name__, model.optimizer.weight_decay) == ("AdamW", 2e-2)
    assert float(model.optimizer.learning_rate) == pytest.approx(4e-3)
    assert TrainingPlan.from_values(hp.values) == TrainingPlan(64, "sampler", 0.5, True, "cosine")


def layers_of(values):
    model, _ = baseline(values)
    return [(type(layer).__name__, layer.output.shape) for layer in model.layers]


def test_a_plain_architecture_is_the_baseline_s():
    _, hp = baseline()
    assert {entry.name for entry in hp.space} - hp.values.keys() == {"width", "blocks", "spatial_dropout", "head"}
    for other in ({"width": 48}, {"blocks": 4}, {"spatial_dropout": 0.0}, {"head": "average"}):
        assert layers_of(other) == layers_of({})
        assert layers_of({**other, "block": "double"}) != layers_of({"block": "double"})
    assert layers_of({"block": "normalised", "head": "average"}) == layers_of({"block": "normalised"})
    assert layers_of({"block": "normalised", "blocks": 4}) != layers_of({"block": "normalised"})


def test_wide_blocks_stop_at_256_filters_and_the_average_head_has_no_maps():
    model, _ = baseline({"block": "double", "blocks": 4, "width": 48, "head": "average"})
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [24, 48, 96, 96, 192, 192, 256, 256]
    kinds = [type(layer).__name__ for layer in model.layers]
    assert "GlobalAveragePooling2D" in kinds and "Flatten" not in kinds


def test_starting_points_fit_the_space_and_differ_from_the_baseline():
    _, hp = baseline()
    points = starting_points("baseline_cnn")
    assert len(points) == 5
    for point in points:
        _, built = baseline(point)
        assert point.items() <= built.values.items()
        # Single convolutions always have the dense head.
        inactive = {"head"} if point["block"] == "normalised" else set()
        assert built.values.keys() == {entry.name for entry in hp.space} - inactive
        assert all(any(entry.name == name and accepts(entry, point[name]) for entry in hp.space) for name in point)


@pytest.mark.parametrize("share", [0.0, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("shape", [(16, 16, 1), (48, 48, 3)])
def test_the_smallest_and_the_largest_of_everything_build(share, shape):
    _, known = baseline()
    values = {entry.name: entry.prob_to_value(share) for entry in known.space}
    model, _ = baseline(values, shape, 4)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, 4)


def test_the_builder_is_a_plain_keras_tuner_builder_too():
    builder = load_builder("baseline_cnn")
    hp = keras_tuner.HyperParameters()
    assert builder(hp, (48, 48, 1), 7).compiled
