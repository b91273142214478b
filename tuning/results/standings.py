"""What the leaderboard's rows say about each other: who is tied with the best, what came of several seeds, how often
the test split was used. All of it follows from the runs' own files; nothing is written."""

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
    """How many runs trained the same configuration, each with its own seed: mean and sample standard deviation of their
    test macro-F1. Among `runs`, their ids, one that repeats a seed is no further one."""

    count: int
    mean: float
    deviation: float
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard, put into proportion.

    Attributes:
        row: the row.
        test: the run's figures on the test split.
        name: the run's short name in its workspace.
        place: from 1.
        verdict: "best"; "tied", where the 95 % interval of the difference to the best includes 0; "worse", where it
            does not; "better in the mean", where it does not either, but the configuration is the better one over its
            seeds; "seeds unknown", where it does not, and nothing is known of what another training seed changes; None
            where the predictions of one of both were not kept.
        difference: of the configuration's mean over seeds to that of the best; None where predictions were not kept.
        corrected: the best row's test macro-F1, corrected for its having been chosen; None in other rows, and where
            predictions of any that it was chosen from were not kept.
        compared: how many runs it was chosen from; None in other rows.
        seeds: None where no other run on the same data has the same configuration and another seed.
        noise: of the training seed, from all runs on the same data; None where it is not known.
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
        """Class name -> F1."""
        return {name: found.f1 for name, found in self.test.per_class.items()}

    def to_json(self) -> dict[str, Any]:
        """The row's columns, what puts them into proportion, and at last `per_class`."""
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
    """The leaderboard's rows, best first, each put into proportion.

    The best of the runs tested on the same data is compared with each of the others, all at once (`comparison`): what
    is called worse is so beyond the choice of test images and beyond the luck of a training seed.

    Args:
        runs: as `leaderboard.read` returns them.
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
    """By run id, what came of those among `runs` that differ in their seed alone; only where several do.

    Whatever made them: the line under `next:` has `train` make a search's second seed. Of a run that was made twice
    with one seed, say under another rank, both are the same training.
    """
    groups: dict[tuple[str, ...], list[Metrics]] = {}
    for one in sorted(runs, key=lambda metrics: metrics.run_id):
        groups.setdefault((one.data_digest, *configuration(workspace, one)), []).append(one)
    found: dict[str, Seeds] = {}
    for members in groups.values():
        # Of a seed that is there twice the first one, which is also what `Board` takes for it.
        scores = {one.seed: one.test.f1_macro for one in reversed(members)}.values()
        if len(scores) > 1:
            names = tuple(one.run_id for one in members)
            mean, deviation = round(statistics.fmean(scores), 6), round(statistics.stdev(scores), 6)
            found |= dict.fromkeys(names, Seeds(len(scores), mean, deviation, names))
    return found


def test_evaluations(workspace: Workspace, rows: Sequence[Row]) -> dict[str, int]:
    """How often models were evaluated on the test split of each data set in `rows`, by the digest in its rows.

    The journals count, those of searches that were moved aside included; where they are gone, the rows do.
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
