"""Renders `pool_report.html`: the health of a pool on one self-contained page."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from tuning.core.errors import DataError
from tuning.core.html import document
from tuning.dataset import decode
from tuning.dataset.sources.samples import PooledImage
from tuning.dataset.splitting.near_duplicates import NearPair
from tuning.dataset.store.description import SPLITS
from tuning.dataset.store.manifests import SplitManifest
from tuning.dataset.summary import PoolSummary

_SAMPLES = 13
_EXTREMES = 13
_SETS = 24
_IN_A_SET = 5
_REJECTED = 200
#: Longer side of a picture in the page, in pixels.
_SIDE = 64
#: Images are constant below this standard deviation of 256 gray levels.
_CONSTANT = 1.0
#: CSS in addition to that of `tuning.core.html`.
_STYLE = """
td.bar { width: 40%; min-width: 8rem; } .bar div { display: flex; height: .8rem; }
.bar i, .key { display: inline-block; } .key { width: .7rem; height: .7rem; margin-right: .3rem; border-radius: .1rem; }
.train { background: var(--train); } .val { background: var(--val); } .test { background: var(--test); }
.strip, .sets { display: flex; flex-wrap: wrap; gap: .6rem; }
.set { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; background: var(--card); border-radius: .4rem;
  padding: .5rem; } .set p { flex-basis: 100%; margin: 0; color: var(--soft); font-size: .75rem; text-align: center; }
figure { margin: 0; width: 4.4rem; } figure img { display: block; width: 4.4rem; height: 4.4rem; object-fit: contain;
  background: var(--card); border-radius: .2rem; image-rendering: auto; }
@media (max-width: 40rem) { td.bar, thead th:last-child { display: none; } th, td { padding: .3rem .35rem; } }
table.list th { text-align: left; }
figcaption { font-size: .68rem; line-height: 1.25; color: var(--soft); overflow-wrap: anywhere; max-height: 3.75em;
  overflow: hidden; }
@media print { .set { break-inside: avoid; } }
"""


class _Pictures:
    """Renders images of the pool as `<figure>` elements with embedded pixels."""

    def __init__(self, images: Sequence[PooledImage], splits: Mapping[str, str], folder: Path) -> None:
        self.images, self._splits, self._folder = images, splits, folder

    def figure(self, row: int, caption: str = "") -> str:
        image = self.images[row]
        where = self._splits.get(image.file, "left out")
        title = escape(f"{image.source} · {image.label} · {image.width}×{image.height} · {where}", quote=True)
        lines = [caption] if caption else [image.label, where]
        return (
            f'<figure title="{title}"><img src="{self._data(image)}" alt="{title}">'
            f"<figcaption>{'<br>'.join(map(escape, lines))}</figcaption></figure>"
        )

    def _data(self, image: PooledImage) -> str:
        try:
            pixels = decode.read_image(self._folder / image.file)
        except (DataError, OSError):
            return ""
        scale = _SIDE / max(pixels.shape[:2])
        if scale < 1:
            size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        ok, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if ok else ""


def render(
    summary: PoolSummary,
    images: Sequence[PooledImage],
    manifest: SplitManifest,
    pairs: Sequence[NearPair],
    measures: np.ndarray,
    folder: Path,
) -> str:
    """Renders the page.

    Args:
        images: every usable image, including those that were dropped.
        manifest: the split of those that were not.
        pairs: near copies, as positions in `images`.
        measures: float32 (n, 3), of `images`, see `signature`.
        folder: the pool, with all of `images`.
    """
    pictures = _Pictures(images, {place.file: place.split for place in manifest.places}, folder)
    sections = [
        _overview(summary),
        _classes(summary),
        _samples(pictures, summary),
        _conflicts(pictures, summary),
        _copies(pictures, summary),
        _near(pictures, pairs),
        _extremes(pictures, measures),
        _rejected(summary),
        _notes(summary),
    ]
    return document("Pool report", "\n".join(filter(None, sections)), _STYLE)


def _overview(summary: PoolSummary) -> str:
    leak = summary.leakage
    kind, verdict = ("open", "Leakage: not checked.") if leak is None else leak.verdict
    naive = ""
    if summary.naive:
        naive = f"<p>A split that places every image separately would leak {escape(summary.naive.words)}.</p>"
    facts = [
        ("images", summary.images),
        ("classes", len(summary.counts)),
        ("exact copies", summary.redundant),
        ("near copies", summary.near.images),
        ("conflicts", len(summary.conflicts)),
        ("dropped", summary.dropped),
        ("not usable", len(summary.rejected)),
    ]
    if summary.subjects is not None:
        facts.insert(2, ("persons", summary.subjects))
    doubts = "".join(f"<p>{escape(words)}</p>" for words in (*summary.who, *summary.small_classes))
    grouping = summary.grouping[0].upper() + summary.grouping[1:]
    tiles = "".join(f"<div><b>{value:,}</b><span>{name}</span></div>" for name, value in facts)
    return (
        f"<header><h1>Pool report</h1><p>{escape(summary.source)} in <code>{escape(summary.raw)}</code></p></header>\n"
        f'<p class="verdict {kind}">{escape(verdict)}</p>\n<p>{escape(grouping)}.</p>\n{doubts}{naive}\n'
        f'<div class="tiles">{tiles}</div>'
    )


def _classes(summary: PoolSummary) -> str:
    largest = max(sum(splits.values()) for splits in summary.counts.values())
    rows = []
    for label, splits in summary.counts.items():
        total = sum(splits.values())
        cells = "".join(f"<td>{splits[split]:,}</td>" for split in SPLITS)
        bars = "".join(
            f'<i class="{split}" style="width:{100 * splits[split] / largest:.2f}%"></i>' for split in SPLITS
        )
        rows.append(
            f'<tr><th>{escape(label)}</th>{cells}<td><b>{total:,}</b></td><td class="bar"><div>{bars}</div></td></tr>'
        )
    sums = {split: sum(splits[split] for splits in summary.counts.values()) for split in SPLITS}
    foot = "".join(f"<td>{sums[split]:,}</td>" for split in SPLITS)
    heads = "".join(f'<th><i class="key {split}"></i>{split}</th>' for split in SPLITS)
    return (
        f'<section><h2>Classes and splits</h2><div class="scroll"><table><thead><tr><th>class</th>{heads}<th>all</th>'
        f"<th></th></tr></thead><tbody>{''.join(rows)}</tbody><tfoot><tr><th>all</th>{foot}"
        f"<td><b>{summary.images:,}</b></td><td></td></tr></tfoot></table></div>"
        f"<p>{escape(summary.imbalance.words)}</p></section>"
    )


def _samples(pictures: _Pictures, summary: PoolSummary) -> str:
    """Shows the images of each class with the smallest sha256: always the same for the same pool."""
    by_label: dict[str, list[int]] = {label: [] for label in summary.counts}
    for row, image in enumerate(pictures.images):
        if image.label in by_label:
            by_label[image.label].append(row)
    parts = []
    for label, rows in by_label.items():
        rows.sort(key=lambda row: pictures.images[row].sha256)
        shown = "".join(pictures.figure(row, pictures.images[row].source.rpartition("/")[2]) for row in rows[:_SAMPLES])
        parts.append(f'<h3>{escape(label)}</h3><div class="strip">{shown}</div>')
    return f"<section><h2>Samples of each class</h2>{''.join(parts)}</section>"


def _conflicts(pictures: _Pictures, summary: PoolSummary) -> str:
    if not summary.conflicts:
        return ""
    rows = _rows_by_pixels(pictures.images)
    sets = [_set(pictures, rows[conflict.sha256]) for conflict in summary.conflicts[:_SETS]]
    done = {"drop": "all of them are left out", "keep": "all of them stay", "majority": "the majority's label stays"}
    lead = f"Equal pixels, different labels; {done[summary.on_conflict]} (--on-conflict {summary.on_conflict})."
    return _section("Conflicts", lead, sets, len(summary.conflicts))


def _copies(pictures: _Pictures, summary: PoolSummary) -> str:
    conflicting = {conflict.sha256 for conflict in summary.conflicts}
    found = [rows for sha, rows in _rows_by_pixels(pictures.images).items() if len(rows) > 1 and sha not in conflicting]
    found.sort(key=lambda rows: (-len(rows), rows))
    sets = [_set(pictures, rows) for rows in found[:_SETS]]
    return _section("Exact copies", "The same pixels; each set lies in one split.", sets, len(found)) if sets else ""


def _near(pictures: _Pictures, pairs: Sequence[NearPair]) -> str:
    """Shows the doubtful pairs first: different labels (at most half of all shown), then mirrored, then least alike."""
    images = pictures.images
    order = sorted(
        pairs,
        key=lambda p: (images[p.one].label == images[p.other].label, not p.mirrored, p.correlation, p.one, p.other),
    )
    different = sum(images[pair.one].label != images[pair.other].label for pair in pairs)
    sets = []
    for pair in [
        *order[: _SETS // 2],
        *[p for p in order[_SETS // 2 :] if images[p.one].label == images[p.other].label],
    ][:_SETS]:
        words = f"{pair.correlation:.3f}{', mirrored' * pair.mirrored}"
        sets.append(_set(pictures, [pair.one, pair.other], words))
    lead = (
        "Pairs of one picture at another brightness, size or quality, with the correlation of their thumbnails. "
        f"They share a split. {different:,} of {len(pairs):,} pairs have different labels and are worth checking."
    )
    return _section("Near copies", lead, sets, len(pairs)) if sets else ""


def _extremes(pictures: _Pictures, measures: np.ndarray) -> str:
    brightness, contrast, sharpness = measures.T
    constant, seen = np.flatnonzero(contrast < _CONSTANT), np.flatnonzero(contrast >= _CONSTANT)
    kinds = (
        ("Darkest", seen[np.argsort(brightness[seen], kind="stable")], brightness, "mean {:.0f}"),
        ("Brightest", seen[np.argsort(-brightness[seen], kind="stable")], brightness, "mean {:.0f}"),
        ("Blurriest", seen[np.argsort(sharpness[seen], kind="stable")], sharpness, "sharpness {:.0f}"),
        (f"Constant ({len(constant):,})", constant, brightness, "gray {:.0f}"),
    )
    parts = []
    for title, rows, values, words in kinds:
        shown = "".join(pictures.figure(int(row), words.format(values[row])) for row in rows[:_EXTREMES])
        parts.append(f'<h3>{title}</h3><div class="strip">{shown or "<p>none</p>"}</div>')
    return (
        "<section><h2>Darkest, brightest, blurriest, constant</h2><p>Measured on 48 × 48 gray thumbnails; brightness "
        f"from 0 to 255, sharpness is the variance of the Laplacian.</p>{''.join(parts)}</section>"
    )


def _rejected(summary: PoolSummary) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(entry.source)}</code></td><td>{escape(entry.reason)}</td></tr>"
        for entry in summary.rejected[:_REJECTED]
    )
    more = len(summary.rejected) - _REJECTED
    reasons = "".join(
        f"<tr><td>{entry.count:,}</td><td>{entry.outcome}</td><td>{escape(entry.reason)}</td>"
        f"<td><code>{escape(entry.example)}</code></td><td>{escape(entry.remedy)}</td></tr>"
        for entry in summary.account
    )
    heads = "<tr><th>files</th><th></th><th>reason</th><th>such as</th><th>what to do</th></tr>"
    return (
        "<section><h2>Not usable</h2>"
        + (f'<div class="scroll"><table class="list">{heads}{reasons}</table></div>' if reasons else "")
        + (
            f'<div class="scroll"><table class="list">{rows}</table></div>'
            if rows
            else "<p>Every image could be used.</p>"
        )
        + (f"<p>… and {more:,} more in pool_summary.json.</p>" if more > 0 else "")
        + "</section>"
    )


def _notes(summary: PoolSummary) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in summary.notes)
    return f"<section><h2>Notes</h2><ul>{items}</ul></section>" if items else ""


def _rows_by_pixels(images: Iterable[PooledImage]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        found.setdefault(image.sha256, []).append(row)
    return found


def _set(pictures: _Pictures, rows: Sequence[int], words: str = "") -> str:
    shown = "".join(map(pictures.figure, rows[:_IN_A_SET]))
    more = f"<span>+{len(rows) - _IN_A_SET}</span>" if len(rows) > _IN_A_SET else ""
    caption = f"<p>{escape(words)}</p>" if words else ""
    return f'<div class="set">{shown}{more}{caption}</div>'


def _section(title: str, lead: str, sets: Sequence[str], total: int) -> str:
    more = f"<p>… and {total - len(sets):,} more.</p>" if total > len(sets) else ""
    shown = f'<div class="sets">{"".join(sets)}</div>'
    return f"<section><h2>{title} ({total:,})</h2><p>{escape(lead)}</p>{shown}{more}</section>"
