"""A model file together with everything needed to use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import DataError, UsageError
from tuning.core.workspace import Workspace
from tuning.dataset.store.description import COLORS, Color
from tuning.results import schema
from tuning.results.promotion import promoted
from tuning.results.runs import verify_model

if TYPE_CHECKING:
    import keras

_METRICS_REMEDY = "give a model.keras in a run's or an export's folder: what to feed it is in the metrics.json there"


@dataclass(frozen=True)
class Classifier:
    """A model file and the facts needed to use it.

    Attributes:
        path: the `.keras` file; its sha256 has been checked.
        run_id: the run that trained the model.
        classes: labels in the order of the outputs.
        image_size: height and width of the input in pixels.
        color: "gray" or "rgb".
        scaling: a key of `schema.SCALINGS`.
        output: "probabilities" or "logits".
    """

    path: Path
    run_id: str
    classes: tuple[str, ...]
    image_size: int
    color: Color
    scaling: str
    output: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, COLORS[self.color])


def promoted_classifier(workspace: Workspace) -> Classifier:
    """Returns the promoted model.

    Raises:
        DataError: nothing is promoted, or model and metrics do not belong together.
    """
    return _classifier(workspace.best_model, promoted(workspace))


def classifier(model: Path) -> Classifier:
    """Returns the model of a `.keras` file that has `<stem>_metrics.json` or `metrics.json` beside it.

    Raises:
        UsageError: the file is not a `.keras` file.
        DataError: the file does not exist, or its metrics are missing, broken, or those of another file.
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
    metrics = schema.read_metrics(path, _METRICS_REMEDY)
    verify_model(model, metrics, "export or promote that model anew, or give another")
    return _classifier(model, metrics)


def _classifier(path: Path, metrics: schema.Metrics) -> Classifier:
    return Classifier(
        path=path,
        run_id=metrics.run_id,
        classes=tuple(metrics.classes),
        image_size=metrics.input.image_size,
        color=metrics.input.color,
        scaling=metrics.input.scaling,
        output=metrics.output,
    )


def load(found: Classifier) -> keras.Model:
    """Opens the model; code embedded in the file is never run.

    Raises:
        DataError: Keras cannot open the model, or its input or output shape contradicts its metrics.
    """
    import keras

    try:
        model = keras.saving.load_model(found.path, safe_mode=True, compile=False)
    except Exception as error:  # Keras raises various errors for a broken archive or config.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{found.path} cannot be opened: {first}",
            "a model must consist of Keras's own layers to be opened anywhere; train or export it anew",
        ) from None
    taken, given = (None, *found.input_shape), (None, len(found.classes))
    # A builder may leave the height and width of the input open (None).
    fits = len(model.input_shape) == len(taken) and all(
        own in (None, wanted) for own, wanted in zip(model.input_shape, taken, strict=True)
    )
    if not fits or model.output_shape != given:
        raise DataError(
            f"{found.path} maps {model.input_shape} to {model.output_shape}; its metrics say {taken} to {given}",
            "model and metrics do not belong together: promote or export anew",
        )
    return model
