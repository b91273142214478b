"""Less to compute, and the same answer: with or without workers, and however often the search was killed."""

from __future__ import annotations

import pytest

from tuning.core.errors import UsageError
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline.completed import ranked
from tuning.pipeline.final_roles import final_roles, final_runs
from tuning.pipeline.search import epochs_in
from tuning.pipeline.settings import first_rung, search_settings
from tuning.pipeline.trials import planned_epochs
from tuning.trials.plan import epochs_trained, next_part

from .conftest import records

#: Six trials in two brackets: three of a third of an epoch, one of which goes on, and two of an epoch.
SEARCH = (
    *("--space", "sample_spaces:wasteful", "--name", "s", "--max-epochs", "1", "--min-epochs", "1/3"),
    *("--window", "2", "--seed", "1", "--search-only"),
)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        *[(None, (None, 1)), (2, (2, 1)), ("2", (2, 1)), (2.0, (2, 1))],
        *[("1/3", (None, 3)), (" 1/27 ", (None, 27)), (1 / 3, (None, 3)), (1 / 49, (None, 49))],
    ],
)
def test_what_min_epochs_says(given, found):
    assert first_rung(given) == found


@pytest.mark.parametrize(
    "given",
    [
        *["", "0.5", "2/3", "1/1", "1/0", "-1", "1/-3", "third", "1/", "/3", "1/9999999"],
        *[0.33, 1.5, -2.5, -1 / 3, 1e-9, 5e-324, float("nan"), float("inf"), [3]],
    ],
)
def test_what_it_cannot_say(given):
    with pytest.raises(UsageError, match="--min-epochs"):
        first_rung(given)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "random", "min_epochs": "1/3"}, "--min-epochs"),
        ({"min_epochs": "1/9999"}, "training images"),
        ({"reuse_trials": True, "retrain_epochs": 5}, "--retrain-epochs"),
        ({"reuse_trials": True, "min_epochs": "1/3"}, "--reuse-trials"),
    ],
)
def test_options_that_contradict_each_other_are_refused(prepared, options, said):
    with pytest.raises(UsageError, match=said):
        search_settings(prepared, **options)


def test_parts_make_up_the_first_epoch_and_later_ones_are_whole():
    done, seen = 0, []
    while done < 12:
        part = next_part(done, 3)
        seen.append((part.done, part.epoch, part.subset, part.epochs))
        done = part.done
    assert seen == [
        (1, 1, (0, 3), 1 / 3),
        (2, 1, (1, 3), 2 / 3),
        (3, 1, (2, 3), 1),
        (6, 2, None, 2),
        (9, 3, None, 3),
        (12, 4, None, 4),
    ]
    assert [epochs_trained(n, 3) for n in (1, 2, 3, 4, 9, 10)] == [1 / 3, 2 / 3, 1, 2, 3, 4]
    assert [repr(epochs_trained(n, 1)) for n in (0, 1, 9)] == ["0", "1", "9"]
    assert [next_part(n).done for n in range(3)] == [1, 2, 3]


def test_a_curve_that_ended_early_has_reached_its_rung(prepared):
    def done(trial_id, epochs, score):
        curve = tuple({"epoch": epoch} for epoch in range(1, epochs + 1))
        return TrialSpec(trial_id, {"a": trial_id}, 9), TrialOutcome(trial_id, COMPLETED, score, curve)

    rows = [done("0", 9, 0.5), done("1", 9, 0.6), done("2", 6, 0.4)]
    assert [(trial.trial_id, trial.epochs) for trial, _ in ranked(rows)] == [("1", 9), ("0", 9), ("2", 9)]
    assert repr(epochs_in(search_settings(prepared), rows)) == "24"


def test_the_first_seed_of_a_finalist_may_be_the_trial_itself():
    best_first = [(RankedTrial("0007", 9, 0.5, "0003"), {"a": 1}), (RankedTrial("0002", 9, 0.4), {"a": 2})]
    finals = final_runs(final_roles("s", "space", 5, 9, best_first[:2], [{"a": 0}], reuse=True), 5, 2)
    assert [(final.trial, final.seed, final.root) for final in finals] == [
        ("0007", 5, "0003"),
        ("0007", 6, None),
        ("0002", 5, "0002"),
        ("0002", 6, None),
        (None, 5, None),
        (None, 6, None),
    ]


def test_a_plan_counts_epochs(prepared):
    class Planned:
        class oracle:
            planned = staticmethod(lambda: (22, 100))

    assert planned_epochs(Planned, search_settings(prepared, min_epochs="1/3")) == (22, 34)
    assert planned_epochs(Planned, search_settings(prepared)) == (22, 100)


def answers(workspace):
    """What each trial came to, in logical order, times apart."""
    found = {}
    for record in records(workspace, "result"):
        if record["key"].startswith("trial/"):
            found[record["key"]] = {name: value for name, value in record["result"].items() if name != "seconds"}
    return [record["trial"] for record in records(workspace, "ask")], dict(sorted(found.items()))


@pytest.mark.tensorflow
@pytest.mark.long
def test_one_answer_without_workers_and_with_two_that_are_killed(prepared, workspace, copied, start):
    alone = copied(prepared)
    reference = start(alone, "search", *SEARCH, "--executor", "inline")
    running = start(workspace, "search", *SEARCH, "--workers", "2")
    running.until("result", 3)
    running.process.kill()
    running.process.communicate()
    done = start(workspace, "search", *SEARCH, "--workers", "2").wait()
    assert done.code == 0, done.stderr
    assert reference.wait().code == 0
    assert answers(workspace) == answers(alone)
    asks, outcomes = answers(alone)
    curves = {key: outcome["curve"] for key, outcome in outcomes.items()}
    # Rungs below one epoch are there, and the epochs are called what they are.
    assert sorted(curve[-1]["epoch"] for curve in curves.values()) == [1 / 3] * 4 + [1] * 3
    assert f"{_trained_in(asks, curves):g} epochs" in done.stdout


def _trained_in(asks, curves):
    total = 0
    for ask in asks:
        last = curves[f"trial/{ask['trial_id']}"][-1]["epoch"]
        total += last - min(epochs_trained(ask["initial_epoch"], 3), last)
    return round(total, 2)
