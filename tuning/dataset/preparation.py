"""Turns raw images into a pool, a split and packed arrays: everything `python -m tuning.prepare` does.

If nothing has changed, it finds that out from file sizes and times alone, without reading an image or importing NumPy.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from tuning.core.errors import DataError, UsageError
from tuning.core.progress import SILENT, Progress
from tuning.core.workspace import Workspace
from tuning.dataset.settings import Crop, OnBad, OnConflict, Settings
from tuning.dataset.sources import aliases as renaming
from tuning.dataset.sources import inventory
from tuning.dataset.splitting import groups as grouping
from tuning.dataset.splitting import split
from tuning.dataset.splitting.groups import GroupBy
from tuning.dataset.store import file_state, lock
from tuning.dataset.store.description import Color, read_description
from tuning.dataset.store.request import present_request
from tuning.dataset.summary import PreparedDataset, read_summary


def prepare_dataset(
    workspace: Workspace,
    raw: Path | str | Sequence[Path | str] | None = None,
    *,
    image_size: int = 48,
    color: Color = "gray",
    ratios: Sequence[float] = split.DEFAULT_RATIOS,
    seed: int = 0,
    on_bad: OnBad = "skip",
    crop: Crop = "box",
    on_conflict: OnConflict = "drop",
    aliases: str | None = None,
    group_by: str | None = None,
    accept_removed: bool = False,
    progress: Progress = SILENT,
) -> PreparedDataset:
    """Prepares the images in `raw` for training.

    Args:
        workspace: where everything is written.
        raw: class folders, a YOLO export, a FER2013 CSV, or a zip or tar archive of one; several become one data set
            (default: `data/raw_yolo` in the workspace). Never changed.
        image_size: height and width of the packed images in pixels.
        color: "gray" or "rgb".
        ratios: percentages of train, val and test; fixed for a workspace once its split is made.
        seed: of the split; fixed likewise.
        on_bad: "skip" omits and lists unusable images, "stop" refuses at the first.
        crop: for YOLO exports, "box" uses each labelled face box, "image" its whole image.
        on_conflict: for equal pixels with different labels: "drop" all, "keep" all, or keep the "majority".
        aliases: labels to rename, such as "anger=angry", or "emotions" for the built-in table.
        group_by: a regular expression that finds the person in a path, or a CSV file; a person is in one split only.
            Fixed for a workspace once its split is made.
        accept_removed: continue although images of the existing split have been removed.
        progress: where to report progress.

    Raises:
        UsageError: an invalid setting.
        DataError: images, labels or manifests that cannot be used; names the file and the remedy.
        EnvironmentProblem: the workspace cannot be written, or another process is preparing it.
    """
    by = grouping.parse(group_by) if group_by else None
    settings = Settings(
        image_size=image_size,
        color=color,
        ratios=split.check_ratios(ratios),
        seed=seed,
        on_bad=on_bad,
        crop=crop,
        on_conflict=on_conflict,
        aliases=tuple(renaming.parse(aliases).items()),
        group_by=by.text if by else None,
    )
    given = [workspace.raw] if raw is None else [raw] if isinstance(raw, (str, os.PathLike)) else raw
    raws = list(dict.fromkeys(Path(os.path.expanduser(path)) for path in given))
    for path in raws:
        inventory.check(path)
        _refuse_own_folders(workspace, path)
    _refuse_twice(raws)
    workspace.create()
    with lock.locked(workspace):
        done = _done_already(workspace, raws, settings, by)
        if done is not None:
            return done
        from tuning.dataset.building import build

        return build(workspace, raws, settings, by, accept_removed, progress)


def _done_already(
    workspace: Workspace, raws: Sequence[Path], settings: Settings, by: GroupBy | None
) -> PreparedDataset | None:
    """Returns the existing data set if the last run had the same request and no file has changed since, else None."""
    state = file_state.read(workspace)
    if state is None or state.prepared != present_request(workspace, raws, settings, by):
        return None
    present = file_state.scan(workspace, state.raws)
    if present.keys() != state.files.keys():
        return None
    try:
        file_state.verify_state(workspace, state, present)
        summary = read_summary(workspace.pool_summary)
        info = read_description(workspace.split).info
    except DataError:
        return None
    if settings.on_bad == "stop" and summary.rejected:
        return None
    return PreparedDataset(info, summary, changed=False)


def _refuse_twice(raws: Sequence[Path]) -> None:
    """Refuses a path given twice under different names, or a folder inside another: its images would count twice.

    A table or archive may be given together with the folder that holds it: beside class folders, it is not read.

    Raises:
        UsageError: there are such paths; names both.
    """
    for inner, outer in itertools.permutations(raws, 2):
        real, real_outer = inner.resolve(), outer.resolve()
        if real == real_outer or (inner.is_dir() and real.is_relative_to(real_outer)):
            raise UsageError(
                f"--raw {inner} is {outer}, or lies in it: its images would count twice", "give one of them"
            )


def _refuse_own_folders(workspace: Workspace, raw: Path) -> None:
    """Refuses a raw path that overlaps with a folder that `prepare` writes.

    Raises:
        UsageError: `raw` lies in the pool or the split, or contains them.
    """
    real = raw.resolve()
    for own in (workspace.pool.resolve(), workspace.split.resolve()):
        if real.is_relative_to(own) or own.is_relative_to(real):
            raise UsageError(
                f"--raw {raw} overlaps with {own}, which prepare writes", "give the folder with the original images"
            )
