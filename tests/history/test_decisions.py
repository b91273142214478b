"""What the clock decided, in words."""

from __future__ import annotations

from tuning.core.plan import FinalTraining, ShortenedFinal
from tuning.engine.entries import Closing, PlannedFinals, ShortenedFinals, Spent, Stopped
from tuning.history.decisions import decisions


def test_each_decision_is_told_with_the_time_at_which_it_was_made():
    planned = [FinalTraining(key=key, seed=seed, epochs=60) for key, seed in [("a", 0), ("a", 1), ("b", 0)]]
    cut = [ShortenedFinal(run_id="a-s0", after=20, until=35), ShortenedFinal(run_id="a-s1", after=0, until=0)]
    records = [
        Spent(seconds=60.0),
        Closing(asks=9, promotions=2),
        Spent(seconds=60.0),
        Stopped(),
        PlannedFinals(runs=planned),
        Spent(seconds=60.0),
        ShortenedFinals(runs=cut),
        PlannedFinals(runs=[]),
    ]
    assert decisions(records) == (
        "after 1 min: no new configuration was begun; up to 2 of those begun could still be trained to the end",
        "after 2 min: the search ended, because the rest of the time was kept for the finals",
        "after 2 min: final trainings were planned: a for 60 epochs with 2 seeds, b for 60 epochs",
        "after 3 min: trainings took longer than planned; shortened: a-s0 to 35 epochs; left out: a-s1",
    )
