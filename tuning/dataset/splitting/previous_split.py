"""Extends the existing split to a new pool: which images keep their place, and which are gone. Pure functions."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuning.core.errors import DataError, listed
from tuning.dataset import account
from tuning.dataset.settings import Crop, Settings
from tuning.dataset.sources.samples import PooledImage, Rejected
from tuning.dataset.splitting import duplicates, split
from tuning.dataset.store.description import SplitName
from tuning.dataset.store.manifests import Place, SplitManifest

#: Reason why an image of the split is gone -> remedy.
_BACK = {"removed": "put them back", "its pixels have changed": "put back the images that they were"}


@dataclass(frozen=True)
class Extension:
    """The result of `extend`.

    Attributes:
        images: the images that stay, with their groups.
        manifest: the new split.
        left_out: images that cannot stay, because their group would then be in several splits.
        removed: number of previous places without an image.
        separated: pairs of sha256 of near copies that already had places in different splits, and keep them.
    """

    images: tuple[PooledImage, ...]
    manifest: SplitManifest
    left_out: tuple[Rejected, ...]
    removed: int
    separated: tuple[tuple[str, str], ...]


def check_settings(manifest: SplitManifest, settings: Settings, path: str) -> None:
    """Refuses ratios, a seed or a `--group-by` that differ from those the split was made with.

    Raises:
        DataError: they differ; names the differences.
    """
    differences = []
    if manifest.ratios != settings.ratios:
        differences.append(f"--split {_shown(manifest.ratios)}, now {_shown(settings.ratios)}")
    if manifest.seed != settings.seed:
        differences.append(f"--seed {manifest.seed}, now {settings.seed}")
    if manifest.group_by != settings.group_by:
        differences.append(f"{_grouping(manifest.group_by)}, now {_grouping(settings.group_by)}")
    if differences and manifest.group_by is None and settings.group_by:
        raise DataError(
            f"the split in {path} was made with {' and '.join(differences)}",
            "persons that are in two splits stay there, and what was trained has seen them: prepare another --root "
            f"with {_grouping(settings.group_by)}, or leave it out to continue with this one",
        )
    if differences:
        raise DataError(
            f"the split in {path} was made with {' and '.join(differences)}",
            f"a split is never made anew: run with --split {_shown(manifest.ratios)} --seed {manifest.seed}"
            + (f" {_grouping(manifest.group_by)}" if manifest.group_by else "")
            + ", or use another --root",
        )


def _grouping(text: str | None) -> str:
    return f"--group-by {shlex.quote(text)}" if text else "no --group-by"


def _shown(ratios: Sequence[float]) -> str:
    return "/".join(f"{ratio:g}" for ratio in ratios)


def recall(
    manifest: SplitManifest, images: Sequence[PooledImage], crop: Crop
) -> tuple[dict[str, SplitName], list[Place]]:
    """Finds the images that already have a place, and the places whose image is gone.

    An image is recognised by its pixels, whatever its name; if `crop` differs from the manifest's, its pixels differ
    too, and it is recognised by its source.

    Returns:
        (pool file -> split, places without an image).
    """
    same_crop = manifest.crop == crop
    known = dict(manifest.retired) if same_crop else {}
    known |= {(place.sha256 if same_crop else place.source): place.split for place in manifest.places}
    keys = {image.file: image.sha256 if same_crop else image.source for image in images}
    placed = {file: known[key] for file, key in keys.items() if key in known}

    left = Counter(keys.values())
    missing = []
    # Of several copies, places whose own file still exists are matched first, so that the removed copy is reported.
    for place in sorted(manifest.places, key=lambda place: (place.file not in keys, place.file)):
        key = place.sha256 if same_crop else place.source
        if left[key]:
            left[key] -= 1
        else:
            missing.append(place)
    return placed, missing


def refuse_missing(missing: Sequence[Place], total: int, reasons: Mapping[str, str]) -> None:
    """Refuses to continue without images that have a place.

    Args:
        missing: places without an image.
        total: number of places before.
        reasons: source -> why it is not in the pool, if known.

    Raises:
        DataError: `missing` is not empty; names the first few.
    """
    if not missing:
        return
    why, _ = Counter(reasons.get(place.source, "removed") for place in missing).most_common(1)[0]
    remedy = _BACK.get(why) or account.remedy(why) or _BACK["removed"]
    if len(missing) == total:
        remedy = f"prepare another data set in another --root; if it is this one, {remedy}"
    named = listed([f"{place.source} ({reasons.get(place.source, 'removed')})" for place in missing], 3)
    raise DataError(
        f"{len(missing):,} of {total:,} images that have a place in the split are gone: {named}",
        f"{remedy}; or run again with --accept-removed to continue without them (finished runs saw other data)",
    )


def extend(
    images: Sequence[PooledImage],
    rejected: Sequence[Rejected],
    conflicts: Sequence[duplicates.Conflict],
    settings: Settings,
    manifest: SplitManifest | None,
    accept_removed: bool,
    near_pairs: Sequence[tuple[str, str]] = (),
) -> Extension:
    """Gives every image its place: the previous one, or a new one.

    Args:
        near_pairs: pairs of sha256 of near copies. Two that already have places in different splits keep them.

    Raises:
        DataError: an image of the split is gone and `accept_removed` is false, or a class cannot be in all splits.
    """
    placed: dict[str, SplitName] = {}
    missing: tuple[Place, ...] = ()
    retired: dict[str, SplitName] = {}
    if manifest is not None:
        placed = recall(manifest, images, settings.crop)[0]
        retired = dict(manifest.retired)
    changed = {image.source: "its pixels have changed" for image in images}
    home = {image.sha256: placed[image.file] for image in images if image.file in placed}
    separated = {(one, other) for one, other in near_pairs if one in home and home[one] != home.get(other, home[one])}
    linked = [pair for pair in near_pairs if pair not in separated]
    images = duplicates.group(images, linked)
    left_out: list[Rejected] = []
    while conflicting := split.conflicting(items := _items(images), placed):
        left_out += [
            Rejected(image.source, "belongs together with images of different splits")
            for image in images
            if image.file in conflicting
        ]
        images = duplicates.group([image for image in images if image.file not in conflicting], linked)
    if manifest is not None:
        # Computed only now, so that it includes placed images that have just been left out.
        missing = tuple(recall(manifest, images, settings.crop)[1])
        if not accept_removed:
            entries = (*rejected, *duplicates.dropped(conflicts), *left_out)
            refuse_missing(missing, len(manifest.places), changed | {entry.source: entry.reason for entry in entries})
        placed |= _replaced(images, missing, placed)
    splits = split.place(items, settings.ratios, settings.seed, placed)
    places = tuple(
        Place(image.file, image.source, image.sha256, image.label, image.group, splits[image.file])
        for image in sorted(images, key=lambda image: image.file)
    )
    present = {place.sha256 for place in places}
    retired |= {place.sha256: place.split for place in missing}
    retired = {sha: name for sha, name in sorted(retired.items()) if sha not in present}
    extended = SplitManifest(settings.ratios, settings.seed, settings.crop, places, retired, settings.group_by)
    return Extension(images, extended, tuple(left_out), len(missing), tuple(sorted(separated)))


def _replaced(
    images: Sequence[PooledImage], missing: Sequence[Place], placed: Mapping[str, SplitName]
) -> dict[str, SplitName]:
    """Gives images that replaced others under the same name (a corrected box, a better scan) the place of the others.

    Since only the name is the same, a group takes such a place only if none of its images has one already and all
    replaced images were in the same split.
    """
    gone = {place.source: place.split for place in missing}
    placed_groups = {image.group for image in images if image.file in placed}
    homes: dict[str, set[SplitName]] = {}
    for image in images:
        if image.group not in placed_groups and image.source in gone:
            homes.setdefault(image.group, set()).add(gone[image.source])
    return {image.file: min(homes[image.group]) for image in images if len(homes.get(image.group, ())) == 1}


def _items(images: Sequence[PooledImage]) -> list[split.Item]:
    return [split.Item(image.file, image.label, image.group) for image in images]
