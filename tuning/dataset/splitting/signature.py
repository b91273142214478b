"""Computes properties of an image's thumbnail: its perceptual hashes, brightness, contrast and sharpness."""

from __future__ import annotations

import cv2
import numpy as np

from tuning.dataset.splitting import near_duplicates as near

#: One row per image: the dHashes of it and of its mirror image (see `near_duplicates`), then the mean, standard
#: deviation and variance of the Laplacian of its thumbnail.
DTYPE = np.dtype([("plain", np.uint64, 2), ("mirrored", np.uint64, 2), ("measures", np.float32, 3)])


def signatures(thumbs: np.ndarray) -> np.ndarray:
    """Returns the signatures (n,) of thumbnails uint8 (n, 48, 48)."""
    result = np.empty(len(thumbs), DTYPE)
    result["plain"], result["mirrored"] = near.hashes(thumbs)
    for row, thumb in enumerate(thumbs):
        (mean,), (deviation,) = cv2.meanStdDev(thumb)
        _, (edges,) = cv2.meanStdDev(cv2.Laplacian(thumb, cv2.CV_16S))
        result["measures"][row] = mean[0], deviation[0], edges[0] ** 2
    return result
