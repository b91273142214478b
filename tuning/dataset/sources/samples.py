"""The items that sources yield, and the pooled image that a sample becomes.

Every file below the raw folder yields samples, or is rejected or ignored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from tuning.core.errors import DataError

#: (centre x, centre y, width, height), each as a fraction of the upright image's width or height.
Box = tuple[float, float, float, float]
_UNSAFE = set('<>:"/\\|?*')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10))}
_MAX_LABEL = 64
#: The line number that `Sample.name` appends; an image's own name ends in its suffix instead.
_LINE = re.compile(r"#\d+$")


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled face that has not been decoded yet.

    Attributes:
        source: the file that it comes from, relative to the raw folder, with "/".
        label: cleaned by `clean_label`.
        line: for a YOLO label the line in its label file, for a CSV row its line; None for an image without either.
        box: the face in the image; None for the whole image.
        pixels: a table row's pixel values as text; None if `source` is an image file.
    """

    source: str
    label: str
    line: int | None = None
    box: Box | None = None
    pixels: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Its name in manifests: the file and, if there is one, the line."""
        return self.source if self.line is None else f"{self.source}#{self.line}"


@dataclass(frozen=True, slots=True)
class PooledImage:
    """One usable face.

    Attributes:
        file: its path below the pool, "<label>/<name>".
        source: `Sample.name`.
        sha256: of its full-size decoded pixels, see `decode.pixel_sha256`.
        width, height: of the face in pixels, before it is resized to model size.
        label: its class.
        group: images of one group share a split; "" until groups are formed.
        photo: the image file, for sources in which an image may hold several labelled faces; None for others.
        subject: the person shown, if `--group-by` is given and finds one; None otherwise.
    """

    file: str
    source: str
    sha256: str
    width: int
    height: int
    label: str
    group: str = ""
    photo: str | None = None
    subject: str | None = None

    @property
    def path(self) -> str:
        """`source` without the line number."""
        return _LINE.sub("", self.source)


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that should have been a sample but is unusable; `--on-bad` decides how to continue.

    Attributes:
        label: the class that it would have had, if known.
    """

    source: str
    reason: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that is not a sample and is not expected to be one (a text file, an image without a face)."""

    source: str
    reason: str


#: An item of a source's listing.
Item = Sample | Rejected | Ignored


@dataclass(frozen=True)
class Listing:
    """The content of a source.

    Attributes:
        classes: label -> where it is declared (a folder, `data.yaml`), including labels without a sample.
        items: all items, in a deterministic order; lazy, so that a large CSV is never held in memory as a whole.
        total: number of files or rows that `items` come from, if known beforehand.
        notes: remarks for the user, one sentence each (merged folders).
        empty_is_error: whether a declared class without an image is a mistake (a folder), or usual (`data.yaml`).
    """

    classes: dict[str, str]
    items: Iterator[Item]
    total: int | None = None
    notes: tuple[str, ...] = ()
    empty_is_error: bool = True


def are_many(count: int, total: int) -> bool:
    """Whether an invalid label occurs so often (`count` of `total` labels) that it must be a class, not a typo."""
    return count > 1 and count >= min(3, total // 50)


def clean_label(text: str, where: str) -> str:
    """Returns the label for a folder name or class name: NFC, lower-case, blanks as "_".

    Args:
        text: the name as found.
        where: its place, for the error message.

    Raises:
        DataError: the label is empty or too long, or cannot be a folder name on every system.
    """
    label = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    label = "_".join(label.split())
    problem = None
    if not label:
        problem = "is empty"
    elif len(label) > _MAX_LABEL:
        problem = f"has {len(label)} characters; at most {_MAX_LABEL} make a label"
    elif not label.isprintable() or _UNSAFE & set(label):
        problem = "holds characters that cannot be in a folder name on every system"
    elif label.startswith(".") or label.endswith("."):
        problem = "begins or ends with a full stop, which cannot be a folder name on every system"
    elif label.split(".")[0] in _DEVICES:
        problem = "is a reserved device name on Windows"
    if problem:
        raise DataError(f"{where}: the class name {text!r} {problem}", "rename that class")
    return label
