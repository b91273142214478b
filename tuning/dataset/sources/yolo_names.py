"""The class names of a YOLO export: any YAML file that has `names`, or a list such as `classes.txt` or `obj.names`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tuning.core.errors import DataError
from tuning.dataset.sources import texts
from tuning.dataset.sources.inventory import RawTree, suffix
from tuning.dataset.sources.samples import clean_label

#: First those that tools write; where one of them has names, no other file is asked.
_FIRST = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "_darknet.labels", "class_names.txt", "predefined_classes.txt", "labels.txt")
_MAX_YAML_BYTES = 200_000
_REMEDY = "it must name the classes, for example `names: [angry, happy]`"


@dataclass(frozen=True)
class Names:
    """What a file of class names says.

    Attributes:
        path: the file, relative to the raw folder.
        labels: class index -> label.
        keypoints: (number of keypoints, values of each) in every line of a pose export; None for boxes and polygons.
    """

    path: str
    labels: dict[int, str]
    keypoints: tuple[int, int] | None = None


def is_named(tree: RawTree, folder: str) -> bool:
    """Whether `folder` directly holds a file that is called as one with class names, or is one by its content."""
    return bool(_candidates(tree, folder))


def is_yaml_named(tree: RawTree, folder: str) -> bool:
    """As `is_named`, by a YAML file: nothing but a YOLO export has one."""
    return any(suffix(path) in (".yaml", ".yml") for path in _candidates(tree, folder))


def is_list(path: str) -> bool:
    """Whether a file is called like a list of class names: no label file, although it ends in `.txt`."""
    name = path.rpartition("/")[2].lower()
    return name in _LISTS or name.endswith(".names")


def find(tree: RawTree, prefix: str) -> Names | None:
    """The class names in `prefix`, or else in the folders nearest below it that have any.

    Raises:
        DataError: a file that should name the classes does not, or two name them differently.
    """
    start = f"{prefix}/" if prefix else ""
    folders = [prefix, *(folder for folder in tree.folders if folder.startswith(start))]
    for depth in sorted({folder.count("/") if folder else -1 for folder in folders}):
        level = [folder for folder in folders if (folder.count("/") if folder else -1) == depth]
        found = [read(tree, path) for folder in level for path in _candidates(tree, folder)]
        for other in found[1:]:
            if other.labels != found[0].labels:
                raise DataError(
                    f"{tree.root / found[0].path} and {other.path} name different classes",
                    "remove the wrong one, or give --raw one of the two data sets",
                )
        if found:
            return found[0]
    return None


def _candidates(tree: RawTree, folder: str) -> list[str]:
    here = {path.rpartition("/")[2].lower(): path for path in tree.texts.get(folder, ())}
    first = [here[name] for name in _FIRST if name in here]
    if first:
        return first[:1]
    yamls = [path for path in here.values() if suffix(path) in (".yaml", ".yml") and _has_names(tree.root / path)]
    return yamls or [here[name] for name in _LISTS if name in here] or [p for n, p in here.items() if is_list(n)]


def _has_names(path: Path) -> bool:
    try:
        return path.stat().st_size <= _MAX_YAML_BYTES and bool(_names(yaml.safe_load(path.read_bytes())))
    except (yaml.YAMLError, RecursionError, ValueError, OSError):
        return False


def _names(value: Any) -> Any:
    return _key(value, "names")


def _key(value: Any, key: str) -> Any:
    """A value of a mapping, whatever the case of its key."""
    if not isinstance(value, dict):
        return None
    return next((found for name, found in value.items() if isinstance(name, str) and name.lower() == key), None)


def read(tree: RawTree, path: str) -> Names:
    """The class names in a YAML file (a list or a mapping), or in a list of one name a line.

    Raises:
        DataError: it names none, or not clearly; with the file (and line, where YAML knows it).
    """
    file = tree.root / path
    if suffix(path) in (".yaml", ".yml"):
        value = _load(file)
        shape = _key(value, "kpt_shape")
        pose = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 0 < n < 1000 for n in shape)
        return Names(path, _labels(value, file), (shape[0], shape[1]) if pose else None)
    return Names(path, _listed(file))


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML takes the last: one class would have the name of another."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def _load(path: Path) -> Any:
    if path.stat().st_size > _MAX_YAML_BYTES:
        raise DataError(f"{path} has more than {_MAX_YAML_BYTES:,} bytes; that is no data.yaml", _REMEDY)
    try:
        return yaml.load(path.read_bytes(), _Loader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line}: not valid YAML: {error.problem}", _REMEDY) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        remedy = "save it as UTF-8" if isinstance(error, yaml.reader.ReaderError) else _REMEDY
        raise DataError(f"{path}: not valid YAML: {' '.join(str(error).split())}", remedy) from None


def _labels(value: Any, path: Path) -> dict[int, str]:
    names = _names(value)
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataError(f"{path}: no class names found under 'names'", _REMEDY)
    count = _key(value, "nc")
    if count is not None and str(count).strip() != str(len(names)):
        raise DataError(f"{path}: nc is {str(count)[:40]} but names has {len(names)} entries", "make both agree")
    labels: dict[int, str] = {}
    for key, name in names.items():
        index = _index(key, path)
        if index in labels:
            raise DataError(f"{path}: class index {index} has two names", "keep one of them")
        labels[index] = clean_label(_text(name, path), str(path))
    return labels


def _listed(path: Path) -> dict[int, str]:
    """One name a line; its number is its line's, from 0."""
    if path.stat().st_size > _MAX_YAML_BYTES:
        raise DataError(f"{path} has more than {_MAX_YAML_BYTES:,} bytes; that is no list of classes", _REMEDY)
    try:
        lines = texts.decode(path.read_bytes()).rstrip().splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise DataError(
                f"{path}:{number}: no name; the classes after it would get wrong numbers", "remove the line"
            )
    if not lines:
        raise DataError(f"{path}: no class names found", "write one name a line, the name of class 0 first")
    return {index: clean_label(line, str(path)) for index, line in enumerate(lines)}


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
