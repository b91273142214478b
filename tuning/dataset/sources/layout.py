"""Decides which folders are classes, and which are splits, parts or persons: by the shape of the tree, then by names.

Recognises `<class>/…`, `<split>/<class>/…`, `<class>/<split>/…`, `<class>/<person>/…`, `<person>/<class>/…` and
mixtures. A folder beside splits that fits none of these is refused: as a class, it would mislabel all of its images.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tuning.core.errors import DataError, listed
from tuning.dataset.sources.aliases import EMOTIONS
from tuning.dataset.sources.inventory import RawTree, parent
from tuning.dataset.sources.samples import clean_label

#: Names of folders that are always splits, wherever they are and whatever they hold.
SPLIT_FOLDERS = frozenset(("train", "training", "valid", "validation", "val", "test", "testing"))
#: Words in the name of a folder that make it a split if it holds only folders.
_SPLIT_WORDS = SPLIT_FOLDERS | {
    *("trainset", "valset", "testset", "trainval", "dev", "devel", "development", "eval", "evaluation", "holdout"),
    *("publictest", "privatetest", "unseen"),
}
#: Words that make such a folder a split together with a number.
_NUMBERED_PARTS = frozenset(("fold", "part", "split", "batch", "set", "subset", "chunk", "shard"))
_EMOTION_WORDS = frozenset((*EMOTIONS, *EMOTIONS.values(), "pain", "sleepy", "confused", "bored", "boredom"))
#: Words that show that a numbered folder is a class, not a person.
_CLASS_WORDS = frozenset((*_EMOTION_WORDS, "class", "label", "emotion", "expression", "category", "type", "level"))
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: Names that number a person or a series rather than name a class: S001, subject_12, person3, 0042.
_NUMBERED = re.compile(r"(?i)(.*[a-z_ -]\d+[a-z]?|\d{2,}.*)$")
_DEPTH = 6
#: Maximum number of names listed in a message.
_SHOWN = 6
#: A property of names counts if more than this share of them has it.
_MOST = 0.5
_ODD = "rename it to one of these classes, put it into a class's folder, or move it out of the raw folder"


@dataclass(frozen=True)
class Layout:
    """The layout of a data set of class folders.

    Attributes:
        labels: class folder -> label.
        parts: folders above class folders: splits, copies, persons.
        notes: how unusual folders were interpreted, one sentence each.
    """

    labels: dict[str, str]
    parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def recognise(tree: RawTree, prefix: str) -> Layout | None:
    """Returns the layout of the data set whose top folder is `prefix`; None if `prefix` is not one.

    Raises:
        DataError: a folder beside splits is neither a split nor one of their classes.
    """
    reader = _Reader(tree)
    found = reader.read(prefix)
    return found and reader.naming_persons(found)


def name(folder: str) -> str:
    """Returns the last part of a path."""
    return folder.rpartition("/")[2]


class _Reader:
    """Reads the layout of the folders in a tree."""

    def __init__(self, tree: RawTree) -> None:
        self.tree = tree
        self.own, self.holding = tree.own, tree.holding

    def read(self, prefix: str, depth: int = 0) -> Layout | None:
        """Returns the layout of the data set whose top folder is `prefix`, or None."""
        kids = self.tree.children(prefix)
        if depth > _DEPTH or not any(kid in self.holding for kid in kids):
            return None
        splits = [kid for kid in kids if self._is_split(kid)]
        if splits:
            return self._below_splits(kids, splits, depth)
        kids_with_images = [kid for kid in kids if kid in self.holding]
        verdict = self._verdict(kids_with_images)
        if verdict == "classes":
            return self._classes(kids, depth)
        if verdict == "parts" and len(kids_with_images) > 1 and _share(kids_with_images, _is_numbered) > _MOST:
            found = self._through(kids_with_images, depth)
            return found and _noting(found, kids_with_images, "are read as parts: the classes are the folders in them")
        return None

    def _is_split(self, folder: str) -> bool:
        words = _words(folder)
        if name(folder).strip().lower() in SPLIT_FOLDERS:
            return True
        named = not _SPLIT_WORDS.isdisjoint(words) or (
            bool(_NUMBERED_PARTS & set(words)) and any(letter.isdigit() for letter in name(folder))
        )
        return named and folder not in self.own and bool(self._inside(folder))

    def _inside(self, folder: str) -> list[str]:
        """Returns the folders directly in `folder` that hold images at any depth."""
        return [child for child in self.tree.children(folder) if child in self.holding]

    def _verdict(self, folders: Sequence[str]) -> Literal["classes", "parts", "unclear"]:
        """Decides whether the folders of one level are classes, or parts that hold classes."""
        inside = [child for folder in folders for child in self._inside(folder)]
        names = {name(child).lower() for child in inside}
        emotional = _share(folders, _is_emotion)
        above = bool(names) and _share(names, _is_emotion) > _MOST and emotional <= _MOST
        if not self._is_top(folders, inside) and any(folder in self.own for folder in folders):
            # A person's folder may hold an image of its own (a cover) beside the class folders.
            return "parts" if above and all(self._inside(folder) for folder in folders) else "classes"
        if len(folders) == 1:
            # A single folder may have the name of the data set rather than of a class.
            is_class = label_of(folders[0]) in _EMOTION_WORDS and _share(names, _is_numbered) > _MOST
            return "classes" if is_class else "parts" if above else "unclear"
        if emotional > _MOST:
            return "classes"
        if above:
            return "parts"
        if not any(_SPLIT_WORDS.isdisjoint(_words(child)) for child in inside):
            return "classes"
        return "classes" if _share(names, _is_numbered) > _MOST and not _share(folders, _is_numbered) else "unclear"

    def _is_top(self, folders: Sequence[str], inside: Sequence[str]) -> bool:
        """Whether a single folder holds splits, or classes with hardly an image beside them."""
        if len(folders) != 1 or any(map(self._is_split, inside)):
            return len(folders) == 1
        return len(inside) > 1 and sum(parent(path) == folders[0] for path in self.tree.images) <= len(inside)

    def _below_splits(self, kids: Sequence[str], splits: Sequence[str], depth: int) -> Layout | None:
        """Returns the layout of the classes in `splits`, together with those of the other `kids` beside them."""
        found = self._through(splits, depth)
        rest = [kid for kid in kids if kid not in splits]
        if found is None:
            # The other folders are classes, beside splits that hold images without a class.
            return replace(self._classes(rest, depth), parts=tuple(splits)) if self.holding & {*rest} else None
        known = set(found.labels.values())
        beside = {label_of(kid) for kid in rest if kid in self.own}
        # If the splits hold only one class, nothing can be concluded from the names of the folders beside them.
        are_classes = 2 * len(beside & known) > len(beside) or len(known) < 2
        unusual = [split for split in splits if name(split).strip().lower() not in SPLIT_FOLDERS]
        if unusual:
            found = _noting(found, unusual, "are read as splits")
        parts = [*splits]
        for kid in rest:
            is_class = label_of(kid) in known | _EMOTION_WORDS or (kid in self.own and are_classes)
            if is_class or kid not in self.holding:
                found = replace(found, labels=found.labels | self._label([kid]))
            elif (more := self._part(kid, known, depth)) is not None:
                found = _merged(found, kid, more)
                parts.append(kid)
            else:
                raise self._odd(kid, splits, known)
        return self._in_one_split(found, parts)

    def _in_one_split(self, found: Layout, splits: Sequence[str]) -> Layout:
        """Notes the classes that only one of several splits has.

        Raises:
            DataError: a split's one folder is none of the others' classes: its images are of no class (test/unknown).
        """
        filled = {
            split: {
                label: folder
                for folder, label in found.labels.items()
                if folder in self.holding and folder.startswith(f"{split}/")
            }
            for split in splits
        }
        filled = {split: classes for split, classes in filled.items() if classes}
        alone: list[str] = []
        for split, classes in filled.items():
            others = set[str]().union(*(labels for other, labels in filled.items() if other != split))
            only = sorted(classes.keys() - others)
            if len(others) > 1 and len(classes) == 1 and only and only[0] not in _EMOTION_WORDS:
                raise DataError(
                    f"{self.tree.root / classes[only[0]]} is the only folder in {split}/ and none of the classes of "
                    f"the other splits ({listed(sorted(others), _SHOWN)})",
                    _ODD,
                )
            if others:
                alone += [f"{label} ({split}/)" for label in only]
        if not alone:
            return found
        note = f"Only one split has the class {listed(alone, _SHOWN)}: look whether the others have it by another name."
        return replace(found, notes=(*found.notes, note))

    def _classes(self, kids: Sequence[str], depth: int) -> Layout:
        """Returns the layout of class folders; one that holds only folders with names of the others is a part."""
        whole = [kid for kid in kids if kid in self.own]
        known = {label_of(kid) for kid in whole}
        found = Layout({})
        for kid in kids:
            more = self._part(kid, known, depth) if known and kid not in self.own and kid in self.holding else None
            if more is None:
                found = replace(found, labels=found.labels | self._label([kid]))
            else:
                found = _merged(found, kid, more)
        return found

    def naming_persons(self, found: Layout) -> Layout:
        """Adds a note if the classes, or the folders in them, may be persons, whose images must share a split."""
        if len(found.labels) > 1 and _share(found.labels, _is_person) > _MOST:
            names = listed(sorted(set(found.labels.values())), _SHOWN)
            note = (
                f"The classes ({names}) are called like persons. If they are, and the labels are elsewhere, such as in "
                "the names of the images, sort the images into a folder for each label."
            )
            return replace(found, notes=(*found.notes, note))
        inside = {name(child) for folder in found.labels for child in self._inside(folder)}
        if _share(inside, _is_numbered) <= _MOST:
            return found
        persons = [child for folder in found.labels for child in self._inside(folder)]
        # Persons' folders may hold folders of sessions, at varying depth: then find the person by the class above it.
        deeper = any(self._inside(person) for person in persons)
        classes = "|".join(sorted({re.escape(name(folder)) for folder in found.labels}))
        expression = f"(?:^|/)(?:{classes})/([^/]+)/" if deeper else "[^/]+/([^/]+)/[^/]+$"
        note = (
            f"The folders in the classes ({listed(sorted(inside), _SHOWN)}) are no classes. If they are persons, keep "
            f"the images of each together with --group-by {shlex.quote(expression)}."
        )
        return replace(found, notes=(*found.notes, note))

    def _part(self, folder: str, known: set[str], depth: int) -> Layout | None:
        """Returns the layout of a folder in which at least half of the classes are in `known`, else None."""
        if folder in self.own:
            return None
        found = self.read(folder, depth + 1) or self._plain(folder)
        labels = set(found.labels.values())
        return found if labels & known and 2 * len(labels & known) >= len(labels) else None

    def _plain(self, folder: str) -> Layout:
        """Returns a layout in which the folders directly in `folder` are classes, if their names can be labels."""
        return Layout({child: label for child in self._inside(folder) if (label := label_of(child))})

    def _through(self, parts: Sequence[str], depth: int) -> Layout | None:
        """Returns the layout of the classes below `parts`, at whatever depth they are."""
        folders = [child for part in parts for child in self.tree.children(part)]
        filled = [folder for folder in folders if folder in self.holding]
        if not filled or depth > _DEPTH:
            return None
        inner = [folder for folder in filled if self._is_split(folder)]
        if len(inner) == len(filled):
            return self._through(inner, depth + 1)
        verdict = self._verdict(filled)
        # If each part holds a single folder of the same name, that is not a class: train/images/happy.
        alone = len({name(folder).lower() for folder in filled}) == 1 and not any(f in self.own for f in filled)
        if verdict == "parts" or (alone and verdict != "classes"):
            found = self._through(filled, depth + 1)
            if found is not None:
                return replace(found, parts=(*parts, *found.parts))
        return Layout(self._label(folders), tuple(parts))

    def _label(self, folders: Sequence[str]) -> dict[str, str]:
        return {folder: clean_label(name(folder), str(self.tree.root / folder)) for folder in folders}

    def _odd(self, folder: str, splits: Sequence[str], known: set[str]) -> DataError:
        others = ", ".join(f"{name(split)}/" for split in splits[:4])
        holds = "images" if folder in self.own else "folders with other names"
        return DataError(
            f"{self.tree.root / folder} stands beside {others} and holds {holds}: it is neither a split nor one of the "
            f"classes {listed(sorted(known), _SHOWN)}",
            _ODD,
        )


def _merged(found: Layout, part: str, more: Layout) -> Layout:
    merged = Layout(found.labels | more.labels, (*found.parts, part, *more.parts), (*found.notes, *more.notes))
    return _noting(merged, [part], "is read as another part: it holds folders of the same classes")


def _noting(found: Layout, folders: Sequence[str], words: str) -> Layout:
    shown = listed([f"{folder}/" for folder in folders], _SHOWN)
    if len(folders) == 1:
        words = words.replace("are read as splits", "is read as a split").replace("are read as parts", "is read as one")
    return replace(found, notes=(*found.notes, f"{shown} {words}."))


def _words(folder: str) -> list[str]:
    plain = unicodedata.normalize("NFC", name(folder))
    words = [word.lower() for word in _WORDS.findall(plain)]
    return [*words, "".join(words), re.sub(r"[\W\d_]+", "_", plain.lower()).strip("_")]


def _is_emotion(folder: str) -> bool:
    return not _EMOTION_WORDS.isdisjoint(_words(folder))


def _is_numbered(folder: str) -> bool:
    return _NUMBERED.match(name(folder)) is not None


def _is_person(folder: str) -> bool:
    return _is_numbered(folder) and not name(folder).isdigit() and _CLASS_WORDS.isdisjoint(_words(folder))


def _share(folders: Collection[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, folders)) / len(folders) if folders else 0.0


def label_of(folder: str) -> str:
    """Returns `clean_label` of the folder's name, or "" if it cannot be a label."""
    try:
        return clean_label(name(folder), "")
    except DataError:
        return ""
