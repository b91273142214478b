"""Labels images: threads decode images ahead of the model, which predicts batches of a fixed size.

Only a few batches are decoded ahead, so memory does not grow with the number of images. An incomplete batch is padded
with zeros: the model is compiled only once, and the probabilities of an image are bit-identical whichever other images
are in its batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuning.core import machine
from tuning.core.errors import DataError, TuningError
from tuning.dataset import formats
from tuning.dataset.decode import decode
from tuning.results.prediction.backend import unable
from tuning.results.prediction.classifier import Classifier, load
from tuning.results.prediction.images import Image
from tuning.trials.metrics import rounded, softmax

if TYPE_CHECKING:
    import keras

#: Images per batch of the model.
BATCH = 64
#: Batches that are decoded ahead of the model.
AHEAD = 3
#: Images that a thread decodes per task: for a single small image, submitting it would cost as much as decoding it.
_SLICE = 8


@dataclass(frozen=True, slots=True)
class Prediction:
    """The labels of one image.

    Attributes:
        path: the image's path, as it was given.
        labels: (label, probability) pairs, most probable first; empty if the image cannot be read.
        error: why the image cannot be read; None if it can.
    """

    path: str
    labels: tuple[tuple[str, float], ...]
    error: str | None = None


class Labeller:
    """Labels images with one model, which is opened when the first image has been decoded.

    Use it in a `with` block, which ends its threads.

    Attributes:
        opened: time at which the model was open (`time.monotonic`); None before.
    """

    def __init__(self, classifier: Classifier, top: int) -> None:
        self._classifier, self._top = classifier, top
        self._model: keras.Model | None = None
        self.opened: float | None = None
        self._threads = ThreadPoolExecutor(machine.usable_cores())

    def __enter__(self) -> Labeller:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def open(self) -> keras.Model:
        """Opens the model, runs it once so that it is compiled, and returns it; only the first call takes seconds.

        Raises:
            DataError: Keras cannot open the model, its input or output shape contradicts its metrics, or its outputs
                are not finite.
            EnvironmentProblem: Keras's backend cannot run the model.
        """
        if self._model is None:
            model = load(self._classifier)
            try:
                probabilities(model, self._classifier, np.zeros((1, *self._classifier.input_shape), np.uint8))
            except TuningError:
                raise
            except Exception as error:  # Backends raise various errors for missing operations.
                raise unable(error) or error from error
            self._model = model
            self.opened = time.monotonic()
        return self._model

    def label(self, images: Sequence[Image]) -> Iterator[list[Prediction]]:
        """Yields the predictions for `images` in order, up to `BATCH` at a time; unreadable images have an `error`.

        Raises:
            DataError, EnvironmentProblem: as `open`.
        """
        waiting: deque[tuple[Sequence[Image], list[Future]]] = deque()
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            slices = [batch[first : first + _SLICE] for first in range(0, len(batch), _SLICE)]
            waiting.append((batch, [self._threads.submit(_decoded, part, self._classifier) for part in slices]))
            if len(waiting) > AHEAD:
                yield self._labelled(*waiting.popleft())
        while waiting:
            yield self._labelled(*waiting.popleft())

    def _labelled(self, batch: Sequence[Image], futures: Iterable[Future]) -> list[Prediction]:
        decoded = [value for future in futures for value in future.result()]
        pixels = [value for value in decoded if not isinstance(value, str)]
        rows = probabilities(self.open(), self._classifier, np.stack(pixels)) if pixels else np.empty((0, 1))
        order = np.argsort(-rows, axis=1, kind="stable")[:, : self._top]
        ranked = iter(zip(rows, order, strict=True))
        result = []
        for image, value in zip(batch, decoded, strict=True):
            if isinstance(value, str):
                result.append(Prediction(image.path, (), value))
                continue
            row, best = next(ranked)
            labels = tuple((self._classifier.classes[index], rounded(row[index])) for index in best)
            result.append(Prediction(image.path, labels))
        return result


def probabilities(model: keras.Model, classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Returns class probabilities, float32 (n, classes), for up to `BATCH` uint8 images (n, height, width, channels).

    Raises:
        DataError: the probabilities are not finite.
    """
    images = np.zeros((BATCH, *classifier.input_shape), np.float32)
    images[: len(pixels)] = pixels
    if classifier.scaling == "0-1":
        images /= np.float32(255)
    outputs = np.asarray(model.predict_on_batch(images), np.float32)[: len(pixels)]
    if classifier.output == "logits":
        outputs = softmax(outputs)
    if not np.isfinite(outputs).all():
        raise DataError(
            f"{classifier.path} puts out values that are not finite", "its weights are broken: train it anew"
        )
    return outputs


def _decoded(images: Sequence[Image], classifier: Classifier) -> list[np.ndarray | str]:
    """Returns the pixels of each image, or the reason why it cannot be read."""
    return [image.error or _pixels(image, classifier) for image in images]


def _pixels(image: Image, classifier: Classifier) -> np.ndarray | str:
    if reason := formats.undeveloped(Path(image.path).suffix.lower()):
        return reason
    try:
        return decode(image.data or Path(image.path), classifier.image_size, classifier.color)
    except DataError as error:
        return error.problem
    except OSError as error:
        return error.strerror or str(error)
