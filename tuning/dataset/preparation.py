"""Raw images to a pool, a split and packed arrays: everything `python -m tuning.prepare` does.

All of it is made aside first and put in place last, in an order in which a kill at any moment leaves either the old
data set or one that the same command completes: split manifest, `data/cls_data`, `data/cls_pool`, and the pool
manifest, which alone says that nothing is left to do.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuning import files
from tuning.dataset import arrays, history, integrity, inventory, packing, pool, sources, split, upkeep
from tuning.dataset.arrays import DatasetInfo
from tuning.dataset.decode import DECODER_VERSION
from tuning.dataset.inventory import RawTree
from tuning.dataset.manifests import (
    Place,
    SplitManifest,
    read_split_manifest,
    write_pool_manifest,
    write_split_manifest,
)
from tuning.dataset.packing import SPLITS
from tuning.dataset.pool import Pool, PooledImage
from tuning.dataset.samples import Listing, Rejected
from tuning.dataset.settings import Settings
from tuning.dataset.summary import PoolSummary
from tuning.progress import SILENT, Progress
from tuning.workspace import Workspace


@dataclass(frozen=True)
class PreparedDataset:
    """What `prepare_dataset` returns.

    Attributes:
        info: digest, classes, size and counts of the data set, as training sees it.
        summary: what is in the pool, what is not, and why.
        changed: False where everything was prepared already and nothing was done.
        added, removed: images that got a place, or lost theirs, in this call.
    """

    info: DatasetInfo
    summary: PoolSummary
    changed: bool
    added: int = 0
    removed: int = 0


def prepare_dataset(
    workspace: Workspace,
    raw: Path | str | None = None,
    *,
    image_size: int = 48,
    color: str = "gray",
    ratios: Sequence[float] = split.DEFAULT_RATIOS,
    seed: int = 0,
    on_bad: str = "skip",
    crop: str = "box",
    accept_removed: bool = False,
    progress: Progress = SILENT,
) -> PreparedDataset:
    """Prepares the images in `raw` for training.

    Args:
        workspace: where everything is written.
        raw: class folders, a YOLO export or a FER2013 CSV (default: `data/raw_yolo` in the workspace); never changed.
        image_size: height and width of the packed images in pixels.
        color: "gray" or "rgb".
        ratios: percentages of train, val and test; fixed for a workspace once its split is made.
        seed: of the split; fixed likewise.
        on_bad: "skip" leaves out and lists what cannot be used, "stop" refuses at the first.
        crop: for YOLO exports, "box" makes a sample of the labelled face, "image" of the whole image.
        accept_removed: go on although images that have a place are gone.
        progress: where to say what is going on.

    Raises:
        UsageError: a setting that cannot be meant.
        DataError: images, labels or manifests that cannot be used; names the file and the remedy.
        EnvironmentProblem: the workspace cannot be written, or another process is preparing it.
    """
    settings = Settings(image_size, color, tuple(map(float, ratios)), seed, on_bad, crop)
    raw = Path(raw) if raw is not None else workspace.raw
    upkeep.refuse_own_folders(workspace, raw)
    tree = inventory.take(raw)
    workspace.create()
    with upkeep.alone(workspace):
        upkeep.recover(workspace)
        manifest = read_split_manifest(workspace.split_manifest)
        if manifest is not None:
            history.check_settings(manifest, settings, str(workspace.split_manifest))
        done = upkeep.already_done(workspace, tree, settings, manifest)
        if done is not None:
            return PreparedDataset(*done, changed=False)
        return _prepare(workspace, tree, raw, settings, manifest, accept_removed, progress)


def _prepare(
    workspace: Workspace,
    tree: RawTree,
    raw: Path,
    settings: Settings,
    manifest: SplitManifest | None,
    accept_removed: bool,
    progress: Progress,
) -> PreparedDataset:
    kind, prefix = sources.find(tree)
    listing = sources.SOURCES[kind].list_samples(tree, prefix, settings.crop)
    where = f" in {prefix}/" if prefix else ""
    progress.say(f"{raw}: {sources.SOURCES[kind].title} found{where}")
    for note in listing.notes:
        progress.warn(note)
    changes = upkeep.changed_settings(workspace, settings, manifest)
    if changes:
        progress.say(f"rebuilding the arrays ({', '.join(changes)}); every image keeps its place in the split")

    pixels_path = workspace.data / f"{files.TEMPORARY_MARK}{os.getpid()}-{upkeep.PIXELS}"
    try:
        with files.replacing_directory(workspace.pool) as pool_folder:
            with pixels_path.open("wb") as pixels, progress.bar(listing.total, "decoding", "image") as bar:
                found = pool.fill(
                    itertools.chain(tree.refused, listing.items),
                    tree.root,
                    pool_folder,
                    pixels,
                    settings.image_size,
                    settings.color,
                    settings.on_bad,
                    bar,
                )
            rows = {image.file: row for row, image in enumerate(found.images)}
            images, conflicts = _grouped(found)
            integrity.check_classes(images, listing.classes, listing.empty_is_error, found.rejected)
            images, extended, torn, removed = history.extend(
                images, found.rejected, conflicts, settings, manifest, accept_removed
            )
            for file in rows.keys() - {image.file for image in images}:
                (pool_folder / file).unlink()
            summary = _summarise(kind, raw, listing, found, images, extended, (*found.rejected, *torn), conflicts)
            with files.replacing_directory(workspace.split) as split_folder:
                info = _pack(split_folder, pixels_path, rows, extended, settings, progress)
                _materialise(pool_folder, split_folder, extended.places, progress)
                files.fsync_directory(split_folder)
                write_split_manifest(workspace.split_manifest, extended)
        _write_outputs(workspace, tree, prefix, kind, settings, images, extended, info, summary)
    finally:
        pixels_path.unlink(missing_ok=True)
    before = len(manifest.places) if manifest else 0
    added = len(extended.places) - (before - removed)
    return PreparedDataset(info, summary, changed=True, added=added, removed=removed)


def _grouped(found: Pool) -> tuple[tuple[PooledImage, ...], tuple[integrity.Conflict, ...]]:
    """The images without those whose labels contradict each other, in groups; and the contradictions."""
    conflicts = integrity.conflicts(found.images)
    dropped = {conflict.sha256 for conflict in conflicts}
    return integrity.group([image for image in found.images if image.sha256 not in dropped]), conflicts


def _pack(
    folder: Path,
    pixels_path: Path,
    rows: dict[str, int],
    manifest: SplitManifest,
    settings: Settings,
    progress: Progress,
) -> DatasetInfo:
    """Writes the packed arrays and `arrays.json`. Images come in the order of their pixels' sha256, not of any name."""
    classes = sorted({place.label for place in manifest.places})
    channels = arrays.COLORS[settings.color]
    pixels = np.memmap(pixels_path, np.uint8, "r").reshape(-1, settings.image_size, settings.image_size, channels)
    members = {name: [place for place in manifest.places if place.split == name] for name in SPLITS}
    hashes: dict[str, str] = {}
    with progress.bar(len(manifest.places), "packing", "image") as bar:
        for name, places in members.items():
            places.sort(key=lambda place: (place.sha256, place.label))
            order = np.array([rows[place.file] for place in places], np.int64)
            labels = np.array([classes.index(place.label) for place in places], np.int64)
            hashes |= packing.write_split(folder, name, pixels, order, labels)
            bar.update(len(places))
    content = {name: [(place.sha256, place.label) for place in places] for name, places in members.items()}
    info = DatasetInfo(
        digest=arrays.dataset_digest(classes, settings.image_size, settings.color, DECODER_VERSION, content),
        classes=tuple(classes),
        image_size=settings.image_size,
        channels=channels,
        counts={name: len(places) for name, places in members.items()},
    )
    files.write_json(folder / packing.DESCRIPTION, arrays.describe(info, manifest.digest, hashes))
    return info


def _materialise(pool_folder: Path, split_folder: Path, places: Sequence[Place], progress: Progress) -> None:
    for name in SPLITS:
        for label in {place.label for place in places}:
            (split_folder / name / label).mkdir(parents=True)
    with progress.bar(len(places), "linking", "image") as bar:
        for place in places:
            pool.link_or_copy(pool_folder / place.file, split_folder / place.split / place.file)
            bar.update()


def _summarise(
    kind: str,
    raw: Path,
    listing: Listing,
    found: Pool,
    images: Sequence[PooledImage],
    manifest: SplitManifest,
    rejected: tuple[Rejected, ...],
    conflicts: tuple[integrity.Conflict, ...],
) -> PoolSummary:
    counts = manifest.counts()
    absent = [label for label in sorted(listing.classes) if label not in counts]
    notes = listing.notes
    if absent:
        notes += (f"Left out, because no image carries them: {', '.join(absent)}.",)
    copy_sets, redundant = integrity.exact_copies(images)
    return PoolSummary(
        source=sources.SOURCES[kind].title,
        raw=str(raw),
        counts=counts,
        rejected=rejected,
        ignored=found.ignored,
        copy_sets=copy_sets,
        redundant=redundant,
        conflicts=conflicts,
        imbalance=integrity.imbalance({label: sum(splits.values()) for label, splits in counts.items()}),
        notes=notes,
    )


def _write_outputs(
    workspace: Workspace,
    tree: RawTree,
    prefix: str,
    kind: str,
    settings: Settings,
    images: Sequence[PooledImage],
    manifest: SplitManifest,
    info: DatasetInfo,
    summary: PoolSummary,
) -> None:
    files.write_json(workspace.class_names, list(info.classes))
    files.write_json(workspace.pool_summary, summary.to_json())
    facts = {
        "source": {"kind": kind, "raw": summary.raw, "folder": prefix},
        "crop": settings.crop,
        "split_digest": manifest.digest,
        "dataset_digest": info.digest,
        "raw_files": tree.files,
    }
    write_pool_manifest(workspace.pool_manifest, images, facts)
