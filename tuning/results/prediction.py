"""Labels for images, from the promoted model or any other `.keras` file whose metrics lie beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning import files, machine
from tuning.errors import DataError, UsageError
from tuning.progress import SILENT, Progress
from tuning.results import schema
from tuning.results.promotion import promoted
from tuning.results.runs import verify_model
from tuning.workspace import Workspace

if TYPE_CHECKING:
    import keras
    import numpy as np

#: Images decoded and predicted at a time; memory stays the same however many there are.
CHUNK = 256

_METRICS_REMEDY = "give a model.keras in a run's or an export's folder: what to feed it is in the metrics.json there"


@dataclass(frozen=True)
class Classifier:
    """A model file and what must be known to use it.

    Attributes:
        path: the `.keras` file; its sha256 has been checked.
        run_id: the run that trained it.
        classes: labels in the order of its outputs.
        image_size: height and width of its input in pixels.
        color: "gray" or "rgb".
        scaling: a name of `schema.SCALINGS`.
        output: "probabilities" or "logits".
    """

    path: Path
    run_id: str
    classes: tuple[str, ...]
    image_size: int
    color: str
    scaling: str
    output: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, schema.CHANNELS[self.color])


@dataclass(frozen=True)
class Prediction:
    """One image's labels.

    Attributes:
        path: the image file.
        labels: (label, probability) pairs, most probable first; empty where the image cannot be read.
        error: why it cannot be read; None where it can.
    """

    path: Path
    labels: tuple[tuple[str, float], ...]
    error: str | None = None


def promoted_classifier(workspace: Workspace) -> Classifier:
    """The promoted model.

    Raises:
        DataError: nothing is promoted, or model and metrics do not belong together.
    """
    return _classifier(workspace.best_model, promoted(workspace))


def classifier(model: Path) -> Classifier:
    """The model of a `.keras` file with `<stem>_metrics.json` or `metrics.json` beside it.

    Raises:
        UsageError: it is not a `.keras` file.
        DataError: it does not exist, or its metrics are missing, broken, or those of another file.
    """
    if model.suffix != ".keras":
        raise UsageError(
            f"--model {model} is not a .keras file",
            "other formats can run code when they are opened; give a .keras file",
        )
    if not model.is_file():
        raise DataError(f"--model {model} does not exist, or is no file", _METRICS_REMEDY)
    own = model.with_name(f"{model.stem}_metrics.json")
    path = own if own.is_file() else model.with_name("metrics.json")
    metrics = files.read_json(path, _METRICS_REMEDY)
    wrong = schema.metrics_problems(metrics)
    if wrong:
        raise DataError(f"{path}: {'; '.join(wrong)}", _METRICS_REMEDY)
    verify_model(model, metrics, "export or promote that model anew, or give another")
    return _classifier(model, metrics)


def _classifier(path: Path, metrics: Mapping[str, Any]) -> Classifier:
    return Classifier(
        path=path,
        run_id=metrics["run_id"],
        classes=tuple(metrics["classes"]),
        image_size=metrics["input"]["image_size"],
        color=metrics["input"]["color"],
        scaling=metrics["input"]["scaling"],
        output=metrics.get("output", "probabilities"),
    )


def image_files(given: Sequence[Path]) -> list[Path]:
    """The files to label: `given` in order, each folder replaced by the images below it, sorted.

    Raises:
        DataError: a path does not exist, or a folder holds no image.
    """
    from tuning.dataset.class_folders import is_image
    from tuning.dataset.inventory import take

    found: list[Path] = []
    for path in given:
        if path.is_dir():
            images = [path / name for name in take(path).files if is_image(name)]
            if not images:
                raise DataError(f"{path} holds no image", "give image files, or folders with images")
            found += images
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"{path} does not exist, or is no file", "give image files, or folders with images")
    return list(dict.fromkeys(found))


def load(found: Classifier) -> keras.Model:
    """Opens the model; code that a file may bring along is never run.

    Raises:
        DataError: Keras cannot open it, or its input or output is not what its metrics say.
    """
    import keras

    try:
        model = keras.saving.load_model(found.path, safe_mode=True, compile=False)
    except Exception as error:  # Keras raises whatever a broken archive or config leads to.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{found.path} cannot be opened: {first}",
            "a model must consist of Keras's own layers to be opened anywhere; train or export it anew",
        ) from None
    taken, given = (None, *found.input_shape), (None, len(found.classes))
    if (model.input_shape, model.output_shape) != (taken, given):
        raise DataError(
            f"{found.path} maps {model.input_shape} to {model.output_shape}; its metrics say {taken} to {given}",
            "model and metrics do not belong together: promote or export anew",
        )
    return model


def label(found: Classifier, images: Sequence[Path], top: int, progress: Progress = SILENT) -> Iterator[Prediction]:
    """Labels `images` in order with the `top` most probable classes; equal ones in the order of the classes.

    An image that cannot be read gets an `error`, and the others are still labelled.
    """
    import numpy as np

    from tuning.trials.metrics import rounded

    model = None
    with ThreadPoolExecutor(machine.usable_cores()) as pool, progress.bar(len(images), "labelling", "image") as bar:
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            decoded = list(pool.map(lambda path: _decoded(path, found), chunk))
            pixels = [value for value in decoded if not isinstance(value, str)]
            # Opening the model takes seconds: not for nothing.
            if pixels and model is None:
                model = load(found)
            rows = iter(probabilities(model, found, np.stack(pixels)) if pixels else ())
            for path, value in zip(chunk, decoded, strict=True):
                bar.update(1)
                if isinstance(value, str):
                    yield Prediction(path, (), value)
                    continue
                row = next(rows)
                order = np.argsort(-row, kind="stable")[:top]
                yield Prediction(path, tuple((found.classes[k], rounded(float(row[k]))) for k in order))


def probabilities(model: keras.Model, found: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Class probabilities, float32 (n, classes), of uint8 images (n, height, width, channels)."""
    import numpy as np

    images = pixels.astype(np.float32)
    if found.scaling == "0-1":
        images /= np.float32(255)
    outputs = np.asarray(model.predict(images, batch_size=CHUNK, verbose=0), np.float32)
    if found.output == "logits":
        outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs


def _decoded(path: Path, found: Classifier) -> np.ndarray | str:
    """The image's pixels, or why it has none."""
    from tuning.dataset.decode import decode

    try:
        return decode(path, found.image_size, found.color)
    except DataError as error:
        return error.problem
    except OSError as error:
        return error.strerror or str(error)
