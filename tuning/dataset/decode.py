"""One decoder for every image: `prepare` and `predict` see exactly the same pixels.

| input                      | what the model sees                                                                |
|----------------------------|------------------------------------------------------------------------------------|
| JPEG, PNG, BMP, GIF, WebP, | decoded by content, whatever the file is called                                    |
| TIFF, PNM, JPEG 2000, AVIF |                                                                                    |
| HEIC                       | decoded where pillow-heif is installed, else refused with that remedy              |
| camera raw, PSD, SVG, …    | refused by name                                                                    |
| any other content, text    | refused: not an image                                                              |
| 0 bytes, over 256 MB       | refused                                                                            |
| more than 50 megapixels    | refused from its header, before anything is decoded                                |
| truncated                  | refused                                                                            |
| damaged otherwise          | refused where its decoder notices, mostly not in JPEG; else read, with the damage  |
| EXIF orientation           | honoured: the image is turned upright first                                        |
| 16 bits per channel        | the 8 most significant bits of those in use: 8, 10, 12, 14 or 16, by the image's   |
|                            | largest value (cameras write 10 or 12 bits into 16)                                |
| alpha channel              | dropped: the colours stored below transparent pixels stay; TIFF darkens them by it |
| CMYK                       | converted to RGB                                                                   |
| palette, black and white   | expanded to RGB                                                                    |
| animation, several pages   | the first frame                                                                    |
| floating point, 32-bit     | refused                                                                            |
| face box                   | cropped in the upright image, clipped to its edges; under 8 × 8 pixels refused     |
| colour "gray"              | 0.299 R + 0.587 G + 0.114 B                                                        |
| size                       | stretched to a square: `INTER_AREA` where neither side grows, else `INTER_LINEAR`  |
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import os
import re
import struct
import threading
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from tuning.core.errors import DataError
from tuning.dataset import formats
from tuning.dataset.sources.samples import Box

MAX_PIXELS = 50_000_000
MAX_BYTES = 256 * 1024 * 1024
MIN_CROP = 8

# Damaged files are reported by name and reason; OpenCV's own messages would only clutter the terminal. The warnings of
# libjpeg and libpng about damage that they tolerate cannot be turned off.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Load Pillow's plug-ins now: loading them on first use is not thread-safe.
Image.init()
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000")
#: Formats that Pillow decodes instead of OpenCV -> Pillow's name of the format.
_BY_PILLOW = {"AVIF": "AVIF", "HEIC": "HEIF"}
#: Bit depths stored in 16-bit images: cameras write 10 to 14 bits; 8 is an 8-bit image saved as 16-bit.
_DEPTHS = (8, 10, 12, 14, 16)
#: Images above this many pixels are decoded one at a time, so that memory does not grow with the number of cores.
_LARGE = 4_000_000
_one_large_image = threading.Lock()


class UnreadableImage(DataError):
    """An image that cannot be used; `problem` is the reason, without the file's name."""


def decode(source: bytes | Path, image_size: int, color: str) -> np.ndarray:
    """Decodes one image into what a model sees.

    Args:
        source: the encoded image, or the file that holds it.
        image_size: height and width of the result in pixels.
        color: "gray" or "rgb".

    Returns:
        uint8 (image_size, image_size, 1 or 3).

    Raises:
        UnreadableImage: see the table above.
        OSError: the file cannot be read.
    """
    return to_model(read_image(source), image_size, color)


def read_image(source: bytes | Path) -> np.ndarray:
    """Decodes one image at its own size, upright: uint8 RGB (height, width, 3). Raises as `decode`."""
    data = source if isinstance(source, bytes) else read_file(source)
    if not data:
        raise UnreadableImage("the file is empty (0 bytes)")
    if _pixels_in_header(data) > _LARGE:
        with _one_large_image:
            return _decode(data)
    return _decode(data)


def crop(pixels: np.ndarray, box: Box) -> np.ndarray:
    """Cuts `box` out of an upright image, clipped to its edges. Raises UnreadableImage below 8 × 8 pixels."""
    height, width = pixels.shape[:2]
    x, y, w, h = box
    left, right = (round(min(max(edge, 0.0), 1.0) * width) for edge in (x - w / 2, x + w / 2))
    top, bottom = (round(min(max(edge, 0.0), 1.0) * height) for edge in (y - h / 2, y + h / 2))
    if right - left < MIN_CROP or bottom - top < MIN_CROP:
        raise UnreadableImage(
            f"the face box is {right - left} × {bottom - top} pixels; at least {MIN_CROP} × {MIN_CROP} are needed"
        )
    return pixels[top:bottom, left:right]


def to_model(pixels: np.ndarray, image_size: int, color: str) -> np.ndarray:
    """Turns upright RGB (height, width, 3) into what a model sees: uint8 (image_size, image_size, channels)."""
    if color == "gray":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if pixels.shape[:2] != (image_size, image_size):
        shrinks = min(pixels.shape[:2]) >= image_size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (image_size, image_size), interpolation=method)
    return np.ascontiguousarray(pixels).reshape(image_size, image_size, -1)


def pixel_sha256(pixels: np.ndarray) -> str:
    """sha256 (hex) of an upright RGB image's shape and full-size pixels.

    Computed before resizing, so that which images are equal does not depend on the prepared size or colour.
    """
    result = hashlib.sha256(b"%dx%d;" % pixels.shape[:2])
    result.update(np.ascontiguousarray(pixels))
    return result.hexdigest()


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes RGB (height, width, 3) as PNG."""
    ok, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not ok:
        raise UnreadableImage(f"an image of shape {pixels.shape} cannot be written as PNG")
    return data.tobytes()


def read_file(path: Path | str) -> bytes:
    """Reads an image file. Raises UnreadableImage above 256 MB, OSError if it cannot be read."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise UnreadableImage(f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read")
        return file.read()


def _pixels_in_header(data: bytes) -> int:
    try:
        width, height = _common_size(data) or _size(data)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"too many pixels: {error}") from None
    except Exception as error:  # Parsers fail on foreign bytes in unforeseeable ways.
        if isinstance(error, ValueError) and re.search("Decompressed data too large|text chunks", str(error)):
            raise UnreadableImage("a PNG file with too much text, or too large a colour profile") from None
        found = formats.advice(data)
        if formats.kind(data[:32]) in _BY_PILLOW:
            raise UnreadableImage(f"a truncated or damaged {formats.kind(data[:32])} file") from None
        which = f" ({found}{', which is not decoded' if found[0] != 'a' else ''})" if found else ""
        raise UnreadableImage(f"the content is not an image in a known format{which}") from None
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width} × {height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels are decoded")
    return width * height


#: Small PNG chunks that may precede the pixels in a plain file.
_SMALL_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT", b"bKGD", b"tRNS", b"PLTE", b"tIME")


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data), formats=_pillow_formats(data) or _FORMATS) as image:
        return image.size


def _pillow_formats(data: bytes) -> tuple[str, ...] | None:
    """Returns Pillow's format names for `data`; None if OpenCV decodes it."""
    found = formats.kind(data[:32])
    if found not in _BY_PILLOW:
        return None
    if found == "HEIC" and not _reads_heic():
        raise UnreadableImage("HEIC is not decoded without the package pillow-heif")
    return (_BY_PILLOW[found],)


@functools.cache
def _reads_heic() -> bool:
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _by_pillow(data: bytes, kinds: tuple[str, ...]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=kinds) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:  # Parsers fail on damaged files in unforeseeable ways.
        raise UnreadableImage(f"truncated or damaged: {' '.join(str(error).split())[:200]}") from None


def _common_size(data: bytes) -> tuple[int, int] | None:
    """Reads (width, height) from the header of a plain PNG or JPEG file, ten times as fast as Pillow; else None.

    PNG: the first chunk is IHDR. Files with text or profile chunks before the pixels are left to Pillow, which limits
    the size of those chunks. JPEG: segments "FF, marker, length" up to a start of frame, which is C0 to CF except for
    the tables C4, C8 and CC (ITU-T T.81, B.1 and B.2).
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        at = 33
        while (kind := data[at + 4 : at + 8]) in _SMALL_CHUNKS:
            at += 12 + int.from_bytes(data[at : at + 4])
        return struct.unpack(">II", data[16:24]) if kind == b"IDAT" else None
    if data[:2] == b"\xff\xd8":
        at = 2
        while data[at : at + 1] == b"\xff":
            marker, length = struct.unpack(">BH", data[at + 1 : at + 4])
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", data[at + 5 : at + 9])
                return width, height
            if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD9:
                return None
            at += 2 + length
    return None


def _decode(data: bytes) -> np.ndarray:
    if kinds := _pillow_formats(data):
        return _by_pillow(data, kinds)
    deep = formats.kind(data[:32]) in ("TIFF", "PNM", "JPEG 2000") or (
        data[:4] == b"\x89PNG" and data[24:25] == b"\x10"
    )
    # Read these as BGR: OpenCV 5.0.0 returns uninitialised memory when it decodes 16-bit TIFF directly to RGB.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH if deep else cv2.IMREAD_COLOR_RGB
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UnreadableImage(f"damaged: {' '.join(str(error.err or error).split())}") from None
    if pixels is None or pixels.ndim != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage("truncated, damaged, or of a kind that cannot be decoded to 8 bits")
    if deep:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return _eight_bits(pixels) if pixels.dtype == np.uint16 else pixels


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Returns the 8 most significant of the bits that a 16-bit image uses."""
    largest = int(pixels.max(initial=0))
    bits = next(bits for bits in _DEPTHS if largest < 1 << bits)
    return (pixels >> (bits - 8)).astype(np.uint8)
