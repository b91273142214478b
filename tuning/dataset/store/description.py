"""What describes the packed arrays: `arrays.json`, read and checked without opening an array, and without NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace

SPLITS = ("train", "val", "test")
#: Version of `arrays.json` and the array files beside it.
SCHEMA = 1
DESCRIPTION = "arrays.json"
#: What to tell a person whose workspace holds no usable arrays.
PREPARE_REMEDY = (
    "run `python -m tuning.prepare --raw PATH` with your folder of face images, or `make demo` for synthetic faces"
)
COLORS = {"gray": 1, "rgb": 3}
#: Of `tuning.dataset.decode`: raised whenever the same file may give other pixels than before. In every digest.
DECODER_VERSION = 1


@dataclass(frozen=True)
class DatasetInfo:
    """What is known about a prepared data set without opening an array.

    Attributes:
        digest: sha256 over classes, image size, colour and every split's (pixel sha256, label) list; independent of
            file names, paths and time. Two workspaces with the same digest hold the same arrays.
        classes: labels in index order (alphabetical).
        image_size: height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        counts: images per split, by "train", "val", "test".
    """

    digest: str
    classes: tuple[str, ...]
    image_size: int
    channels: int
    counts: dict[str, int]

    @property
    def color(self) -> str:
        return next(name for name, channels in COLORS.items() if channels == self.channels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return (self.image_size, self.image_size, self.channels)


def read_info(workspace: Workspace) -> DatasetInfo:
    """Reads the description of the prepared arrays, and checks that they were made from the present split.

    Raises:
        DataError: nothing is prepared, or the arrays do not belong to the split manifest; names the command to run.
    """
    description = read_description(workspace.split)
    split = files.read_json(workspace.split_manifest, PREPARE_REMEDY)
    recorded = split.get("digest") if isinstance(split, dict) else None
    if recorded != description["split_digest"]:
        raise DataError(
            f"{workspace.split / DESCRIPTION} was made from another split than {workspace.split_manifest} holds",
            "run `python -m tuning.prepare` again",
        )
    return info_of(description)


def dataset_digest(
    classes: Sequence[str], image_size: int, color: str, decoder: int, content: Mapping[str, Sequence[tuple[str, str]]]
) -> str:
    """The digest of a data set; `content` maps each split to its (pixel sha256, label) pairs, in any order."""
    return files.digest(
        {
            "classes": list(classes),
            "image_size": image_size,
            "color": color,
            "decoder": decoder,
            "splits": {split: sorted(map(list, content[split])) for split in SPLITS},
        }
    )


def describe(info: DatasetInfo, split_digest: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    """The content of `arrays.json`."""
    return {
        "schema": SCHEMA,
        "digest": info.digest,
        "split_digest": split_digest,
        "image_size": info.image_size,
        "color": info.color,
        "classes": list(info.classes),
        "counts": info.counts,
        "sha256": dict(hashes),
    }


def info_of(description: Mapping[str, Any]) -> DatasetInfo:
    return DatasetInfo(
        digest=description["digest"],
        classes=tuple(description["classes"]),
        image_size=description["image_size"],
        channels=COLORS[description["color"]],
        counts={split: description["counts"][split] for split in SPLITS},
    )


def read_description(folder: Path) -> dict[str, Any]:
    """Reads and validates `arrays.json` in `folder`.

    Raises:
        DataError: it is missing, not ours, or of a schema this version does not know.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        raise DataError(f"no prepared data set in {folder}", PREPARE_REMEDY)
    again = "run `python -m tuning.prepare` again"
    value = files.read_json(path, again)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        found = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise DataError(f"{path} has schema {found!r}; this version reads {SCHEMA}", again)
    problem = _fault(value)
    if problem:
        raise DataError(f"{path}: {problem}", again)
    return value


def _fault(value: Mapping[str, Any]) -> str | None:
    """What is wrong with a description of the right schema, or None."""
    classes, counts, size = value.get("classes"), value.get("counts"), value.get("image_size")
    if not (isinstance(classes, list) and len(classes) > 1 and all(isinstance(name, str) for name in classes)):
        return "'classes' must be a list of at least two labels"
    if not (isinstance(counts, dict) and all(_is_count(counts.get(split)) for split in SPLITS)):
        return "'counts' must give a positive number of images for train, val and test"
    if not _is_count(size):
        return f"'image_size' must be a positive integer, got {size!r}"
    if value.get("color") not in COLORS:
        return f"'color' must be one of {', '.join(COLORS)}, got {value.get('color')!r}"
    hashes = value.get("sha256")
    if not (isinstance(hashes, dict) and all(isinstance(text, str) for text in hashes.values())):
        return "'sha256' must map file names to digests"
    for key in ("digest", "split_digest"):
        if not isinstance(value.get(key), str):
            return f"{key!r} must be a string, got {value.get(key)!r}"
    return None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
