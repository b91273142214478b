"""The groups of dependent images in a split."""

from __future__ import annotations

import numpy as np

from tuning.core.workspace import Workspace
from tuning.dataset.store.description import SplitName
from tuning.dataset.store.manifests import read_split_manifest


def read_units(workspace: Workspace, split: SplitName) -> np.ndarray:
    """The unit of each image of a split, int64 (n,), in the order of its arrays; numbered from 0 as they come.

    Copies, near copies, the faces of a photo and, with `--group-by`, the images of a person are one unit: they went
    into the split together, and what a model says of one tells what it says of the others.

    Raises:
        DataError: the split manifest is damaged.
    """
    manifest = read_split_manifest(workspace.split_manifest)
    places = manifest.of(split) if manifest else []
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(place.group, len(numbers)) for place in places], np.int64)
