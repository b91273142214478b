"""Charts as static HTML: an SVG that stretches to the available width, with HTML labels of constant size around it.

The drawing area is 1,000 × 1,000 units whatever its size on the page; strokes and dots have constant width. So a chart
needs no script, fits any width and paper size, and follows light and dark mode. Marks of a configuration carry its
number in `data-c`, by which the page's script finds them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tuning.engine.budget import duration

UNITS = 1000
#: (x, y) as shares of the drawing area; y grows downwards. See `Drawing`.
Place = tuple[float, float]

#: Most labels along x that fit into every chart; with more, narrow charts hide every other one.
_FEW = 5
#: Steps between labels of times, in seconds.
_TIME_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def short(value: float) -> str:
    """Formats a number with at most four significant digits: 0.0012, 1.5e-5, 320."""
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e6):
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.4g}"


@dataclass(frozen=True)
class Axis:
    """The x or y axis of a chart.

    Attributes:
        low, high: the values at its ends.
        label: title of the axis; empty for none.
        log: whether the scale is logarithmic.
        whole: whether to label whole numbers only.
        names: for a categorical axis, the name of each band; values are then indices of the names.
        time: whether the values are seconds.
    """

    low: float = 0.0
    high: float = 1.0
    label: str = ""
    log: bool = False
    whole: bool = False
    names: Sequence[str] = ()
    time: bool = False

    def at(self, value: float) -> float:
        """Returns the position of a value as a share of the axis."""
        if self.names:
            return (value + 0.5) / len(self.names)
        if self.log:
            return math.log(value / self.low) / (math.log(self.high / self.low) or 1)
        return (value - self.low) / ((self.high - self.low) or 1)

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """Returns about `count` labels as (position as a share of the axis, text)."""
        if self.names:
            return [(self.at(place), name) for place, name in enumerate(self.names)]
        values = _log_ticks(self.low, self.high, count) if self.log else self._linear_ticks(count)
        words = duration if self.time else short
        found: dict[str, float] = {}
        for value in values:
            if not self.whole or value == int(value):
                found.setdefault(words(value), self.at(value))
        return [(place, text) for text, place in found.items()]

    def _linear_ticks(self, count: int) -> list[float]:
        rough = (self.high - self.low) / count or 1
        power = 10.0 ** math.floor(math.log10(rough))
        steps: Sequence[float] = _TIME_STEPS if self.time else [power * part for part in (1, 2, 5, 10)]
        # Beyond the longest time step, use a multiple of it, which is a day.
        step = next((size for size in steps if size >= rough * 0.75), steps[-1] * math.ceil(rough / steps[-1]))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{step * 10.0**power:.6g}") for power in powers for step in steps]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= count + 1:
            break
    # If there are still too many, keep every n-th.
    return ticks[:: -(-len(ticks) // (count + 1))] if ticks else []


def padded(values: Iterable[float], share: float = 0.04) -> tuple[float, float]:
    """Returns the range of values, extended by `share` of its width at each end; also widens a range of width 0."""
    known = list(values)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    margin = (high - low) * share or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def dots(points: Sequence[Place], numbers: Sequence[int], kind: str) -> str:
    """Returns dots as one path of zero-length lines with round caps, which is cheap for thousands; "" for none."""
    if not points:
        return ""
    own = f' data-c="{" ".join(map(str, numbers))}"' if numbers else ""
    return f'<path class="dots {kind}"{own} d="{"".join(f"M{_pair(point)}h0" for point in points)}"/>'


def line(points: Sequence[Place], kind: str, number: int | None = None) -> str:
    """Returns a line through `points`; `number` is that of the configuration that it belongs to."""
    own = "" if number is None else f' data-c="{number}"'
    return f'<path class="{kind}"{own} d="M{"L".join(map(_pair, points))}"/>'


def rectangle(corner: Place, opposite: Place, kind: str) -> str:
    """Returns a rectangle; `corner` is the upper left one, `opposite` the lower right one."""
    (left, top), (right, bottom) = corner, opposite
    size = f'width="{_unit(right - left)}" height="{_unit(bottom - top)}"'
    return f'<rect class="{kind}" x="{_unit(left)}" y="{_unit(top)}" {size}/>'


def note(at: Place, text: str, kind: str) -> str:
    """Returns text at a position in the drawing area."""
    return f'<b class="{kind}" style="left:{_percent(at[0])};top:{_percent(at[1])}">{escape(text)}</b>'


def plot(
    name: str,
    x: Axis,
    y: Axis,
    marks: Sequence[str],
    title: str,
    notes: Sequence[str] = (),
    height: int = 230,
    labels: tuple[int, int] = (7, 5),
    right: int = 12,
    many: bool = False,
    bare: bool = False,
) -> str:
    """Returns a chart as HTML.

    Args:
        name: kind of chart, for scripts and style sheets.
        marks: SVG elements, see `dots`, `line` and `rectangle`.
        title: accessible description of the chart.
        notes: HTML on top of the marks, see `note`.
        height: height of the drawing area in pixels.
        labels: approximate number of labels along x and y.
        right: margin to the right of the drawing area in pixels, for notes.
        many: whether to draw thinner marks, because there are many.
        bare: whether to omit labels and grid.
    """
    beside, below, grid = [], [], []
    for place, text in y.ticks(labels[1]) if not bare else ():
        beside.append(f'<span class="y" style="top:{_percent(1 - place)}">{escape(text)}</span>')
        grid.append(f"M0 {_unit(1 - place)}H{UNITS}")
    kind = ("x band" + " tight" * (len(x.names) > _FEW)) if x.names else "x"
    width = f";width:{_percent(1 / len(x.names))}" if x.names else ""
    for number, (place, text) in enumerate(x.ticks(labels[0]) if not bare else ()):
        odd = " odd" * (number % 2 and not x.names and labels[0] > _FEW)
        below.append(
            f'<span class="{kind}{odd}" style="left:{_percent(place)}{width}" title="{escape(text, quote=True)}">'
            f"{escape(text)}</span>"
        )
    words = f'<span class="name">{escape(x.label)}</span>' if x.label else ""
    svg = (
        f'<svg viewBox="0 0 {UNITS} {UNITS}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="grid" d="{"".join(grid)}"/>{"".join(marks)}</svg>'
    )
    scale = f"{x.low:.6g} {x.high:.6g} {y.low:.6g} {y.high:.6g}"
    return (
        f'<div class="plot{" many" * many}{" titled" * bool(x.label)}" data-chart="{name}" role="img" '
        f'aria-label="{escape(title, quote=True)}" data-scale="{scale}" style="--tall:{height}px;--right:{right}px">'
        f"{svg}{''.join(beside)}{''.join(below)}{words}{''.join(notes)}</div>"
    )


@dataclass(frozen=True)
class Drawing:
    """Maps values to places."""

    x: Axis
    y: Axis

    def __call__(self, x: float, y: float) -> Place:
        return self.x.at(x), 1 - self.y.at(y)


def _unit(share: float) -> str:
    return f"{share * UNITS:.1f}".removesuffix(".0")


def _pair(place: Place) -> str:
    return f"{_unit(place[0])} {_unit(place[1])}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"
