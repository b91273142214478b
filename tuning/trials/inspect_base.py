"""Inspects a base model in a separate process, so that a harmful or broken file affects only that process.

Usage: python -m tuning.trials.inspect_base REQUEST, a JSON record `Request`; prints the JSON record `Inspected`, or
`Refusal`, in one line.
"""

from __future__ import annotations

import contextlib
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuning.core.errors import TuningError, UsageError
from tuning.core.jobs import BaseModel
from tuning.trials.portable import custom_objects

#: Lower bound on the memory limit, in bytes: TensorFlow itself needs that much.
LEAST_MEMORY = 4 * 2**30
#: Largest plausible size of a network's configuration, in bytes.
_MOST_CONFIG = 64 * 2**20
_PLAIN = "save it again from Keras's own layers alone"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The model to inspect.

    Attributes:
        model: the `.keras` file; for a Keras Application, the file to write.
        scaling: the pixel range that it takes; None: to be detected.
        member: number of the member to use, of an ensemble.
        application: the Keras Application to build first; None: `model` exists already.
        weights: the file of that application's weights; None: Keras's own.
        memory: limit on memory in bytes; None: no limit.
    """

    model: str
    scaling: Literal["0-1", "0-255"] | None = None
    member: int | None = None
    application: str | None = None
    weights: str | None = None
    memory: int | None = None


class Inspected(msgspec.Struct, frozen=True, kw_only=True, tag="inspected"):
    """The properties of a usable base model.

    Attributes:
        scaling: the pixel range that it takes: "0-1" or "0-255".
        input: (height, width, channels); None for a size that is not fixed.
        features: shape of the classifier's input.
        parameters: number of parameters up to there.
        classes: number of classes of a dense classifier; 0 if there is none.
    """

    scaling: Literal["0-1", "0-255"]
    input: tuple[int | None, int | None, int]
    features: tuple[int | None, ...]
    parameters: int
    classes: int


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """Why the model cannot be used as a base."""

    problem: str
    remedy: str


def inspect(request: Request) -> Inspected:
    """Opens a model as workers will, with plain Keras.

    Raises:
        TuningError: no training can start from the model.
    """
    if request.application is not None:
        from tuning.trials.applications import save_application

        save_application(request.application, request.weights, Path(request.model))
    check_archive(Path(request.model))
    import keras

    from tuning.trials import bases
    from tuning.trials.input_range import wants_0_to_1

    try:
        model = keras.saving.load_model(request.model, safe_mode=True, compile=False)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise UsageError(f"Keras cannot open the base: {type(error).__name__}: {text}", _PLAIN) from error
    bases.check(model)
    scaling: Any = request.scaling or ("0-1" if wants_0_to_1(model) else "0-255")
    bases.use(BaseModel(model=request.model, scaling=scaling, member=request.member))
    base = bases.base_model()
    bases.check(base)
    if not base.weights:
        raise UsageError("the base has no weights before its classifier", "take a model that has learned something")
    _, classifier = bases.taken_apart(bases.stripped(model, request.member)[0])
    return Inspected(
        scaling=scaling,
        input=tuple(base.input_shape[1:]),
        features=tuple(base.output_shape[1:]),
        parameters=int(base.count_params()),
        classes=0 if classifier is None else classifier.classes,
    )


def check_archive(path: Path) -> None:
    """Refuses, before Keras opens it, a file whose configuration needs more than Keras's own layers.

    Raises:
        UsageError: it is not a zipped `.keras` file, or one of its layers needs code; names the layer.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MOST_CONFIG:
                raise UsageError(f"the configuration in {path.name} is larger than any network's", _PLAIN)
            config = json.loads(archive.read("config.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path.name} is no zipped .keras file: {error}", "save the model with Keras 3 as model.save('NAME.keras')"
        ) from None
    if custom := custom_objects(config):
        named = [f"layer {name!r}" for name in _owners(config)]
        raise UsageError(
            f"{' and '.join(named[:3]) or 'the model itself'} of the base needs code that a .keras file does not bring "
            f"along: {', '.join(custom)}",
            _PLAIN,
        )


def _owners(config: Any) -> Iterator[str]:
    """Yields the names of the innermost layers with a custom object in their configuration."""
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from _owners(part)
    elif isinstance(config, dict):
        inner = list(_owners(list(config.values())))
        name = config["config"].get("name") if isinstance(config.get("config"), dict) else None
        if inner:
            yield from inner
        elif name and "class_name" in config and custom_objects(config):
            yield str(name)


def limit_memory(most: int | None) -> None:
    """Limits the data size of this process in bytes, on systems that support it."""
    if most is None:
        return
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (max(most, LEAST_MEMORY),) * 2)


def main(argv: list[str]) -> int:
    request = msgspec.json.decode(argv[0], type=Request)
    limit_memory(request.memory)
    found: Inspected | Refusal
    try:
        found = inspect(request)
    except TuningError as error:
        found = Refusal(problem=error.problem, remedy=error.remedy)
    except MemoryError:
        found = Refusal(
            problem="opening the base takes more memory than it may",
            remedy="take a smaller one; for a search, --max-memory says how much memory it may take",
        )
    print(msgspec.json.encode(found).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
