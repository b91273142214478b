"""Keras Applications as base models: a backbone is built once with its preprocessing, and saved as a `.keras` file."""

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

#: Height and width of the input, in pixels: the smallest that all backbones accept, rounded up.
SIZE = 96
#: Name -> its preprocessing: "own": a layer inside the backbone; "to -1…1"; "mean and deviation": standardised with
#: ImageNet's; "mean of BGR": channels in the order blue, green, red, minus ImageNet's mean.
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
#: For `weights="imagenet"` Keras builds a network with an additional rescaling layer. A file of weights does not show
#: which of the two networks it belongs to.
_FROM_CACHE_ALONE = tuple(f"EfficientNetB{number}" for number in range(8))
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MEAN_OF_BGR = (103.939, 116.779, 123.68)


def save_application(name: str, weights: str | None, path: Path) -> None:
    """Saves the backbone `name` without its classifier: it maps RGB pixels 0…255 to feature maps.

    Args:
        weights: a file of weights for it, with or without its classifier; None: ImageNet's, from Keras's cache, where
            they are downloaded to if missing.

    Raises:
        UsageError: the weights are not those of this backbone, or this backbone's cannot be given as a file.
        EnvironmentProblem: ImageNet's weights are not cached and cannot be downloaded; says where to put the file.
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
    """Rewrites a `.keras` file without times and object ids, because its sha256 determines ids and seeds of runs."""
    old, numbers = path.with_name(f"{path.name}.old"), dict[str, int]()

    def numbered(found: re.Match[str]) -> str:
        return f'"shared_object_id": {numbers.setdefault(found[1], len(numbers))}'

    path.rename(old)
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(path, "w") as target:
        for name in sorted(source.namelist()):
            member = zipfile.ZipInfo(name)  # its time is 1980-01-01
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
        # A file of the whole classifier works too: the layers below its head are used.
        whole = build(include_top=True, weights=None)
        whole.load_weights(weights)
        targets, sources = ([layer for layer in model.layers if layer.weights] for model in (bare, whole))
        # Matched by order, not by name: Keras numbers unnamed layers across models.
        for layer, source in zip(targets, sources, strict=False):
            layer.set_weights(source.get_weights())
        return bare
    except Exception:
        raise UsageError(
            f"{weights} does not hold weights of {name}: {reason}",
            f"give the file (NAME.h5 or NAME.weights.h5) that Keras itself takes for {name}, or another --base",
        ) from None


def preprocessed(image: Any, wanted: str) -> Any:
    """Applies a preprocessing of `APPLICATIONS` to pixels 0…255, using only layers."""
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
