"""What sources yield: every file below the raw folder ends as samples, as rejected, or as ignored; and what a sample
becomes, a pooled image."""

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
#: What `Sample.name` appends where a file holds several samples; an image's own name ends in its suffix.
_LINE = re.compile(r"#\d+$")


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled face that has not been decoded yet.

    Attributes:
        source: the file it comes from, relative to the raw folder, with "/".
        label: cleaned by `clean_label`.
        line: for a YOLO box the line in its label file, for a CSV row its line; None for a whole image.
        box: the face in the image; None for the whole image.
        pixels: a FER2013 row's pixel values as text; None where `source` is an image file.
    """

    source: str
    label: str
    line: int | None = None
    box: Box | None = None
    pixels: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What this sample is called in manifests: the file, and the line where a file holds several."""
        return self.source if self.line is None else f"{self.source}#{self.line}"


@dataclass(frozen=True, slots=True)
class PooledImage:
    """One usable face.

    Attributes:
        file: where it lies below the pool, "<label>/<name>".
        source: `Sample.name`.
        sha256: of its full-size decoded pixels, see `decode.pixel_sha256`.
        width, height: of the face in pixels, before it is brought to model size.
        label: its class.
        group: images of one group never cross splits; "" until groups are formed.
        photo: the image file that several labelled faces share; None where a source holds no such files.
        subject: the person shown, where `--group-by` is given and finds one; None otherwise.
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
        """The file that it comes from, without the line where that file holds several."""
        return _LINE.sub("", self.source)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that should have been a sample and cannot be: `--on-bad` decides what follows.

    Attributes:
        label: the class that it would have been of, where that is known.
    """

    source: str
    reason: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that is no sample and need not be one (a text file, an image without a face)."""

    source: str
    reason: str


#: What a source lists.
Item = Sample | Rejected | Ignored


@dataclass(frozen=True)
class Listing:
    """What a source found.

    Attributes:
        classes: label -> where it is declared (a folder, `data.yaml`), also for labels without a single sample.
        items: everything found, in a deterministic order; lazy, so that a large CSV is never held whole.
        total: how many files or rows `items` comes from, where that is known beforehand.
        notes: what the person should know, one sentence each (merged folders).
        empty_is_error: whether a declared class without an image is a mistake (a folder), or usual (`data.yaml`).
    """

    classes: dict[str, str]
    items: Iterator[Item]
    total: int | None = None
    notes: tuple[str, ...] = ()
    empty_is_error: bool = True


def are_many(count: int, total: int) -> bool:
    """Whether so many of all labels that mean nothing are a class that would vanish, and no slip of the pen."""
    return count > 1 and count >= min(3, total // 50)


def clean_label(text: str, where: str) -> str:
    """The label that a folder name or class name stands for: NFC, lower-case, blanks as "_".

    Args:
        text: the name as found.
        where: what to call its place in an error.

    Raises:
        DataError: nothing is left, or it cannot be a folder name on every system.
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
