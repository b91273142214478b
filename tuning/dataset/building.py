"""Everything that `prepare` does where there is something to do: from raw images to a data set in its place.

All of it is made aside first and put in place last, in an order in which a kill at any moment leaves either the old
data set or one that the same command completes: split manifest, `data/cls_data`, `data/cls_pool`, the pool manifest,
and the note of all files' sizes and times, which alone says that nothing is left to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuning.core import files
from tuning.core.progress import Progress
from tuning.core.workspace import Workspace
from tuning.dataset import decoded, pool, report
from tuning.dataset.decoded import Decoded, Keeper
from tuning.dataset.pool import Pool
from tuning.dataset.settings import Settings
from tuning.dataset.sources import collection
from tuning.dataset.sources.collection import Collection
from tuning.dataset.splitting import (
    duplicates as integrity,
)
from tuning.dataset.splitting import (
    leakage,
)
from tuning.dataset.splitting import (
    near_duplicates as near,
)
from tuning.dataset.splitting import (
    previous_split as history,
)
from tuning.dataset.splitting.duplicates import Conflict
from tuning.dataset.splitting.groups import GroupBy
from tuning.dataset.splitting.near_duplicates import NearPair
from tuning.dataset.splitting.previous_split import Extension
from tuning.dataset.store import file_state as census
from tuning.dataset.store import materialize as laying
from tuning.dataset.store import repair as upkeep
from tuning.dataset.store.description import DatasetInfo
from tuning.dataset.store.manifests import SplitManifest, read_split_manifest, write_pool_manifest, write_split_manifest
from tuning.dataset.store.rows import RowFile
from tuning.dataset.summary import NearCopies, PoolSummary


@dataclass(frozen=True)
class Built:
    """What `build` did; the fields of `tuning.dataset.preparation.PreparedDataset`."""

    info: DatasetInfo
    summary: PoolSummary
    changed: bool
    added: int = 0
    removed: int = 0
    decoded: int = 0


def build(
    workspace: Workspace,
    raws: Sequence[Path],
    settings: Settings,
    by: GroupBy | None,
    accept_removed: bool,
    keep_decoded: bool,
    progress: Progress,
) -> Built:
    """Prepares `raws`; the caller holds the workspace's lock.

    Args:
        accept_removed, keep_decoded: as for `prepare_dataset`.
    """
    manifest = read_split_manifest(workspace.split_manifest)
    if manifest is not None:
        history.check_settings(manifest, settings, str(workspace.split_manifest))
    found = collection.gather(workspace, raws, settings.crop, dict(settings.aliases), progress)
    done = upkeep.already_done(workspace, found.states, settings, by, manifest)
    if done is not None and upkeep.sound(workspace):
        states = {part.given: part.states for part in found.parts}
        census.write(workspace, states, upkeep.mark(workspace, raws, settings, by))
        return Built(*done, changed=False)
    return _Preparation(workspace, found, settings, by, manifest, raws, keep_decoded, progress).run(accept_removed)


@dataclass(frozen=True)
class _Preparation:
    """One run that has something to do."""

    workspace: Workspace
    collection: Collection
    settings: Settings
    by: GroupBy | None
    manifest: SplitManifest | None
    raws: Sequence[Path]
    keep_decoded: bool
    progress: Progress

    def run(self, accept_removed: bool) -> Built:
        workspace, settings = self.workspace, self.settings
        for note in self.collection.notes:
            self.progress.warn(note)
        changes = upkeep.changed_settings(workspace, settings, self.manifest)
        if changes:
            self.progress.say(f"rebuilding the arrays ({', '.join(changes)}); every image keeps its place in the split")
        with files.replacing_directory(workspace.decoded) as rows_folder:
            with files.replacing_directory(workspace.pool) as pool_folder:
                found = self._fill(pool_folder, rows_folder)
                rows = {image.file: row for row, image in enumerate(found.images)}
                conflicts = integrity.conflicts(found.images, settings.on_conflict)
                pairs = self._near(rows_folder, found)
                ties = [(found.images[pair.one].sha256, found.images[pair.other].sha256) for pair in pairs]
                images = integrity.without_conflicts(found.images, conflicts)
                integrity.check_classes(images, self.collection.classes, self.collection.required, found.rejected)
                extension = history.extend(
                    images, found.rejected, conflicts, settings, self.manifest, accept_removed, ties
                )
                summary = self._summarise(found, extension, conflicts, pairs, ties)
                measures = found.signatures["measures"]
                page = report.render(summary, found.images, extension.manifest, pairs, measures, pool_folder)
                for file in rows.keys() - {image.file for image in extension.images}:
                    (pool_folder / file).unlink()
                with files.replacing_directory(workspace.split) as split_folder:
                    pixels = rows_folder / "pixels"
                    info = laying.pack(split_folder, pixels, rows, extension.manifest, settings, self.progress)
                    laying.lay_out(pool_folder, split_folder, extension.manifest.places, self.progress)
                    files.fsync_directory(split_folder)
                    write_split_manifest(workspace.split_manifest, extension.manifest)
            self._write_outputs(extension, info, summary, page)
            if not self.keep_decoded:
                for path in rows_folder.iterdir():
                    path.unlink()
        before = len(self.manifest.places) if self.manifest else 0
        added = len(extension.manifest.places) - (before - extension.removed)
        return Built(info, summary, True, added, extension.removed, found.decoded)

    def _fill(self, pool_folder: Path, rows_folder: Path) -> Pool:
        settings, everything, workspace = self.settings, self.collection, self.workspace
        size, color = settings.image_size, settings.color
        with (
            contextlib.closing(Decoded(workspace.decoded, size, color, workspace.pool)) as known,
            Keeper(rows_folder, size, color) as keeper,
            self.progress.bar(everything.total, "decoding", "image") as bar,
        ):
            target = pool.Target(
                everything.locate, everything.stamp, pool_folder, size, color, known.find, workspace.pool
            )
            found = pool.fill(everything.items(), target, keeper.add, settings.on_bad, bar)
        return found if self.by is None else replace(found, images=self.by.assign(found.images))

    def _near(self, rows_folder: Path, found: Pool) -> list[NearPair]:
        """Near copies among the first of every set of equal images."""
        seen: set[str] = set()
        copies = np.array([image.sha256 in seen or seen.add(image.sha256) is not None for image in found.images], bool)
        self.progress.say("looking for near copies")
        path = decoded.thumbs_path(rows_folder, self.settings.image_size, self.settings.color)
        with RowFile(path, (near.THUMB, near.THUMB)) as thumbs:
            return near.find(thumbs, copies, (found.signatures["plain"], found.signatures["mirrored"]))

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
        mark = upkeep.mark(workspace, self.raws, settings, self.by)
        census.write(workspace, {part.given: part.states for part in self.collection.parts}, mark)
