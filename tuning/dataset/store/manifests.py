"""The manifests in `artifacts/outputs/`: what is in the pool, and which split every image belongs to for ever."""

from __future__ import annotations

import datetime
import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.core import files
from tuning.core.errors import DataError
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.store.description import DECODER_VERSION, SPLITS

SCHEMA = 1
_LOST_SPLIT = (
    "restore that file from a copy; if there is none, delete it to split anew (finished runs can then no longer be "
    "compared with new ones)"
)


@dataclass(frozen=True, slots=True)
class Place:
    """One image's entry in the split manifest.

    Attributes:
        file: where it lies below the pool and, in its split's folder, below `data/cls_data/`.
        source: where it comes from, see `samples.Sample.name`.
        sha256: of its decoded pixels.
        label, group: as in the pool.
        split: "train", "val" or "test".
    """

    file: str
    source: str
    sha256: str
    label: str
    group: str
    split: str


@dataclass(frozen=True)
class SplitManifest:
    """Every image's split.

    Attributes:
        ratios: percentages of train, val and test that it was made with.
        seed: the seed that it was made with.
        crop: what a sample was when it was made, "box" or "image".
        places: sorted by file.
        retired: pixel sha256 -> split of images that were removed: should they come back, they get their old place.
        group_by: the `--group-by` that it was made with; None without.
    """

    ratios: tuple[float, float, float]
    seed: int
    crop: str
    places: tuple[Place, ...]
    retired: dict[str, str]
    group_by: str | None = None

    @functools.cached_property
    def digest(self) -> str:
        """Over ratios, seed and every image's (sha256, label, split); independent of file names."""
        content = sorted([place.sha256, place.label, place.split] for place in self.places)
        return files.digest({"ratios": list(self.ratios), "seed": self.seed, "images": content})

    def counts(self) -> dict[str, dict[str, int]]:
        """label -> split -> images, labels and splits in order."""
        found = Counter((place.label, place.split) for place in self.places)
        return {label: {split: found[label, split] for split in SPLITS} for label in sorted({k for k, _ in found})}


def write_split_manifest(path: Path, manifest: SplitManifest) -> None:
    head = {
        "schema": SCHEMA,
        "digest": manifest.digest,
        "ratios": list(manifest.ratios),
        "seed": manifest.seed,
        "crop": manifest.crop,
        "group_by": manifest.group_by,
        "counts": manifest.counts(),
        "retired": manifest.retired,
    }
    _write_rows(path, head, {"images": [_fields(place) for place in manifest.places]})


def read_split_manifest(path: Path) -> SplitManifest | None:
    """The split of a workspace, or None where there is none yet.

    Raises:
        DataError: the file is damaged, of an unknown schema, puts one image or group into two splits, or does not
            match its own digest.
    """
    if not path.exists():
        return None
    value = files.read_json(path, _LOST_SPLIT)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        found = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise DataError(f"{path} has schema {found!r}; this version reads {SCHEMA}", _LOST_SPLIT)
    try:
        manifest = SplitManifest(
            ratios=_ratios(value["ratios"]),
            seed=_of(int, value["seed"]),
            crop=_one_of(("box", "image"), value["crop"]),
            places=tuple(_place(entry) for entry in _of(list, value["images"])),
            retired={_of(str, sha): _one_of(SPLITS, split) for sha, split in _of(dict, value["retired"]).items()},
            group_by=_of((str, type(None)), value.get("group_by")),
        )
        _check_unique(manifest.places)
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]!r} is missing", _LOST_SPLIT) from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}", _LOST_SPLIT) from None
    if value.get("digest") != manifest.digest:
        raise DataError(f"{path} was edited: its content does not match its digest", _LOST_SPLIT)
    return manifest


def write_pool_manifest(path: Path, images: Sequence[PooledImage], facts: Mapping[str, Any]) -> None:
    """Writes every pooled image with its source; `facts` goes first (source, settings, digests)."""
    head = {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "decoder": DECODER_VERSION,
        "counts": {"images": len(images), "classes": dict(sorted(Counter(i.label for i in images).items()))},
        **{key: value for key, value in facts.items() if key != "raw_files"},
    }
    _write_rows(path, head, {"raw_files": facts["raw_files"], "images": [*map(_row, images)]})


def _fields(record: Place | PooledImage) -> dict[str, Any]:
    """As `dataclasses.asdict`, which takes ten times as long, for a record of plain values."""
    return {name: getattr(record, name) for name in record.__slots__}


def _row(image: PooledImage) -> dict[str, Any]:
    row = _fields(image)
    del row["photo"]
    return row if image.subject else {key: value for key, value in row.items() if key != "subject"}


def _write_rows(path: Path, head: Mapping[str, Any], tables: Mapping[str, Sequence[Any]]) -> None:
    """JSON with one row a line: readable, searchable with grep, and quick to write."""
    parts = [
        f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}" for key, value in head.items()
    ]
    for key, rows in tables.items():
        lines = ",\n".join(f"    {_json_row(row)}" for row in rows)
        parts.append(f"  {json.dumps(key)}: [\n{lines}\n  ]")
    files.write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _json_row(row: Mapping[str, Any] | Sequence[Any]) -> str:
    """A row of plain values as `json.dumps` writes it, several times as fast."""
    if isinstance(row, Mapping):
        return "{" + ", ".join([f'"{key}": {_json_value(value)}' for key, value in row.items()]) + "}"
    return "[" + ", ".join(map(_json_value, row)) + "]"


def _json_value(value: str | int | None) -> str:
    if isinstance(value, str):
        return json.encoder.encode_basestring(value)
    return str(value) if type(value) is int else json.dumps(value, allow_nan=False)


def _place(entry: Any) -> Place:
    found = [_of(dict, entry)[name] for name in Place.__slots__]
    # Nearly all are plain, and there may be a great many of them.
    if not all(type(value) is str and value.isascii() for value in found):
        found = [_of(str, value) for value in found]
    place = Place(*found)
    _one_of(SPLITS, place.split)
    parts = place.file.split("/")
    if len(parts) != 2 or parts[0] != place.label or any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise ValueError(f"{place.file[:80]!r} is not <label>/<file>")
    return place


def _check_unique(places: Sequence[Place]) -> None:
    owners: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    for place in places:
        if place.file in names:
            raise ValueError(f"{place.file!r} is listed twice")
        names.add(place.file)
        for kind, key in (("image", place.sha256), ("group", place.group)):
            if owners.setdefault((kind, key), place.split) != place.split:
                raise ValueError(f"{kind} {key[:16]} is in {owners[kind, key]} and in {place.split}")


def _ratios(value: Any) -> tuple[float, float, float]:
    numbers = tuple(_of((int, float), number) for number in _of(list, value))
    if len(numbers) != len(SPLITS) or not all(0 < number < 100 for number in numbers):
        raise ValueError(f"'ratios' must be three percentages, got {value!r}")
    return tuple(map(float, numbers))


def _of(kind: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"expected {getattr(kind, '__name__', 'another type')}, got {str(value)[:80]!r}")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            # JSON can spell out halves of characters; no file name and no digest can hold them.
            raise ValueError(f"{value[:80]!r} is not valid text") from None
    return value


def _one_of(valid: Sequence[str], value: Any) -> str:
    if value not in valid:
        raise ValueError(f"expected one of {', '.join(valid)}, got {str(value)[:80]!r}")
    return value
