"""YOLO export: label files hold one face per line; a file beside or above them names the classes.

It is recognised by `images/` beside `labels/` at any depth, or by images with a label file of the same name in the same
folder or in one whose path differs in one part. Coordinates are fractions of the upright image. All splits become one
pool. An image with an empty label file, or without one, is background and not a sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tuning.core.errors import DataError
from tuning.dataset import formats
from tuning.dataset.sources import layout, texts, yolo_lines, yolo_names
from tuning.dataset.sources.inventory import RawTree, parent, split_name, suffix
from tuning.dataset.sources.samples import Ignored, Item, Listing, Rejected, Sample, are_many
from tuning.dataset.sources.yolo_names import Names

_MAX_LABEL_BYTES = 1_000_000
_TRIED = 20


def detect(tree: RawTree, prefix: str) -> bool:
    """Whether `prefix` is the top folder of an export; see the module's docstring."""
    kids = tree.children(prefix)
    if _has_both(tree, prefix) or (yolo_names.is_yaml_named(tree, prefix) and _is_alone(tree, prefix)):
        return True
    # Folders that each have their own names are separate exports, unless they are splits of one export.
    exports = [kid for kid in kids if layout.name(kid).lower() not in layout.SPLIT_FOLDERS]
    if any(yolo_names.is_named(tree, kid) and _has_both(tree, kid) for kid in exports):
        return False
    if any(_has_both(tree, kid) for kid in kids):
        return True
    named = yolo_names.is_named(tree, prefix) or any(yolo_names.is_named(tree, kid) for kid in kids if kid in tree.own)
    return _labelled(tree, prefix) and (named or not _has_classes(tree, prefix))


def _has_both(tree: RawTree, folder: str) -> bool:
    names = {layout.name(kid).lower() for kid in tree.children(folder)}
    return {"images", "labels"} <= names


def _is_alone(tree: RawTree, prefix: str) -> bool:
    """Whether a YAML file with names describes the whole folder: it has labels, an images folder, or no classes."""
    return _labelled(tree, prefix) or not _has_classes(tree, prefix) or _has_image_folder(tree, prefix)


def _has_image_folder(tree: RawTree, prefix: str) -> bool:
    start = f"{prefix}/" if prefix else ""
    return any(folder.startswith(start) and layout.name(folder).lower() == "images" for folder in tree.own)


def _has_classes(tree: RawTree, prefix: str) -> bool:
    """Whether `prefix` looks like class folders of several classes, even if they are refused."""
    try:
        found = layout.recognise(tree, prefix)
    except DataError:
        return True
    # A folder of label files is no class.
    filled = {label for folder, label in found.labels.items() if folder in tree.holding} if found else set()
    return len(filled) > 1


def _labelled(tree: RawTree, prefix: str) -> bool:
    """Whether most of a sample of the images below `prefix` have a label file."""
    if not any(tree.texts.values()):
        return False
    labels = _LabelFiles(tree, prefix)
    images = [path for path in tree.below(prefix) if path in tree.images]
    step = max(1, len(images) // _TRIED)
    tried = images[::step]
    found = [text for image in tried if (text := labels.of(image)) is not None and _looks_labelled(tree, text)]
    return 2 * len(found) > len(tried)


def _looks_labelled(tree: RawTree, text: str) -> bool:
    """Whether a text file is empty, or its first line that is not blank looks like a label."""
    try:
        with (tree.root / text).open("rb") as file:
            lines = texts.decode(file.read(4096), "replace").split("\n")
    except OSError:
        return False
    first = next((line for line in lines if line.strip()), None)
    return first is None or yolo_lines.is_label(first)


def list_samples(tree: RawTree, prefix: str, crop: str) -> Listing:
    """Lists every labelled face as a sample: its box with `crop="box"`, the whole image with `crop="image"`.

    Raises:
        DataError: the classes have no names, or the labels' numbers do not fit the names.
    """
    names = yolo_names.find(tree, prefix)
    reading = Reading(tree, prefix, names, crop)
    items = list(reading.items())
    if names is None:
        raise _unnamed(tree, prefix, reading.used)
    _check_numbers(tree, names, reading.used)
    _check_boxes(tree, prefix, reading.boxes)
    return Listing(
        classes={label: names.path for label in names.labels.values()},
        items=iter(items),
        total=len(items),
        notes=(*_merged(names), *reading.notes(names)),
        empty_is_error=False,
    )


def _unnamed(tree: RawTree, prefix: str, used: Counter[int]) -> DataError:
    numbers = f"; its labels use the classes {', '.join(map(str, sorted(used)[:10]))}" if used else ""
    return DataError(
        f"{tree.root / prefix} has images and labels but no data.yaml or classes.txt that names the classes{numbers}",
        "give --raw the folder that holds data.yaml, or add one with the class names, class 0 first, for example "
        "`names: [angry, happy]`",
    )


def _check_numbers(tree: RawTree, names: Names, used: Counter[int]) -> None:
    """Refuses labels whose numbers do not fit the names: they would get a wrong class, or none.

    Raises:
        DataError: they do not; states the numbers and the file with the names.
    """
    count = len(names.labels)
    if set(names.labels) == set(range(count)) and used[count] and not used[0]:
        raise DataError(
            f"the labels seem to be numbered from 1: class {count} occurs {used[count]:,} times and class 0 never, "
            f"where {tree.root / names.path} names the classes 0 to {count - 1}",
            f"number the labels from 0, or name the classes from 1: `names: {{1: {names.labels[0]}, …}}`",
        )
    for index, times in sorted(used.items()):
        if index not in names.labels and are_many(times, used.total()):
            raise DataError(
                f"class {index} occurs {times:,} times in the labels and is not one of the {count} in "
                f"{tree.root / names.path}",
                "add its name there, or remove these labels",
            )


def _check_boxes(tree: RawTree, prefix: str, boxes: Counter[str]) -> None:
    """Refuses boxes of another convention: those that happen to lie within the image would be cut out wrong.

    Args:
        boxes: "box" -> all of them, and each reading -> those that it keeps within their image.

    Raises:
        DataError: a fifth of the boxes is out of the image as YOLO writes them, and none as others do.
    """
    count = boxes["box"]
    out = count - boxes[yolo_lines.CENTRE]
    other = next((reading for reading, fits in boxes.items() if fits == count and reading != "box"), None)
    if other and out >= max(3, count / 5):
        raise DataError(
            f"{out:,} of the {count:,} boxes in {tree.root / prefix} reach out of the image as {yolo_lines.CENTRE}, "
            f"and none as {other}",
            f"write each line as class, {yolo_lines.CENTRE}, in fractions of the image's size",
        )


def _merged(names: Names) -> tuple[str, ...]:
    indices: dict[str, list[int]] = {}
    for index, label in names.labels.items():
        indices.setdefault(label, []).append(index)
    return tuple(
        f"{names.path}: classes {', '.join(map(str, same))} are one class: {label!r}"
        for label, same in sorted(indices.items())
        if len(same) > 1
    )


def label_path(image: str) -> str:
    """Returns the usual path of an image's labels: the last `images` folder becomes `labels`, the suffix `.txt`."""
    parts = image.split("/")
    at = max((i for i, part in enumerate(parts[:-1]) if part.lower() == "images"), default=None)
    if at is not None:
        parts[at] = {"images": "labels", "Images": "Labels", "IMAGES": "LABELS"}.get(parts[at], "labels")
    stem = parts[-1].rpartition(".")[0] or parts[-1]
    return "/".join([*parts[:-1], f"{stem}.txt"])


class _LabelFiles:
    """Finds an image's label file, whatever the case of the names."""

    def __init__(self, tree: RawTree, prefix: str) -> None:
        start = f"{prefix}/" if prefix else ""
        self._paths = {
            path.lower(): path
            for folder, paths in tree.texts.items()
            if f"{folder}/".startswith(start)
            for path in paths
            if suffix(path) == ".txt" and not yolo_names.is_list(path)
        }
        self._named: dict[str, list[str]] = {}
        for path in self._paths:
            self._named.setdefault(path.rpartition("/")[2], []).append(path)

    def of(self, image: str) -> str | None:
        """Returns the label file of an image; None if there is none, or if several are possible."""
        folder, name = parent(image).lower(), layout.name(image).lower()
        usual, beside = label_path(image).lower(), f"{split_name(name)[0]}.txt"
        # Some tools write a.jpg.txt for a.jpg.
        for path in (usual, *(f"{parent(usual)}/{name}.txt", f"{folder}/{beside}", f"{folder}/{name}.txt")):
            if path.lstrip("/") in self._paths:
                return self._paths[path.lstrip("/")]
        parts = folder.split("/") if folder else []
        alike = [path for path in self._named.get(beside, ()) if _differ_by_one(path, parts)]
        return self._paths[alike[0]] if len(alike) == 1 else None

    def __contains__(self, path: str) -> bool:
        return path.lower() in self._paths


def _differ_by_one(path: str, parts: list[str]) -> bool:
    """Whether a file's folders differ from `parts` in exactly one, as in train/jpg/1.jpg and train/txt/1.txt."""
    folders = path.split("/")[:-1]
    return len(folders) == len(parts) and sum(a != b for a, b in zip(folders, parts, strict=True)) == 1


@dataclass
class Reading:
    """Reads the label files of an export.

    Attributes:
        used: class index -> number of labels, including indices that have no name.
        forms: form of a label, such as "polygon" -> number of labels.
        boxes: "box" -> number of box labels, and each reading -> number of those that it keeps within the image.
    """

    tree: RawTree
    prefix: str
    names: Names | None
    crop: str
    used: Counter[int] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)

    def items(self) -> Iterator[Item]:
        """Yields the items of all files; counts `used` and `forms` meanwhile."""
        tree, files = self.tree, _LabelFiles(self.tree, self.prefix)
        below = tree.below(self.prefix)
        seen = {self.names.path} if self.names else set()
        for image in below:
            if image not in tree.images:
                continue
            text = files.of(image)
            seen.add(image)
            if text is None:
                yield Ignored(image, "background: no label file")
                continue
            seen.add(text)
            if reason := formats.undeveloped(suffix(image)):
                yield Rejected(image, reason)
            else:
                yield from self.faces(image, text)
        for path in below:
            if path not in seen:
                orphan = path in files and _looks_labelled(tree, path)
                yield Ignored(path, "a label file without an image" if orphan else "not an image file")

    def notes(self, names: Names) -> Iterator[str]:
        for form, words in (
            ("polygon", "are polygons; of each, the bounding box is used"),
            ("keypoints", "have keypoints after their box; these are not used"),
        ):
            if self.forms[form]:
                yield f"{self.forms[form]:,} labels {words}."
        if self.used and 0 in names.labels and not self.used[0]:
            yield f"No label has the class 0 ({names.labels[0]}): look whether the labels are numbered from 1."

    def faces(self, image: str, text: str) -> Iterator[Item]:
        """Yields the items of one image from its label file `text`."""
        if self.tree.files[text][0] > _MAX_LABEL_BYTES:
            yield Rejected(text, f"more than {_MAX_LABEL_BYTES:,} bytes; that is no label file")
            return
        lines = texts.decode((self.tree.root / text).read_bytes(), "replace").splitlines()
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not numbered:
            yield Ignored(image, "background: empty label file")
        labels = self.names.labels if self.names else {}
        for number, line in numbered:
            self.boxes.update(yolo_lines.readings(line))
            try:
                index, box, form = yolo_lines.parse(line, self.names.keypoints if self.names else None)
            except ValueError as error:
                known = yolo_lines.index_of(line)
                yield Rejected(f"{text}:{number}", str(error), labels.get(known) if known is not None else None)
                continue
            self.used[index] += 1
            self.forms[form] += 1
            if index not in labels:
                where = self.names.path.rpartition("/")[2] if self.names else "data.yaml"
                yield Rejected(f"{text}:{number}", f"class {index} is not one of the {len(labels)} in {where}")
                continue
            yield Sample(image, labels[index], number, box if self.crop == "box" else None)
