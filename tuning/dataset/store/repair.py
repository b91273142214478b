"""A workspace between two runs of `prepare`: is anything left to do, did a run die half way, is another one at work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem, UsageError
from tuning.core.workspace import Workspace
from tuning.dataset.settings import Settings
from tuning.dataset.splitting.groups import GroupBy
from tuning.dataset.store import description
from tuning.dataset.store import file_state as census
from tuning.dataset.store.description import DECODER_VERSION, DatasetInfo
from tuning.dataset.store.manifests import SCHEMA, SplitManifest
from tuning.dataset.summary import PoolSummary


def unchanged(
    workspace: Workspace, raws: Sequence[Path], settings: Settings, by: GroupBy | None
) -> tuple[DatasetInfo, PoolSummary] | None:
    """What is prepared, if every file is as the last run, with the same settings, read or wrote it: the quick look."""
    note = census.read(workspace)
    try:
        if note is None or note.prepared != mark(workspace, raws, settings, by):
            return None
        if note.files != census.take(workspace, [census.key(workspace, raw) for raw in raws]):
            return None
        summary = PoolSummary.from_json(files.read_json(workspace.pool_summary, ""))
        info = description.info_of(description.read_description(workspace.split))
    except (DataError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return None if settings.on_bad == "stop" and summary.rejected else (info, summary)


def mark(workspace: Workspace, raws: Sequence[Path], settings: Settings, by: GroupBy | None) -> dict[str, Any]:
    """What a run is asked for, beside the raw files themselves, and the manifests that say what came of it.

    The state of the manifests is not noted down but looked up: call it again once they are written.
    """
    outputs = (
        workspace.class_names,
        workspace.pool_manifest,
        workspace.pool_report,
        workspace.pool_summary,
        workspace.split_manifest,
    )
    return {
        "schema": SCHEMA,
        "decoder": DECODER_VERSION,
        "raws": [census.key(workspace, raw) for raw in raws],
        "image_size": settings.image_size,
        "color": settings.color,
        "ratios": list(settings.ratios),
        "seed": settings.seed,
        **recorded_settings(settings, by),
        "outputs": {path.name: _state(path) for path in outputs},
    }


def _state(path: Path) -> list[int] | None:
    """Size and time of a file; None where it is not there."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def sound(workspace: Workspace) -> bool:
    """Whether all files are as they were prepared, by their contents where sizes or times differ."""
    try:
        census.verify_data(workspace)
    except DataError:
        return False
    return True


def already_done(
    workspace: Workspace,
    states: Sequence[Sequence[str | int]],
    settings: Settings,
    by: GroupBy | None,
    manifest: SplitManifest | None,
) -> tuple[DatasetInfo, PoolSummary] | None:
    """What is prepared, if it was made from exactly these files (by size and time) with these settings."""
    from tuning.dataset.store import packing

    try:
        recorded = files.read_json(workspace.pool_manifest, "")
        summary = PoolSummary.from_json(files.read_json(workspace.pool_summary, ""))
        info = description.read_info(workspace)
        same = (
            manifest is not None
            and recorded["schema"] == SCHEMA
            and recorded["decoder"] == DECODER_VERSION
            and recorded["split_digest"] == manifest.digest
            and recorded["dataset_digest"] == info.digest
            and manifest.crop == settings.crop
            and {key: recorded[key] for key in recorded_settings(settings, by)} == recorded_settings(settings, by)
            and (info.image_size, info.color) == (settings.image_size, settings.color)
            and recorded["raw_files"] == states
            and workspace.pool.is_dir()
            and workspace.pool_report.is_file()
            and files.read_json(workspace.class_names, "") == list(info.classes)
            and packing.is_complete(workspace.split, info.counts, info.input_shape)
        )
    except (DataError, KeyError, TypeError, ValueError, AttributeError):
        return None
    if not same or (settings.on_bad == "stop" and summary.rejected):
        return None
    return info, summary


def recorded_settings(settings: Settings, by: GroupBy | None) -> dict[str, Any]:
    """The settings that decide which images are in the pool and in which groups, as the pool manifest keeps them."""
    return {
        "crop": settings.crop,
        "on_conflict": settings.on_conflict,
        "aliases": dict(settings.aliases),
        "group_by": settings.group_by,
        "group_by_table": by.digest if by else None,
    }


def changed_settings(workspace: Workspace, settings: Settings, manifest: SplitManifest | None) -> list[str]:
    """In which ways the arrays will differ from those that are there, in words."""
    if manifest is None:
        return []
    changes = [f"crop {manifest.crop} → {settings.crop}"] if manifest.crop != settings.crop else []
    with contextlib.suppress(DataError):
        info = description.info_of(description.read_description(workspace.split))
        if info.image_size != settings.image_size:
            changes.append(f"image size {info.image_size} → {settings.image_size}")
        if info.color != settings.color:
            changes.append(f"colour {info.color} → {settings.color}")
    return changes


@contextlib.contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Holds the lock under which a workspace's data change."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(workspace.data / ".prepare.lock", timeout=0):
            yield
    except Timeout:
        raise EnvironmentProblem(
            f"another process is preparing {workspace.root}", "let it finish, or end it, and run the same command again"
        ) from None


def recover(workspace: Workspace) -> None:
    """Clears what a killed run left, and puts back what it had moved aside but not yet replaced."""
    for name in (workspace.pool.name, workspace.split.name, workspace.decoded.name):
        for mark in (files.RETIRED_MARK, files.TEMPORARY_MARK):
            for left in sorted(workspace.data.glob(f"{mark}*-{name}")):
                files.put_back(left)
    for left in workspace.unpacked.glob(f"{files.TEMPORARY_MARK}*"):
        files.put_back(left)


def refuse_own_folders(workspace: Workspace, raw: Path) -> None:
    """Refuses a raw folder that `prepare` itself would replace or read back.

    Raises:
        UsageError: `raw` lies in the pool or the split, or contains them.
    """
    real = raw.resolve()
    for own in (workspace.pool.resolve(), workspace.split.resolve()):
        if real.is_relative_to(own) or own.is_relative_to(real):
            raise UsageError(
                f"--raw {raw} overlaps with {own}, which prepare writes", "give the folder with the original images"
            )
