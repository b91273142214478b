"""A contact sheet: images with their labels and probabilities in one picture, for people who would rather look."""

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

#: Images on a sheet at the most; of more, the first are shown, and the sheet says so.
MOST = 200
#: What it may be written as: suffix -> Pillow's name.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
#: Labels below an image, at the most.
LABELS = 3
#: Images in a row; pixels of an image's square, between tiles, and of a line of text.
_ACROSS, _SIDE, _GAP, _LINE = 6, 160, 12, 17
#: Letters that fit beside each other into a tile, about.
_LETTERS = 22
_PAPER, _INK, _FAINT, _BAR, _EMPTY, _WRONG = "#ffffff", "#1c1c1c", "#5e5e5e", "#cfe0f0", "#e9ebee", "#aa3311"


def check(path: Path) -> None:
    """Refuses a name that no sheet can be written to.

    Raises:
        UsageError: its suffix is none of `FORMATS`, or its folder is not there.
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
    """Collects what was labelled, in order, and writes it as one picture."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._tiles: list[_Tile] = []
        self._count = 0

    def add(self, prediction: Prediction, data: bytes | None = None) -> None:
        """One image; `data` where it has no file. Beyond `MOST` it is only counted."""
        self._count += 1
        if len(self._tiles) < MOST:
            picture = None if prediction.error else _picture(data or Path(prediction.path))
            self._tiles.append(_Tile(prediction, picture))

    def write(self, path: Path) -> str:
        """Writes it; returns what is on it, in words."""
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
        # A title needs some width, however few images there are.
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
    # Of a long path its end tells images apart.
    _write(draw, (left, line), tile.prediction.path, _FAINT, _SIDE, keep_end=True)
    if tile.prediction.error:
        _write(draw, (left, line + _LINE), "unreadable", _WRONG, _SIDE)
        for number, part in enumerate(textwrap.wrap(tile.prediction.error, _LETTERS)[: _SIDE // _LINE]):
            _write(draw, (left + 6, top + 4 + number * _LINE), part, _FAINT, _SIDE - 12)
    for number, (label, probability) in enumerate(tile.prediction.labels[:LABELS]):
        line += _LINE
        # Behind the words, as wide as it is probable.
        bar = (left, line, left + max(0, round(probability * _SIDE) - 1), line + _LINE - 3)
        draw.rectangle(bar, fill=_BAR if number == 0 else _EMPTY)
        figure = f"{probability:.3f}"
        room = _SIDE - _width(draw, figure) - 10
        _write(draw, (left + 3, line), label, _INK if number == 0 else _FAINT, room)
        _write(draw, (left + _SIDE - 3 - _width(draw, figure), line), figure, _INK if number == 0 else _FAINT, _SIDE)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: str, room: int, keep_end: bool = False
) -> None:
    """A line of text that is cut where there is no room; nothing in it moves the pen to another line."""
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
    """The one that matplotlib brings along: it has the letters of most alphabets."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 12)


def _picture(source: bytes | Path) -> Image.Image | None:
    """The image, upright and whole, as large as a tile; None where it can no longer be read."""
    try:
        found = Image.fromarray(read_image(source))
    except (DataError, OSError):
        return None
    share = _SIDE / max(found.size)
    width, height = (max(1, round(side * share)) for side in found.size)
    return found.resize((width, height), Image.Resampling.BOX if share < 1 else Image.Resampling.BICUBIC)
