"""Reads the class names of a YOLO export: a YAML file with `names`, or a list such as `classes.txt` or `obj.names`."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tuning.core.errors import DataError
from tuning.dataset.sources import texts
from tuning.dataset.sources.inventory import RawTree, suffix
from tuning.dataset.sources.samples import clean_label

#: YAML files that tools write. If one of them exists, it is read and no other file.
_FIRST = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "_darknet.labels", "class_names.txt", "predefined_classes.txt", "labels.txt")
_MAX_YAML_BYTES = 200_000
_REMEDY = "it must name the classes, for example `names: [angry, happy]`"


@dataclass(frozen=True)
class Names:
    """The content of a file of class names.

    Attributes:
        path: the file, relative to the raw folder.
        labels: class index -> label.
        keypoints: (number of keypoints, values of each) in the lines of a pose export; None for boxes and polygons.
    """

    path: str
    labels: dict[int, str]
    keypoints: tuple[int, int] | None = None


def is_named(tree: RawTree, folder: str) -> bool:
    """Whether `folder` directly holds a file of class names, by its name or its content."""
    return bool(_candidates(tree, folder))


def is_yaml_named(tree: RawTree, folder: str) -> bool:
    """Whether `folder` directly holds a YAML file of class names, which only YOLO exports have."""
    return any(suffix(path) in (".yaml", ".yml") for path in _candidates(tree, folder))


def is_list(path: str) -> bool:
    """Whether a file has the name of a list of class names, and is thus not a label file even if it ends in `.txt`."""
    name = path.rpartition("/")[2].lower()
    return name in _LISTS or name.endswith(".names")


def find(tree: RawTree, prefix: str) -> Names | None:
    """Reads the class names in `prefix`, or else in the nearest folders below it that have any.

    Raises:
        DataError: a file that should name the classes does not, or two name them differently.
    """
    start = f"{prefix}/" if prefix else ""
    levels: dict[int, list[str]] = {}
    for folder in (prefix, *(folder for folder in tree.folders if folder.startswith(start))):
        levels.setdefault(folder.count("/") if folder else -1, []).append(folder)
    for _, level in sorted(levels.items()):
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
    """Returns the files directly in `folder` to read class names from: YAML files if there are any, else lists."""
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
    """Returns a value of a mapping, ignoring the case of its key; None if there is none."""
    if not isinstance(value, dict):
        return None
    return next((found for name, found in value.items() if isinstance(name, str) and name.lower() == key), None)


def read(tree: RawTree, path: str) -> Names:
    """Reads the class names in a YAML file (a list or a mapping), or in a list of one name per line.

    Raises:
        DataError: it has no names, or ambiguous ones; states the file (and the line, if YAML knows it).
    """
    file = tree.root / path
    if suffix(path) in (".yaml", ".yml"):
        value = _load(file)
        shape = _key(value, "kpt_shape")
        pose = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 0 < n < 1000 for n in shape)
        try:
            labels = _labels(value, file)
        except ValueError:  # Python converts no integer of more than 4300 digits to text.
            raise DataError(f"{file}: a number has too many digits", _REMEDY) from None
        return Names(path, labels, (shape[0], shape[1]) if pose else None)
    return Names(path, _listed(file))


class _Loader(yaml.SafeLoader):
    """Refuses a duplicate key, for which YAML would use the last value: one class would get the name of another."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add((key.tag, key.value))
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
    if count is not None and _shown(count).strip() != str(len(names)):
        raise DataError(f"{path}: nc is {_shown(count)[:40]} but names has {len(names)} entries", "make both agree")
    labels: dict[int, str] = {}
    for key, name in names.items():
        index = _index(key, path)
        if index in labels:
            raise DataError(f"{path}: class index {index} has two names", "keep one of them")
        labels[index] = clean_label(_text(name, path), str(path))
    return labels


def _listed(path: Path) -> dict[int, str]:
    """Reads one name per line; the first line is class 0."""
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
        raise DataError(f"{path}: class name {_shown(name)[:40]!r} is not text", "put that name in quotes")
    return str(name)


def _shown(value: Any) -> str:
    """Converts a value to text; abridges lists and mappings, because aliases can make them huge in a small file."""
    return reprlib.repr(value) if isinstance(value, (list, dict, set)) else str(value)
