"""Augmentation on uint8 images, outside the model: what is exported stays free of random layers.

One affine warp an image (shift, rotation, zoom, flip together, so pixels are interpolated once), one contrast change,
one erased rectangle. About 20 µs for a 48×48 image: a percent or two of a training step.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Largest change at magnitude 1: shares of the side, degrees, share, contrast share, erased side as a share.
MAX_SHIFT, MAX_ROTATION, MAX_ZOOM, MAX_CONTRAST, MAX_ERASED = 0.15, 15.0, 0.15, 0.2, 0.3


def augment(images: np.ndarray, magnitude: float, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """Returns changed copies of `images`, uint8 (n, h, w, c); a function of the arguments and `rng`'s state alone.

    Args:
        magnitude: 0 (flips at most) to 1 (every change up to its largest).
        flip: mirror each image with probability one half.
    """
    count = len(images)
    mirrored = rng.random(count) < 0.5 if flip else np.zeros(count, bool)
    if magnitude <= 0:
        changed = images.copy()
        changed[mirrored] = changed[mirrored, :, ::-1]
        return changed
    # All draws at once: few calls, and the number of draws does not depend on the values drawn.
    draws = rng.uniform(-1.0, 1.0, (count, 5)) * magnitude
    erase = rng.random((count, 5))
    changed = np.empty_like(images)
    for i in range(count):
        changed[i] = _warp(images[i], draws[i], bool(mirrored[i]))
        if erase[i, 0] < 0.5 * magnitude:
            _erase(changed[i], erase[i, 1:])
    return changed


def _warp(image: np.ndarray, draw: np.ndarray, mirrored: bool) -> np.ndarray:
    height, width = image.shape[:2]
    shift_x, shift_y, rotation, zoom, contrast = draw
    matrix = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), float(rotation) * MAX_ROTATION, 1.0 + float(zoom) * MAX_ZOOM
    )
    matrix[0, 2] += shift_x * MAX_SHIFT * width
    matrix[1, 2] += shift_y * MAX_SHIFT * height
    if mirrored:
        matrix[0] *= -1
        matrix[0, 2] += width - 1
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gain = 1.0 + float(contrast) * MAX_CONTRAST
    # The table keeps the arithmetic in uint8: 256 entries instead of a float copy of the image.
    table = np.clip((np.arange(256) - 128.0) * gain + 128.0, 0, 255).astype(np.uint8)
    return cv2.LUT(warped, table).reshape(image.shape)


def _erase(image: np.ndarray, draw: np.ndarray) -> None:
    height, width = image.shape[:2]
    tall = max(1, int(draw[0] * MAX_ERASED * height))
    wide = max(1, int(draw[1] * MAX_ERASED * width))
    top, left = int(draw[2] * (height - tall)), int(draw[3] * (width - wide))
    image[top : top + tall, left : left + wide] = int(image.mean())
