"""Numbers the groups of dependent images in a split, for statistics."""

from __future__ import annotations

import numpy as np

from tuning.core.workspace import Workspace
from tuning.dataset.store.description import SplitName
from tuning.dataset.store.manifests import read_split_manifest


def read_units(workspace: Workspace, split: SplitName) -> np.ndarray:
    """Returns the unit (group) of each image of a split, int64 (n,), in array order; units are numbered from 0.

    Copies, near copies, the faces of a photo and, with `--group-by`, the images of a person form one unit: they were
    placed in the split together, and a model's predictions for them are not independent.

    Raises:
        DataError: the split manifest is damaged.
    """
    manifest = read_split_manifest(workspace.split_manifest)
    places = manifest.of(split) if manifest else []
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(place.group, len(numbers)) for place in places], np.int64)
