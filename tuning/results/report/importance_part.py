"""The section about the importance of hyperparameters: bars with whiskers, without a script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tuning.results.report.comparable import AS_ABOVE, Comparable, epochs_text, explained_text, not_told
from tuning.results.report.data import MOST_AXES
from tuning.results.report.html import remark, section, switch
from tuning.results.report.importance import HIGH, LOW, Importance, most_telling


def importance_part(compared: Comparable, found: Sequence[Importance]) -> str:
    """Returns the section with the importances at each budget, or the reason if no budget's scores can be explained."""
    lead = (
        "A random forest predicts the score from the hyperparameters. Each hyperparameter is then shuffled on "
        "configurations that the forest has not seen; its bar is the growth of the squared error, as a share of the "
        f"variance of the scores. Whiskers reach from the {100 * LOW:.0f} % to the {100 * HIGH:.0f} % quantile over "
        "folds and shuffles (Breiman 2001; scikit-learn). A bar whose whiskers reach 0 or below may be chance."
    )
    if compared.why_not:
        return section("importance", "Importance of hyperparameters", "", remark(AS_ABOVE))
    return section("importance", "Importance of hyperparameters", lead, f'<div class="card">{_budgets(found)}</div>')


def _budgets(found: Sequence[Importance]) -> str:
    panels = [_bars(entry) for entry in found]
    if len(found) == 1:
        return panels[0]
    names = [f"after {epochs_text(entry.epochs or 0)} ({entry.configurations})" for entry in found]
    return switch("budget", names, panels, found.index(most_telling(found)))


def _bars(found: Importance) -> str:
    if not found.tells:
        return remark(not_told(found))
    low = min(0.0, *(share.low for share in found.shares))
    high = max(0.01, *(share.high for share in found.shares))

    def at(value: float) -> float:
        return 100 * (value - low) / (high - low)

    words = (
        f"From {found.configurations} configurations, the forest explains {explained_text(found)} of the variance of "
        "unseen scores."
    )
    rows = []
    for share in found.shares[:MOST_AXES]:
        left, right = sorted((at(0), at(share.mean)))
        bar = f'<i style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        whisker = f'<b style="left:{at(share.low):.2f}%;width:{at(share.high) - at(share.low):.2f}%"></b>'
        rows.append(
            f'<div class="row"><span class="name">{escape(share.name)}</span>'
            f'<span class="track"><u style="left:{at(0):.2f}%"></u>{bar}{whisker}</span>'
            f'<span class="number">{share.mean:z.2f} '
            f'<span class="soft">({share.low:z.2f} to {share.high:z.2f})</span></span></div>'
        )
    return f'{remark(words)}<div class="bars">{"".join(rows)}</div>'
