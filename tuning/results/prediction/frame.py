"""Labels for images as a pandas frame, for notebooks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import UsageError
from tuning.core.workspace import Workspace
from tuning.results.prediction.backend import import_keras
from tuning.results.prediction.classifier import classifier, promoted_classifier
from tuning.results.prediction.images import found_at

if TYPE_CHECKING:
    import pandas

_TYPES = {"path": "string", "rank": "Int64", "label": "string", "probability": "float64", "error": "string"}


def predict_frame(
    workspace: Workspace,
    images: Path | str | Sequence[Path | str],
    model: Path | str | None = None,
    top_k: int = 1,
) -> pandas.DataFrame:
    """Labels images as `python -m tuning.predict` does, with Keras in this process.

    Args:
        images: image files, and folders of images.
        model: a `.keras` file of a run or an export; None: the promoted model.
        top_k: labels per image.

    Returns:
        One row per image and label: `path`, `rank` (from 1), `label`, `probability`, and `error`, the reason if an
        image could not be read or does not exist; the other columns are then missing.

    Raises:
        UsageError: `top_k` is below 1, or `model` is not a `.keras` file.
        DataError: the model does not exist, or does not match its metrics.
        EnvironmentProblem: Keras cannot be imported, or its backend cannot run the model.
    """
    import pandas

    if top_k < 1:
        raise UsageError(f"top_k is {top_k}", "give 1 or more")
    found = promoted_classifier(workspace) if model is None else classifier(Path(model))
    paths = [images] if isinstance(images, str | os.PathLike) else list(images)
    known = [image for path in paths for image in found_at(os.fspath(path))]
    import_keras()
    # Imported here because it imports NumPy and OpenCV.
    from tuning.results.prediction.labelling import Labeller

    rows: list[tuple[str, int | None, str | None, float | None, str | None]] = []
    with Labeller(found, top_k) as labeller:
        for prediction in (entry for batch in labeller.label(known) for entry in batch):
            if prediction.error:
                rows.append((prediction.path, None, None, None, prediction.error))
            for rank, (label, probability) in enumerate(prediction.labels, start=1):
                rows.append((prediction.path, rank, label, probability, None))
    return pandas.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)
