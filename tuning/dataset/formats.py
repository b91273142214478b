"""Decides which files are images: by suffix, or by their first bytes if the suffix is unknown."""

from __future__ import annotations

import re
from pathlib import Path

#: Suffixes of images that are decoded.
_READ = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".avif", ".heic", ".heif"),
)
#: Suffixes of image formats that are not decoded -> name. A file whose content is another format is read all the same.
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
#: Suffixes of camera raw files. Decoders read most of them as TIFF and would return the embedded thumbnail.
_CAMERA_RAW = frozenset(
    (*(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"), ".raw", ".crw", ".3fr", ".iiq")
)
IMAGE_SUFFIXES = frozenset((*_READ, *NOT_READ, *_CAMERA_RAW))
#: Not opened to check for an image: label files and the like, of which there may be as many as images.
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

#: Content of a file whose image was not fetched: a Git LFS pointer or a web page.
_PLACEHOLDER = re.compile(
    rb"(?P<pointer>version https://git-lfs\.)|\s*<(!doctype html|html|head|\?xml[^>]*>\s*<html)", re.I
)


def kind(head: bytes) -> str | None:
    """Returns the image format whose files begin with `head`, or None."""
    return next((name for name, pattern in _MAGIC if pattern.match(head)), None)


def undeveloped(suffix: str) -> str | None:
    """Returns the reason to refuse a file whose suffix is that of a camera raw format, else None."""
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
    # A JPEG XL codestream is recognised by only two bytes, which other files may begin with.
    return found is not None and found != "JPEG XL"


def advice(data: bytes) -> str | None:
    """Names the content of a file that no decoder reads: an image format, Git LFS pointer or web page; else None."""
    found = kind(data[:_HEAD_BYTES])
    if found is None and b"<svg" in data[:1000].lower():
        found = "SVG"
    if found is None and (match := _PLACEHOLDER.match(data[:1000])):
        found = "a Git LFS pointer" if match["pointer"] else "a web page"
    return found if found in {"HEIC", "a Git LFS pointer", "a web page", *NOT_READ.values()} else None
