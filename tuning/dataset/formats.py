"""Which files are images: by suffix, and by their first bytes where the suffix says nothing."""

from __future__ import annotations

import re
from pathlib import Path

#: Suffixes of images that are decoded.
_READ = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".avif", ".heic", ".heif"),
)
#: Suffixes of images that are not decoded -> what they are. A file of another content is read all the same.
NOT_READ = {
    ".jxl": "JPEG XL",
    **dict.fromkeys((".tga", ".icb", ".vda"), "Targa"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop"),
    ".exr": "OpenEXR",
    ".svg": "SVG",
    ".dcm": "DICOM",
    ".ico": "ICO",
    ".pcx": "PCX",
    ".dds": "DDS",
    ".xcf": "GIMP",
}
#: What cameras write before anything is developed. Such a file is a TIFF to a decoder, which then shows its thumbnail.
_CAMERA_RAW = frozenset(
    (*(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"), ".raw", ".crw", ".3fr", ".iiq")
)
IMAGE_SUFFIXES = frozenset((*_READ, *NOT_READ, *_CAMERA_RAW))
#: Not opened to see whether they are images: label files and the like, of which there may be as many as images.
_TEXT_SUFFIXES = frozenset((".txt", ".xml", ".json", ".csv", ".tsv", ".yaml", ".yml"))
_HEAD_BYTES = 32

_MAGIC: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("JPEG", rb"\xff\xd8\xff"),
        ("PNG", rb"\x89PNG\r\n\x1a\n"),
        ("GIF", rb"GIF8[79]a"),
        ("WebP", rb"RIFF....WEBP"),
        ("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
        ("BMP", rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
        ("PNM", rb"P[1-6]\s+(#|\d+\s+(#|\d+\s))"),
        ("JPEG 2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
        ("AVIF", rb".{4}ftypavi[fs]"),
        ("HEIC", rb".{4}ftyp(he[ivm][cxms]|mif1|msf1)"),
        ("JPEG XL", rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a"),
        ("Photoshop", rb"8BPS\0[\x01\x02]"),
        ("OpenEXR", rb"\x76\x2f\x31\x01"),
    )
)

#: What lies in the place of an image that was not fetched.
_WRITTEN = re.compile(
    rb"(?P<pointer>version https://git-lfs\.)|\s*<(!doctype html|html|head|\?xml[^>]*>\s*<html)", re.I
)


def kind(head: bytes) -> str | None:
    """The image format whose files begin with such bytes; None where none is known."""
    return next((name for name, pattern in _MAGIC if pattern.match(head)), None)


def undeveloped(suffix: str) -> str | None:
    """Why a camera's raw file is no image, where such a suffix says that it is one."""
    return f"a camera's raw file ({suffix[1:].upper()}), which is not decoded" if suffix in _CAMERA_RAW else None


def is_image(path: str, root: Path, suffix: str) -> bool:
    """Whether a file is meant to be an image: its suffix says so, or its content does."""
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in _TEXT_SUFFIXES:
        return False
    try:
        with (root / path).open("rb", buffering=0) as file:
            found = kind(file.read(_HEAD_BYTES))
    except OSError:
        return False
    # Two bytes prove nothing.
    return found is not None and found != "JPEG XL"


def advice(data: bytes) -> str | None:
    """What to call the content of a file that no decoder reads; None where it is no known image."""
    found = kind(data[:_HEAD_BYTES])
    if found is None and b"<svg" in data[:1000].lower():
        found = "SVG"
    if found is None and (page := _WRITTEN.match(data[:1000])):
        found = "a Git LFS pointer" if page["pointer"] else "a web page"
    return found if found in {"HEIC", "a Git LFS pointer", "a web page", *NOT_READ.values()} else None
