"""YOLO export: `data.yaml` names the classes, `labels/….txt` holds one face a line: class, centre x, y, width, height.

Coordinates are fractions of the upright image. `images/` and `labels/` may lie below train, valid and test folders or
above them; all become one pool. An image with an empty label file, or with none, is background and no sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tuning.core.errors import DataError
from tuning.dataset.sources.class_folders import is_image
from tuning.dataset.sources.inventory import RawTree, parent, suffix
from tuning.dataset.sources.samples import Ignored, Item, Listing, Rejected, Sample, clean_label

_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_MAX_YAML_BYTES = 200_000
_MAX_LABEL_BYTES = 1_000_000
#: How far outside the image a box may reach before it is a mistake and not rounding.
_TOLERANCE = 0.01


def detect(tree: RawTree, prefix: str) -> bool:
    """Whether `prefix` holds a `data.yaml`, or both an `images` and a `labels` folder."""
    if _yaml(tree, prefix):
        return True
    names = {folder.rpartition("/")[2].lower() for folder in tree.children(prefix)}
    return {"images", "labels"} <= names


def list_samples(tree: RawTree, prefix: str, crop: str) -> Listing:
    """Every labelled face becomes a sample: its box with `crop="box"`, the whole image with `crop="image"`.

    Raises:
        DataError: `data.yaml` is missing or does not name the classes.
    """
    path = _yaml(tree, prefix)
    if path is None:
        raise DataError(
            f"{tree.root / prefix} has images/ and labels/ but no data.yaml",
            "add a data.yaml with the class names, for example `names: [angry, happy]`",
        )
    labels = read_names(tree.root / path)
    return Listing(
        classes={label: path for label in labels.values()},
        items=_items(tree, prefix, labels, crop),
        total=sum(map(is_image, tree.below(prefix))),
        notes=_merged(labels, path),
        empty_is_error=False,
    )


def read_names(path: Path) -> dict[int, str]:
    """The class names in a `data.yaml`, a list or a mapping, as class index -> label.

    Raises:
        DataError: with the file (and line, where YAML knows it).
    """
    remedy = "it must name the classes, for example `names: [angry, happy]`"
    if path.stat().st_size > _MAX_YAML_BYTES:
        raise DataError(f"{path} has more than {_MAX_YAML_BYTES:,} bytes; that is no data.yaml", remedy)
    try:
        value = yaml.safe_load(path.read_bytes())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line}: not valid YAML: {error.problem}", remedy) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{path}: not valid YAML: {' '.join(str(error).split())}", remedy) from None
    names = value.get("names") if isinstance(value, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataError(f"{path}: no class names found under 'names'", remedy)
    count = value.get("nc")
    if count is not None and count != len(names):
        raise DataError(f"{path}: nc is {str(count)[:40]} but names has {len(names)} entries", "make both agree")
    return {_index(key, path): clean_label(_text(name, path), str(path)) for key, name in names.items()}


def _index(key: Any, path: Path) -> int:
    text = str(key).strip()
    if isinstance(key, bool) or not (text.isascii() and text.isdigit() and len(text) < 7):
        raise DataError(
            f"{path}: class index {text[:40]!r} is not a whole number", "number the names from 0, or list them"
        )
    return int(text)


def _text(name: Any, path: Path) -> str:
    # YAML reads unquoted class names such as `no` or `1` as other types.
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise DataError(f"{path}: class name {str(name)[:40]!r} is not text", "put that name in quotes")
    return str(name)


def _merged(labels: dict[int, str], path: str) -> tuple[str, ...]:
    indices: dict[str, list[int]] = {}
    for index, label in labels.items():
        indices.setdefault(label, []).append(index)
    return tuple(
        f"{path}: classes {', '.join(map(str, same))} are one class: {label!r}"
        for label, same in sorted(indices.items())
        if len(same) > 1
    )


def _yaml(tree: RawTree, prefix: str) -> str | None:
    paths = (f"{prefix}/{name}" if prefix else name for name in _NAMES)
    return next((path for path in paths if path in tree.files), None)


def label_path(image: str) -> str:
    """Where the labels of an image lie: the last `images` folder of its path replaced by `labels`, suffix `.txt`."""
    parts = image.split("/")
    at = max((i for i, part in enumerate(parts[:-1]) if part.lower() == "images"), default=None)
    if at is not None:
        parts[at] = {"images": "labels", "Images": "Labels", "IMAGES": "LABELS"}.get(parts[at], "labels")
    stem = parts[-1].rpartition(".")[0]
    return "/".join([*parts[:-1], f"{stem}.txt"])


def _items(tree: RawTree, prefix: str, labels: dict[int, str], crop: str) -> Iterator[Item]:
    used = {_yaml(tree, prefix)}
    for path in filter(is_image, tree.below(prefix)):
        text = label_path(path)
        used |= {path, text}
        if text in tree.files:
            yield from _faces(tree, path, text, labels, crop)
        else:
            yield Ignored(path, "background: no label file")
    for path in tree.below(prefix):
        if path not in used:
            stray = suffix(path) == ".txt" and parent(path).rpartition("/")[2].lower() == "labels"
            yield Ignored(path, "a label file without an image" if stray else "not an image file")


def _faces(tree: RawTree, image: str, text: str, labels: dict[int, str], crop: str) -> Iterator[Item]:
    if tree.files[text][0] > _MAX_LABEL_BYTES:
        yield Rejected(text, f"more than {_MAX_LABEL_BYTES:,} bytes; that is no label file")
        return
    lines = (tree.root / text).read_bytes().decode("utf-8-sig", "replace").splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        yield Ignored(image, "background: empty label file")
    for number, line in numbered:
        try:
            index, box = parse_line(line)
        except ValueError as error:
            yield Rejected(f"{text}:{number}", str(error))
            continue
        if index not in labels:
            yield Rejected(f"{text}:{number}", f"class {index} is not one of the {len(labels)} in data.yaml")
            continue
        yield Sample(image, labels[index], number, box if crop == "box" else None)


def parse_line(line: str) -> tuple[int, tuple[float, float, float, float]]:
    """One label line as (class index, box). Raises ValueError with the reason, without file and line."""
    fields = line.split()
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} columns; a face box has 5: class, centre x, centre y, width, height")
    if not (fields[0].isascii() and fields[0].isdigit() and len(fields[0]) < 7):
        raise ValueError(f"class index {fields[0][:40]!r} is not a whole number")
    try:
        x, y, w, h = map(float, fields[1:])
    except ValueError:
        raise ValueError(f"not all of {' '.join(fields[1:])[:80]!r} are numbers") from None
    if not all(map(math.isfinite, (x, y, w, h))):
        raise ValueError("a coordinate is not finite")
    if w <= 0 or h <= 0:
        raise ValueError(f"the box has no size (width {w:g}, height {h:g})")
    low, high = -_TOLERANCE, 1 + _TOLERANCE
    if not (x - w / 2 >= low and y - h / 2 >= low and x + w / 2 <= high and y + h / 2 <= high):
        raise ValueError(f"the box (centre {x:g} {y:g}, size {w:g} × {h:g}) reaches out of the image (0 to 1)")
    return int(fields[0]), (x, y, w, h)
