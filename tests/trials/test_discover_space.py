"""What the search learns about a space before it begins; on Keras's NumPy backend, in this process."""

from __future__ import annotations

import errno
import json

import keras
import pytest

from tuning.core.errors import Interrupted, UsageError
from tuning.core.jobs import BaseModel
from tuning.trials import bases, runtime
from tuning.trials.spaces import build_model


@pytest.fixture(autouse=True)
def _importable(sample_spaces, monkeypatch):
    monkeypatch.syspath_prepend(str(sample_spaces))


@pytest.fixture(autouse=True)
def _policy_stays():
    before = keras.config.dtype_policy().name
    yield
    keras.config.set_dtype_policy(before)


def names(description):
    return {entry["config"]["name"] for entry in description.space}


def test_the_space_its_defaults_and_its_smallest_and_largest_model_are_found(described):
    description = described("tiny")
    assert {"units", "batch_size", "learning_rate", "weight_decay"} <= names(description)
    assert description.defaults["units"] == 8
    assert "weight_decay" not in description.defaults
    counts = {name: model.count for name, model in description.parameters.items()}
    assert counts["smallest"] <= counts["default"] < counts["largest"]
    assert description.parameters["default"].values == description.defaults
    entries = [json.dumps(entry, sort_keys=True) for entry in description.space]
    assert len(entries) == len(set(entries)) > 3
    assert described("tiny") == description
    assert description.constant_rate
    # Without discovery only the default is built; it declares conditional entries too.
    default = described("tiny", discover=False)
    assert names(default) == names(description)
    assert {model.count for model in default.parameters.values()} == {counts["default"]}


@pytest.mark.parametrize("space", ["own_schedule", "search_spaces.baseline_cnn:build_model"])
def test_that_a_schedule_determines_the_learning_rate_is_found(described, space):
    """Whether the builder compiles it, or names it as a hyperparameter."""
    assert not described(space, discover=False).constant_rate


def test_a_space_that_leaves_the_base_alone_is_refused(described, tmp_path):
    image = keras.Input((12, 12, 1))
    path = tmp_path / "base.keras"
    keras.Sequential([image, keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(2)]).save(path)
    base = {"model": str(path), "scaling": "0-1"}
    try:
        for space in ("search_spaces.baseline_cnn:build_model", "search_spaces.fine_tune:build_model", "tiny"):
            # The model of one job asks for it; that of the next has yet to.
            bases.use(BaseModel(**base))
            if "fine_tune" in space:
                assert "frozen" in names(described(space, base=base))
                continue
            with pytest.raises(UsageError, match="does not use the model of --base") as refused:
                described(space, base=base)
            assert "tuning.base_model()" in refused.value.remedy
    finally:
        bases.use(None)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("no_model", "str, not a Keras model"),
        ("regression", "loss 'mse'"),
        ("linear_outputs", "not probabilities"),
        ("wrong_batch_size", "batch_size is 'small'"),
        ("raises", "ValueError: no such layer"),
        ("shared_base", "share layers"),
        ("shared_optimizer", "share an optimizer"),
        ("exits", "sys.exit('no GPU') in the builder"),
        ("own_arguments", "takes shape, labels, which a search does not provide"),
        ("epochs_as_hyperparameter", "'epochs', which would have no effect"),
        ("flip_in_words", "flip is 'none'"),
        ("later_schedule", "schedule is 'step'"),
        ("odd_spaces:steps_of_nothing", "'units' goes in steps of 0"),
        ("odd_spaces:steps_down", "'rate' goes in steps of -0.1"),
        ("odd_spaces:scope_of_keras_tuner", "'tuner/layers': names that begin with 'tuner/'"),
        ("odd_spaces:outputs_by_name", "puts its classes out in a dictionary"),
        ("odd_spaces:fixed_batch", "takes only batches of 32 images"),
        ("odd_spaces:own_parts", "cannot load a model with Lambda"),
    ],
)
def test_a_builder_that_cannot_be_searched_is_refused_before_anything_trains(described, space, said):
    with pytest.raises(UsageError) as refused:
        described(space)
    assert said in refused.value.problem
    assert "\n" not in refused.value.problem
    assert refused.value.remedy


def test_the_line_about_a_builder_s_own_error_says_where_it_is(described, sample_spaces):
    with pytest.raises(UsageError, match=r"sample_spaces\.py:\d+"):
        described("raises")


def test_a_module_that_names_another_backend_is_told_that_it_comes_too_late(described, monkeypatch):
    assert not any("KERAS_BACKEND" in words for words in described("hp_only").warnings)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    (said,) = (words for words in described("hp_only").warnings if "KERAS_BACKEND" in words)
    assert "to 'jax'" in said and f"trains on {keras.backend.backend()}" in said


def test_a_name_that_is_declared_in_two_ways_is_told(described):
    (said,) = (words for words in described("odd_spaces:one_name_for_two").warnings if "hyperparameter" in words)
    assert "'rate' is declared in two ways (max_value 0.01 and 1.0, sampling linear and log)" in said
    # Within scopes of their own, they are two.
    assert not any("two ways" in words for words in described("tiny").warnings)


def test_export_is_tried_with_the_graph_that_is_published(described):
    """Not with the class of a person's own around it, which no other process knows."""
    found = described("odd_spaces:own_step_and_resizing")
    assert found.unproven_layers == ["shrink"]
    assert json.loads(found.unproven_model)["class_name"] == "Functional"


def test_combinations_that_do_not_build_are_left_to_the_search(described, monkeypatch):
    import sample_spaces as module

    def moody(hp, input_shape, num_classes):
        if hp.Int("units", 1, 100, default=1) > 1:
            raise RuntimeError("too large")
        return module.one_hot_rescaling(hp, input_shape, num_classes)

    monkeypatch.setattr(module, "hp_only", moody)
    assert names(described("hp_only")) == {"units"}


@pytest.mark.parametrize("first", [0, 1])
def test_a_machine_that_fails_is_not_taken_for_such_a_combination(described, monkeypatch, first):
    """What the space is would depend on how much room there was while it was read."""
    built = []

    def caching(hp, input_shape, num_classes):
        built.append(hp)
        if len(built) == first + 1:
            raise OSError(errno.ENOSPC, "No space left on device", "/cache/weights.h5")
        return build_model("search_spaces.baseline_cnn:build_model", {}, input_shape, num_classes)[0]

    monkeypatch.setattr("sample_spaces.tiny", caching)
    with pytest.raises(OSError, match="No space left"):
        described("tiny")


def test_an_interruption_is_not_taken_for_such_a_combination(described, monkeypatch):
    import sample_spaces as module

    def interrupted(hp, input_shape, num_classes):
        if hp.Int("units", 1, 100, default=1) > 1:
            raise Interrupted(2)
        return module.one_hot_rescaling(hp, input_shape, num_classes)

    monkeypatch.setattr(module, "hp_only", interrupted)
    with pytest.raises(Interrupted):
        described("hp_only")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_every_trial_computes_in_the_type_it_was_told(policy):
    """Twice: what a trial begins with must not undo it."""
    for _ in range(2):
        runtime.begin_trial(0, policy)
        model, _ = build_model("sample_spaces:tiny", {}, (24, 24, 1), 3)
        computes = {layer.compute_dtype for layer in model.layers if layer.weights}
        assert computes == ({"bfloat16", "float32"} if policy == "mixed_bfloat16" else {"float32"})
        assert all(variable.dtype == "float32" for variable in model.trainable_variables)


def test_a_trial_starts_from_the_weights_of_its_seed():
    def weights(seed):
        runtime.begin_trial(seed, "float32")
        return build_model("sample_spaces:tiny", {}, (24, 24, 1), 3)[0].get_weights()

    first, again, other = weights(1), weights(1), weights(2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
