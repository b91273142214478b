"""Detects which kind of data set a folder holds.

A new kind is one module with `detect` and `list_samples`, and one row in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tuning.core.errors import DataError
from tuning.dataset import account
from tuning.dataset.sources import archives, class_folders, fer_csv, yolo
from tuning.dataset.sources.class_folders import FOREIGN_LABELS
from tuning.dataset.sources.inventory import RawTree, suffix
from tuning.dataset.sources.samples import Listing

_SEARCH_DEPTH = 5
_SHOWN_ARCHIVES = 3
_SHAPES = (
    "put each class's images in a folder named after the class (also below train/, valid/, test/), or give a YOLO "
    "export (data.yaml, images/, labels/) or a FER2013 CSV (emotion,pixels,Usage)"
)


@dataclass(frozen=True)
class Source:
    """One kind of data set.

    Attributes:
        title: its name in messages.
        detect: `(tree, prefix)` -> whether `prefix` is the top folder of such a data set.
        list_samples: `(tree, prefix, crop)` -> its `Listing`.
    """

    title: str
    detect: Callable[[RawTree, str], bool]
    list_samples: Callable[[RawTree, str, str], Listing]


#: In order of precedence: the most specific kind first.
SOURCES: dict[str, Source] = {
    "yolo": Source("YOLO export", yolo.detect, yolo.list_samples),
    "fer_csv": Source("FER2013 CSV", fer_csv.detect, fer_csv.list_samples),
    "class_folders": Source("class folders", class_folders.detect, class_folders.list_samples),
}


def find(tree: RawTree, above: Path | None = None) -> tuple[str, str]:
    """Finds the data set in a raw folder, or in the one nested folder that holds it (as in unpacked archives).

    Args:
        above: the folder that the error suggests instead, in case this one is a class; None suggests none.

    Returns:
        (key of SOURCES, folder relative to the raw folder, "" for the folder itself).

    Raises:
        DataError: nothing is recognised, or several folders could be the data set.
    """
    level = [""]
    depth = 0
    # An archive may hold all folders above the data set, one in the other.
    while level and (depth < _SEARCH_DEPTH or len(level) == 1):
        depth += 1
        found = [(kind, prefix) for prefix in level if (kind := _kind(tree, prefix))]
        if len(found) > 1:
            names = ", ".join(prefix for _, prefix in found[:5])
            raise DataError(
                f"{tree.root} holds {len(found)} folders that could each be the data set: {names}",
                "give --raw the one you mean, or both or several if they are parts of one data set; if these folders "
                "are the classes, put the images directly into them",
            )
        if found:
            kind, prefix = found[0]
            alone = kind == "class_folders" and len(SOURCES[kind].list_samples(tree, prefix, "box").classes) < 2
            if alone and (table := fer_csv.lists_files(tree)):
                raise _only_listed(tree, table)
            return found[0]
        level = [child for prefix in level for child in tree.children(prefix)]
    raise _nothing(tree, above)


def _kind(tree: RawTree, prefix: str) -> str | None:
    return next((name for name, source in SOURCES.items() if source.detect(tree, prefix)), None)


def _nothing(tree: RawTree, above: Path | None) -> DataError:
    """Returns the error for a folder without a data set, with a hint at archives in it."""
    error = _nothing_unpacked(tree, above)
    packed = [path for path in tree.files if archives.is_archive(tree.root / path)][:_SHOWN_ARCHIVES]
    if not packed:
        return error
    return DataError(
        f"{error.problem}; {' and '.join(packed)} beside them: an archive is unpacked only where it is alone",
        f"give --raw {' '.join(str(tree.root / path) for path in packed)} if that is the data set; else {error.remedy}",
    )


def _nothing_unpacked(tree: RawTree, above: Path | None) -> DataError:
    """Returns the error that describes the files found instead of a data set."""
    images = len(tree.images)
    entries = account.take(tree.refused, tree.skipped)
    seen = f" ({account.words(entries)})" if entries else ""
    if images and (table := fer_csv.lists_files(tree)):
        return _only_listed(tree, table)
    if images and (written := next((path for path in tree.files if suffix(path) in FOREIGN_LABELS), None)):
        return class_folders.foreign_labels(tree, written)
    if tables := fer_csv.describe(tree):
        return DataError(f"no images: {tables}", fer_csv.REMEDY)
    if not tree.files:
        remedy = account.best_remedy(entries)
        return DataError(
            f"no images: {tree.root} holds no files{seen}", _SHAPES if remedy == account.REMEDY else remedy
        )
    if not images:
        return DataError(f"no images: none of the {len(tree.files)} files in {tree.root} is an image{seen}", _SHAPES)
    class_above = f"give --raw {above}, if {tree.root.resolve().name} is one of the classes in it; else "
    return DataError(
        f"{tree.root} holds {images} images, but none of them in a class folder{seen}",
        (class_above if above and tree.own == {""} else "") + _SHAPES,
    )


def _only_listed(tree: RawTree, table: str) -> DataError:
    return DataError(
        f"{tree.root / table} says which class each image is of; such lists are not read",
        "put each image in a folder named after its class",
    )
