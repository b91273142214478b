"""Image files and folders as strangers leave them: each is accepted as documented, or named with its reason."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import unicodedata
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image


def noise(height=20, width=16, channels=3, dtype=np.uint8, key=77):
    top = np.iinfo(dtype).max + 1 if np.issubdtype(dtype, np.integer) else 1
    rng = np.random.default_rng(key)
    shape = (height, width, channels) if channels > 1 else (height, width)
    return (rng.random(shape) * top).astype(dtype)


def encoded(suffix, pixels=None):
    return cv2.imencode(suffix, noise() if pixels is None else pixels)[1].tobytes()


def pillow(kind, mode="RGB", size=(16, 20), **options):
    channels = {"1": 1, "L": 1, "P": 1, "I;16": 1, "F": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3}[mode]
    if mode in ("1", "P"):
        image = Image.fromarray(noise(size[1], size[0], 1)).convert(mode)
    elif mode in ("I;16", "F"):
        image = Image.fromarray(noise(size[1], size[0], 1, np.uint16 if mode == "I;16" else np.float32))
    else:
        image = Image.fromarray(noise(size[1], size[0], channels), mode)
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def animated(kind):
    frames = [Image.fromarray(noise(key=key)) for key in range(3)]
    data = io.BytesIO()
    frames[0].save(data, kind, save_all=True, append_images=frames[1:], duration=50)
    return data.getvalue()


def exif_rotated():
    image = Image.fromarray(noise())
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif)
    return data.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth=8, color=2, data=b"", extra=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def jpeg_of_size(width, height):
    data = bytearray(encoded(".jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_of_size(width, height):
    data = bytearray(encoded(".bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


UNKNOWN = "8: new.*not an image in a known format"
DAMAGED = "8: new.*(truncated|damaged|not an image)"
#: name -> (file name, content, outcome); 8 sound images are there besides.
FILES = {
    "a plain JPEG": ("new.jpg", encoded(".jpg"), "9: "),
    "a plain PNG": ("new.png", encoded(".png"), "9: "),
    "a plain BMP": ("new.bmp", encoded(".bmp"), "9: "),
    "a WebP": ("new.webp", pillow("WEBP"), "9: "),
    "a TIFF": ("new.tif", pillow("TIFF"), "9: "),
    "a JPEG 2000": ("new.jp2", pillow("JPEG2000"), "9: "),
    "a PGM": ("new.pgm", pillow("PPM", "L"), "9: "),
    "a GIF": ("new.gif", pillow("GIF", "P"), "9: "),
    "an animated GIF": ("new.gif", animated("GIF"), "9: "),
    "an animated PNG": ("new.png", animated("PNG"), "9: "),
    "an animated WebP": ("new.webp", animated("WEBP"), "9: "),
    "a TIFF of several pages": ("new.tiff", animated("TIFF"), "9: "),
    "a PNG called JPEG": ("new.jpg", encoded(".png"), "9: "),
    "a JPEG called GIF": ("new.gif", encoded(".jpg"), "9: "),
    "an upper-case suffix": ("new.JPG", encoded(".jpg"), "9: "),
    "gray": ("new.png", pillow("PNG", "L"), "9: "),
    "gray with alpha": ("new.png", pillow("PNG", "LA"), "9: "),
    "alpha": ("new.png", pillow("PNG", "RGBA"), "9: "),
    "a palette": ("new.png", pillow("PNG", "P"), "9: "),
    "black and white": ("new.png", pillow("PNG", "1"), "9: "),
    "16 bits": ("new.png", encoded(".png", noise(dtype=np.uint16)), "9: "),
    "16 bits gray": ("new.png", pillow("PNG", "I;16"), "9: "),
    "16 bits TIFF": ("new.tif", encoded(".tif", noise(dtype=np.uint16)), "9: "),
    "CMYK": ("new.jpg", pillow("JPEG", "CMYK"), "9: "),
    "YCbCr TIFF": ("new.tif", pillow("TIFF", "YCbCr"), "9: "),
    "floating point": ("new.tif", pillow("TIFF", "F"), "8: new.*(damaged|cannot be decoded)"),
    "EXIF-rotated": ("new.jpg", exif_rotated(), "9: "),
    "progressive": ("new.jpg", pillow("JPEG", progressive=True), "9: "),
    "one pixel": ("new.png", pillow("PNG", size=(1, 1)), "9: "),
    "one row": ("new.png", pillow("PNG", size=(500, 1)), "9: "),
    "constant": ("new.png", encoded(".png", np.full((20, 16, 3), 9, np.uint8)), "9: "),
    "0 bytes": ("new.png", b"", r"8: new.*empty \(0 bytes\)"),
    "1 byte": ("new.png", b"\x89", UNKNOWN),
    "text": ("new.png", b"hello", UNKNOWN),
    "HTML": ("new.jpg", b"<!doctype html><html>404</html>", UNKNOWN),
    "an SVG": ("new.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>', UNKNOWN),
    "a script": ("new.jpg", b"#!/bin/sh\nrm -rf /\n", UNKNOWN),
    "a zip": ("new.jpg", b"PK\x05\x06" + b"\0" * 18, UNKNOWN),
    "a PDF": ("new.jpg", b"%PDF-1.7\n%%EOF", UNKNOWN),
    "PostScript": ("new.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF", UNKNOWN),
    "only zeros": ("new.png", b"\0" * 5000, UNKNOWN),
    "random bytes": ("new.png", np.random.default_rng(1).bytes(5000), UNKNOWN),
    "a Git LFS pointer": ("new.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", UNKNOWN),
    "only a PNG signature": ("new.png", b"\x89PNG\r\n\x1a\n", DAMAGED),
    "only a JPEG marker": ("new.jpg", b"\xff\xd8\xff", DAMAGED),
    "a truncated PNG": ("new.png", encoded(".png")[:300], DAMAGED),
    "a truncated JPEG header": ("new.jpg", encoded(".jpg")[:100], DAMAGED),
    "a truncated GIF": ("new.gif", pillow("GIF", "P")[:40], DAMAGED),
    "a truncated WebP": ("new.webp", pillow("WEBP")[:60], DAMAGED),
    "a truncated TIFF": ("new.tif", pillow("TIFF")[:200], DAMAGED),
    "a PNG without rows": ("new.png", png(16, 20), DAMAGED),
    "a JPEG of 65,535 by 65,535": ("new.jpg", jpeg_of_size(65535, 65535), "8: new.*(too many|at most 50 mega)"),
    "a PNG of 65,535 by 65,535": ("new.png", png(65535, 65535), "8: new.*(too many|at most 50 mega)"),
    "a PNG of 2^31 pixels a side": ("new.png", png(2**31 - 1, 2**31 - 1), "8: new.*(too many|at most|known format)"),
    "a PNG of 51 megapixels": ("new.png", png(51_000, 1000), "8: new.*at most 50 megapixels"),
    "a BMP of 40,000 by 40,000": ("new.bmp", bmp_of_size(40_000, 40_000), "8: new.*(too many|at most 50 mega)"),
    "a BMP of negative width": ("new.bmp", bmp_of_size(-16, 20), "8: new.*(too many|damaged|known format)"),
    "a PNG of no width": ("new.png", png(0, 20), DAMAGED),
    "a PNG of 3 bits": ("new.png", png(16, 20, depth=3), DAMAGED),
    "a PNG with a text bomb": (
        "new.png",
        png(16, 20, data=(b"\0" + b"\7" * 48) * 20, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 5_000_000))),
        "8: new.*a PNG file with too much text",
    ),
    "a PFM called PNG": ("new.png", b"Pf\n16 20\n-1.0\n" + bytes(16 * 20 * 4), DAMAGED),
    "a DICOM file": ("new.dcm", bytes(128) + b"DICM" + bytes(40), UNKNOWN),
    "an icon": ("new.ico", pillow("ICO", size=(16, 16)), UNKNOWN),
    "a placeholder of iCloud": (".new.jpg.icloud", b"bplist00", "8: a placeholder of iCloud"),
    "an archive in a class": ("new.ZIP", b"PK\x05\x06" + b"\0" * 18, "8: an archive beside images, not unpacked"),
    "another archive in a class": ("new.rar", b"Rar!", "8: an archive beside images, not unpacked"),
    "an unknown suffix": ("new.xyz", b"x", "8: not an image file"),
    "a HEIC file of text": ("new.heic", b"x", UNKNOWN),
    "a JPEG without a suffix": ("new", encoded(".jpg"), "9: "),
    "a JPEG with a suffix of its own": ("new.jpg_large", encoded(".jpg"), "9: "),
    "an AVIF": ("new.avif", pillow("AVIF"), "9: "),
    "an AVIF called HEIC": ("new.HEIC", pillow("AVIF"), "9: "),
    "a truncated AVIF": ("new.avif", pillow("AVIF")[:-20], "8: truncated or damaged"),
    "half an AVIF": ("new.avif", pillow("AVIF")[:200], "8: a truncated or damaged AVIF file"),
    "a JPEG XL": ("new.jxl", b"\xff\x0a" + bytes(40), "8: JPEG XL, which is not decoded"),
    "a Photoshop file": ("new.psd", b"8BPS\0\1" + bytes(40), "8: Photoshop, which is not decoded"),
    "a camera's raw file": ("new.NEF", pillow("TIFF"), "8: a camera's raw file \\(NEF\\)"),
    "a Targa file": ("new.tga", pillow("TGA"), UNKNOWN),
    "text that begins with BM": ("notes", b"BMW and others", "8: not an image file"),
    "a video": ("new.mp4", b"\0\0\0\x18ftypmp42" + bytes(40), "8: not an image file"),
    "no suffix": ("README", b"x", "8: not an image file"),
    "an equal image of the other class": ("new.png", None, "7: 'sad'"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_accepted_or_named(name, faces, expect):
    raw = faces({"happy": 4, "sad": 4})
    file, content, expected = FILES[name]
    (raw / "happy" / file).write_bytes((raw / "sad" / "000.png").read_bytes() if content is None else content)
    expect(expected, raw)


def symlink(raw, path, target):
    (raw / path).symlink_to(target)


def folder(raw, path, count, save, first=500):
    for key in range(count):
        save(raw / path / f"{key}.png", first + key)


NFC, NFD = (unicodedata.normalize(form, "fröhlich") for form in ("NFC", "NFD"))
#: name -> (what is done to a sound folder of 4 happy and 4 sad images, outcome).
FOLDERS = {
    "a class in capitals": (lambda raw, save: folder(raw, "Happy", 4, save), "12: 'Happy', 'happy' are one class"),
    "a class with blanks": (lambda raw, save: folder(raw, " happy ", 4, save), "12: are one class: 'happy'"),
    "twins in Unicode": (
        lambda raw, save: (folder(raw, NFC, 4, save), folder(raw, NFD, 4, save, 600)),
        "16: are one class: 'fröhlich'",
    ),
    "an empty class": (lambda raw, save: (raw / "fear").mkdir(), "refused: class 'fear' has no usable image"),
    "a class of text files": (
        lambda raw, save: ((raw / "fear").mkdir(), (raw / "fear" / "x.txt").write_text("x")),
        "refused: class 'fear' has no usable image",
    ),
    "a class of broken images": (
        lambda raw, save: ((raw / "fear").mkdir(), (raw / "fear" / "x.png").write_text("x")),
        "refused: class 'fear' has no usable image",
    ),
    "a class of one image": (
        lambda raw, save: folder(raw, "fear", 1, save),
        "refused: class 'fear' has 1 different image",
    ),
    "a class of three equal images": (
        lambda raw, save: [save(raw / "fear" / f"{n}.png", 9) for n in range(3)],
        "refused: class 'fear' has 1 different image",
    ),
    "one class only": (lambda raw, save: shutil.rmtree(raw / "sad"), "refused: all images are of one class, 'happy'"),
    "no images": (lambda raw, save: [shutil.rmtree(raw / name) for name in ("happy", "sad")], "refused: no images"),
    "images without a folder": (
        lambda raw, save: [(path.rename(raw / f"{path.parent.name}{path.name}")) for path in raw.glob("*/*")],
        "refused: none of them in a class folder",
    ),
    "an image beside the classes": (lambda raw, save: save(raw / "x.png", 99), "8: outside every class folder"),
    "hidden files": (lambda raw, save: (raw / "happy" / ".x.png").write_text("x"), "8: "),
    "system litter": (
        lambda raw, save: ((raw / "__MACOSX" / "happy").mkdir(parents=True), (raw / "Thumbs.db").write_text("x")),
        "8: ",
    ),
    "a link out of the folder": (
        lambda raw, save: symlink(raw, "happy/x.png", "/etc/passwd"),
        "8: x.png: a link that leads out",
    ),
    "a linked class outside": (
        lambda raw, save: symlink(raw, "fear", raw.parent),
        "refused: fear stands where the classes are and is not read: a link that leads out",
    ),
    "a linked class that is gone": (
        lambda raw, save: symlink(raw, "fear", raw / "nowhere"),
        "refused: fear stands where the classes are and is not read: a broken link",
    ),
    "a second name of a class": (
        lambda raw, save: symlink(raw, "joy", raw / "happy"),
        "refused: joy stands where the classes are and is not read: a link to a folder",
    ),
    "a linked folder in a class": (
        lambda raw, save: symlink(raw, "happy/more", raw.parent),
        "8: more: a link that leads",
    ),
    "a circle beside the classes": (lambda raw, save: symlink(raw, "all", raw), "8: all: a link to a folder"),
    "a class whose name is not text": (
        lambda raw, save: os.mkdir(os.fsencode(raw) + b"/traurig\xff"),
        "refused: stands where the classes are and is not read: the name is not valid text",
    ),
    "thumbnails of a file manager": (
        lambda raw, save: [save(raw / folder / "x.png", 97) for folder in ("happy/@eaDir/1.png", "thumbnails")],
        "8: a folder of a file manager or system",
    ),
    "hidden thumbnails": (lambda raw, save: save(raw / "happy" / ".thumbnails" / "x.png", 97), "8: a hidden folder"),
    "a broken link": (lambda raw, save: symlink(raw, "happy/x.png", raw / "nowhere"), "8: x.png: a broken link"),
    "a link in a circle": (lambda raw, save: symlink(raw, "happy/again", raw), "8: again: a link to a folder"),
    "a link to itself": (lambda raw, save: symlink(raw, "happy/x.png", "x.png"), "8: x.png: a broken link"),
    "a named pipe": (lambda raw, save: os.mkfifo(raw / "happy" / "x.png"), "8: "),
    "a folder called as an image": (lambda raw, save: (raw / "happy" / "x.png").mkdir(), "8: "),
    "folders 40 deep": (
        lambda raw, save: save(raw.joinpath("happy", *"d" * 40) / "x.png", 98),
        "8: nested more than 32 folders deep",
    ),
    "a name that is not text": (
        lambda raw, save: open(os.fsencode(raw / "happy") + b"/\xff\xfe.png", "wb").close(),
        "8: the name is not valid text",
    ),
    "names that look like options and formulas": (
        lambda raw, save: [save(raw / "happy" / name, 90 + n) for n, name in enumerate(["-rf.png", "=1+1.png"])],
        "10: ",
    ),
    "a name with a line break": (lambda raw, save: save(raw / "happy" / "a\nb.png", 97), "9: "),
    "a name of 250 characters": (lambda raw, save: save(raw / "happy" / f"{'x' * 246}.png", 97), "9: "),
    "a name of 250 characters without a suffix": (
        lambda raw, save: save(raw / "happy" / "x.png", 97).rename(raw / "happy" / f"3. {'ü' * 123}"),
        "9: ",
    ),
    "a class called CON": (lambda raw, save: folder(raw, "CON", 4, save), "refused: reserved device name"),
    "a class called a:b": (lambda raw, save: folder(raw, "a:b", 4, save), "refused: cannot be in a folder name"),
    "a class with a control character": (lambda raw, save: folder(raw, "a\x07b", 4, save), "refused: cannot be in a"),
    "a class with 200 characters": (lambda raw, save: folder(raw, "x" * 200, 4, save), "refused: 200 characters"),
    "a class ending in a full stop": (lambda raw, save: folder(raw, "sad.", 4, save), "refused: a full stop"),
    "a class in Arabic": (lambda raw, save: folder(raw, "سعيد", 4, save), "12: "),
    "an unreadable suffix with images": (lambda raw, save: (raw / "happy" / "x.exe").write_bytes(b"MZ"), "8: not an"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_accepted_or_named(name, faces, save, expect):
    raw = faces({"happy": 4, "sad": 4})
    change, expected = FOLDERS[name]
    change(raw, save)
    expect(expected, raw)


def test_the_largest_accepted_images_stay_below_a_gigabyte(tmp_path, faces):
    """Two images of 49 megapixels, in a process of its own, with as many threads as there are cores."""
    raw = faces({"happy": 4, "sad": 4})
    big = np.zeros((7000, 7000, 3), np.uint8)
    for number in range(2):
        big[:64, :, number] = 255
        (raw / "happy" / f"big{number}.jpg").write_bytes(cv2.imencode(".jpg", big)[1].tobytes())
    del big
    # Not ru_maxrss: exec hands on the peak of the process that forked, which is this one with its TensorFlow.
    code = (
        "import sys; from pathlib import Path; from tuning import prepare; "
        f"code = prepare.main(['--quiet', '--raw', {str(raw)!r}, '--root', {str(tmp_path / 'w')!r}]); "
        "print(code, Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code, kilobytes = done.stdout.split()[-2:]
    assert code == "0"
    assert int(kilobytes) < 1_000_000
