"""The contact sheet: what is on it, what is not, and where it may be written."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from tuning.core.errors import UsageError
from tuning.results.prediction import sheet
from tuning.results.prediction.labelling import Prediction

LABELS = (("happy", 0.75), ("sad", 0.25), ("fear", 0.0))


@pytest.fixture
def face(tmp_path):
    """An image twice as wide as high, red on its left half."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "face.png"), pixels)
    return tmp_path / "face.png"


def written(tmp_path, predictions, name="sheet.png"):
    made = sheet.Sheet("run-1")
    for prediction in predictions:
        made.add(prediction)
    words = made.write(tmp_path / name)
    return words, np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)


def test_an_image_is_whole_and_its_bars_are_as_long_as_it_is_probable(tmp_path, face):
    words, pixels = written(tmp_path, [Prediction(str(face), LABELS)])
    assert words == "1 image"
    red = (pixels == (255, 0, 0)).all(axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    # 160 pixels wide and half as high, in the middle of its square.
    assert len(rows) == pytest.approx(80, abs=2) and len(columns) == pytest.approx(80, abs=2)
    bar = (pixels == (0xCF, 0xE0, 0xF0)).all(axis=2)
    assert np.flatnonzero(bar.any(axis=0))[[0, -1]] == pytest.approx([12, 12 + 0.75 * 160], abs=2)


def test_of_many_images_the_first_are_shown_and_the_sheet_says_so(tmp_path, face, monkeypatch):
    monkeypatch.setattr(sheet, "MOST", 8)
    said = []
    monkeypatch.setattr(sheet, "_write", lambda draw, place, text, *_, **__: said.append(text))
    words, pixels = written(tmp_path, [Prediction(str(face), (("happy", 0.5),))] * 1234)
    assert words == "the first 8 of 1,234 images"
    assert said[0] == "the first 8 of 1,234 images, labelled by run-1"
    assert said.count("0.500") == 8
    # Six in a row.
    assert pixels.shape[1] == 12 + 6 * (160 + 12)


def test_what_cannot_be_read_says_so_and_nothing_hostile_breaks_it(tmp_path, face):
    wrong = Prediction("no.jpg", (), "the content is not an image in a known format")
    gone = Prediction(str(tmp_path / "gone.png"), LABELS)
    odd = Prediction("a\nb\x1b[31m" * 40, (("快乐" * 50, 1.0),))
    words, pixels = written(tmp_path, [wrong, gone, odd, Prediction(str(face), LABELS)])
    assert words == "4 images"
    assert (pixels == (0xAA, 0x33, 0x11)).all(axis=2).any()
    # Nothing is written over the edge of the last tile in the row.
    assert (pixels[:, 12 + 4 * 172 :] == 255).all()


def test_an_image_without_a_file_is_shown(tmp_path, face):
    made = sheet.Sheet("run-1")
    made.add(Prediction("-", LABELS), face.read_bytes())
    made.write(tmp_path / "sheet.png")
    assert (np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")) == (255, 0, 0)).all(axis=2).any()


@pytest.mark.parametrize(("suffix", "kind"), sheet.FORMATS.items())
def test_it_is_what_its_name_says(tmp_path, face, suffix, kind):
    written(tmp_path, [Prediction(str(face), LABELS)], f"sheet{suffix.upper()}")
    assert Image.open(tmp_path / f"sheet{suffix.upper()}").format == kind


@pytest.mark.parametrize("name", ["sheet.pdf", "sheet", "missing/sheet.png", "folder.png"])
def test_where_none_can_be_written_is_said(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="--sheet"):
        sheet.check(tmp_path / name)
