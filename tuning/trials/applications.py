"""Backbones of Keras Applications as bases: built once, preprocessing included, and saved like any other model."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import EnvironmentProblem, UsageError
from tuning.trials import runtime
from tuning.trials.spaces import keras_home

if TYPE_CHECKING:
    import keras

#: Pixels a side that they are built for: the least that all of them take, rounded up.
SIZE = 96
#: Name -> what its pixels must be: scaled by a layer of its own, to -1…1, by ImageNet's mean and deviation, or to blue,
#: green, red without ImageNet's mean.
APPLICATIONS = {
    **dict.fromkeys((f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")), "own"),
    **dict.fromkeys((f"EfficientNetB{number}" for number in range(8)), "own"),
    **dict.fromkeys((f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")), "own"),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large"), "own"),
    **dict.fromkeys(("MobileNet", "MobileNetV2", "InceptionV3", "InceptionResNetV2", "Xception"), "to -1…1"),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2"), "to -1…1"),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), "mean and deviation"),
    **dict.fromkeys(("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"), "mean of BGR"),
}
#: Keras builds another network where the weights are ImageNet's of its own: one with a rescaling more. Which of the two
#: a file is of, nothing in it says.
_FROM_CACHE_ALONE = tuple(f"EfficientNetB{number}" for number in range(8))
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MEAN_OF_BGR = (103.939, 116.779, 123.68)


def save_application(name: str, weights: str | None, path: Path) -> None:
    """Saves the backbone `name` without its classifier, from pixels 0…255 in red, green, blue to feature maps.

    Args:
        weights: a file of weights for it, with its classifier or without; None: ImageNet's, from Keras's own cache or,
            where there is a network, fetched into it.

    Raises:
        UsageError: the weights are not those of this backbone, or cannot be given as a file.
        EnvironmentProblem: ImageNet's weights are not here and cannot be fetched; says where to put the file.
    """
    import keras

    if weights is not None and name in _FROM_CACHE_ALONE:
        raise UsageError(
            f"--base-weights is given, but Keras builds {name} otherwise for weights from a file than for ImageNet's",
            f"put the file into {keras_home() / 'models'}, named as Keras names it, and leave --base-weights out",
        )
    runtime.use_keras_defaults()
    build = getattr(keras.applications, name)
    shape = (SIZE, SIZE, 3)
    backbone = _from_keras(name, build, shape) if weights is None else _from_file(name, build, shape, weights)
    image = keras.Input(shape, name="pixels")
    keras.Model(image, backbone(preprocessed(image, APPLICATIONS[name])), name=f"{backbone.name}_base").save(path)
    _without_its_making(path)


def _without_its_making(path: Path) -> None:
    """Writes a `.keras` file anew without times and addresses: its sha256 decides ids and seeds of runs."""
    old, numbers = path.with_name(f"{path.name}.old"), dict[str, int]()

    def numbered(found: re.Match[str]) -> str:
        return f'"shared_object_id": {numbers.setdefault(found[1], len(numbers))}'

    path.rename(old)
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(path, "w") as target:
        for name in sorted(source.namelist()):
            member = zipfile.ZipInfo(name)  # of 1980
            if name.endswith(".json"):
                text = re.sub(r'"shared_object_id": (\d+)', numbered, source.read(name).decode())
                content = json.loads(text)
                content.pop("date_saved", None)
                target.writestr(member, json.dumps(content))
                continue
            member.file_size = source.getinfo(name).file_size
            with source.open(name) as stream, target.open(member, "w") as copy:
                shutil.copyfileobj(stream, copy, 2**20)
    old.unlink()


def _from_keras(name: str, build: Any, shape: tuple[int, int, int]) -> keras.Model:
    try:
        return build(include_top=False, weights="imagenet", input_shape=shape)
    except Exception as error:
        cache = keras_home() / "models"
        raise EnvironmentProblem(
            f"the ImageNet weights of {name} are not in {cache} and cannot be fetched: "
            f"{' '.join(str(error).split())[:300]}",
            f"where there is a network, fetch the file that this names and put it into {cache}"
            f"{'' if name in _FROM_CACHE_ALONE else ', or give it with --base-weights FILE'}",
        ) from None


def _from_file(name: str, build: Any, shape: tuple[int, int, int], weights: str) -> keras.Model:
    bare = build(include_top=False, weights=None, input_shape=shape)
    try:
        bare.load_weights(weights)
        return bare
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
    try:
        # The file of a whole classifier is as good: what is below its head is taken.
        whole = build(include_top=True, weights=None)
        whole.load_weights(weights)
        own, others = ([layer for layer in model.layers if layer.weights] for model in (bare, whole))
        # In order, and not by name: Keras counts layers without a name on from one model to the next.
        for layer, other in zip(own, others, strict=False):
            layer.set_weights(other.get_weights())
        return bare
    except Exception:
        raise UsageError(
            f"{weights} does not hold weights of {name}: {reason}",
            f"give the file (NAME.h5 or NAME.weights.h5) that Keras itself takes for {name}, or another --base",
        ) from None


def preprocessed(image: Any, wanted: str) -> Any:
    """Pixels 0…255 as a backbone wants them (a value of `APPLICATIONS`), by layers alone."""
    from keras import layers, ops

    if wanted == "own":
        return image
    if wanted == "to -1…1":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocess")(image)
    if wanted == "mean and deviation":
        scale = [1 / (255 * deviation) for deviation in _DEVIATION]
        offset = [-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)]
        return layers.Rescaling(scale, offset=offset, name="preprocess")(image)
    offset = [-mean for mean in _MEAN_OF_BGR]
    return layers.Rescaling(1.0, offset=offset, name="preprocess")(ops.flip(image, axis=-1))
