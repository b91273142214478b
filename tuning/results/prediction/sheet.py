"""A contact sheet: one picture that shows images with their labels and probabilities."""

from __future__ import annotations

import functools
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tuning.core import files
from tuning.core.errors import DataError, UsageError
from tuning.dataset.decode import read_image
from tuning.results.prediction.labelling import Prediction

#: Most images on a sheet; if there are more, the first are shown, and the title says so.
MOST = 200
#: File suffix -> Pillow's name of the format.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
#: Most labels below an image.
LABELS = 3
#: Images per row; in pixels: side of an image's square, gap between tiles, and height of a line of text.
_ACROSS, _SIDE, _GAP, _LINE = 6, 160, 12, 17
#: Approximate number of letters that fit into the width of a tile.
_LETTERS = 22
_PAPER, _INK, _FAINT, _BAR, _EMPTY, _WRONG = "#ffffff", "#1c1c1c", "#5e5e5e", "#cfe0f0", "#e9ebee", "#aa3311"


def check(path: Path) -> None:
    """Checks that a sheet can be written to `path`.

    Raises:
        UsageError: the suffix is none of `FORMATS`, the path is a folder, or its parent folder does not exist.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--sheet is {str(path)!r}", f"give a name that ends in {', '.join(FORMATS)}")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"is in {path.parent}, which is no folder"
        raise UsageError(f"--sheet {path} {what}", "give the name of a picture in a folder that exists")


@dataclass(frozen=True)
class _Tile:
    prediction: Prediction
    picture: Image.Image | None


class Sheet:
    """Collects predictions in order and draws them as one picture."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._tiles: list[_Tile] = []
        self._count = 0

    def add(self, prediction: Prediction, data: bytes | None = None) -> None:
        """Adds one image; `data` is the encoded image if it has no file. Images beyond `MOST` are only counted."""
        self._count += 1
        if len(self._tiles) < MOST:
            picture = None if prediction.error else _picture(data or Path(prediction.path))
            self._tiles.append(_Tile(prediction, picture))

    def write(self, path: Path) -> str:
        """Writes the sheet; returns in words which images it shows."""
        cut = self._count > len(self._tiles)
        number = f"{self._count:,} image{'s' * (self._count != 1)}"
        words = f"the first {len(self._tiles)} of {number}" if cut else number
        with files.replacing(path) as temporary:
            self._drawn(f"{words}, labelled by {self._run_id}").save(temporary, FORMATS[path.suffix.lower()])
        return words

    def _drawn(self, title: str) -> Image.Image:
        lines = max([2, *(len(tile.prediction.labels[:LABELS]) for tile in self._tiles)])
        height = _SIDE + 4 + (1 + lines) * _LINE
        across = max(1, min(_ACROSS, len(self._tiles)))
        rows = math.ceil(len(self._tiles) / across)
        head = _GAP + 2 * _LINE
        # The title needs some width even if there are few images.
        width = max(_GAP + across * (_SIDE + _GAP), 3 * (_SIDE + _GAP))
        sheet = Image.new("RGB", (width, head + rows * (height + _GAP) + _GAP), _PAPER)
        draw = ImageDraw.Draw(sheet)
        _write(draw, (_GAP, _GAP), title, _INK, width - 2 * _GAP)
        for place, tile in enumerate(self._tiles):
            row, column = divmod(place, across)
            _draw_tile(sheet, draw, tile, _GAP + column * (_SIDE + _GAP), head + row * (height + _GAP))
        return sheet


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: _Tile, left: int, top: int) -> None:
    draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=_EMPTY)
    if tile.picture is not None:
        x, y = ((_SIDE - size) // 2 for size in tile.picture.size)
        sheet.paste(tile.picture, (left + x, top + y))
    line = top + _SIDE + 4
    # If a path is too long, keep its end, which distinguishes images.
    _write(draw, (left, line), tile.prediction.path, _FAINT, _SIDE, keep_end=True)
    if tile.prediction.error:
        _write(draw, (left, line + _LINE), "unreadable", _WRONG, _SIDE)
        for number, part in enumerate(textwrap.wrap(tile.prediction.error, _LETTERS)[: _SIDE // _LINE]):
            _write(draw, (left + 6, top + 4 + number * _LINE), part, _FAINT, _SIDE - 12)
    for number, (label, probability) in enumerate(tile.prediction.labels[:LABELS]):
        line += _LINE
        # A bar behind the text, as wide as the probability.
        bar = (left, line, left + max(0, round(probability * _SIDE) - 1), line + _LINE - 3)
        draw.rectangle(bar, fill=_BAR if number == 0 else _EMPTY)
        figure = f"{probability:.3f}"
        room = _SIDE - _width(draw, figure) - 10
        _write(draw, (left + 3, line), label, _INK if number == 0 else _FAINT, room)
        _write(draw, (left + _SIDE - 3 - _width(draw, figure), line), figure, _INK if number == 0 else _FAINT, _SIDE)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: str, room: int, keep_end: bool = False
) -> None:
    """Writes a line of text, elided to `room` pixels; unprintable characters such as newlines become "?"."""
    text = "".join(character if character.isprintable() else "?" for character in text)
    if _width(draw, text) > room:
        while text and _width(draw, f"{text}…") > room:
            text = text[1:] if keep_end else text[:-1]
        text = f"…{text}" if keep_end else f"{text}…"
    draw.text(place, text, fill=colour, font=_font())


def _width(draw: ImageDraw.ImageDraw, text: str) -> int:
    return math.ceil(draw.textlength(text, font=_font()))


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """Returns the font that is part of matplotlib; it covers most alphabets."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 12)


def _picture(source: bytes | Path) -> Image.Image | None:
    """Returns the whole image, upright, scaled to a tile; None if it can no longer be read."""
    try:
        found = Image.fromarray(read_image(source))
    except (DataError, OSError):
        return None
    share = _SIDE / max(found.size)
    width, height = (max(1, round(side * share)) for side in found.size)
    return found.resize((width, height), Image.Resampling.BOX if share < 1 else Image.Resampling.BICUBIC)
