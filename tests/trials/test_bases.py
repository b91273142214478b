"""What is left of a model that trainings start from, and how it is built into another one."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from search_spaces import fine_tune
from tuning.core.errors import UsageError
from tuning.core.jobs import Addition, Additions, BaseModel, Member
from tuning.trials import bases
from tuning.trials.input_range import wants_0_to_1
from tuning.trials.published import ensemble, with_additions
from tuning.trials.spaces import build_model, load_builder

USED = Addition(used=True, value=0.5)
ALL = Additions(mirrored_view=USED, prior_correction=USED, temperature=USED)
COUNTS = np.array([5, 9, 2])


@pytest.fixture(autouse=True)
def _no_base_stays():
    yield
    bases.use(None)
    keras.config.set_dtype_policy("float32")


def network(seed: int = 0, scales: bool = True, momentum: float = 0.99) -> keras.Model:
    """A small network with everything that is looked at."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((12, 12, 1))
    x = layers.Rescaling(1 / 255)(image) if scales else image
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.BatchNormalization(momentum=momentum)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(6, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x), name=f"own_{seed}")


def vector(model: keras.Model) -> keras.Model:
    """What its classifier sees."""
    return keras.Model(model.inputs, model.layers[-2].output)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 12, 12, 1)).astype("float32")


def opened(tmp_path, model: keras.Model, scaling: str = "0-255", member: int | None = None, outputs=None):
    path = tmp_path / "model.keras"
    model.save(path)
    bases.use(BaseModel(model=str(path), scaling=scaling, member=member, outputs=outputs))
    return bases.base_model()


@pytest.mark.parametrize("size", [12, 24])
def test_augmentation_inside_a_base_says_which_pixels_it_wants(tmp_path, size):
    image = keras.Input((12, 12, 1))
    x = keras.Sequential([layers.RandomFlip(), layers.RandomBrightness(0.2)])(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    assert not wants_0_to_1(model)
    opened(tmp_path, model)
    tuned, _ = build_model("fine_tune", {}, (size, size, 1), 3)
    assert not wants_0_to_1(tuned)


def test_the_classifier_and_the_dropout_before_it_are_taken_off(tmp_path, pixels):
    model = network()
    base = opened(tmp_path, model)
    assert base.output_shape == (None, 6)
    np.testing.assert_allclose(base.predict(pixels, verbose=0), vector(model).predict(pixels, verbose=0), atol=1e-5)
    assert not any(isinstance(layer, layers.Dropout) for layer in fine_tune.leaves(base))


def test_what_a_published_graph_carries_is_taken_off(tmp_path, pixels):
    model = network()
    published = with_additions(model, ALL, COUNTS)
    assert published is not model
    base = opened(tmp_path, published)
    np.testing.assert_allclose(base.predict(pixels, verbose=0), vector(model).predict(pixels, verbose=0), atol=1e-5)


@pytest.mark.parametrize("member", [1, 2])
def test_of_an_ensemble_one_member_is_used_with_pixels_as_it_wants_them(tmp_path, pixels, member):
    models = [with_additions(network(1, scales=False), ALL, COUNTS), network(2)]
    members = [Member(model="", weight=1, scaled=scaled, logits=False) for scaled in (True, False)]
    # Its input is that of its first member: 0…1.
    base = opened(tmp_path, ensemble(models, members), "0-1", member)
    own = vector([network(1, scales=False), network(2)][member - 1])
    expected = own.predict(pixels / 255 if member == 1 else pixels, verbose=0)
    np.testing.assert_allclose(base.predict(pixels, verbose=0), expected, atol=1e-5)


def test_a_network_around_a_backbone_is_not_taken_for_a_published_one(tmp_path, pixels):
    image = keras.Input((12, 12, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    backbone = keras.Sequential([keras.Input((12, 12, 1)), layers.Conv2D(2, 3)])
    model = keras.Model(image, backbone(x))
    base = opened(tmp_path, model)
    assert base.output_shape == (None, 10, 10, 2)
    np.testing.assert_allclose(base.predict(pixels, verbose=0), model.predict(pixels, verbose=0), atol=1e-5)


def a_head_of_its_own() -> tuple[keras.Model, keras.Model]:
    image = keras.Input((12, 12, 1))
    backbone = keras.Sequential([keras.Input((12, 12, 1)), layers.Conv2D(6, 3)])
    pool = layers.GlobalAveragePooling2D()
    head = keras.Sequential([pool, layers.Dropout(0.5), layers.Dense(3, "softmax")])
    return keras.Model(image, head(backbone(image))), keras.Model(image, pool(backbone(image)))


#: (a model, what its classifier sees) of a network that is its own.
NESTED = {
    "softmax after it": lambda own: (keras.Sequential([own, layers.Softmax()]), vector(own)),
    "scaled before it": lambda own: (
        keras.Sequential([scale := layers.Rescaling(0.1), own]),
        keras.Model(image := keras.Input((12, 12, 1)), vector(own)(scale(image))),
    ),
    "a head of its own": lambda own: a_head_of_its_own(),
    "a head of one layer": lambda own: (
        keras.Sequential([vector(own), keras.Sequential([layers.Dense(3)])]),
        vector(own),
    ),
    "two deep": lambda own: (keras.Sequential([layers.Rescaling(1.0), keras.Sequential([own])]), vector(own)),
}


@pytest.mark.parametrize("make", NESTED.values(), ids=NESTED.keys())
def test_the_classifier_of_a_model_within_a_model_is_taken_off(tmp_path, pixels, make):
    model, sees = make(network())
    model.build((None, 12, 12, 1))
    base = opened(tmp_path, model)
    assert base.output_shape == (None, 6)
    np.testing.assert_allclose(base.predict(pixels, verbose=0), sees.predict(pixels, verbose=0), atol=1e-4)


@pytest.mark.parametrize("values", [{}, {"head_rate": 10.0}, {"dropout": 0.0}], ids=str)
@pytest.mark.parametrize("nested", [False, True])
def test_fine_tuning_begins_with_what_the_base_knows_of_the_classes(tmp_path, pixels, nested, values):
    own = network()
    model = keras.Sequential([keras.Input((12, 12, 1)), keras.Sequential([own])]) if nested else own
    opened(tmp_path, model, outputs=[2, None, 0, 1])
    tuned, _ = build_model("fine_tune", values, (12, 12, 1), 4)
    before, begins = np.log(own.predict(pixels, verbose=0)), np.log(tuned.predict(pixels, verbose=0))
    differences = begins[:, [0, 2, 3]] - before[:, [2, 0, 1]]
    np.testing.assert_allclose(differences - differences[:, :1], 0, atol=1e-4)
    # What the base does not know is as likely as the (geometric) mean of what it knows.
    np.testing.assert_allclose(begins[:, 1], begins[:, [0, 2, 3]].mean(axis=1), atol=1e-4)
    # A model that was itself tuned with a faster head is passed on as it is.
    opened(tmp_path, tuned, outputs=[3, 2, 1, 0])
    again, _ = build_model("fine_tune", {}, (12, 12, 1), 4)
    np.testing.assert_allclose(again.predict(pixels, verbose=0)[:, ::-1], tuned.predict(pixels, verbose=0), atol=1e-4)


def test_a_head_of_other_classes_begins_at_random(tmp_path, pixels):
    assert opened(tmp_path, network()).classifier is None
    assert opened(tmp_path, network(), outputs=[0, 1, 3]).classifier is None
    features = keras.Model((own := network()).inputs, own.layers[-4].output)
    assert opened(tmp_path, features, outputs=[0, 1, 2]).classifier is None
    opened(tmp_path, network(), outputs=[0, 1, 2])
    dense, _ = build_model("fine_tune", {"head": "dense"}, (12, 12, 1), 3)
    assert dense.get_layer("logits").kernel.shape == (fine_tune.UNITS, 3)


def test_a_base_of_a_base_is_used_whole(tmp_path, pixels):
    opened(tmp_path, network())
    second, _ = build_model("fine_tune", {"frozen": 0.5, "head": "dense"}, (12, 12, 1), 4)
    base = opened(tmp_path, keras.Model(second.inputs, second.outputs))
    assert base.output_shape == (None, fine_tune.UNITS)
    assert all(layer.trainable for layer in fine_tune.leaves(base))


def test_a_base_is_built_under_the_dtype_policy_of_the_trial_with_a_momentum_that_ends(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    base = opened(tmp_path, network(momentum=0.999))
    weighted = [layer for layer in fine_tune.leaves(base) if layer.weights]
    assert {layer.compute_dtype for layer in weighted} == {"bfloat16"}
    assert [layer.momentum for layer in weighted if isinstance(layer, layers.BatchNormalization)] == [0.9]


def test_normalization_keeps_what_it_was_adapted_to(tmp_path, pixels):
    image = keras.Input((12, 12, 1))
    scaled = layers.Normalization(axis=None)
    x = layers.Flatten()(scaled(image))
    model = keras.Model(image, x)
    scaled.adapt_mean.assign(np.array(100.0, "float32"))
    scaled.adapt_variance.assign(np.array(25.0, "float32"))
    scaled.finalize_state()
    base = opened(tmp_path, model)
    np.testing.assert_allclose(base.predict(pixels, verbose=0), (pixels.reshape(5, -1) - 100) / 5, atol=1e-3)


@pytest.mark.parametrize(
    ("frozen", "adapt", "trained"), [(0.0, True, 3), (0.0, False, 2), (0.5, True, 1), (1.0, True, 0)]
)
def test_so_much_of_the_base_is_trained(tmp_path, frozen, adapt, trained):
    base = opened(tmp_path, network())
    fine_tune.prepare(base, frozen, adapt)
    assert sum(bool(layer.trainable_weights) for layer in fine_tune.leaves(base)) == trained


@pytest.mark.parametrize("shape", [(12, 12, 1), (20, 20, 1), (8, 8, 3)])
def test_images_are_brought_to_what_the_base_wants(tmp_path, shape):
    opened(tmp_path, network())
    model, hp = build_model("fine_tune", {"head_rate": 10.0}, shape, 4)
    images = np.full((2, *shape), 77, "uint8")
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (2, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    searched = [one for one in hp.space if type(one).__name__ != "Fixed"]
    assert len(searched) <= 10


def test_gray_images_for_a_base_in_colour(tmp_path):
    image = keras.Input((12, 12, 3))
    model = keras.Model(image, layers.Flatten()(image))
    opened(tmp_path, model)
    base = bases.base_model()
    fitted = keras.Model(given := keras.Input((12, 12, 1)), base(fine_tune.fitted(given, base.input_shape[1:])))
    pixels = np.arange(144, dtype="float32").reshape(1, 12, 12, 1)
    np.testing.assert_allclose(fitted.predict(pixels, verbose=0), np.repeat(pixels, 3, -1).reshape(1, -1), rtol=1e-6)


def test_a_builder_of_ones_own_gets_the_base_by_argument_or_by_function(tmp_path, monkeypatch):
    import tuning

    opened(tmp_path, network())
    monkeypatch.setattr("tuning.trials.spaces._found", lambda space: lambda hp, base: base)
    assert load_builder("own")(None, (12, 12, 1), 3).output_shape == tuning.base_model().output_shape == (None, 6)
    bases.use(None)
    with pytest.raises(UsageError, match="none is given"):
        load_builder("own")(None, (12, 12, 1), 3)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (
            lambda: keras.Model([a := keras.Input((4, 4, 1)), b := keras.Input((4, 4, 1))], layers.Add()([a, b])),
            "2 inp",
        ),
        (lambda: keras.Sequential([keras.Input((4,)), layers.Dense(2)]), r"inputs of shape \(4,\)"),
        (lambda: keras.Sequential([keras.Input((4, 4, 2)), layers.Flatten()]), "shape"),
        (lambda: keras.Sequential([keras.Input((4, 4, 1)), layers.Reshape((4, 4))]), "puts out shape"),
    ],
)
def test_what_no_training_can_start_from_is_refused(model, why):
    with pytest.raises(UsageError, match=why):
        bases.check(model())
