"""The manifests in `artifacts/outputs/`: the images of the pool, and the permanent split of each image."""

from __future__ import annotations

import datetime
import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tuning.core import files
from tuning.core.errors import DataError
from tuning.dataset.settings import Crop, PoolSettings
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.store.description import DECODER_VERSION, SPLITS, SplitName
from tuning.dataset.store.stored import read_record

SCHEMA = 1
_LOST_SPLIT = (
    "restore that file from a copy; if there is none, delete it to split anew (finished runs can then no longer be "
    "compared with new ones)"
)
_Percentage = Annotated[float, msgspec.Meta(gt=0, lt=100)]


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image's entry in the split manifest.

    Attributes:
        file: its path below the pool and below its split's folder in `data/cls_data/`.
        source: its origin, see `samples.Sample.name`.
        sha256: of its decoded pixels.
        label, group: as in the pool.
    """

    file: str
    source: str
    sha256: str
    label: str
    group: str
    split: SplitName


@dataclass(frozen=True)
class SplitManifest:
    """Every image's split, and the settings that the split was made with.

    Attributes:
        ratios: percentages of train, val and test.
        seed: of the split.
        crop: "box" or "image", see `prepare_dataset`.
        places: sorted by file.
        retired: pixel sha256 -> split of removed images: if they come back, they get their old place.
        group_by: the `--group-by`; None without.
    """

    ratios: tuple[float, float, float]
    seed: int
    crop: Crop
    places: tuple[Place, ...]
    retired: dict[str, SplitName]
    group_by: str | None = None

    @functools.cached_property
    def digest(self) -> str:
        """Digest of ratios, seed and every image's (sha256, label, split); independent of file names."""
        content = sorted([place.sha256, place.label, place.split] for place in self.places)
        return files.digest({"ratios": list(self.ratios), "seed": self.seed, "images": content})

    def of(self, split: SplitName) -> list[Place]:
        """Returns the images of a split in the order of its arrays: by pixel sha256, independent of file names."""
        found = [place for place in self.places if place.split == split]
        return sorted(found, key=lambda place: (place.sha256, place.label))

    def counts(self) -> dict[str, dict[SplitName, int]]:
        """Returns label -> split -> number of images, labels and splits in order."""
        found = Counter((place.label, place.split) for place in self.places)
        labels = sorted({place.label for place in self.places})
        return {label: {split: found[label, split] for split in SPLITS} for label in labels}


class _SplitFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `split_manifest.json`: a `SplitManifest` with its digest and counts."""

    schema: int = SCHEMA
    digest: str
    ratios: tuple[_Percentage, _Percentage, _Percentage]
    seed: int
    crop: Crop
    group_by: str | None
    counts: dict[str, dict[SplitName, int]]
    retired: dict[str, SplitName]
    images: tuple[Place, ...]


def write_split_manifest(path: Path, manifest: SplitManifest) -> None:
    content = _SplitFile(
        digest=manifest.digest,
        ratios=manifest.ratios,
        seed=manifest.seed,
        crop=manifest.crop,
        group_by=manifest.group_by,
        counts=manifest.counts(),
        retired=manifest.retired,
        images=manifest.places,
    )
    head: dict[str, Any] = msgspec.to_builtins(content)
    _write_rows(path, head, {"images": head.pop("images")})


def read_split_manifest(path: Path) -> SplitManifest | None:
    """Reads a workspace's split; None if there is none yet.

    Raises:
        DataError: the file is damaged, of an unknown schema, puts one image or group into two splits, or does not
            match its own digest.
    """
    if not path.exists():
        return None
    found = read_record(path, _SplitFile, SCHEMA, _LOST_SPLIT)
    try:
        _check_places(found.images)
    except ValueError as error:
        raise DataError(f"{path}: {error}", _LOST_SPLIT) from None
    manifest = SplitManifest(found.ratios, found.seed, found.crop, found.images, found.retired, found.group_by)
    if found.digest != manifest.digest:
        raise DataError(f"{path} was edited: its content does not match its digest", _LOST_SPLIT)
    return manifest


def write_pool_manifest(
    path: Path,
    *,
    source: Sequence[Mapping[str, str]],
    settings: PoolSettings,
    split_digest: str,
    dataset_digest: str,
    raw_files: Sequence[tuple[str, str, int, int]],
    images: Sequence[PooledImage],
) -> None:
    """Writes `pool_manifest.json`, which documents where each image comes from.

    Args:
        source: kind, given path and folder inside it of each raw folder, table or archive.
        settings: the settings that decide which images are in the pool, and in which groups.
        split_digest, dataset_digest: of the split manifest and of the arrays made from it.
        raw_files: (given path, relative path, size in bytes, mtime in ns) of every raw file.
        images: in the order of the pool.
    """
    labels = Counter(image.label for image in images)
    head = {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "decoder": DECODER_VERSION,
        "counts": {"images": len(images), "classes": dict(sorted(labels.items()))},
        "source": source,
        **msgspec.to_builtins(settings),
        "split_digest": split_digest,
        "dataset_digest": dataset_digest,
    }
    _write_rows(path, head, {"raw_files": raw_files, "images": [*map(_row, images)]})


def _row(image: PooledImage) -> dict[str, Any]:
    hidden = {"photo"} if image.subject else {"photo", "subject"}
    return {key: value for key, value in msgspec.to_builtins(image).items() if key not in hidden}


def _write_rows(path: Path, head: Mapping[str, Any], tables: Mapping[str, Sequence[Any]]) -> None:
    """Writes JSON with one table row per line: readable, and searchable with grep."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    parts = [f"  {encode(key)}: {encode(value)}" for key, value in head.items()]
    for key, rows in tables.items():
        lines = ",\n".join(f"    {encode(row)}" for row in rows)
        parts.append(f"  {encode(key)}: [\n{lines}\n  ]")
    files.write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _check_places(places: Sequence[Place]) -> None:
    """Raises ValueError for a path that leaves the pool, a file listed twice, or an image or group in two splits."""
    homes: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    for place in places:
        parts = place.file.split("/")
        if len(parts) != 2 or parts[0] != place.label or any(part in ("", ".", "..") or "\\" in part for part in parts):
            raise ValueError(f"{place.file[:80]!r} is not <label>/<file>")
        if place.file in names:
            raise ValueError(f"{place.file!r} is listed twice")
        names.add(place.file)
        for kind, key in (("image", place.sha256), ("group", place.group)):
            if homes.setdefault((kind, key), place.split) != place.split:
                raise ValueError(f"{kind} {key[:16]} is in {homes[kind, key]} and in {place.split}")
