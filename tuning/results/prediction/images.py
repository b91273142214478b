"""Finds the images to label: files, folders, and standard input with paths or one image.

Images are yielded in bursts, lists of the images known at that time. Files and folders form one burst; standard input
forms one for each piece of data that arrives, so that paths which arrive slowly are labelled at once.
"""

from __future__ import annotations

import codecs
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuning.core.errors import DataError, UsageError

#: Stands for standard input in the list of paths.
STANDARD_INPUT = "-"

_REMEDY = "give image files, or folders with images"
_NO_FILE = "does not exist, or is no file"
_READ_BYTES = 65_536
#: First bytes of JPEG, PNG and TIFF files, which distinguish an image from a list of paths.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")


@dataclass(frozen=True, slots=True)
class Image:
    """One image to label.

    Attributes:
        path: its file, as it was given; `STANDARD_INPUT` if the image itself came from standard input.
        data: the encoded image if it has no file.
        error: why it cannot be read, if that is already known.
    """

    path: str
    data: bytes | None = None
    error: str | None = None


def bursts(given: Sequence[str], null: bool, descriptor: int = 0) -> Iterator[list[Image]]:
    """Yields the images of `given`, in order.

    Args:
        given: files, folders (all images below them, sorted), and `STANDARD_INPUT`.
        null: whether paths on standard input end with NUL instead of a newline.
        descriptor: file descriptor of standard input.

    Raises:
        UsageError: standard input is given twice; or, on iteration, it holds neither paths nor an image.
        DataError: a file or folder of `given` does not exist, or a folder holds no image; raised at once, not on
            iteration.
    """
    if list(given).count(STANDARD_INPUT) > 1:
        raise UsageError("standard input (-) was given more than once", "give it once")
    parts = [
        None if piped else [_named(paths)]
        for piped, paths in itertools.groupby(given, lambda path: path == STANDARD_INPUT)
    ]
    return itertools.chain.from_iterable(part or from_standard_input(descriptor, null) for part in parts)


def from_standard_input(descriptor: int, null: bool) -> Iterator[list[Image]]:
    """Yields the one image that standard input holds, or the images whose paths it lists.

    Raises:
        UsageError: standard input holds neither.
    """
    # Not `sys.stdin`, which waits until its buffer is full.
    data = os.read(descriptor, _READ_BYTES)
    # The first piece may be shorter than the signature of an image, or than a byte order mark.
    while data and any(len(data) < len(start) and start.startswith(data) for start in (*_SIGNATURES, codecs.BOM_UTF8)):
        if not (more := os.read(descriptor, _READ_BYTES)):
            break
        data += more
    if data.startswith(_SIGNATURES):
        yield [_piped_image(descriptor, data)]
        return
    # Editors and shells on Windows begin a list so.
    data = data.removeprefix(codecs.BOM_UTF8)
    separator, rest = b"\0" if null else b"\n", b""
    while data:
        *names, rest = (rest + data).split(separator)
        if len(rest) > _READ_BYTES:
            raise UsageError(
                f"standard input holds {len(rest):,} bytes without the end of a path",
                "give one path a line, or paths that end with NUL, and -0; or one JPEG, PNG or TIFF image",
            )
        yield [image for name in names for image in _listed(name, null)]
        data = os.read(descriptor, _READ_BYTES)
    if rest:
        yield list(_listed(rest, null))


def _named(given: Iterable[str]) -> list[Image]:
    found: dict[str, Image] = {}
    for path in given:
        images = found_at(path)
        problem = next((f"{path} {image.error}" for image in images if image.path == path and image.error), None)
        if problem:
            raise DataError(problem, _REMEDY)
        found |= {image.path: image for image in images}
    return list(found.values())


def _listed(name: bytes, null: bool) -> list[Image]:
    """Returns the images of a path that was read from standard input."""
    if not null:
        # A list written on Windows has CRLF line ends.
        name = name.removesuffix(b"\r")
        if b"\0" in name:
            raise UsageError(
                "standard input holds NUL, which no path does",
                "add -0 if paths end with NUL (find -print0); an image there must be JPEG, PNG or TIFF",
            )
    return found_at(os.fsdecode(name)) if name else []


def found_at(path: str) -> list[Image]:
    """Returns the file itself, or the images below a folder; without an image, one entry with an `error`."""
    from tuning.dataset.formats import IMAGE_SUFFIXES
    from tuning.dataset.sources.inventory import suffix, take

    if os.path.isfile(path):
        return [Image(path)]
    if not os.path.isdir(path):
        return [Image(path, error=_NO_FILE)]
    try:
        os.path.abspath(path).encode()
        tree = take(Path(path))
    except UnicodeEncodeError:
        return [Image(path, error="has a path that is not valid text")]
    except DataError:
        return [Image(path, error="may not be read by you: no permission")]
    found = {name: Image(os.path.join(path, name)) for name in tree.files if name in tree.images}
    # Links that lead out of the folder, for example, are not read, but reported.
    for refused in tree.refused:
        unread = tree.unread.get(refused.source)
        if unread is not None and unread.target in ("", *tree.folders):
            # What it leads to is found where it lies.
            continue
        if unread is not None or suffix(refused.source) in ("", *IMAGE_SUFFIXES):
            found[refused.source] = Image(os.path.join(path, refused.source), error=refused.reason)
    return [found[name] for name in sorted(found)] or [Image(path, error="holds no image")]


def _piped_image(descriptor: int, data: bytes) -> Image:
    from tuning.dataset.decode import MAX_BYTES

    parts, size = [data], len(data)
    while (data := os.read(descriptor, _READ_BYTES)) and size <= MAX_BYTES:
        parts.append(data)
        size += len(data)
    if size > MAX_BYTES:
        return Image(STANDARD_INPUT, error=f"more than {MAX_BYTES:,} bytes; no more are read")
    return Image(STANDARD_INPUT, b"".join(parts))
