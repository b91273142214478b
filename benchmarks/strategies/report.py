"""The results of the benchmark as a table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.strategies.problem import normal_interval
from tuning.files import replacing


def ranks(regrets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean rank (budgets,) of each method among all, over tasks and seeds; ties share their places.

    Args:
        regrets: method -> (runs, budgets), the same runs for all.
    """
    from scipy.stats import rankdata

    places = rankdata(np.stack(list(regrets.values())), axis=0).mean(axis=1)
    return dict(zip(regrets, places, strict=True))


def table(regrets: Mapping[str, np.ndarray], own: Mapping[str, float], budgets: Sequence[int]) -> str:
    """Mean regret with its 95 % interval and mean rank at each budget, best first, and the method's own time a job."""
    placed = ranks(regrets)
    head = f"{'method':24s}" + "".join(f"{f'{budget} trainings':>20s}" for budget in budgets) + f"{'ms a job':>10s}"
    lines = [head]
    for name in sorted(regrets, key=lambda name: float(regrets[name].mean())):
        cells = [
            f"{values.mean():.3f} ±{normal_interval(values):.3f} ({rank:.1f})".rjust(20)
            for values, rank in zip(regrets[name].T, placed[name], strict=True)
        ]
        lines.append(f"{name:24s}" + "".join(cells) + f"{1000 * own[name]:10.1f}")
    return "\n".join(lines)


def plot(regrets: Mapping[str, np.ndarray], budgets: Sequence[int], title: str, path: Path) -> None:
    """Mean regret over the budget, with 95 % intervals, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in sorted(regrets, key=lambda name: float(regrets[name].mean())):
        values = regrets[name]
        half = np.array([normal_interval(column) for column in values.T])
        (line,) = axes.plot(
            budgets, values.mean(axis=0), marker="o", label=name, linewidth=2.5 if name == "freeze_thaw" else 1.2
        )
        axes.fill_between(
            budgets, values.mean(axis=0) - half, values.mean(axis=0) + half, color=line.get_color(), alpha=0.08
        )
    axes.set_xscale("log")
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel("budget (full trainings)")
    axes.set_ylabel("normalised regret")
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.legend()
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
