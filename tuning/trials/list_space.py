"""Lists the hyperparameters and starting points of a search space, without training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import msgspec

from tuning.core.errors import Interrupted, TuningError
from tuning.core.jobs import BaseModel
from tuning.trials import bases, runtime
from tuning.trials.discover_space import DISCOVERY_BUILDS, sampled
from tuning.trials.spaces import build_model, load_builder, mistake, starting_points


class Condition(msgspec.Struct, frozen=True):
    """A hyperparameter is active only if another one, `name`, has one of these values."""

    name: str
    values: list[Any]


class Hyperparameter(msgspec.Struct, frozen=True, kw_only=True):
    """One hyperparameter.

    Attributes:
        kind: "choice", "boolean", "int", "float" or "fixed".
        values: its possible values; None if it has a range.
        low, high: the ends of its range, both included.
        step: the step of its range; None: continuous.
        sampling: how a range is sampled: "linear", "log" or "reverse_log".
        default: its value in the default configuration.
        conditions: it is active if all of them hold.
    """

    name: str
    kind: str
    values: list[Any] | None = None
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    sampling: str | None = None
    default: Any
    conditions: list[Condition] = []


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A search space.

    Attributes:
        space: its name.
        input_shape, classes: what its models were built for.
        starting_points: known good configurations; missing values are defaults.
    """

    space: str
    input_shape: tuple[int, int, int]
    classes: int
    hyperparameters: list[Hyperparameter]
    starting_points: list[dict[str, Any]]


def list_space(space: str, input_shape: tuple[int, int, int], classes: int) -> Listing:
    """Builds a few configurations of a space and lists the hyperparameters that they declare.

    A space that starts from a base model gets a small untrained one.

    Raises:
        UsageError: there is no such space, or it does not build its default configuration.
    """
    runtime.begin_import()
    load_builder(space)
    with tempfile.TemporaryDirectory() as folder:
        bases.use(_stand_in(Path(folder)))
        try:
            known = _declared(space, input_shape, classes)
        finally:
            bases.use(None)
    return Listing(
        space=space,
        input_shape=input_shape,
        classes=classes,
        hyperparameters=[_hyperparameter(entry) for entry in known.space],
        starting_points=starting_points(space),
    )


def _declared(space: str, input_shape: tuple[int, int, int], classes: int) -> keras_tuner.HyperParameters:
    """Returns the hyperparameters that the default configuration and a few others declare."""
    try:
        _, hp = build_model(space, {}, input_shape, classes)
    except (TuningError, MemoryError):
        raise
    except Exception as error:
        raise mistake(space, error) from error
    known = keras_tuner.HyperParameters.from_config(hp.get_config())
    for build in range(DISCOVERY_BUILDS):
        try:
            _, hp = build_model(space, sampled(known, build), input_shape, classes)
        except Interrupted:
            raise
        except Exception:
            # A builder need not support every combination; in a search such a configuration is a failed trial.
            continue
        known.merge(hp.space, overwrite=False)
    return known


def _stand_in(folder: Path) -> BaseModel:
    image = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(4, 3, activation="relu")(image)
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(maps))
    path = folder / "model.keras"
    keras.Model(image, outputs).save(path)
    return BaseModel(model=str(path), scaling="0-1")


def _hyperparameter(entry: Any) -> Hyperparameter:
    kind, config = type(entry).__name__.lower(), entry.get_config()
    # `entry.default`, not `config["default"]`, which is None if Keras Tuner takes the first or the lowest value.
    common = {"name": entry.name, "kind": kind, "default": entry.default}
    common["conditions"] = [
        Condition(found["config"]["name"], list(found["config"]["values"])) for found in config.get("conditions") or []
    ]
    if kind in ("int", "float"):
        return Hyperparameter(
            **common,
            low=config["min_value"],
            high=config["max_value"],
            step=config.get("step"),
            sampling=config.get("sampling") or "linear",
        )
    values = {"fixed": [config.get("value")], "boolean": [False, True]}.get(kind, config.get("values"))
    return Hyperparameter(**common, values=None if values is None else list(values))
