"""Comparisons between the leaderboard's rows: ties with the best run, statistics over seeds, uses of the test split.
Everything is derived from the runs' own files; nothing is written."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuning.core.workspace import Workspace
from tuning.history import searches
from tuning.results.aliases import aliases
from tuning.results.answers import boards, configuration
from tuning.results.leaderboard import DIGEST_LENGTH, Row, row
from tuning.results.runs import run_folders
from tuning.results.schema import Evaluation, Metrics

if TYPE_CHECKING:
    from tuning.results.comparison import Difference, SeedNoise

BEST = "best"


@dataclass(frozen=True)
class Seeds:
    """Test macro-F1 of one configuration over training seeds.

    Attributes:
        count: number of different seeds.
        mean, deviation: mean and sample standard deviation over the seeds.
        runs: ids of all runs of the configuration, including those that repeat a seed.
    """

    count: int
    mean: float
    deviation: float
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard with its comparison to the best run on the same data.

    Attributes:
        row: the row.
        test: the run's test figures.
        name: the run's short name in its workspace.
        place: rank in the leaderboard, from 1.
        verdict: "best" for the best run. Otherwise "tied" if the 95 % interval of the difference to the best includes
            0. If it excludes 0: "seeds unknown" if no configuration was trained with two seeds, else "worse", or
            "better in the mean" if this configuration is the better one over its seeds. None if the predictions of one
            of the two runs were not kept.
        difference: the configuration's mean over seeds minus that of the best; None if predictions were not kept.
        corrected: test macro-F1 of the best run, corrected for selection; None in other rows, and if the predictions of
            a run that it was chosen from were not kept.
        compared: number of runs that the best was chosen from; None in other rows.
        seeds: statistics over seeds; None if no run on the same data has the same configuration and another seed.
        noise: variation between training seeds, from all runs on the same data; None if unknown.
    """

    row: Row
    test: Evaluation
    name: str
    place: int
    verdict: str | None
    difference: Difference | None = None
    corrected: float | None = None
    compared: int | None = None
    seeds: Seeds | None = None
    noise: SeedNoise | None = None

    @property
    def per_class(self) -> dict[str, float]:
        """Class name -> test F1."""
        return {name: found.f1 for name, found in self.test.per_class.items()}

    def to_json(self) -> dict[str, Any]:
        """Returns the row's columns, then the comparison's fields, and `per_class` last."""
        difference, seeds = self.difference, self.seeds
        return {
            **self.row.to_json(),
            "name": self.name,
            "place": self.place,
            "standing": self.verdict,
            "difference": round(difference.value, 6) if difference else None,
            "difference_low": round(difference.low, 6) if difference else None,
            "difference_high": round(difference.high, 6) if difference else None,
            "corrected": self.corrected,
            "compared": self.compared,
            "units": self.test.units if self.test.dependent else self.test.images,
            "seed_deviation": round(self.noise.deviation, 6) if self.noise else None,
            "seeds": seeds.count if seeds else None,
            "seeds_mean": seeds.mean if seeds else None,
            "seeds_deviation": seeds.deviation if seeds else None,
            "per_class": self.per_class,
        }


def standings(workspace: Workspace, runs: Sequence[Metrics]) -> list[Standing]:
    """Returns the leaderboard's rows, best first, each compared with the best run on the same data.

    All runs on the same data are compared simultaneously (see `comparison`): a run is "worse" only if neither the
    choice of test images nor the luck of a training seed explains the difference.

    Args:
        runs: the result of `leaderboard.read`.
    """
    compared = boards(workspace, runs)
    seeds = over_seeds(workspace, runs)
    names = aliases([*(folder.name for folder in run_folders(workspace)), *(metrics.run_id for metrics in runs)])
    best: dict[str, str] = {}
    result = []
    for place, metrics in enumerate(runs, start=1):
        run_id, board = metrics.run_id, compared[metrics.data_digest]
        first = best.setdefault(metrics.data_digest, run_id)
        leads = first == run_id
        rivals = [one.run_id for one in runs if one.data_digest == metrics.data_digest] if leads else []
        result.append(
            Standing(
                row=row(metrics),
                test=metrics.test,
                name=names[run_id],
                place=place,
                verdict=BEST if leads else board.standing(run_id, first),
                difference=board.difference(run_id, first),
                corrected=board.chosen_score(rivals) if leads else None,
                compared=len(rivals) if leads else None,
                seeds=seeds.get(run_id),
                noise=board.noise,
            )
        )
    return result


def over_seeds(workspace: Workspace, runs: Sequence[Metrics]) -> dict[str, Seeds]:
    """Returns, by run id, the statistics over seeds for those of `runs` whose configuration has several seeds.

    It does not matter which search or command made a run: the line under `next:` that a search prints uses `train` for
    the second seed. Two runs with the same seed, e.g. under different ranks, count once.
    """
    groups: dict[tuple[str, ...], list[Metrics]] = {}
    for one in sorted(runs, key=lambda metrics: metrics.run_id):
        groups.setdefault((one.data_digest, *configuration(workspace, one)), []).append(one)
    found: dict[str, Seeds] = {}
    for members in groups.values():
        # If a seed occurs twice, its first run counts, as in `Board`.
        scores = {one.seed: one.test.f1_macro for one in reversed(members)}.values()
        if len(scores) > 1:
            names = tuple(one.run_id for one in members)
            mean, deviation = round(statistics.fmean(scores), 6), round(statistics.stdev(scores), 6)
            found |= dict.fromkeys(names, Seeds(len(scores), mean, deviation, names))
    return found


def test_evaluations(workspace: Workspace, rows: Sequence[Row]) -> dict[str, int]:
    """Returns the number of evaluations on the test split for each data set in `rows`, by its shortened digest.

    Evaluations are counted from the journals, including those of searches that were moved aside. For each run, the
    count in its row is used if that is higher, because its journal may be gone.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for (data, run_id), count in searches.test_evaluations(workspace).items():
        counted[data[:DIGEST_LENGTH], run_id] += count
    for entry in rows:
        key = entry.data_digest, entry.run_id
        counted[key] = max(counted[key], entry.test_evaluations)
    shown = {entry.data_digest for entry in rows}
    totals: Counter[str] = Counter()
    for (data, _), count in counted.items():
        if data in shown:
            totals[data] += count
    return dict(totals)
