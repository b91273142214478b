"""Which configurations are retrained, as what, and under which names."""

from __future__ import annotations

import pytest

from tuning.core.records import TrialSpec
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline import final_roles as stage
from tuning.pipeline.completed import with_recommended

DEFAULTS = {"rate": 0.1}


def runs_of(search, space, seed, epochs, ranked, baselines, top_k, executions=1):
    """The finals with all their seeds."""
    roles = stage.final_roles(search, space, seed, epochs, ranked[:top_k], baselines)
    return stage.final_runs(roles, seed, executions)


def ranked(*rates: float) -> list:
    return [(RankedTrial(f"{n:04d}", 9, 1 - n / 10), {"rate": rate, "tuner/epochs": 9}) for n, rate in enumerate(rates)]


def test_every_finalist_and_the_baseline_are_run_with_every_seed():
    finals = runs_of("s", "space", 5, 9, ranked(0.3, 0.4, 0.5), [DEFAULTS], top_k=2, executions=3)
    assert [(final.purpose, final.rank, final.seed) for final in finals] == [
        *(("finalist", 1, seed) for seed in (5, 6, 7)),
        *(("finalist", 2, seed) for seed in (5, 6, 7)),
        *(("baseline", None, seed) for seed in (5, 6, 7)),
    ]
    assert [final.run_id.rpartition("-s")[2] for final in finals] == ["5", "6", "7"] * 3
    assert len({final.run_id for final in finals}) == len({final.key for final in finals}) == 9
    once = runs_of("s", "space", 5, 9, ranked(0.3, 0.4, 0.5), [DEFAULTS], top_k=2)
    assert once == [final for final in finals if final.seed == 5]


def test_a_baseline_among_the_best_is_run_once_with_each_seed():
    finals = runs_of("s", "space", 0, 9, ranked(0.3, 0.1), [DEFAULTS], top_k=2, executions=2)
    assert [(final.purpose, final.rank, final.seed) for final in finals] == [
        ("finalist", 1, 0),
        ("finalist", 1, 1),
        ("baseline", 2, 0),
        ("baseline", 2, 1),
    ]


def test_a_baseline_with_values_that_its_build_never_read_is_the_baseline():
    best_first = [*ranked(0.3), (RankedTrial("0000", 9, 0.2), {**DEFAULTS, "units": 64, "tuner/epochs": 9})]
    finals = runs_of("s", "space", 0, 9, best_first, [DEFAULTS, {**DEFAULTS, "units": 64}], top_k=2)
    assert [(final.purpose, final.trial) for final in finals] == [("finalist", "0000"), ("baseline", "0000")]


def test_what_the_strategy_recommends_is_among_the_finalists_where_there_are_several():
    best_first = ranked(0.1, 0.2, 0.3, 0.4)
    assert with_recommended(best_first, "0003", 3) == [*best_first[:2], best_first[3]]
    assert with_recommended(best_first, "0003", 1) == best_first[:1]
    for among in ("0000", "0002", None, "0099"):
        assert with_recommended(best_first, among, 3) == best_first[:3]


@pytest.mark.parametrize("reuse", [False, True])
def test_a_role_is_found_again_by_the_run_id_under_which_it_was_planned(reuse):
    best_first = [
        (RankedTrial("0012", 9, 0.9, "0003"), {"rate": 0.3, "tuner/epochs": 9}),
        (RankedTrial("0001", 9, 0.8), {"rate": 0.4}),
    ]
    trials = {
        "0012": TrialSpec("0012", {"rate": 0.3, "tuner/epochs": 9}, 9, continues="0003", root="0003"),
        "0001": TrialSpec("0001", {"rate": 0.4}, 9),
    }
    *finalists, baseline = stage.final_roles("a-01-t0001-b", "space", 5, 9, best_first[:2], [DEFAULTS], reuse)
    for role in finalists:
        assert stage.role_planned(role.run_id, baseline, trials, reuse) == role
