"""The account of every file that was left out of the data set: counted by reason, with an example and a remedy.

Error messages, the summary, its JSON and the pool report are all made from it, so they never disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tuning.dataset.sources.samples import Ignored, Rejected

Outcome = Literal["dropped", "unusable", "ignored"]
#: Values within a reason, which differ between two files with the same fault; replaced by "#" before counting.
_VALUES = re.compile(r"'[^']*'|[-+]?\d[\d.,e+-]*|\b(nan|inf)\b")
_SHOWN = 4

#: (substring of a reason, remedy); the first match counts, so the more specific substrings come first.
_REMEDIES: tuple[tuple[str, str], ...] = (
    ("and is broken", "fetch what the links lead to (git annex get, dvc pull), then copy the files with `cp -rL`"),
    ("leads out of the raw folder", "copy the files with `cp -rL`, or give --raw the folder that the links lead to"),
    ("link to a folder", "copy that folder with `cp -rL`"),
    ("broken link", "fetch what the links lead to (git annex get, dvc pull), or copy the files with `cp -rL`"),
    ("name is not valid text", "rename it, or pack the folder on the system where its name is right"),
    ("equal pixels carry", "remove the images of the wrong label; --on-conflict keep or majority decides otherwise"),
    ("belongs together", "prepare another --root, in which they share a split"),
    ("pillow-heif", "run `python -m pip install pillow-heif`, or convert the files to JPEG"),
    ("Git LFS", "run `git lfs pull` in that folder, or download the images themselves"),
    ("web page", "download them again: what came is a page about an error or a login"),
    ("not decoded", "convert the files to JPEG or PNG"),
    ("no label file", "put its .txt beside the image, or in labels/ where the image is in images/"),
    ("empty label file", "label the faces in the images, and export again"),
    (
        "reaches out of the image",
        "write boxes as fractions (0 to 1) of the image's size, and cut them off at its edges",
    ),
    ("an archive beside images", "unpack it where its images belong, or give it to --raw as well"),
    ("iCloud", "download the images themselves (in the Finder: Download Now)"),
    ("too much text", "save it again without its texts and its colour profile"),
    ("is not one of the", "name every class in data.yaml, and number the labels from 0"),
    ("is not a whole number", "write the number of the class, from 0"),
    ("columns; the", "write every column in every row, or remove these rows"),
    ("columns;", "write a box as class, centre x, centre y, width, height; a polygon as class and x y pairs"),
    ("face box is", "label larger faces, or use larger images"),
    ("outside every class folder", "move it into the folder of its class"),
    ("outside the data set", "give --raw the folders that are wanted, one after the other"),
    ("label file without an image", "put its image beside the label, or in images/"),
    ("emotion must be", "write 0 to 6, or the names of the classes in every row"),
    ("a table without a row", "write it again, with its rows"),
    ("beside a table of faces", "move the table out of the raw folder where its images are wanted"),
    ("not a table with", "give its columns these names, where it holds faces and their labels"),
    ("megapixels", "make these images smaller"),
    ("too many pixels", "make these images smaller"),
    ("pixels", "write the pixels of a square gray image, each from 0 to 255"),
    ("hidden", "rename what is wanted, so that its name begins with no full stop"),
    ("damaged", "fetch or convert these files again"),
    ("(0 bytes)", "fetch these files again"),
    ("bytes; at most", "make these files smaller"),
    ("is not an image", "remove these files, or convert them to JPEG or PNG"),
    ("not an image file", "convert what should be an image to JPEG or PNG"),
    ("folders deep", "move what is in it closer to the top"),
    ("Permission denied", "give yourself permission to read it"),
    ("cannot be read", "copy or fetch these files again"),
)
REMEDY = "give --raw a folder with labelled faces"


@dataclass(frozen=True)
class Entry:
    """Everything that was left out for one reason.

    Attributes:
        outcome: "dropped" (a usable image, left out for its label), "unusable" (should have been an image), "ignored".
        reason: in words; values in it, such as sizes, are those of the first item.
        count: number of files, lines or images.
        example: the source of the first item.
        remedy: what to do about it; "" if nothing can be done.
    """

    outcome: Outcome
    reason: str
    count: int
    example: str
    remedy: str

    @property
    def words(self) -> str:
        return f"{self.count:,} × {self.reason} (such as {self.example})"


def remedy(reason: str) -> str:
    return next((words for part, words in _REMEDIES if part in reason), "")


def take(
    rejected: Iterable[Rejected] = (), ignored: Iterable[Ignored] = (), dropped: Iterable[Rejected] = ()
) -> tuple[Entry, ...]:
    """Returns the account: dropped, then unusable, then ignored items, each by reason, the most frequent first."""
    result: list[Entry] = []
    kinds: tuple[tuple[Outcome, Iterable[Rejected | Ignored]], ...] = (
        ("dropped", dropped),
        ("unusable", rejected),
        ("ignored", ignored),
    )
    for outcome, items in kinds:
        first: dict[str, Rejected | Ignored] = {}
        counts: dict[str, int] = {}
        for item in items:
            key = _VALUES.sub("#", item.reason)
            first.setdefault(key, item)
            counts[key] = counts.get(key, 0) + 1
        entries = [Entry(outcome, i.reason, counts[key], i.source, remedy(i.reason)) for key, i in first.items()]
        result += sorted(entries, key=lambda entry: (-entry.count, entry.reason))
    return tuple(result)


def words(entries: Sequence[Entry]) -> str:
    """Returns the most frequent reasons in one line."""
    shown = "; ".join(entry.words for entry in entries[:_SHOWN])
    more = sum(entry.count for entry in entries[_SHOWN:])
    return shown + (f"; {more:,} more for other reasons" if more else "")


def best_remedy(entries: Sequence[Entry]) -> str:
    """Returns the remedy for the most frequent reason that has one, else a general one."""
    remediable = [entry for entry in entries if entry.remedy]
    return max(remediable, key=lambda entry: entry.count).remedy if remediable else REMEDY
