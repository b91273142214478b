"""Reads and writes `arrays.json`, the description of the packed arrays, without opening an array or importing NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset.store.stored import decode, read_content, read_record

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
#: Version of `arrays.json` and the array files beside it.
SCHEMA = 1
DESCRIPTION = "arrays.json"
#: The remedy for a workspace without usable arrays.
PREPARE_REMEDY = (
    "run `python -m tuning.prepare --raw PATH` with your folder of face images; for synthetic faces, "
    "`python -m tuning.demo` and then `python -m tuning.prepare`"
)
_AGAIN = "run `python -m tuning.prepare` again"
COLORS = {"gray": 1, "rgb": 3}
Color = Literal["gray", "rgb"]
#: Version of `tuning.dataset.decode`, increased whenever a file may decode to other pixels; part of every digest.
DECODER_VERSION = 1


@dataclass(frozen=True)
class DatasetInfo:
    """What is known about a prepared data set without opening an array.

    Attributes:
        digest: sha256 over classes, image size, colour, decoder version and every split's (pixel sha256, label) list;
            independent of file names, paths and time. Two workspaces with the same digest hold the same arrays.
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
    def color(self) -> Color:
        return "gray" if self.channels == COLORS["gray"] else "rgb"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return (self.image_size, self.image_size, self.channels)


_Positive = Annotated[int, msgspec.Meta(gt=0)]


class SplitCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Images per split; none is empty."""

    train: _Positive
    val: _Positive
    test: _Positive


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `arrays.json`.

    Attributes:
        digest, image_size, color, classes, counts: as in `DatasetInfo`.
        split_digest: digest of the split manifest that the arrays were made from.
        sha256: name of each array file -> its sha256.
    """

    schema: int = SCHEMA
    digest: str
    split_digest: str
    image_size: _Positive
    color: Color
    classes: Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
    counts: SplitCounts
    sha256: dict[str, str]

    @property
    def info(self) -> DatasetInfo:
        counts = msgspec.structs.asdict(self.counts)
        return DatasetInfo(self.digest, self.classes, self.image_size, COLORS[self.color], counts)


class _SplitDigest(msgspec.Struct, frozen=True):
    """The digest field of the split manifest, decoded without its many images."""

    digest: str


def read_info(workspace: Workspace) -> DatasetInfo:
    """Reads the description of the prepared arrays, and checks that they were made from the current split.

    Raises:
        DataError: nothing is prepared, or the arrays do not belong to the split manifest; names the command to run.
    """
    description, manifest = read_description(workspace.split), workspace.split_manifest
    recorded = decode(manifest, read_content(manifest, PREPARE_REMEDY), _SplitDigest, PREPARE_REMEDY).digest
    if recorded != description.split_digest:
        raise DataError(f"{workspace.split / DESCRIPTION} was made from another split than {manifest} holds", _AGAIN)
    return description.info


def dataset_digest(
    classes: Sequence[str],
    image_size: int,
    color: str,
    decoder: int,
    content: Mapping[SplitName, Sequence[tuple[str, str]]],
) -> str:
    """Returns the digest of a data set; `content` maps each split to its (pixel sha256, label) pairs, in any order."""
    return files.digest(
        {
            "classes": list(classes),
            "image_size": image_size,
            "color": color,
            "decoder": decoder,
            "splits": {split: sorted(map(list, content[split])) for split in SPLITS},
        }
    )


def write_description(folder: Path, info: DatasetInfo, split_digest: str, hashes: Mapping[str, str]) -> None:
    """Writes `arrays.json` into `folder`.

    Args:
        split_digest: digest of the split manifest that the arrays were made from.
        hashes: name of each array file -> its sha256.
    """
    description = Description(
        digest=info.digest,
        split_digest=split_digest,
        image_size=info.image_size,
        color=info.color,
        classes=info.classes,
        counts=SplitCounts(**info.counts),
        sha256=dict(hashes),
    )
    files.write_json(folder / DESCRIPTION, msgspec.to_builtins(description))


def read_description(folder: Path) -> Description:
    """Reads and validates `arrays.json` in `folder`.

    Raises:
        DataError: it is missing, invalid, or of a schema that this version does not know.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        raise DataError(f"no prepared data set in {folder}", PREPARE_REMEDY)
    return read_record(path, Description, SCHEMA, _AGAIN)
