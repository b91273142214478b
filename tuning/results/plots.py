"""Learning curves and confusion matrices of a run, as matplotlib figures.

Figures are built through matplotlib's object interface: no pyplot, no global state, no display needed.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from tuning.core import files
from tuning.results.schema import Columns, Metrics

# Okabe & Ito's palette, distinguishable with any colour vision; the line styles differ as well.
TRAIN = {"color": "#0072B2", "linestyle": "-"}
VALIDATION = {"color": "#D55E00", "linestyle": "--"}
MACRO_F1 = {"color": "#009E73", "linestyle": "-."}
MUTED = "#666666"

DPI = 130
#: Fonts with letters that matplotlib's own font lacks; the installed ones are used as fallbacks, in this order.
FURTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "Unifont",
)
LONGEST_NAME = 24
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
#: With more classes than this, cells are too small for numbers.
NUMBERED_CLASSES = 40
#: Black and white text have the same contrast (WCAG 2) on a background of this luminance.
EVEN_LUMINANCE = 0.179
# Curves with more epochs have no markers, which would hide the line.
_MARKED_EPOCHS = 40


def run_figures(metrics: Metrics, history: Columns) -> dict[str, Figure]:
    """Returns the four figures of a run by file name.

    Args:
        metrics: the run's metrics.
        history: the columns of history.json; None for a value that was not finite.
    """
    test = metrics.test
    low, high = test.f1_macro_interval
    images = test.images
    parts = [
        f"test accuracy {test.accuracy:.3f},",
        f"macro-F1 {test.f1_macro:.3f}",
        f"(95 % interval {low:.3f}–{high:.3f}),",
        f"{images:,} images",
    ]
    # In a narrow figure the caption wraps between its parts, not within one.
    caption = " ".join(part.replace(" ", NO_BREAK_SPACE) for part in parts)
    run_id, curves = metrics.run_id, metrics.run_id
    published: int | None = metrics.best_epoch
    if metrics.kind == "ensemble":
        # An ensemble has no published epoch, and its scores do not come from these curves.
        published, curves = None, f"{run_id}: mean of its members' curves"
    confusion = np.asarray(test.confusion_matrix)
    return {
        "accuracy.png": accuracy_figure(history, published, curves),
        "loss.png": loss_figure(history, published, curves),
        "confusion_matrix_raw.png": confusion_figure(confusion, metrics.classes, run_id, caption),
        "confusion_matrix_norm.png": confusion_figure(confusion, metrics.classes, run_id, caption, normalised=True),
    }


def accuracy_figure(history: Mapping[str, Sequence[float | None]], published: int | None, title: str) -> Figure:
    """Plots training and validation accuracy and validation macro-F1 over epochs; marks the published epoch, if any."""
    lines = [
        ("accuracy", "training accuracy", TRAIN),
        ("val_accuracy", "validation accuracy", VALIDATION),
        ("val_f1_macro", "validation macro-F1", MACRO_F1),
    ]
    figure, axes = _curves(history, lines, title)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(0.0, bottom), min(1.0, top) if top > 1 else top)
    axes.set_ylabel("accuracy, macro-F1")
    _mark_published(axes, history, published, "val_f1_macro", "macro-F1", MACRO_F1["color"])
    return figure


def loss_figure(history: Mapping[str, Sequence[float | None]], published: int | None, title: str) -> Figure:
    """Plots training and validation loss over epochs; marks the published epoch, if any."""
    figure, axes = _curves(
        history, [("loss", "training loss", TRAIN), ("val_loss", "validation loss", VALIDATION)], title
    )
    axes.set_ylabel("loss")
    _mark_published(axes, history, published, "val_loss", "loss", VALIDATION["color"])
    return figure


def confusion_figure(
    confusion: np.ndarray, class_names: Sequence[str], title: str, caption: str = "", normalised: bool = False
) -> Figure:
    """Plots a confusion matrix with its numbers.

    Args:
        confusion: (k, k) counts; rows are true classes, columns predicted ones.
        class_names: the k names, by index.
        normalised: show each row as shares of its true class; a class without images shows "–".
    """
    classes = len(class_names)
    support = confusion.sum(axis=1, keepdims=True)
    shown = np.divide(confusion, support, out=np.zeros(confusion.shape), where=support > 0) if normalised else confusion
    side = float(np.clip(0.62 * classes, 2.6, 14))
    names = [_elided(name) for name in class_names]
    longest, size = max(map(len, names)), 10 if classes <= 20 else 7
    # A letter is about 0.6 of its font size wide. The figure grows with the names; the matrix keeps its size.
    room = 0.62 * longest * size / 72
    width = max(side + room + 2.1, 5.2)
    figure = Figure(figsize=(width, side + room * 0.75 + 1.7), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    top = 1.0 if normalised else max(1, int(shown.max()))
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=top)
    steep = longest > 4
    axes.set_xticks(
        range(classes), names, rotation=45 if steep else 0, ha="right" if steep else "center", fontsize=size
    )
    axes.set_yticks(range(classes), names, fontsize=size)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
        label.set_rotation_mode("anchor")
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if classes <= NUMBERED_CLASSES:
        _number_cells(axes, shown, support[:, 0], top, normalised, side / classes)
    # Inset axes keep the colour bar as high as the matrix, however much room the labels take.
    bar = figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.12 / side**0.5, 1)))
    bar.outline.set_visible(False)
    bar.set_label("share of the true class" if normalised else "images")
    if not normalised:
        bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    _title(figure, title, caption, int(width * 12))
    return lettered(figure)


def lettered(figure: Figure) -> Figure:
    """Sets installed fallback fonts for non-ASCII text in `figure`, and returns it."""
    installed = set(font_manager.get_font_names())
    for text in figure.findobj(Text):
        if isinstance(text, Text) and not text.get_text().isascii():
            text.set_fontfamily(["DejaVu Sans", *(name for name in FURTHER_FONTS if name in installed)])
    return figure


def ruled(height: float) -> tuple[Figure, Axes]:
    """Returns a figure with empty axes over a grid; `height` is in inches."""
    figure = Figure(figsize=(7.6, height), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG atomically; equal figures give identical files (no version or time in the metadata)."""
    with files.replacing(path) as temporary, warnings.catch_warnings():
        # Letters of class names that no font has are drawn as boxes; the HTML pages show them correctly.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # "tight" makes room for class names that extend beyond the layout.
        figure.savefig(
            temporary, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None}
        )


def _curves(
    history: Mapping[str, Sequence[float | None]], lines: Sequence[tuple[str, str, dict]], title: str
) -> tuple[Figure, Axes]:
    epochs = list(history["epoch"])
    figure, axes = ruled(4.6)
    marker = "o" if len(epochs) <= _MARKED_EPOCHS else ""
    for column, label, style in lines:
        values = [np.nan if value is None else value for value in history[column]]
        axes.plot(epochs, values, label=label, linewidth=1.8, marker=marker, markersize=3.5, **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(epochs) == 1:
        axes.set_xticks(epochs)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(lines), frameon=False)
    _title(figure, title, "", 80)
    return figure, axes


def _mark_published(axes: Axes, history: Mapping, epoch: int | None, column: str, name: str, color: str) -> None:
    if epoch is None:
        return
    value = history[column][epoch - 1]
    text = f"epoch {epoch} published" if value is None else f"epoch {epoch} published: {name} {value:.3f}"
    axes.axvline(epoch, color=MUTED, linestyle=":", linewidth=1.2, zorder=1)
    if value is not None:
        axes.plot([epoch], [value], marker="*", markersize=13, color=color, markeredgecolor="white", zorder=4)
    # Above the axes, where no curve runs, and towards the side with more room.
    left, right = axes.get_xlim()
    share = (epoch - left) / (right - left)
    side = "left" if share < 0.33 else "right" if share > 0.67 else "center"
    axes.annotate(
        text,
        (epoch, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=9,
        color=MUTED,
    )


def _number_cells(
    axes: Axes, shown: np.ndarray, support: np.ndarray, top: float, normalised: bool, inches: float
) -> None:
    """Writes every cell's number, black on light cells and white on dark ones."""
    texts = [
        [("–" if support[row] == 0 else f"{value:.2f}") if normalised else f"{int(value)}" for value in values]
        for row, values in enumerate(shown)
    ]
    longest = max(len(text) for row in texts for text in row)
    # A digit is about 0.62 of its font size wide, and a point is 1/72 inch: the longest number fills 80 % of its cell.
    size = min(11.0, 0.8 * inches * 72 / (0.62 * longest))
    colours = colormaps["Blues"](shown / top)
    for row, column in np.ndindex(*shown.shape):
        axes.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=size,
            color="black" if _luminance(colours[row, column]) > EVEN_LUMINANCE else "white",
        )


def _luminance(colour: np.ndarray) -> float:
    """Relative luminance in [0, 1] of an sRGB colour (WCAG 2, definition of relative luminance)."""
    linear = np.where(colour[:3] <= 0.04045, colour[:3] / 12.92, ((colour[:3] + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _elided(name: str) -> str:
    """Elides the middle of a long name, because names often differ only at their ends."""
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def _title(figure: Figure, title: str, caption: str, width: int) -> None:
    lines = [*textwrap.wrap(title, width), *textwrap.wrap(caption, width, break_on_hyphens=False)]
    figure.suptitle("\n".join(lines), fontsize=11, parse_math=False)
