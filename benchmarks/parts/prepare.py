"""`prepare` against the least that anybody could do: read and shrink the same files on all cores."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks import data
from benchmarks.context import Context
from benchmarks.processes import MIB, Child, run
from benchmarks.report import Report, Target

SIZE = 48
#: The loops that `prepare` is compared with.
WHAT = {"threads": "threads", "processes": "processes", "files": "and a copy and a link of each file"}


def measure(context: Context) -> Report:
    folder = context.folder("prepare")
    images = None if context.full else 6_000
    source = data.raw(folder / "raw", images, folder / "raw.log")
    data.raw(folder / "quarter", 9_000 if context.full else 1_500, folder / "quarter.log")
    rates: dict[str, list[float]] = {"threads": [], "processes": [], "files": [], "prepare": []}
    firsts, seconds, again = [], [], []
    loops = {
        name: Child(["-m", "benchmarks.children.bare_loop", folder / "raw", SIZE, *how], folder / f"{name}.log")
        for name, how in {
            "threads": ["threads"],
            "processes": ["processes"],
            "files": ["processes", folder / "laid"],
        }.items()
    }
    try:
        warm = [loop.round() for loop in loops.values()]
        count = warm[0]["images"]
        for pair in range(5 if context.full else 2):
            context.say(f"pair {pair + 1}")
            for kind, loop in loops.items():
                rates[kind].append(count / loop.round()["seconds"])
            firsts.append(_prepare(folder / f"root-{pair}", folder / "raw"))
            rates["prepare"].append(count / firsts[-1].seconds)
            seconds.append(firsts[-1].seconds)
            again.append(_prepare(folder / f"root-{pair}", folder / "raw"))
    finally:
        for loop in loops.values():
            loop.close()
    smaller = _prepare(folder / "root-quarter", folder / "quarter")
    few = sum(1 for path in (folder / "quarter").rglob("*") if path.is_file())
    growth = (max(one.peak_pss for one in firsts) - smaller.peak_pss) / (count - few)
    bare = [max(pair) for pair in zip(rates["threads"], rates["processes"], strict=True)]
    share = median(ours / least for ours, least in zip(rates["prepare"], bare, strict=True))
    laid = median(ours / least for ours, least in zip(rates["prepare"], rates["files"], strict=True))
    faster = median(one / other.seconds for one, other in zip(seconds, again, strict=True))
    peak = max(one.peak_pss for one in firsts) / MIB
    return Report(
        ("what", "images/s", "seconds", "peak MiB"),
        [
            *(
                [f"cv2.imread + cv2.resize, {what}", median(rates[kind]), count / median(rates[kind]), None]
                for kind, what in WHAT.items()
            ),
            ["python -m tuning.prepare", median(rates["prepare"]), median(seconds), round(peak)],
            [f"the same, {few:,} images only", few / smaller.seconds, smaller.seconds, round(smaller.peak_pss / MIB)],
            [
                "the same again, unchanged",
                count / median(one.seconds for one in again),
                median(one.seconds for one in again),
                round(max(one.peak_pss for one in again) / MIB),
            ],
        ],
        targets=(
            Target("prepare ÷ bare loop", share, 0.8),
            Target("first ÷ second prepare of an unchanged folder", faster, 10),
        ),
        notes=(
            f"{count:,} files, all read once before; the bare loop without its start, `prepare` with it (imports, "
            "integrity, duplicates, split, copies, manifests). "
            f"`prepare` reaches {laid:.2f} of the loop that lays down the files of a workspace, too.",
            f"Memory grows by {growth:,.0f} bytes an image.",
        ),
        data={"source": source, "images": count},
        details={
            "images_per_second": rates,
            "bytes_per_image": growth,
            "second_ratio": faster,
            "of_the_loop_with_files": laid,
        },
    )


def _prepare(root: Path, raw: Path):
    command = ["-m", "tuning.prepare", "--root", root, "--raw", raw, "--image-size", SIZE, "--quiet"]
    return run(command, root.with_suffix(".log"), memory=0.1)
