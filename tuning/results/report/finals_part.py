"""The section about the retrained runs on the test split: confusion matrices, classes, calibration, worst mistakes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np

from tuning.history.records import FinalRun
from tuning.results.report import charts
from tuning.results.report.evidence import Evidence, Mistake
from tuning.results.report.html import RUNS, card, remark, section, switch, table
from tuning.results.report.validation_part import validation_table
from tuning.results.schema import Metrics, overlap_words
from tuning.trials.calibration import Calibration

#: From this share of the true class on, a cell is dark enough for text in the background colour.
_STRONG = 0.55
#: With more classes than this, the table is too large to be useful.
_MOST_CLASSES = 40


def finals_part(runs: Sequence[Evidence], finals: Sequence[FinalRun]) -> str:
    """Returns the section with every retrained run, best test score first, then the failed and unfinished ones."""
    if not finals:
        words = "No finalist has been retrained: the test split is sealed."
        return section("finalists", "Finalists", "", remark(words))
    lost = "".join(f"<p>{escape(words)}</p>" for words in map(_missing, finals) if words)
    lead = (
        "Each was evaluated once on the test split, at the epoch chosen on validation. Times are per image, in large "
        "batches, on one thread of the machine that evaluated it."
    )
    shown = "".join(_run(place, run) for place, run in enumerate(runs))
    return section("finalists", "Finalists", lead, validation_table(runs) + shown + lost)


def _missing(final: FinalRun) -> str:
    if final.error:
        return f"{final.run_id} failed: {final.error}"
    return "" if final.published else f"{final.run_id} is not finished yet."


def _run(place: int, run: Evidence) -> str:
    metrics, test = run.metrics, run.metrics.test
    low, high = run.interval
    role = f"finalist {metrics.rank}, " if metrics.rank and not run.is_baseline else ""
    head = (
        f"{role}{escape(run.name)} <span class='soft'>· test macro-F1 {run.score:.3f} ({low:.3f}–{high:.3f}) · "
        f"accuracy {test.accuracy:.3f} · {metrics.parameters:,} parameters · {_milliseconds(metrics)} ms an image · "
        f"{_epoch(metrics)}</span>"
    )
    calibrated = ""
    if run.calibration:
        excess = run.calibration.overconfident
        if abs(excess) < 0.02:
            words = "on average its confidence is about right"
        else:
            too = "high" if excess > 0 else "low"
            words = f"on average its confidence is {100 * abs(excess):.1f} percentage points too {too}"
        note = (
            f"Expected calibration error {_calibration_error(run.calibration)} (15 bins, Guo et al. 2017): {words}."
            f"{_without_temperature(run)} Bars are accuracy, orange lines the mean confidence; paler bars hold fewer "
            "images."
        )
        calibrated = card("Calibration", remark(note) + _reliability(place, run.calibration, run.untempered))
    link = f'<a href="{RUNS}/{quote(metrics.run_id)}/">artifacts/trials/{escape(metrics.run_id)}</a>'
    if run.short:
        link = f"<b>{run.short}</b> in the leaderboard and for commands; {link}"
    return (
        f'<details class="run"{" open" * (place == 0)}><summary>{head}</summary>'
        f"{remark(link)}{_validated(run)}{_base(metrics)}{_additions(metrics)}"
        f'<div class="pair">{card("Confusion matrix", _matrix(place, run))}{calibrated}</div>'
        f"{_classes(run)}{_mistakes(run.mistakes)}</details>"
    )


def _milliseconds(metrics: Metrics) -> str:
    """Formats the time per image with two significant digits, or as an integer from 100 ms on."""
    return format(metrics.milliseconds, ".2g" if metrics.milliseconds < 99.5 else ",.0f")


def _reliability(place: int, found: Calibration, before: Calibration | None) -> str:
    """Returns the reliability diagram; if the graph has a temperature, also the diagram without it."""
    if before is None:
        return charts.reliability(found)
    names = ["as published", "without its temperature"]
    return switch(f"reliability-{place}", names, [charts.reliability(one) for one in (found, before)])


def _calibration_error(found: Calibration) -> str:
    return f"{found.error:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"


def _without_temperature(run: Evidence) -> str:
    """Returns a sentence about the calibration without the temperature in the graph; empty if there is none."""
    if run.untempered is None:
        return ""
    return f" Without the temperature in its graph, fitted on validation, it is {_calibration_error(run.untempered)}."


def _validated(run: Evidence) -> str:
    """Returns the validation score, what it refers to, and the explanation of the losses."""
    if run.metrics.kind == "ensemble":
        what = "of the mean of its members, which were chosen on validation; no epoch is chosen"
    else:
        what = "of the published model, whose epoch was chosen on validation; the test score is of the same model"
    return remark(escape(f"Validation macro-F1 {run.metrics.val.f1_macro:.3f}, {what}. {run.loss}".strip()))


def _epoch(metrics: Metrics) -> str:
    if metrics.kind == "ensemble":
        return "the mean of several runs, see its params.json"
    return f"epoch {metrics.best_epoch} of {metrics.epochs}"


def _base(metrics: Metrics) -> str:
    """Returns the run's base model and its overlap with the validation and test split; empty if there is no base."""
    base = metrics.base
    if base is None:
        return ""
    words = (
        f"started from {base.name} (sha256 {base.sha256[:12]}…), trained on {base.trained_on or 'something unknown'}"
    )
    overlap = f"validation and test images that it had seen: {overlap_words(base.overlap)}"
    return remark(escape(f"{words}; {overlap}"))


def _additions(metrics: Metrics) -> str:
    """Returns the additions to the network in the graph, with their effect on validation; empty if there are none."""
    if metrics.additions is None:
        return ""
    words = [
        f"{name.replace('_', ' ')} (validation macro-F1 {found.f1_macro_before:.3f} → {found.f1_macro_after:.3f}, "
        f"cross-entropy {found.loss_before:.3f} → {found.loss_after:.3f})"
        for name, found in msgspec.structs.asdict(metrics.additions).items()
        if found.used
    ]
    return remark(f"Added to the network in its graph: {'; '.join(words)}.") if words else ""


def _matrix(place: int, run: Evidence) -> str:
    classes, counts = run.metrics.classes, np.array(run.metrics.test.confusion_matrix)
    if len(classes) > _MOST_CLASSES:
        return remark("Too many classes for a table; see the pictures in the run's folder.")
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    panels = [_cells(classes, shares, [[f"{v:.2f}" for v in row] for row in shares])]
    panels.append(_cells(classes, shares, [[str(v) for v in row] for row in counts]))
    return switch(f"matrix-{place}", ["share of the true class", "images"], panels)


def _cells(classes: Sequence[str], shares: np.ndarray, texts: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in classes)
    rows = []
    for row, name in enumerate(classes):
        cells = []
        for column, other in enumerate(classes):
            share = shares[row, column]
            kind = " ".join(["strong"] * bool(share >= _STRONG) + ["right"] * (row == column))
            title = escape(f"{name} taken for {other}: {100 * share:.1f} %", quote=True)
            cells.append(f'<td class="{kind}" style="--share:{share:.3f}" title="{title}">{texts[row][column]}</td>')
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    corner = '<th class="corner">true ↓<br>predicted →</th>'
    return table("matrix", f"<tr>{corner}{head}</tr>", "".join(rows))


def _classes(run: Evidence) -> str:
    test = run.metrics.test
    rows = [
        _class_row(
            f"{escape(name)}{' <span class=soft>too few to tell</span>' * found.few}",
            (found.precision, found.precision_interval),
            (found.recall, found.recall_interval),
            (found.f1, found.f1_interval),
            found.support,
        )
        for name, found in test.per_class.items()
    ]
    total = _class_row(
        "macro mean",
        (test.precision_macro, None),
        (test.recall_macro, None),
        (test.f1_macro, test.f1_macro_interval),
        test.images,
    )
    head = "".join(f"<th>{name}</th>" for name in ("class", "precision", "recall", "F1", "images"))
    shown = table("numbers classes", f"<tr>{head}</tr>", "".join(rows), total)
    return card('Classes <span class="soft">with 95 % intervals</span>', shown)


def _class_row(name: str, *cells: Any) -> str:
    """Returns a table row.

    Args:
        name: first cell, as HTML.
        cells: (value, interval or None) for each figure, and at last the number of images.
    """
    *figures, images = cells
    shown = "".join(
        f'<td>{value:.3f}{_bounds(bounds)}<span class="meter" style="--share:{value:.3f}"></span></td>'
        for value, bounds in figures
    )
    return f"<tr><th>{name}</th>{shown}<td>{images:,}</td></tr>"


def _bounds(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f' <span class="soft">{bounds[0]:.2f}–{bounds[1]:.2f}</span>'


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return ""
    figures = "".join(
        f'<figure><img src="{_picture(entry.pixels)}" alt="a test image of class {escape(entry.label, quote=True)}" '
        f'title="{escape(entry.source, quote=True)}"><figcaption>{_answer(entry.label, entry.label_share)}<br>'
        f'<span class="wrong">→ {_answer(entry.guess, entry.guess_share)}</span></figcaption></figure>'
        for entry in mistakes
    )
    names = "".join(f"<li><code>{escape(entry.source)}</code></li>" for entry in mistakes if entry.source)
    files = f"<details><summary>their files, in this order</summary><ol>{names}</ol></details>" if names else ""
    lead = (
        "The misclassified test images whose true class got the lowest probability; some of their labels may be wrong."
    )
    return card("Worst mistakes", f'{remark(lead)}<div class="strip">{figures}</div>{files}')


def _answer(name: str, share: float) -> str:
    return escape(f"{name} ({_percent(share)})")


def _percent(share: float) -> str:
    """Formats a probability in percent; shows 100 % or 0 % only if it is exact."""
    return "> 99\u00a0%" if 0.995 <= share < 1 else "< 1\u00a0%" if 0 < share < 0.01 else f"{100 * share:.0f}\u00a0%"


def _picture(pixels: np.ndarray) -> str:
    import cv2

    # OpenCV expects BGR.
    ok, png = cv2.imencode(".png", pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels)
    return f"data:image/png;base64,{base64.b64encode(png).decode()}" if ok else ""
