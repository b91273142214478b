"""Builds the data set: what `prepare` does unless everything is up to date.

All outputs are first written to temporary paths, then moved into place in this order: split manifest, `data/cls_data`,
`data/cls_pool`, the pool manifest, and last the record of all files' sizes and times, which marks the data set as
complete. A kill at any moment therefore leaves either the old data set or one that the same command completes.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.progress import Progress
from tuning.core.workspace import Workspace
from tuning.dataset import account, pool, report
from tuning.dataset.pool import Pool
from tuning.dataset.settings import PoolSettings, Settings
from tuning.dataset.sources import collection
from tuning.dataset.sources.collection import Collection
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.splitting import duplicates, leakage, names, previous_split
from tuning.dataset.splitting import groups as grouping
from tuning.dataset.splitting import near_duplicates as near
from tuning.dataset.splitting.duplicates import Conflict
from tuning.dataset.splitting.groups import GroupBy
from tuning.dataset.splitting.near_duplicates import NearPair
from tuning.dataset.splitting.previous_split import Extension
from tuning.dataset.store import file_state, lock, manifests, materialize
from tuning.dataset.store.description import DatasetInfo, read_description
from tuning.dataset.store.manifests import SplitManifest
from tuning.dataset.store.request import present_request
from tuning.dataset.store.rows import RowFile, RowWriter
from tuning.dataset.summary import NearCopies, PoolSummary, PreparedDataset, write_summary

#: An image whose mean gray value (of 255) or standard deviation is below these shows nothing.
_DARK, _FLAT = 8, 1
#: Fewer such images than this, or than 5 % of all, are not reported, unless they are all images of a class.
_MANY_DARK = 5
#: A set of near copies is reported if it has more images than this and a larger share of all images than that.
_LARGE_SET, _LARGE_SHARE = 20, 0.2


def build(
    workspace: Workspace,
    raws: Sequence[Path],
    settings: Settings,
    by: GroupBy | None,
    accept_removed: bool,
    progress: Progress,
) -> PreparedDataset:
    """Prepares `raws`; the caller holds the workspace's lock. `accept_removed` is as for `prepare_dataset`."""
    pool.refuse_foreign_files(workspace)
    manifest = manifests.read_split_manifest(workspace.split_manifest)
    if manifest is not None:
        previous_split.check_settings(manifest, settings, str(workspace.split_manifest))
    found = collection.gather(workspace, raws, settings.crop, dict(settings.aliases), progress)
    return _Preparation(workspace, found, settings, by, manifest, raws, progress).run(accept_removed)


@dataclass(frozen=True)
class _Preparation:
    """One run of `prepare` and its inputs; `manifest` is the existing split, if any."""

    workspace: Workspace
    collection: Collection
    settings: Settings
    by: GroupBy | None
    manifest: SplitManifest | None
    raws: Sequence[Path]
    progress: Progress

    def run(self, accept_removed: bool) -> PreparedDataset:
        workspace, settings = self.workspace, self.settings
        for note in self.collection.notes:
            self.progress.warn(note)
        changes = self._changes()
        if changes:
            self.progress.say(f"rebuilding the arrays ({', '.join(changes)}); every image keeps its place in the split")
        with lock.scratch_folder(workspace) as scratch, files.replacing_directory(workspace.pool) as pool_folder:
            found = self._fill(pool_folder, scratch)
            conflicts = duplicates.conflicts(found.images, settings.on_conflict)
            pairs = self._near(found, scratch)
            near_pairs = [(found.images[pair.one].sha256, found.images[pair.other].sha256) for pair in pairs]
            images = duplicates.without_conflicts(found.images, conflicts)
            classes, required = self.collection.classes, self.collection.required
            duplicates.check_classes(images, classes, required, found.rejected, found.passed, conflicts, found.labels)
            extension = previous_split.extend(
                images, found.rejected, conflicts, settings, self.manifest, accept_removed, near_pairs
            )
            summary = self._summarise(found, extension, conflicts, pairs, near_pairs)
            measures = found.signatures["measures"]
            page = report.render(summary, found.images, extension.manifest, pairs, measures, pool_folder)
            rows = {image.file: row for row, image in enumerate(found.images)}
            for file in rows.keys() - {image.file for image in extension.images}:
                (pool_folder / file).unlink()
            with files.replacing_directory(workspace.split) as split_folder:
                pixels = scratch / "pixels"
                info = materialize.pack(split_folder, pixels, rows, extension.manifest, settings, self.progress)
                materialize.link_images(pool_folder, split_folder, extension.manifest.places, self.progress)
                files.fsync_directory(split_folder)
                manifests.write_split_manifest(workspace.split_manifest, extension.manifest)
        self._write_outputs(extension, info, summary, page, self.collection.digests(found.digests))
        before = len(self.manifest.places) if self.manifest else 0
        added = len(extension.manifest.places) - (before - extension.removed)
        return PreparedDataset(info, summary, True, added, extension.removed)

    def _changes(self) -> list[str]:
        """Describes how the new arrays will differ from the existing ones: crop, image size, colour."""
        manifest, settings = self.manifest, self.settings
        if manifest is None:
            return []
        changes = [f"crop {manifest.crop} → {settings.crop}"] if manifest.crop != settings.crop else []
        with contextlib.suppress(DataError):
            info = read_description(self.workspace.split).info
            if info.image_size != settings.image_size:
                changes.append(f"image size {info.image_size} → {settings.image_size}")
            if info.color != settings.color:
                changes.append(f"colour {info.color} → {settings.color}")
        return changes

    def _fill(self, pool_folder: Path, scratch: Path) -> Pool:
        """Fills the pool; row i of `pixels` and of `thumbs` in the scratch folder belongs to image i."""
        settings, everything = self.settings, self.collection
        target = pool.Target(everything.locate, everything.size, pool_folder, settings.image_size, settings.color)
        with (
            RowWriter(scratch / "pixels") as pixels,
            RowWriter(scratch / "thumbs") as thumbs,
            self.progress.bar(everything.total, "decoding", "image") as bar,
        ):

            def keep(seen: np.ndarray, thumb: np.ndarray) -> None:
                pixels.add(seen)
                thumbs.add(thumb)

            found = pool.fill(everything.items(), target, keep, settings.on_bad, bar)
        return found if self.by is None else replace(found, images=self.by.assign(found.images))

    def _near(self, found: Pool, scratch: Path) -> list[NearPair]:
        """Finds near copies; of each set of exact copies, only the first image is compared."""
        self.progress.say("looking for near copies")
        first = {image.sha256: row for row, image in reversed([*enumerate(found.images)])}
        is_copy = np.ones(len(found.images), np.bool_)
        is_copy[list(first.values())] = False
        with RowFile(scratch / "thumbs", (near.THUMB, near.THUMB)) as thumbs:
            return near.find(thumbs, found.signatures["plain"], found.signatures["mirrored"], is_copy)

    def _summarise(
        self,
        found: Pool,
        extension: Extension,
        conflicts: tuple[Conflict, ...],
        pairs: Sequence[NearPair],
        near_pairs: Sequence[tuple[str, str]],
    ) -> PoolSummary:
        settings, images = self.settings, extension.images
        counts = extension.manifest.counts()
        absent = sorted(self.collection.classes.keys() - counts.keys())
        notes = self.collection.notes
        if absent:
            notes += (f"Left out, because no image carries them: {', '.join(absent)}.",)
        if dark := _dark(found, images):
            notes += (dark,)
        near_copies = NearCopies.count(found.images, pairs)
        if near_copies.largest > max(_LARGE_SET, len(found.images) * _LARGE_SHARE):
            notes += (
                f"One set of near copies holds {near_copies.largest:,} of {len(found.images):,} images, all in one "
                "split. If they show different faces, it is the background that is alike: crop the images to the "
                "faces, and prepare another --root.",
            )
        if extension.separated:
            notes += (
                f"{len(extension.separated):,} pairs of near copies have had places in different splits before; no "
                "image is moved. Prepare another --root to have them share a split.",
            )
        versions = names.versions(images)
        if versions:
            notes += (
                f"{len(versions):,} files are versions of {len(set(versions.values())):,} images, by Roboflow's names "
                f"(such as {min(versions)}); those of one image share a split.",
            )
        without = sum(image.subject is None for image in images) if self.by else 0
        if without:
            notes += (f"--group-by finds no person for {without:,} images; each of them is a group of its own.",)
        if divided := grouping.divided(images):
            notes += (divided,)
        copy_sets, redundant = duplicates.exact_copies(images)
        splits = {place.file: place.split for place in extension.manifest.places}
        labelled = [image for image in found.images if image.label in counts]
        rejected = (*found.rejected, *extension.left_out)
        return PoolSummary(
            source=self.collection.title,
            raw=self.collection.raw,
            counts=counts,
            rejected=rejected,
            ignored=found.ignored,
            copy_sets=copy_sets,
            redundant=redundant,
            conflicts=conflicts,
            imbalance=duplicates.imbalance({label: sum(counts[label].values()) for label in counts}),
            notes=notes,
            on_conflict=settings.on_conflict,
            near=near_copies,
            group_by=settings.group_by,
            subjects=len({image.subject for image in images if image.subject}) if self.by else None,
            naive=leakage.naive(labelled, settings.ratios, settings.seed, near_pairs),
            leakage=leakage.measure(images, splits, near_pairs),
            account=account.take(rejected, found.passed, duplicates.dropped(conflicts)),
        )

    def _write_outputs(
        self,
        extension: Extension,
        info: DatasetInfo,
        summary: PoolSummary,
        page: str,
        digests: Mapping[Path, Mapping[str, str]],
    ) -> None:
        workspace, parts = self.workspace, self.collection.parts
        files.write_json(workspace.class_names, list(info.classes))
        write_summary(workspace.pool_summary, summary)
        files.write_text(workspace.pool_report, page)
        manifests.write_pool_manifest(
            workspace.pool_manifest,
            source=[{"kind": part.kind, "raw": str(part.given), "folder": part.prefix} for part in parts],
            settings=PoolSettings.of(self.settings, self.by),
            split_digest=extension.manifest.digest,
            dataset_digest=info.digest,
            raw_files=self.collection.states,
            images=extension.images,
        )
        request = present_request(workspace, self.raws, self.settings, self.by)
        file_state.record(workspace, {part.given: part.states for part in parts}, digests, request)


def _dark(found: Pool, images: Sequence[PooledImage]) -> str | None:
    """Returns a note if many images, or all images of a class, are nearly black or flat, else None."""
    used = {image.file for image in images}
    rows = [row for row, image in enumerate(found.images) if image.file in used]
    measures = found.signatures["measures"]
    dark = [row for row in rows if measures[row, 0] < _DARK or measures[row, 1] < _FLAT]
    if not dark:
        return None
    labels = Counter(found.images[row].label for row in rows)
    whole = [
        label for label, count in Counter(found.images[row].label for row in dark).items() if count == labels[label]
    ]
    if not whole and len(dark) < max(_MANY_DARK, len(rows) // 20):
        return None
    return (
        f"{len(dark):,} images are nearly black (mean below {_DARK} of 255) or of one brightness, such as "
        f"{found.images[dark[0]].source}"
        + (f"; all of {', '.join(sorted(whole))}" if whole else "")
        + ": look whether their values use the whole range of their files."
    )
