"""Class folders: `<class>/…images`, also below train, valid, val or test folders, which become one pool."""

from __future__ import annotations

from collections.abc import Iterator

from tuning.dataset.sources.inventory import RawTree, parent, suffix
from tuning.dataset.sources.samples import Ignored, Item, Listing, Rejected, Sample, clean_label

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".pbm",
        ".pgm",
        ".ppm",
        ".pnm",
        ".jp2",
    ]
)
SPLIT_FOLDERS = frozenset(("train", "training", "valid", "validation", "val", "test", "testing"))


def is_image(path: str) -> bool:
    return suffix(path) in IMAGE_SUFFIXES


def detect(tree: RawTree, prefix: str) -> bool:
    """Whether a class folder directly in `prefix`, or in a split folder there, directly holds an image."""
    with_images = {parent(path) for path in tree.files if is_image(path)}
    return any(folder in with_images for folder in _class_folders(tree, prefix))


def list_samples(tree: RawTree, prefix: str, crop: str) -> Listing:
    """Every image below a class folder becomes a sample, however deep it lies; `crop` has no meaning here.

    Raises:
        DataError: a folder's name cannot be a label.
    """
    labels = {folder: clean_label(_name(folder), str(tree.root / folder)) for folder in _class_folders(tree, prefix)}
    return Listing(
        classes={label: folder for folder, label in reversed(labels.items())},
        items=_items(tree, prefix, labels),
        total=sum(map(is_image, tree.below(prefix))),
        notes=_merged(labels),
    )


def _class_folders(tree: RawTree, prefix: str) -> list[str]:
    result = []
    for folder in tree.children(prefix):
        if _name(folder).strip().lower() in SPLIT_FOLDERS:
            result += tree.children(folder)
        else:
            result.append(folder)
    return result


def _name(folder: str) -> str:
    return folder.rpartition("/")[2]


def _merged(labels: dict[str, str]) -> tuple[str, ...]:
    """One note per label that folders of different spelling share."""
    spellings: dict[str, set[str]] = {}
    for folder, label in labels.items():
        spellings.setdefault(label, set()).add(_name(folder))
    return tuple(
        f"folders {', '.join(map(repr, sorted(names)))} are one class: {label!r}"
        for label, names in sorted(spellings.items())
        if len(names) > 1
    )


def _items(tree: RawTree, prefix: str, labels: dict[str, str]) -> Iterator[Item]:
    depths = {folder.count("/") + 1 for folder in labels}
    for path in tree.below(prefix):
        parts = path.split("/")
        label = next((labels[top] for n in depths if (top := "/".join(parts[:n])) in labels and n < len(parts)), None)
        if not is_image(path):
            yield Ignored(path, "not an image file")
        elif label is None:
            yield Rejected(path, "lies outside every class folder")
        else:
            yield Sample(path, label)
