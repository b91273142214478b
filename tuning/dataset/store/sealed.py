"""The sealed test split. It opens only for a `TestOpening`, which only the trainer's final stage constructs.

A configuration chosen by looking at test images has no unbiased test score, so no code that makes choices can see
them. The caller that opens the split records the opening in the run's record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tuning.core.workspace import Workspace
from tuning.dataset.store import packing
from tuning.dataset.store.arrays import read_info
from tuning.dataset.store.packing import ImageSplit

#: Purpose of a training.
Trained = Literal["finalist", "baseline", "train"]
#: Purpose of a test opening.
Purpose = Literal["finalist", "baseline", "train", "ensemble"]


@dataclass(frozen=True)
class TestOpening:
    """Which run opens the test split, and for what purpose.

    Attributes:
        run_id: the run whose final evaluation this is.
        purpose: "finalist" (chosen by a search), "baseline" (what finalists are compared with), "ensemble" (the mean
            of some of these) or "train" (a single training).

    Raises:
        ValueError: a field is invalid.
    """

    __test__ = False  # keeps pytest from collecting it because of its name

    run_id: str
    purpose: Purpose

    def __post_init__(self) -> None:
        if not isinstance(self.run_id, str) or not self.run_id.strip():
            raise ValueError(f"run_id must be a run's name, got {self.run_id!r}")
        if self.purpose not in get_args(Purpose):
            raise ValueError(f"purpose must be one of {', '.join(get_args(Purpose))}, got {self.purpose!r}")


def open_test(workspace: Workspace, opening: TestOpening) -> ImageSplit:
    """Opens the test arrays for one final evaluation.

    Raises:
        TypeError: `opening` is not a `TestOpening`.
        DataError: nothing is prepared, or the arrays do not belong to the split manifest.
    """
    if not isinstance(opening, TestOpening):
        raise TypeError(f"the test split opens for a TestOpening only, got {type(opening).__name__}")
    info = read_info(workspace)
    return packing.read_split(workspace.split, "test", (info.counts["test"], *info.input_shape), len(info.classes))
