"""Selects the worst mistakes on the test split, saved with a run's predictions so that no report opens the split."""

from __future__ import annotations

import numpy as np

from tuning.dataset.store.packing import ImageSplit

SHOWN = 24
#: Largest side of a saved image, in pixels.
SIDE = 96


def worst_mistakes(split: ImageSplit, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the misclassified images whose true class got the lowest probability, worst first.

    Args:
        split: the images and labels that were predicted.
        probabilities: float32 (n, k).

    Returns:
        `worst`: int64 (m,), their indices in the split, m at most `SHOWN`; `worst_images`: uint8 (m, side, side,
        channels), their pixels, with side at most `SIDE`.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != split.labels)
    order = np.argsort(probabilities[wrong, split.labels[wrong]], kind="stable")
    worst = wrong[order][:SHOWN].astype(np.int64)
    return {"worst": worst, "worst_images": _shrunk(np.asarray(split.images[worst]))}


def _shrunk(images: np.ndarray) -> np.ndarray:
    if images.shape[1] <= SIDE or not len(images):
        return images
    import cv2

    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    # OpenCV drops the axis of a single channel.
    return np.stack(small).reshape(len(images), SIDE, SIDE, images.shape[3])
