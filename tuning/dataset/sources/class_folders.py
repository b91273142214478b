"""Class folders: `<class>/…images`, also below or above folders of splits (train, …) or persons: see `layout`."""

from __future__ import annotations

from collections.abc import Iterator

from tuning.core.errors import DataError
from tuning.dataset import account, formats
from tuning.dataset.sources import archives, layout
from tuning.dataset.sources.aliases import EMOTIONS
from tuning.dataset.sources.inventory import RawTree, parent, suffix
from tuning.dataset.sources.layout import Layout
from tuning.dataset.sources.samples import Ignored, Item, Listing, Rejected, Sample

_EMOTIONS = frozenset(EMOTIONS.values())
#: Maximum number of folders in an export that has images and labels side by side.
_FEW = 4


def detect(tree: RawTree, prefix: str) -> bool:
    """Whether folders in `prefix` are classes, or splits or parts that hold classes."""
    return layout.recognise(tree, prefix) is not None


def list_samples(tree: RawTree, prefix: str, crop: str) -> Listing:
    """Lists every image below a class folder, at any depth, as a sample; `crop` has no effect here.

    Raises:
        DataError: a folder's name cannot be a label, a class folder cannot be read or lies in that of another class,
            or a folder holds labels in a format that is not read.
    """
    found = layout.recognise(tree, prefix)
    assert found is not None
    _refuse_unread_classes(tree, prefix, found)
    _refuse_foreign_labels(tree, found)
    _refuse_class_in_class(tree, found)
    return Listing(
        classes={label: folder for folder, label in reversed(found.labels.items())},
        items=_items(tree, prefix, found.labels),
        total=sum(path in tree.images for path in tree.below(prefix)),
        notes=(*_merged(found.labels), *found.notes),
    )


def _refuse_unread_classes(tree: RawTree, prefix: str, found: Layout) -> None:
    """Refuses class folders that are not read (links, invalid names), because the class would silently be missing.

    Raises:
        DataError: there is one; names it and the reason.
    """
    tops = {prefix, *found.parts, *map(parent, found.labels)}
    for path, unread in tree.unread.items():
        if parent(path) not in tops:
            continue
        above = unread.target is not None and (unread.target == "" or f"{path}/".startswith(f"{unread.target}/"))
        same = unread.target in found.labels and found.labels[unread.target] == layout.label_of(path)
        if above or same or unread.target in found.parts:
            continue
        raise DataError(
            f"{tree.root / path} stands where the classes are and is not read: {unread.reason}",
            account.remedy(unread.reason) + ", or remove it",
        )


#: Suffixes of labels that are not read.
FOREIGN_LABELS = (".xml", ".json", ".npy", ".mat", ".pts")


def _refuse_foreign_labels(tree: RawTree, found: Layout) -> None:
    """Refuses a folder of images beside a folder of labels in XML, JSON or arrays: neither folder is a class.

    Raises:
        DataError: there is such a folder of labels; names it.
    """
    for folder in found.labels:
        if folder in tree.holding or len(found.labels) > _FEW:
            continue
        written = [path for path in tree.below(folder) if suffix(path) in FOREIGN_LABELS]
        if written:
            raise foreign_labels(tree, written[0])


def foreign_labels(tree: RawTree, path: str) -> DataError:
    return DataError(
        f"{tree.root / parent(path)} holds labels such as {layout.name(path)} (Pascal VOC, COCO or the like), "
        "which are not read",
        "export them as YOLO (a .txt for each image, and data.yaml), or sort the images into class folders",
    )


def _refuse_class_in_class(tree: RawTree, found: Layout) -> None:
    """Refuses a class folder inside another class's folder, because its images would get the wrong label.

    A name that occurs inside several classes, such as `neutral/` for the first frames of each, is deliberate.

    Raises:
        DataError: there is one; names the folder and both classes.
    """
    known = {label for label in found.labels.values() if any(map(str.isalpha, label))}
    homes: dict[str, dict[str, str]] = {}
    for folder in sorted(tree.own):
        parts = folder.split("/")
        tops = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        label = next((found.labels[top] for top in tops if top in found.labels), "")
        for top in tops[next((n for n, top in enumerate(tops, 1) if top in found.labels), len(tops)) :]:
            inner = layout.label_of(top)
            emotions = {_plain(inner), _plain(label)} <= _EMOTIONS
            if (inner in known or emotions) and _plain(inner) != _plain(label):
                homes.setdefault(inner, {}).setdefault(label, top)
    for inner, places in homes.items():
        (label, folder), *others = places.items()
        if not others:
            raise DataError(
                f"{tree.root / folder} is called like the class {inner!r} and lies in a folder of the class {label!r}",
                f"move it out, beside that folder; if its images are of the class {label!r}, rename it",
            )


def _plain(label: str) -> str:
    return EMOTIONS.get(label, label)


def _merged(labels: dict[str, str]) -> tuple[str, ...]:
    """Returns a note for each label that folders of different spelling share."""
    spellings: dict[str, set[str]] = {}
    for folder, label in labels.items():
        spellings.setdefault(label, set()).add(layout.name(folder))
    return tuple(
        f"folders {', '.join(map(repr, sorted(names)))} are one class: {label!r}"
        for label, names in sorted(spellings.items())
        if len(names) > 1
    )


def _items(tree: RawTree, prefix: str, labels: dict[str, str]) -> Iterator[Item]:
    depths = sorted({folder.count("/") + 1 for folder in labels})
    for path in tree.below(prefix):
        parts = path.split("/")
        label = next((labels[top] for n in depths if (top := "/".join(parts[:n])) in labels and n < len(parts)), None)
        if path not in tree.images:
            is_packed = path.lower().endswith(archives.ALL_SUFFIXES)
            yield Ignored(path, "an archive beside images, not unpacked" if is_packed else "not an image file")
        elif label is None:
            yield Rejected(path, "lies outside every class folder")
        elif reason := formats.undeveloped(suffix(path)):
            yield Rejected(path, reason, label)
        else:
            yield Sample(path, label)
