"""`prepare` against the minimum work: reading and shrinking the same files on all cores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import data
from benchmarks.context import Context
from benchmarks.processes import MIB, Child, Measured, closing_all, run
from benchmarks.report import Report, Target

SIZE = 48
#: The loops that `prepare` is compared with.
WHAT = {
    "threads": "gray, threads",
    "processes": "gray, processes",
    "colour": "colour, threads",
    "files": "gray, and a copy and a link of each file",
}


def measure(context: Context) -> Report:
    folder, pairs = context.folder("prepare"), 5 if context.full else 2
    source = data.raw(folder / "raw", None if context.full else 6_000, folder / "raw.log")
    data.raw(folder / "quarter", 9_000 if context.full else 1_500, folder / "quarter.log")
    data.photos(folder / "photos", folder / "raw", 6_000 if context.full else 2_000)
    faces, photos = (_in_turn(context, folder / name, pairs) for name in ("raw", "photos"))
    smaller = _prepare(folder / "root-quarter", folder / "quarter")
    few = sum(1 for path in (folder / "quarter").rglob("*") if path.is_file())
    growth = (faces.peak - smaller.peak_pss) / (faces.count - few)
    return Report(
        ("what", "images/s", "seconds", "peak MiB"),
        [
            *faces.rows(source),
            [f"the same, {few:,} images only", few / smaller.seconds, smaller.seconds, round(smaller.peak_pss / MIB)],
            *photos.rows("{} × {} JPEGs".format(*data.PHOTO)),
        ],
        targets=(
            Target("prepare ÷ bare loop", faces.share("threads", "processes"), 0.8),
            # `prepare` compares photos in colour to find copies, so the loop to compare with reads colour.
            Target("prepare ÷ bare loop, photos", photos.share("colour"), 0.8),
            Target("first ÷ second prepare of an unchanged folder", faces.faster, 10),
        ),
        notes=(
            f"{faces.count:,} files of {faces.bytes_each:,.0f} bytes, and {photos.count:,} of "
            f"{photos.bytes_each:,.0f}, all read once before; the bare loop without its start, `prepare` with it "
            "(imports, integrity, duplicates, split, copies, manifests).",
            f"`prepare` reaches {faces.share('files'):.2f} of the loop that lays down the files of a workspace, too, "
            f"and {photos.share('threads', 'processes'):.2f} of the one that reads photos in gray.",
            f"Memory grows by {growth:,.0f} bytes an image.",
        ),
        data={"source": source, "images": faces.count},
        details={
            "images_per_second": {"faces": faces.rates, "photos": photos.rates},
            "bytes_per_image": growth,
            "second_ratio": faces.faster,
        },
    )


@dataclass(frozen=True)
class _Turns:
    """Measurements on the same files, one per pair.

    Attributes:
        count: number of files.
        bytes_each: mean size of a file.
        rates: images per second of each loop and of `prepare`.
        firsts: `prepare` of a new workspace.
        again: `prepare` of the same, unchanged folder right after that.
    """

    count: int
    bytes_each: float
    rates: dict[str, list[float]]
    firsts: list[Measured]
    again: list[Measured]

    @property
    def peak(self) -> int:
        return max(one.peak_pss for one in self.firsts)

    @property
    def faster(self) -> float:
        return median(one.seconds / other.seconds for one, other in zip(self.firsts, self.again, strict=True))

    def share(self, *loops: str) -> float:
        """Return the median over pairs of `prepare`'s rate ÷ that of the fastest of these loops."""
        least = map(max, zip(*(self.rates[loop] for loop in loops), strict=True))
        return median(ours / bare for ours, bare in zip(self.rates["prepare"], least, strict=True))

    def rows(self, files: str) -> list[list]:
        seconds, again = (median(one.seconds for one in found) for found in (self.firsts, self.again))
        return [
            *(
                [f"{files}: cv2.imread + cv2.resize, {what}", median(rates), self.count / median(rates), None]
                for rates, what in ((self.rates[kind], what) for kind, what in WHAT.items())
            ),
            [f"{files}: python -m tuning.prepare", median(self.rates["prepare"]), seconds, round(self.peak / MIB)],
            [
                "the same again, unchanged",
                self.count / again,
                again,
                round(max(one.peak_pss for one in self.again) / MIB),
            ],
        ]


def _in_turn(context: Context, raw: Path, pairs: int) -> _Turns:
    """Run the loops and `prepare` one after the other, `pairs` times."""
    files = [path for path in raw.rglob("*") if path.is_file()]
    rates: dict[str, list[float]] = {kind: [] for kind in (*WHAT, "prepare")}
    firsts, again = [], []
    loops = {
        kind: Child(["-m", "benchmarks.children.bare_loop", raw, SIZE, *how], raw.with_name(f"{raw.name}-{kind}.log"))
        for kind, how in {
            "threads": ["threads", "gray"],
            "processes": ["processes", "gray"],
            "colour": ["threads", "colour"],
            "files": ["processes", "gray", raw.with_name(f"{raw.name}-laid")],
        }.items()
    }
    with closing_all(loops.values()):
        for loop in loops.values():
            loop.round()
        for pair in range(pairs):
            context.say(f"{raw.name}: pair {pair + 1} of {pairs}")
            for kind, loop in loops.items():
                rates[kind].append(len(files) / loop.round()["seconds"])
            root = raw.with_name(f"{raw.name}-root-{pair}")
            firsts.append(_prepare(root, raw))
            rates["prepare"].append(len(files) / firsts[-1].seconds)
            again.append(_prepare(root, raw))
    return _Turns(len(files), sum(path.stat().st_size for path in files) / len(files), rates, firsts, again)


def _prepare(root: Path, raw: Path) -> Measured:
    command = ["-m", "tuning.prepare", "--root", root, "--raw", raw, "--image-size", SIZE, "--quiet"]
    return run(command, root.with_suffix(".log"), memory=0.1)
