"""Opens the data set as training sees it: the packed train and val arrays, with mmap, and their description.

For the test split see `tuning.dataset.store.sealed`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuning.core.workspace import Workspace
from tuning.dataset.store import packing
from tuning.dataset.store.description import DatasetInfo, read_info
from tuning.dataset.store.packing import ImageSplit


@dataclass(frozen=True)
class Dataset:
    """A prepared data set: its description and the two splits that training may see."""

    info: DatasetInfo
    train: ImageSplit
    val: ImageSplit


def open_dataset(workspace: Workspace) -> Dataset:
    """Opens the train and val arrays of a workspace.

    Raises:
        DataError: nothing is prepared, or the arrays do not belong to the split manifest; names the command to run.
    """
    info = read_info(workspace)
    return Dataset(info, *(open_split(workspace, info, split) for split in ("train", "val")))


def open_split(workspace: Workspace, info: DatasetInfo, split: str) -> ImageSplit:
    """Opens "train" or "val" of the arrays that `info` describes."""
    if split not in ("train", "val"):
        raise ValueError(f"split {split!r} cannot be opened here; train and val can")
    return packing.read_split(workspace.split, split, (info.counts[split], *info.input_shape), len(info.classes))
