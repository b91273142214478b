"""Raw images to a pool, a split and packed arrays: everything `python -m tuning.prepare` does.

All of it is made aside first and put in place last, in an order in which a kill at any moment leaves either the old
data set or one that the same command completes: split manifest, `data/cls_data`, `data/cls_pool`, and the pool
manifest, which alone says that nothing is left to do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuning import files
from tuning.dataset import (
    aliases as renaming,
)
from tuning.dataset import (
    census,
    collection,
    grouping,
    history,
    integrity,
    inventory,
    laying,
    leakage,
    near,
    pool,
    report,
    split,
    upkeep,
)
from tuning.dataset.arrays import DatasetInfo
from tuning.dataset.collection import Collection
from tuning.dataset.grouping import GroupBy
from tuning.dataset.history import Extension
from tuning.dataset.integrity import Conflict
from tuning.dataset.manifests import (
    SplitManifest,
    read_split_manifest,
    write_pool_manifest,
    write_split_manifest,
)
from tuning.dataset.near import NearPair
from tuning.dataset.pool import Pool, PooledImage
from tuning.dataset.settings import Settings
from tuning.dataset.summary import NearCopies, PoolSummary
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
    raw: Path | str | Sequence[Path | str] | None = None,
    *,
    image_size: int = 48,
    color: str = "gray",
    ratios: Sequence[float] = split.DEFAULT_RATIOS,
    seed: int = 0,
    on_bad: str = "skip",
    crop: str = "box",
    on_conflict: str = "drop",
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
        on_bad: "skip" leaves out and lists what cannot be used, "stop" refuses at the first.
        crop: for YOLO exports, "box" makes a sample of the labelled face, "image" of the whole image.
        on_conflict: equal pixels with different labels: "drop" all, "keep" all, or keep the "majority".
        aliases: labels to rename, such as "anger=angry", or "emotions" for the built-in table.
        group_by: a regular expression that finds the person in a path, or a CSV file; a person is in one split only.
            Fixed for a workspace once its split is made.
        accept_removed: go on although images that have a place are gone.
        progress: where to say what is going on.

    Raises:
        UsageError: a setting that cannot be meant.
        DataError: images, labels or manifests that cannot be used; names the file and the remedy.
        EnvironmentProblem: the workspace cannot be written, or another process is preparing it.
    """
    by = grouping.parse(group_by) if group_by else None
    renamed = renaming.parse(aliases)
    settings = Settings(
        image_size=image_size,
        color=color,
        ratios=tuple(map(float, ratios)),
        seed=seed,
        on_bad=on_bad,
        crop=crop,
        on_conflict=on_conflict,
        aliases=tuple(renamed.items()),
        group_by=by.text if by else None,
    )
    given = [workspace.raw] if raw is None else [raw] if isinstance(raw, (str, os.PathLike)) else raw
    raws = list(dict.fromkeys(map(Path, given)))
    for path in raws:
        upkeep.refuse_own_folders(workspace, path)
        inventory.check(path)
    workspace.create()
    with upkeep.alone(workspace):
        upkeep.recover(workspace)
        manifest = read_split_manifest(workspace.split_manifest)
        if manifest is not None:
            history.check_settings(manifest, settings, str(workspace.split_manifest))
        found = collection.gather(workspace, raws, crop, renamed, progress)
        done = upkeep.already_done(workspace, found.states, settings, by, manifest)
        if done is not None:
            census.write(workspace, raws)
            return PreparedDataset(*done, changed=False)
        return _Preparation(workspace, found, settings, by, manifest, progress).run(accept_removed)


@dataclass(frozen=True)
class _Preparation:
    """One run that has something to do."""

    workspace: Workspace
    collection: Collection
    settings: Settings
    by: GroupBy | None
    manifest: SplitManifest | None
    progress: Progress

    def run(self, accept_removed: bool) -> PreparedDataset:
        workspace, settings = self.workspace, self.settings
        for note in self.collection.notes:
            self.progress.warn(note)
        changes = upkeep.changed_settings(workspace, settings, self.manifest)
        if changes:
            self.progress.say(f"rebuilding the arrays ({', '.join(changes)}); every image keeps its place in the split")
        mark = f"{files.TEMPORARY_MARK}{os.getpid()}-"
        pixels, thumbs = (workspace.data / f"{mark}{name}" for name in upkeep.SCRATCH)
        try:
            with files.replacing_directory(workspace.pool) as pool_folder:
                found = self._fill(pool_folder, pixels, thumbs)
                rows = {image.file: row for row, image in enumerate(found.images)}
                conflicts = integrity.conflicts(found.images, settings.on_conflict)
                pairs, small = self._near(thumbs, found.images)
                ties = [(found.images[pair.one].sha256, found.images[pair.other].sha256) for pair in pairs]
                images = integrity.without_conflicts(found.images, conflicts)
                integrity.check_classes(
                    integrity.group(images), self.collection.classes, self.collection.required, found.rejected
                )
                extension = history.extend(
                    images, found.rejected, conflicts, settings, self.manifest, accept_removed, ties
                )
                summary = self._summarise(found, extension, conflicts, pairs, ties)
                page = report.render(summary, found.images, extension.manifest, pairs, small, pool_folder)
                del small
                for file in rows.keys() - {image.file for image in extension.images}:
                    (pool_folder / file).unlink()
                with files.replacing_directory(workspace.split) as split_folder:
                    info = laying.pack(split_folder, pixels, rows, extension.manifest, settings, self.progress)
                    laying.lay_out(pool_folder, split_folder, extension.manifest.places, self.progress)
                    files.fsync_directory(split_folder)
                    write_split_manifest(workspace.split_manifest, extension.manifest)
            self._write_outputs(extension, info, summary, page)
        finally:
            for path in (pixels, thumbs):
                path.unlink(missing_ok=True)
        before = len(self.manifest.places) if self.manifest else 0
        added = len(extension.manifest.places) - (before - extension.removed)
        return PreparedDataset(info, summary, changed=True, added=added, removed=extension.removed)

    def _fill(self, pool_folder: Path, pixels: Path, thumbs: Path) -> Pool:
        settings, everything = self.settings, self.collection
        with (
            pixels.open("wb") as pixels_file,
            thumbs.open("wb") as thumbs_file,
            self.progress.bar(everything.total, "decoding", "image") as bar,
        ):
            found = pool.fill(
                everything.items(),
                everything.locate,
                pool_folder,
                pixels_file,
                thumbs_file,
                settings.image_size,
                settings.color,
                settings.on_bad,
                bar,
            )
        return found if self.by is None else replace(found, images=self.by.assign(found.images))

    def _near(self, thumbs: Path, images: Sequence[PooledImage]) -> tuple[list[NearPair], np.ndarray]:
        """Near copies among the first of every set of equal images, and all thumbnails, uint8 (n, 48, 48)."""
        if not images:
            return [], np.empty((0, near.THUMB, near.THUMB), np.uint8)
        small = np.memmap(thumbs, np.uint8, "r").reshape(-1, near.THUMB, near.THUMB)
        seen: set[str] = set()
        copies = np.array([image.sha256 in seen or seen.add(image.sha256) is not None for image in images])
        self.progress.say("looking for near copies")
        return near.find(small, copies), small

    def _summarise(
        self,
        found: Pool,
        extension: Extension,
        conflicts: tuple[Conflict, ...],
        pairs: Sequence[NearPair],
        ties: Sequence[tuple[str, str]],
    ) -> PoolSummary:
        settings, images = self.settings, extension.images
        counts = extension.manifest.counts()
        absent = sorted(self.collection.classes.keys() - counts.keys())
        notes = self.collection.notes
        if absent:
            notes += (f"Left out, because no image carries them: {', '.join(absent)}.",)
        if extension.apart:
            notes += (
                f"{len(extension.apart):,} pairs of near copies have had places in different splits before near copies "
                "were looked for; no image is moved. Prepare another --root to have them share a split.",
            )
        without = sum(image.subject is None for image in images) if self.by else 0
        if without:
            notes += (f"--group-by finds no person for {without:,} images; each of them is a group of its own.",)
        copy_sets, redundant = integrity.exact_copies(images)
        splits = {place.file: place.split for place in extension.manifest.places}
        labelled = [image for image in found.images if image.label in counts]
        return PoolSummary(
            source=self.collection.title,
            raw=self.collection.raw,
            counts=counts,
            rejected=(*found.rejected, *extension.torn),
            ignored=found.ignored,
            copy_sets=copy_sets,
            redundant=redundant,
            conflicts=conflicts,
            imbalance=integrity.imbalance({label: sum(counts[label].values()) for label in counts}),
            notes=notes,
            on_conflict=settings.on_conflict,
            near=NearCopies.count(found.images, pairs),
            group_by=settings.group_by,
            subjects=len({image.subject for image in images if image.subject}) if self.by else None,
            naive=leakage.naive(labelled, settings.ratios, settings.seed, ties),
            leakage=leakage.measure(images, splits, ties),
        )

    def _write_outputs(self, extension: Extension, info: DatasetInfo, summary: PoolSummary, page: str) -> None:
        workspace, settings = self.workspace, self.settings
        files.write_json(workspace.class_names, list(info.classes))
        files.write_json(workspace.pool_summary, summary.to_json())
        files.write_text(workspace.pool_report, page)
        census.write(workspace, [part.given for part in self.collection.parts])
        facts = {
            "source": [
                {"kind": part.kind, "raw": str(part.given), "folder": part.prefix} for part in self.collection.parts
            ],
            **upkeep.recorded_settings(settings, self.by),
            "split_digest": extension.manifest.digest,
            "dataset_digest": info.digest,
            "raw_files": self.collection.states,
        }
        write_pool_manifest(workspace.pool_manifest, extension.images, facts)
