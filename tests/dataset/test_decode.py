"""The table in `tuning.dataset.decode`, row by row."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tuning.dataset import decode
from tuning.dataset.decode import UnreadableImage

SIDE = 64


def quadrants() -> Image.Image:
    """Red, green, blue and white quarters: every turn and colour mistake shows."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:32, :32], pixels[:32, 32:], pixels[32:, :32], pixels[32:, 32:] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
    )
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(pixels: np.ndarray) -> str:
    """The four quarters of a decoded image as letters, row by row."""
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    points = [(16, 16), (16, 48), (48, 16), (48, 48)]
    return "".join(names.get(tuple((pixels[point] > 128).astype(int).tolist()), "?") for point in points)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000"])
def test_every_format_is_decoded_to_rgb(kind):
    pixels = decode.decode(encoded(quadrants(), kind), SIDE, "rgb")
    assert (pixels.shape, pixels.dtype, corners(pixels)) == ((SIDE, SIDE, 3), np.uint8, "RGBW")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(("orientation", "upright"), [(1, "RGBW"), (3, "WBGR"), (6, "BRWG"), (8, "GWRB"), (2, "GRWB")])
def test_exif_orientation_is_honoured(kind, orientation, upright):
    exif = Image.Exif()
    exif[0x112] = orientation
    assert corners(decode.read_image(encoded(quadrants(), kind, exif=exif))) == upright


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_the_most_significant_eight(kind):
    gray = Image.fromarray(np.full((SIDE, SIDE), 0xABCD, np.uint16))
    assert (decode.decode(encoded(gray, kind), SIDE, "gray") == 0xAB).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_dropped(kind):
    image = quadrants().convert("RGBA")
    image.putalpha(Image.new("L", (SIDE, SIDE), 128))
    assert corners(decode.decode(encoded(image, kind), SIDE, "rgb")) == "RGBW"


@pytest.mark.parametrize("mode", ["CMYK", "P"])
def test_cmyk_and_palette_become_rgb(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert corners(decode.decode(encoded(quadrants().convert(mode), kind), SIDE, "rgb")) == "RGBW"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [quadrants(), Image.new("RGB", (SIDE, SIDE), "black")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert corners(decode.read_image(data)) == "RGBW"


def test_gray_is_one_channel_of_luminance():
    gray = decode.decode(encoded(quadrants(), "PNG"), SIDE, "gray")
    assert gray.shape == (SIDE, SIDE, 1)
    assert [int(gray[y, x, 0]) for y, x in [(0, 0), (0, 63), (63, 0), (63, 63)]] == [76, 150, 29, 255]


def test_a_gray_image_comes_through_bit_by_bit():
    values = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    data = encoded(Image.fromarray(values), "PNG")
    assert (decode.decode(data, 48, "gray")[..., 0] == values).all()


def test_shrinking_averages_areas_and_growing_interpolates():
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(decode.to_model(stripes, 48, "gray").astype(int) - 128).max() <= 1
    small = np.array([[0, 255], [0, 255]], np.uint8)[..., None].repeat(3, 2)
    assert len(np.unique(decode.to_model(small, 48, "gray"))) > 10


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.98])
def test_truncated_images_are_refused(kind, kept):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(UnreadableImage):
        decode.read_image(data[: int(len(data) * kept)])


@pytest.mark.parametrize(("kind", "is_read"), [("PNG", False), ("GIF", False), ("JPEG", True), ("BMP", True)])
def test_other_damage_is_refused_where_the_decoder_notices(kind, is_read):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    data = bytearray(encoded(noise, kind))
    sound = decode.read_image(bytes(data))
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    if is_read:
        assert (decode.read_image(bytes(data)) != sound).any()
        return
    with pytest.raises(UnreadableImage):
        decode.read_image(bytes(data))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_more_than_sixteen_bits_are_refused(mode):
    with pytest.raises(UnreadableImage, match="cannot be decoded to 8 bits"):
        decode.read_image(encoded(Image.new(mode, (20, 20), 1), "TIFF"))


def test_a_huge_header_allocates_nothing():
    tracemalloc.start()
    with pytest.raises(UnreadableImage):
        decode.read_image(huge_png(65_535, 65_535))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_BYTES", 10)
    path = tmp_path / "huge.png"
    path.write_bytes(b"x" * 11)
    with pytest.raises(UnreadableImage, match="at most 10"):
        decode.decode(path, 48, "gray")


def test_a_path_and_its_bytes_give_the_same(tmp_path):
    path = tmp_path / "wrong-suffix.gif"
    path.write_bytes(encoded(quadrants(), "PNG"))
    assert (decode.decode(path, 48, "rgb") == decode.decode(path.read_bytes(), 48, "rgb")).all()


def test_a_box_is_cut_out_and_clipped_to_the_image():
    pixels = np.asarray(quadrants())
    assert decode.crop(pixels, (0.25, 0.25, 0.5, 0.5)).shape == (32, 32, 3)
    assert (decode.crop(pixels, (0.25, 0.25, 0.5, 0.5)) == (255, 0, 0)).all()
    assert decode.crop(pixels, (0.0, 0.5, 1.0, 1.0)).shape == (64, 32, 3)
    with pytest.raises(UnreadableImage, match="6 × 64 pixels"):
        decode.crop(pixels, (0.5, 0.5, 0.1, 1.0))


def test_the_pixel_hash_sees_pixels_and_shape_and_nothing_else():
    pixels = np.zeros((10, 20, 3), np.uint8)
    assert decode.pixel_sha256(pixels) == decode.pixel_sha256(pixels.copy())
    assert decode.pixel_sha256(pixels) != decode.pixel_sha256(pixels.reshape(20, 10, 3))
    other = pixels.copy()
    other[9, 19, 2] = 1
    assert decode.pixel_sha256(pixels) != decode.pixel_sha256(other)
    strided = np.zeros((10, 40, 3), np.uint8)[:, ::2]
    assert decode.pixel_sha256(pixels) == decode.pixel_sha256(strided)


def test_png_encoding_is_lossless():
    pixels = np.random.default_rng(1).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    assert (decode.read_image(decode.encode_png(pixels)) == pixels).all()


def test_opencv_stays_silent_about_damaged_files(capfd):
    with pytest.raises(UnreadableImage):
        decode.read_image(encoded(quadrants(), "TIFF")[:4000])
    assert capfd.readouterr().err == ""
    assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_SILENT


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_fewer_bits_in_sixteen_use_the_whole_range(bits, suffix):
    eight = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    eight[0, 0] = 255
    ok, data = cv2.imencode(suffix, eight.astype(np.uint16) << (bits - 8))
    assert ok
    assert (decode.read_image(data.tobytes())[..., 0] == eight).all()


def test_colour_of_ten_bits_in_sixteen():
    pixels = np.asarray(quadrants()).astype(np.uint16) * 4
    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    assert corners(decode.read_image(data)) == "RGBW"


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
@pytest.mark.parametrize("bits", [12, 16])
def test_colour_of_more_bits_is_the_same_at_every_decoding(bits, suffix):
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    eight[0, 0] = 255
    data = cv2.imencode(suffix, eight[..., ::-1].astype(np.uint16) << (bits - 8))[1].tobytes()
    for _ in range(20):
        used = rng.integers(0, 256, eight.size * 2, dtype=np.uint8)
        del used  # What a decoder gets next is memory that something was in.
        assert (decode.read_image(data) == eight).all()


def test_sixteen_bits_that_are_all_black_stay_black():
    data = cv2.imencode(".png", np.zeros((24, 24), np.uint16))[1].tobytes()
    assert not decode.read_image(data).any()


def test_heic_is_decoded_with_its_package():
    pytest.importorskip("pillow_heif").register_heif_opener()
    assert corners(decode.read_image(encoded(quadrants(), "HEIF"))) == "RGBW"


def test_heic_without_its_package_names_it(monkeypatch):
    monkeypatch.setattr(decode, "_reads_heic", lambda: False)
    with pytest.raises(UnreadableImage, match="pillow-heif"):
        decode.read_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
