"""How often real models that differ only in their seed are called worse than each other.

python -m benchmarks.equal_models --root WORKSPACE                  # of a prepared data set
python -m benchmarks.equal_models --root WORKSPACE --seeds 10 --epochs 12

Two configurations of `baseline_cnn`, its default and the same with normalised blocks, are trained with many seeds each,
by a search named `equal-models` (once: a second call only counts). Then boards are drawn from these runs, on which
seeds of one configuration appear as if they were several configurations. These are equal by construction, so each that
is called worse is a false claim. All boards use the same runs and test images, so they show that the procedure works
on real seeds, but not with what precision.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.claims import said_worse
from tuning.core.workspace import Workspace
from tuning.results.answers import Answers, read_answers
from tuning.results.comparison import Comparison, Entrant
from tuning.results.runs import read_run, runs_of
from tuning.trials.bootstrap import TAILS, Resampled, resample

NAME = "equal-models"


@dataclass(frozen=True)
class Layout:
    """A kind of board.

    Attributes:
        rows: rows made from one configuration.
        seeds: runs in each of these rows.
        beside: runs of the other configuration on the same board.
    """

    rows: int
    seeds: int
    beside: int

    @property
    def words(self) -> str:
        other = f", {self.beside} seeds of the other one beside them" * (self.beside > 0)
        return f"{self.rows} rows of one configuration, {self.seeds} seed{'s' * (self.seeds > 1)} each{other}"


LAYOUTS = (Layout(2, 1, 0), Layout(2, 1, 2), Layout(4, 1, 2), Layout(2, 2, 0), Layout(2, 2, 2), Layout(4, 2, 2))


@dataclass(frozen=True)
class Counts:
    """Shares of the boards of a layout on which a row is called worse than an equal one.

    Attributes:
        boards: number of boards drawn.
        said: share according to the leaderboard.
        seeds_left_out: according to the same comparison without the variance between seeds.
        plain: according to a paired bootstrap of the best row and each other row, uncorrected for multiple comparisons.
    """

    boards: int
    said: float
    seeds_left_out: float
    plain: float


def trained(workspace: Workspace, seeds: int, epochs: int) -> None:
    """Train both configurations, unless their runs exist already."""
    if len(runs_of(workspace, NAME)) >= 2 * seeds:
        return
    options = f"--strategy random --max-trials 2 --max-epochs {epochs} --top-k 2 --executions {seeds} --no-ensemble"
    second = "--try block=normalised --no-starting-points"
    command = [sys.executable, "-m", "tuning.search", "--root", str(workspace.root), "--name", NAME]
    if code := subprocess.run([*command, *options.split(), *second.split()]).returncode:
        raise SystemExit(code)


def configurations(workspace: Workspace) -> list[list[Answers]]:
    """Return the runs' answers grouped by configuration, the largest group first."""
    found: dict[str, list[Answers]] = {}
    for folder in runs_of(workspace, NAME):
        if (answers := read_answers(workspace, read_run(folder))) is not None:
            found.setdefault(answers.metrics.config_digest, []).append(answers)
    return sorted(found.values(), key=lambda group: (-len(group), group[0].metrics.run_id))


def count(found: Resampled, groups: Sequence[Sequence[int]], layout: Layout, boards: int, seed: int = 0) -> Counts:
    """Draw boards from the columns of `found` and count false claims; `groups` holds the columns per configuration."""
    rng, wrong = np.random.default_rng(seed), np.zeros(3)
    for board in range(boards):
        own, other = groups[board % 2], groups[1 - board % 2]
        drawn = rng.permutation(own)[: layout.rows * layout.seeds].reshape(layout.rows, layout.seeds)
        beside = rng.permutation(other)[: layout.beside]
        columns = np.concatenate([drawn.ravel(), beside])
        names = [*np.repeat(np.arange(layout.rows), layout.seeds).tolist(), *[-1] * layout.beside]
        part = found.of(columns)
        means = found.scores[drawn].mean(axis=1)
        best = int(means.argmax())
        firsts = range(0, layout.rows * layout.seeds, layout.seeds)
        wrong[:2] += said_worse(names, part, firsts, firsts[best])
        resampled = found.inside[:, drawn].mean(axis=2)
        apart = np.quantile(resampled - resampled[:, [best]], TAILS[1], axis=0)
        wrong[2] += bool((apart < 0).any())
    return Counts(boards, *(wrong / boards).tolist())


def report(workspace: Workspace, boards: int) -> None:
    groups = configurations(workspace)[:2]
    answers = [one for group in groups for one in group]
    first = answers[0]
    found = resample(first.labels, [one.predicted for one in answers], len(first.metrics.classes), first.units)
    columns = [list(range(len(groups[0]))), list(range(len(groups[0]), len(answers)))]
    print(f"{len(first.labels):,} test images; test macro-F1 over seeds:")
    for group, places in zip(groups, columns, strict=True):
        scores = found.scores[places]
        print(
            f"  {group[0].metrics.kind}: {scores.mean():.3f} ± {scores.std(ddof=1):.3f} ({len(places)} seeds of "
            f"{group[0].metrics.epochs} epochs), lowest {scores.min():.3f}, highest {scores.max():.3f}"
        )
    noise = Comparison([Entrant(place) for place, part in enumerate(columns) for _ in part], found).noise
    if noise is not None:
        print(f"  between seeds, beyond the choice of test images: {noise.deviation:.3f}, degrees {noise.degrees}")
    print("board | boards | said worse | seeds left out | plain paired bootstrap")
    for layout in LAYOUTS:
        if layout.rows * layout.seeds <= min(map(len, columns)):
            got = count(found, columns, layout, boards)
            figures = " | ".join(f"{share:.3f}" for share in (got.said, got.seeds_left_out, got.plain))
            print(f"{layout.words} | {got.boards} | {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.equal_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="a workspace with prepared data")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="of each configuration (default: 10)")
    parser.add_argument("--epochs", type=int, default=12, metavar="N", help="of each training (default: 12)")
    parser.add_argument("--boards", type=int, default=200, metavar="N", help="drawn for a row (default: 200)")
    args = parser.parse_args()
    workspace = Workspace(args.root)
    trained(workspace, args.seeds, args.epochs)
    report(workspace, args.boards)


if __name__ == "__main__":
    main()
