"""The main charts of a report as matplotlib figures, for papers and slides; equal searches give equal figures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tuning.history.records import History
from tuning.results.plots import MUTED, ruled
from tuning.results.report.importance import Importance, most_telling

_BEST, _BASELINE, _DOTS = "#D55E00", "#009E73", "#0072B2"
#: Most bars in the figure of importances.
_BARS = 15


def pictures(history: History, importances: Sequence[Importance], title: str) -> dict[str, Figure]:
    """Returns the figures by file name; figures without data are left out."""
    found = {}
    if any(entry.score is not None for entry in history.configurations):
        found["best_so_far.png"] = best_figure(history, title)
        found["learning_curves.png"] = curves_figure(history, title)
    if importances and most_telling(importances).tells:
        found["importance.png"] = importance_figure(most_telling(importances), title)
    return found


def best_figure(history: History, title: str) -> Figure:
    """Plots the best validation macro-F1 so far over the epochs trained by all trials together."""
    figure, axes = _figure(title, "epochs trained, all trials together", "validation macro-F1")
    steps = [step for step in history.steps if step.best is not None]
    scored = [step for step in steps if step.score is not None]
    axes.plot([s.epochs for s in scored], [s.score for s in scored], ".", color=_DOTS, alpha=0.5, label="a trial")
    axes.step([s.epochs for s in steps], [s.best for s in steps], where="post", color=_BEST, label="best so far")
    if history.baseline and history.baseline.score is not None:
        axes.axhline(history.baseline.score, color=_BASELINE, linestyle="--", label="baseline")
    axes.legend(frameon=False, fontsize=9)
    return figure


def curves_figure(history: History, title: str) -> Figure:
    """Plots the learning curves of all configurations, the best and the baseline on top."""
    figure, axes = _figure(title, "epoch", "validation macro-F1")
    scored = [(entry.score, entry) for entry in history.configurations if entry.score is not None]
    low, high = min(score for score, _ in scored), max(score for score, _ in scored)
    shades = colormaps["Blues"]
    top = {id(history.best): ("best", _BEST, "-"), id(history.baseline): ("baseline", _BASELINE, "--")}
    for score, entry in sorted(scored, key=lambda found: (id(found[1]) in top, found[0])):
        shade = to_hex(shades(0.25 + 0.6 * (score - low) / (high - low or 1)))
        label, color, style = top.get(id(entry), ("", shade, "-"))
        epochs = [point.epoch for point in entry.curve]
        scores = [float("nan") if point.score is None else point.score for point in entry.curve]
        width, marker = (2.0, "o") if label else (0.9, ".")
        marker = marker if len(scores) == 1 else ""
        axes.plot(epochs, scores, style, color=color, linewidth=width, marker=marker, label=label or None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False, fontsize=9)
    return figure


def importance_figure(found: Importance, title: str) -> Figure:
    """Plots permutation importances with their quantiles over folds and shuffles."""
    shares = found.shares[:_BARS][::-1]
    budget = "" if found.epochs is None else f" after {found.epochs:.4g} epochs"
    figure, axes = _figure(title, f"growth of squared error / variance of scores{budget}", "", 1.4 + 0.3 * len(shares))
    means = [share.mean for share in shares]
    # The mean of a skewed sample can lie beyond a quantile; that whisker then has no length.
    reach = [
        [max(0.0, share.mean - share.low) for share in shares],
        [max(0.0, share.high - share.mean) for share in shares],
    ]
    names = [share.name for share in shares]
    axes.barh(range(len(shares)), means, xerr=reach, color=_DOTS, ecolor=MUTED, capsize=3)
    axes.set_yticks(range(len(shares)), names, fontsize=9)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    return figure


def _figure(title: str, x: str, y: str, height: float = 4.2) -> tuple[Figure, Axes]:
    figure, axes = ruled(height)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure, axes
