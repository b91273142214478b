"""The results of the benchmark as a table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.strategies.problem import normal_interval
from tuning.core.files import replacing

#: Methods drawn with a thicker line.
EMPHASISED = ("hyperband",)


@dataclass(frozen=True)
class Measured:
    """The results of a method.

    Attributes:
        regrets: (tasks, seeds, budgets).
        seconds_per_job: the method's own processor time per job.
    """

    regrets: np.ndarray
    seconds_per_job: float

    @staticmethod
    def of(entry: Mapping[str, Any]) -> Measured:
        return Measured(np.array(entry["regrets"]), entry["seconds_per_job"])

    @property
    def mean(self) -> np.ndarray:
        """Mean regret over tasks and seeds, (budgets,)."""
        return self.regrets.mean(axis=(0, 1))

    @property
    def half(self) -> np.ndarray:
        """Half the width of the 95 % interval of the mean over all runs, (budgets,)."""
        return np.array([normal_interval(values) for values in self.regrets.reshape(-1, self.regrets.shape[2]).T])


def ranks(found: Mapping[str, Measured]) -> dict[str, np.ndarray]:
    """Return the mean rank (budgets,) of each method: ranks of the mean over seeds per task; ties share their rank."""
    from scipy.stats import rankdata

    places = rankdata(np.stack([measured.regrets.mean(axis=1) for measured in found.values()]), axis=0).mean(axis=1)
    return dict(zip(found, places, strict=True))


def table(found: Mapping[str, Measured], budgets: Sequence[int]) -> str:
    """Format mean regret with 95 % interval and mean rank per budget, best first, and each method's time per job."""
    placed = ranks(found)
    head = f"{'method':24s}" + "".join(f"{f'{budget} trainings':>20s}" for budget in budgets)
    lines = [f"{head}{'seeds':>7s}{'ms a job':>10s}"]
    for name, measured in sorted(found.items(), key=lambda item: float(item[1].mean.mean())):
        cells = [
            f"{mean:.3f} {_interval(half)} ({rank:.1f})".rjust(20)
            for mean, half, rank in zip(measured.mean, measured.half, placed[name], strict=True)
        ]
        seeds = measured.regrets.shape[1]
        lines.append(f"{name:24s}{''.join(cells)}{seeds:7d}{1000 * measured.seconds_per_job:10.1f}")
    return "\n".join(lines)


def _interval(half: float) -> str:
    """Format half an interval; a single run has none."""
    return "–" if np.isnan(half) else f"±{half:.3f}"


def plot(found: Mapping[str, Measured], budgets: Sequence[int], title: str, path: Path) -> None:
    """Plot mean regret over the budget, with 95 % intervals, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    # Ten colours, then the same ten with another marker and line style.
    for number, (name, measured) in enumerate(sorted(found.items(), key=lambda item: float(item[1].mean.mean()))):
        mean, half = measured.mean, measured.half
        style = {"linewidth": 2.5 if name in EMPHASISED else 1.2, "marker": "o" if number < 10 else "D"}
        style |= {"linestyle": "-" if number < 10 else "--", "color": f"C{number % 10}"}
        (line,) = axes.plot(budgets, mean, label=name, **style)
        axes.fill_between(budgets, mean - half, mean + half, color=line.get_color(), alpha=0.08)
    axes.set_xscale("log")
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel("budget (full trainings)")
    axes.set_ylabel("normalised regret")
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
