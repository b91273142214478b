"""What is seen in the model that trainings are to start from."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tuning.core.jobs import Addition, Additions, Member
from tuning.trials import bases
from tuning.trials.inspect_base import Request, inspect
from tuning.trials.published import ensemble, with_additions

USED = Addition(used=True, value=0.5)
COUNTS = np.array([5, 9, 2])


@pytest.fixture(autouse=True)
def _no_base_stays():
    yield
    bases.use(None)


def network(before=lambda x: x, branch: bool = True) -> keras.Model:
    """A small network; with a residual branch that a layer scales."""
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, activation="relu")(before(image))
    if branch:
        x = layers.Add()([x, layers.Rescaling(0.2)(layers.Conv2D(4, 1)(x))])
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def rescaled(x):
    return layers.Rescaling(1 / 255)(x)


def published(before=lambda x: x) -> keras.Model:
    additions = Additions(mirrored_view=USED, prior_correction=USED, temperature=USED)
    return with_additions(network(before), additions, COUNTS)


def mean(*wanted: bool) -> keras.Model:
    """An ensemble of members that want pixels of 0 to 1, or of 0 to 255."""
    models = [published() if scaled else published(rescaled) for scaled in wanted]
    return ensemble(models, [Member(model="", weight=1, scaled=scaled, logits=False) for scaled in wanted])


UNIT = {
    "nothing before it": lambda: network(branch=False),
    "a scaled branch": network,
    "published": published,
    "the first member": lambda: mean(True, False),
}
FULL = {
    "rescaling": lambda: network(rescaled, branch=False),
    "rescaling and a scaled branch": lambda: network(rescaled),
    "division": lambda: network(lambda x: x / 255, branch=False),
    "operations of an application": lambda: network(keras.applications.mobilenet_v2.preprocess_input, branch=False),
    "published": lambda: published(rescaled),
    "the first member": lambda: mean(False, True),
}
CASES = [(make, scaling, name) for found, scaling in ((UNIT, "0-1"), (FULL, "0-255")) for name, make in found.items()]


@pytest.mark.parametrize(("make", "scaling"), [pytest.param(*case[:2], id=f"{case[2]} {case[1]}") for case in CASES])
def test_the_range_of_pixels_is_found_where_nobody_says_it(tmp_path, make, scaling):
    path = tmp_path / "model.keras"
    make().save(path)
    found = inspect(Request(model=str(path)))
    assert (found.scaling, found.input, found.features) == (scaling, (12, 12, 3), (4,))
    told = "0-255" if scaling == "0-1" else "0-1"
    assert inspect(Request(model=str(path), scaling=told)).scaling == told
