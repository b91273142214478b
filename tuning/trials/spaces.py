"""Builds a compiled model from the name of a search space, and determines what input the model expects."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import math
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import SPACES
from tuning.core.errors import Interrupted, TuningError, UsageError
from tuning.core.files import digest
from tuning.trials.global_state import unchanged
from tuning.trials.input_range import wants_0_to_1
from tuning.trials.keras_private import loss_arguments, make_shared_seed_generator, own_build
from tuning.trials.portable import custom_objects
from tuning.trials.space_code import reached_code

if TYPE_CHECKING:
    import keras
    from keras_tuner import HyperParameters


def target(space: str) -> tuple[str, str]:
    """Returns (module, attribute) of a space: a name of `SPACES`, or `package.module:function`.

    Raises:
        UsageError: it is neither; lists the valid names.
    """
    module, colon, attribute = SPACES.get(space, space).partition(":")
    if not colon or not module or not attribute:
        raise UsageError(
            f"unknown search space {space!r}",
            f"use one of {', '.join(SPACES)}, or your own builder as package.module:function",
        )
    return module, attribute


def space_digest(space: str) -> str:
    """Returns the sha256 of the code that defines the space, see `space_code`, without importing it.

    Raises:
        UsageError: there is no such module.
    """
    return digest(space_code(space)[0])


def space_code(space: str) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """Returns, by module, the statements that the space's digest covers, and the module's file."""
    return reached_code(*_located(space))


def _located(space: str) -> tuple[str, str, Path]:
    """Returns (module, attribute, file) of a space.

    Raises:
        UsageError: there is no such module.
    """
    module, attribute = target(space)
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    except Exception as error:
        # Finding a module imports the package around it.
        raise mistake(space, error, importing=True) from error
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        remedy = "run from the folder that holds it, or put that folder on PYTHONPATH"
        if module.endswith(".py"):
            name = re.split(r"[/\\]", module)[-1].removesuffix(".py")
            remedy = f"write {name}:{attribute}, without .py, and run from the folder of that file"
        raise UsageError(f"search space {space!r}: there is no module {module!r}", remedy)
    return module, attribute, Path(spec.origin)


#: Space -> (its module's spec, which a reload replaces; the digest of its code) when this process imported it. This is
#: the code that runs here, even if the file has changed since.
_imported: dict[str, tuple[Any, str]] = {}


def loaded_space_digest(space: str) -> str:
    """Returns `space_digest` of the code that this process has imported for a space, or would import now."""
    module, _ = target(space)
    spec, imported = _imported.get(space, (None, ""))
    loaded = getattr(sys.modules.get(module), "__spec__", None)
    return imported if spec is not None and spec is loaded else space_digest(space)


def load_builder(space: str) -> Callable[..., Any]:
    """Returns the model builder of a space as `build(hp, input_shape, num_classes) -> compiled model`.

    A function or method may take only (hp), as plain Keras Tuner builders do, or also `input_shape`, `num_classes` and
    `base`, which gets the result of `tuning.base_model()`. A `keras_tuner.HyperModel`, class or instance, is used
    through its `declare_hyperparameters(hp)` and `build(hp)`. A class is instantiated with the input shape and the
    number of classes if its constructor takes them.

    Raises:
        UsageError: there is no such module or attribute, or it is not callable; the module cannot be imported; a
            HyperModel defines its own `fit`.
    """
    found: Any = _found(space)
    if not callable(getattr(found, "build", found)):
        module, attribute = target(space)
        raise UsageError(f"search space {space!r}: {module} has no function {attribute!r}", "check the name")
    _check_hypermodel(space, found)

    def build(hp: HyperParameters, input_shape: tuple[int, int, int], num_classes: int) -> Any:
        offered = {"input_shape": input_shape, "num_classes": num_classes, "classes": num_classes}
        builder: Any = found(**_wanted(found, offered)) if inspect.isclass(found) else found
        if hasattr(builder, "declare_hyperparameters"):
            builder.declare_hyperparameters(hp)
        declared = own_build(builder)
        builder = getattr(builder, "build", builder)
        given = _wanted(declared, offered)
        if "base" in inspect.signature(declared).parameters:
            # Imported here because it loads Keras, which not every caller needs.
            given["base"] = importlib.import_module("tuning.trials.bases").base_model()
        _check_arguments(space, declared, given)
        try:
            return builder(hp, **given)
        except SystemExit as error:
            raise RuntimeError(f"sys.exit({error.code!r}) in the builder") from error

    return build


def _wanted(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the offered arguments that a function has as parameters, except those that a partial has bound."""
    bound = function.keywords if isinstance(function, functools.partial) else {}
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in parameters and name not in bound}


def _check_arguments(space: str, builder: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuses a builder with required arguments that a search does not provide.

    Raises:
        UsageError: names them.
    """
    parameters = list(inspect.signature(builder).parameters.values())[1:]  # the first one is hp, whatever its name
    missing = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) and one.name not in given
    ]
    if missing:
        raise UsageError(
            f"search space {space!r} takes {', '.join(missing)}, which a search does not provide",
            "name its arguments input_shape, num_classes or base, or give the others a default",
        )


def _check_hypermodel(space: str, found: Any) -> None:
    """Refuses a HyperModel whose `fit` would never be called."""
    from keras_tuner import HyperModel

    kind: Any = found if inspect.isclass(found) else type(found)
    if issubclass(kind, HyperModel) and kind.fit is not HyperModel.fit:
        raise UsageError(
            f"search space {space!r} has a fit() of its own, which is not called here: training is split into "
            "epochs, after each of which it can be resumed",
            "leave fit() out; declare batch_size, class_balance, augmentation, flip or schedule in build() for what it "
            "does with them, and return a model with a train_step of its own for the rest",
        )


def _found(space: str) -> Any:
    """Imports and returns the function, class or instance that a space names; None if its module has no such name.

    Raises:
        UsageError: there is no such module, or it cannot be imported.
    """
    module_name, attribute = target(space)
    code = space_digest(space)
    try:
        module = importlib.import_module(module_name)
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:
        raise mistake(space, error, importing=True) from error
    if _imported.get(space, (None, ""))[0] is not module.__spec__:
        _imported[space] = (module.__spec__, code)
    return getattr(module, attribute, None)


def starting_points(space: str) -> list[dict[str, Any]]:
    """Returns the `starting_points` of a space's builder: known good configurations, each as some values by name.

    Raises:
        UsageError: `starting_points` is not a list of mappings.
    """
    points = getattr(_found(space), "starting_points", ())
    if not isinstance(points, (list, tuple)) or not all(isinstance(point, Mapping) for point in points):
        raise UsageError(
            f"search space {space!r}: starting_points is {points!r}",
            "make it a list of dictionaries: values by the names of hyperparameters",
        )
    return [dict(point) for point in points]


def mistake(space: str, error: BaseException, importing: bool = False) -> UsageError:
    """Converts an error raised by a search space's own code to one line that names the place.

    Args:
        importing: whether it was raised while the module, or a package around it, was imported.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_user_code(frame.filename)]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    text = (str(error).strip().splitlines() or [""])[0]
    if fetched := re.search(r"URL fetch failure on (\S+): ", str(error)):
        return UsageError(
            f"search space {space!r} needs {fetched[1]}, which this machine cannot fetch{where}",
            f"fetch it elsewhere and put it at {_place_of_download(error, fetched[1])}",
        )
    remedy = "make the builder work for the default values of its hyperparameters"
    if importing:
        remedy = f"mend the module: python -c 'import {target(space)[0]}', in the same folder, shows all of the error"
    if isinstance(error, TuningError) and error.remedy:
        remedy = error.remedy
    return UsageError(f"search space {space!r} raises {type(error).__name__}: {text}{where}", remedy)


def _place_of_download(error: BaseException, address: str) -> Path:
    """Returns where `keras.utils.get_file`, which raised the error, looks for the file; its callers may choose that."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "get_file"]
    place = frames[-1].f_locals.get("download_target") if frames else None
    return Path(place or keras_home() / "models" / address.rpartition("/")[2])


def keras_home() -> Path:
    """Returns the folder in which Keras caches downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()


def _is_user_code(file: str) -> bool:
    """Returns whether a file of a traceback belongs neither to a library, to Python, nor to this package."""
    path = Path(file)
    others = (Path(__file__).parents[1], Path(sysconfig.get_path("stdlib")))
    return path.is_file() and "site-packages" not in path.parts and not any(one in path.parents for one in others)


@dataclass(frozen=True)
class Interface:
    """What a compiled model expects and returns.

    Attributes:
        sparse: whether labels are class indices (n,) rather than one-hot rows (n, classes).
        scaled: whether images are float32 0…1; False: the model has its own preprocessing and takes 0…255.
        logits: whether the outputs are logits rather than probabilities.
    """

    sparse: bool
    scaled: bool
    logits: bool


def interface(model: keras.Model, space: str) -> Interface:
    """Determines the interface of a compiled model.

    Raises:
        UsageError: the loss is not a categorical cross-entropy or similar loss whose name tells which labels it takes.
    """
    loss = model.loss
    while isinstance(loss, (list, tuple, Mapping)) and len(loss) == 1:
        (loss,) = loss.values() if isinstance(loss, Mapping) else loss
    given = loss_arguments(loss)
    if isinstance(loss, functools.partial):
        given = loss.keywords
        loss = loss.func
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    logits = getattr(loss, "from_logits", None)
    if logits is None:
        logits = given.get("from_logits", False)
    plain = str(name).replace("_", "").lower()
    if "categorical" not in plain and "kldivergence" not in plain:
        raise UsageError(
            f"search space {space!r} compiles with loss {name!r}",
            "compile with a sparse or one-hot categorical cross-entropy; a loss of your own says by its name which "
            "labels it takes, with sparse_categorical or categorical in it",
        )
    # Keras's generalized cross-entropy takes indices, although its name does not say so.
    sparse = "sparse" in plain or plain == "categoricalgeneralizedcrossentropy"
    return Interface(sparse=sparse, scaled=wants_0_to_1(model), logits=bool(logits))


def build_model(
    space: str, values: Mapping[str, Any], input_shape: tuple[int, int, int], num_classes: int
) -> tuple[keras.Model, HyperParameters]:
    """Builds one configuration; returns (compiled model, hyperparameters as the builder left them).

    Raises:
        UsageError: a hyperparameter has a choice or bound that is not finite; the builder does not return a compiled
            Keras model, or returns one that does not fit the data or needs code outside Keras.
    """
    import keras
    from keras_tuner import HyperParameters

    hp = HyperParameters()
    hp.values = dict(values)
    build = load_builder(space)
    with unchanged(space):
        model = build(hp, input_shape, num_classes)
    make_shared_seed_generator()  # a builder may have cleared the session
    _check_finite(hp, space)
    if not isinstance(model, keras.Model):
        raise UsageError(
            f"search space {space!r} returned {type(model).__name__}, not a Keras model",
            "return a compiled keras.Model from the builder",
        )
    if not model.built and isinstance(model, keras.Sequential):
        model.build((None, *input_shape))
    if not getattr(model, "compiled", False) or model.optimizer is None or model.loss is None:
        raise UsageError(
            f"search space {space!r} returned a model that is not compiled",
            "call model.compile(optimizer, loss) with a sparse or one-hot categorical loss in the builder",
        )
    _check_shapes(model, space, input_shape, num_classes)
    if custom := custom_objects(model.get_config()):
        raise UsageError(
            f"search space {space!r}: plain Keras cannot load a model with {', '.join(custom)}",
            "build it from Keras's own layers, activations and initializers, so that its file needs no code of yours; "
            "in the place of a Keras Tuner ResNet, for example, a builder of your own with "
            "keras.applications.ResNet50(weights=None, input_shape=input_shape, classes=num_classes)",
        )
    return model, hp


def _check_finite(hp: HyperParameters, space: str) -> None:
    """Refuses NaN and infinity in what a builder declared: JSON cannot hold them, and no model can use them."""
    for entry in hp.get_config()["space"]:
        config = entry["config"]
        for field, value in config.items():
            for number in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(number, float) and not math.isfinite(number):
                    raise UsageError(
                        f"search space {space!r}: hyperparameter {config['name']!r} has {number} in its {field}",
                        "give finite numbers; for a value that means 'no limit', declare a Boolean beside it, or a "
                        "number that the builder takes for that",
                    )


def _check_shapes(model: keras.Model, space: str, input_shape: Sequence[int], num_classes: int) -> None:
    if not hasattr(model, "input_shape") or not type(model).call.__module__.startswith("keras."):
        raise UsageError(
            f"search space {space!r} returned a {type(model).__name__} that defines its own call()",
            "return a keras.Sequential or keras.Model(inputs, outputs): only these load without the builder's code",
        )
    several = [name for name, ends in (("inputs", model.inputs), ("outputs", model.outputs)) if len(ends) != 1]
    if several:
        counts = " and ".join(f"{len(getattr(model, name))} {name}" for name in several)
        raise UsageError(
            f"search space {space!r}: the model has {counts}",
            "return a model of one input, the image, and one output, the classes",
        )
    if (batch := model.inputs[0].shape[0]) is not None:
        raise UsageError(
            f"search space {space!r}: the model takes only batches of {batch} images, and so no single image",
            "leave the batch size out of keras.Input; a hyperparameter batch_size says how many images a step takes",
        )
    expected = tuple(model.input_shape[1:])
    if len(expected) != len(input_shape) or any(e not in (None, i) for e, i in zip(expected, input_shape, strict=True)):
        raise UsageError(
            f"search space {space!r}: the model takes images of shape {expected}, the data has {tuple(input_shape)}",
            "take input_shape as an argument of the builder, or prepare with a fitting --image-size and --color",
        )
    if len(model.output_shape) != 2:
        raise UsageError(
            f"search space {space!r}: the model's outputs have the shape {tuple(model.output_shape[1:])}, not one "
            "number for each class",
            "put layers.Flatten() or layers.GlobalAveragePooling2D() before the last Dense layer",
        )
    if model.output_shape[-1] != num_classes:
        raise UsageError(
            f"search space {space!r}: {model.output_shape[-1]} model outputs for {num_classes} classes",
            f"give the last layer {num_classes} units, or take num_classes as an argument of the builder",
        )
