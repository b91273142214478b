"""A search with a budget, end to end, with toys for trials: its plan, the time it takes, and its replay."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from tests.written_searches import PLAN
from tuning.core.console import Console
from tuning.core.errors import UsageError
from tuning.core.plan import FinalTraining
from tuning.core.records import COMPLETED, FAILED, TrialOutcome, TrialSpec
from tuning.core.settings import SearchSettings, load
from tuning.core.workspace import Workspace
from tuning.engine import journal
from tuning.engine.entries import Closing, Extended, NewLengths, PlannedFinals, Stopped
from tuning.engine.state import SearchState, apply, replay
from tuning.oracles.ranking import RankedTrial, rank
from tuning.pipeline import budgeted, budgeted_finals, completed, lengths
from tuning.pipeline.budgeted import RESTART_SECONDS
from tuning.pipeline.completed import ranked
from tuning.pipeline.extending import holding
from tuning.pipeline.final_planning import all_seeds, makespan
from tuning.pipeline.final_roles import Final
from tuning.pipeline.planning import CLOSING_SECONDS, TARGET
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import run_search
from tuning.pipeline.timing import Clock
from tuning.results.runs import read_runs

from .conftest import before_its_finals, toys_instead

#: Of the search, and of an epoch, in seconds.
BUDGET, EPOCH = 40.0, 0.1
GIVEN = {"space": "stress.tiny_cnn:build_model", "dtype": "float32", "name": "s"}


@pytest.fixture(scope="module")
def ended(prepared, sample_environment, tmp_path_factory):
    """A search that ended with its budget, and what it took in seconds."""
    workspace = Workspace(tmp_path_factory.mktemp("ended") / "workspace")
    shutil.copytree(prepared.root, workspace.root)
    with pytest.MonkeyPatch.context() as patch:
        toys_instead(patch, sample_environment, EPOCH)
        began = time.monotonic()
        result = run_search(workspace, budget=BUDGET, resources=Resources(workers=1), **GIVEN)
    return workspace, result, time.monotonic() - began


@pytest.fixture
def budgeted_search(ended, copied, sample_environment, monkeypatch):
    """(workspace, result, seconds) of that search, to go on from."""
    toys_instead(monkeypatch, sample_environment, EPOCH)
    workspace = copied(ended[0])
    return workspace, replace(ended[1], directory=workspace.search("s")), ended[2]


@pytest.mark.slow
def test_a_budget_is_used_and_kept_and_replayed_on_other_workers(budgeted_search, tmp_path, monkeypatch):
    workspace, result, seconds = budgeted_search
    settings = load(result.directory, SearchSettings)
    assert settings.plan is not None
    assert (settings.max_epochs, settings.min_epochs) == (settings.plan.max_epochs, settings.plan.first_rung)
    # The seconds kept for new workers, an ensemble and the page are much of so short a time.
    assert 0.6 * BUDGET < seconds < 1.05 * BUDGET
    entries = journal.read(result.directory / "journal.jsonl")
    decided = [entry for entry in entries if isinstance(entry, PlannedFinals | NewLengths)]
    planned = [run for entry in decided if isinstance(entry, PlannedFinals) for run in entry.runs]
    left_out = [run for entry in decided if isinstance(entry, NewLengths) for run in entry.runs if not run.until]
    assert planned
    # On a busy machine, too little time may be left to close: the search then ends at once.
    assert any(isinstance(entry, Closing | Stopped) for entry in entries)
    assert len(planned) - len(left_out) == sum("-ensemble-" not in run for run in result.runs)

    # A busy machine may be late in one of the two and not in the other, which would be a decision of its own.
    monkeypatch.setattr(lengths, "TOLERANCE", 9.0)
    monkeypatch.setattr(lengths, "SLACK", 9.0)
    other = before_its_finals(workspace, tmp_path / "other", decided)
    again = run_search(other, resources=Resources(workers=2), **GIVEN)
    assert set(again.runs) == set(result.runs)
    assert other.leaderboard.read_bytes() == workspace.leaderboard.read_bytes()

    with pytest.raises(UsageError, match="has used"):
        run_search(other, budget=1.0, resources=Resources(workers=1), **GIVEN)


def test_too_small_a_budget_leaves_nothing_and_names_the_least(workspace, sample_environment, monkeypatch):
    toys_instead(monkeypatch, sample_environment, seconds=5)
    with pytest.raises(UsageError, match="cannot search this space") as refused:
        run_search(workspace, budget=60.0, resources=Resources(workers=1), **GIVEN)
    assert "m or more" in refused.value.remedy
    assert not workspace.search("s").exists()


def test_what_was_only_seen_at_the_first_rung_is_no_finalist_while_something_went_further():
    whole, short = RankedTrial("0000", 20, 0.5, ""), RankedTrial("0001", 3, 0.9, "")
    assert budgeted.finalists([(whole, {}), (short, {})], PLAN, 3) == [(whole, {})]
    assert budgeted.finalists([(short, {})], PLAN, 3) == [(short, {})]


def test_the_first_rung_of_a_plan_is_that_of_the_strategy(settings):
    """Else what was only seen there counts as something that went further."""
    usual = settings(max_epochs=20)
    assert budgeted.first_rung(usual, 20, None, 448) == 2
    assert budgeted.first_rung(usual, 20, 3, 448) == 7
    assert budgeted.first_rung(usual, 5, 9, 448) == 5
    assert budgeted.first_rung(replace(usual, factor=4), 20, None, 448) == 5
    assert budgeted.first_rung(replace(usual, strategy="random"), 20, None, 448) == 20
    assert budgeted.first_rung(replace(usual, parts=3), 20, None, 448) == 1


def test_what_ranks_behind_the_defaults_is_no_finalist_but_for_the_best_where_none_is_ahead():
    first, defaults, third, fourth = (
        (RankedTrial(name, 20, score, ""), {})
        for name, score in [("0003", 0.6), ("0000", 0.5), ("0001", 0.4), ("0002", 0.3)]
    )
    assert budgeted.finalists([first, defaults, third, fourth], PLAN, 3) == [first, defaults]
    assert budgeted.finalists([defaults, third, fourth], PLAN, 3) == [defaults, third]
    assert budgeted.finalists([first, third, fourth], PLAN, 2) == [first, third]


def test_in_place_of_a_finalist_may_stand_what_was_trained_as_long():
    trials = [(RankedTrial(f"{n:04}", epochs, 0.9 - n / 10, ""), {}) for n, epochs in enumerate((20, 20, 20, 7, 20), 1)]
    assert budgeted.in_reserve(trials, trials[:2], PLAN) == [trials[2], trials[4]]


def test_a_starting_point_trained_whole_goes_before_what_leads_it_by_little():
    drawn, good, ahead, short = {"rate": 1}, {"rate": 2}, {"rate": 3}, {"rate": 4}
    plan = replace(PLAN, good=[good, short])
    first, second, third, defaults, last = (
        (RankedTrial(name, 20, score, ""), values)
        for name, score, values in [
            ("0004", 0.60, ahead),
            ("0003", 0.536, drawn),
            ("0001", 0.513, {**good, "tuner/epochs": 20}),
            ("0000", 0.50, {"rate": 0}),
            ("0002", 0.49, short),
        ]
    )
    early = (RankedTrial("0005", 9, 0.7, ""), short)
    best_first = [first, second, third, defaults, last, early]
    assert budgeted.finalists(best_first, plan, 3) == [first, third, second]
    # Neither behind the defaults nor before it was trained whole.
    assert budgeted.finalists(best_first, plan, 9) == [first, third, second, defaults]
    assert budgeted.finalists([first, second, third, early], plan, 9) == [first, third, second, early]
    assert budgeted.finalists(best_first, PLAN, 3) == [first, second, third]
    # Where little is lacking, a little is a lot; and the defaults are retrained anyway.
    easy = [(RankedTrial("0003", 20, 0.985, ""), drawn), (RankedTrial("0001", 20, 0.956, ""), good)]
    assert budgeted.finalists(easy, plan, 1) == easy[:1]
    own = [(RankedTrial("0003", 20, 0.61, ""), drawn), (RankedTrial("0000", 20, 0.60, ""), good)]
    assert budgeted.finalists(own, plan, 1) == own[:1]


def test_no_starting_point_goes_first_where_finals_are_no_longer_than_the_search(settings):
    plan, counts = replace(PLAN, good=[{"rate": 2}]), {"train": 700, "val": 90, "test": 90}
    usual = settings(max_epochs=20, retrain_epochs=20)
    assert budgeted.as_asked(plan, usual, counts).good == plan.good
    assert budgeted.as_asked(plan, replace(usual, reuse_trials=True), counts).good == []
    assert budgeted.as_asked(plan, replace(usual, executions=2), counts).good == []
    assert budgeted.as_asked(plan, replace(usual, executions=2, retrain_epochs=30), counts).good == plan.good


@pytest.mark.parametrize(
    ("ended", "last"),
    [
        # It will be the finalist: towards the end, one training of it must still fit.
        ([("0001", 7, 0.513, 60.0), ("0002", 8, 0.52, 1.0), ("0003", 9, 0.53, 1.0)], 2),
        # It is behind the defaults, and will not.
        ([("0000", 1, 0.5, 1.0), ("0001", 7, 0.48, 60.0), ("0002", 8, 0.505, 1.0)], None),
    ],
)
def test_what_is_kept_back_is_for_a_starting_point_that_will_be_a_finalist(settings, ended, last):
    plan = replace(PLAN, good=[{"rate": 7}])
    reserve = budgeted.Reserve(plan, 2, {"train": 700, "val": 90, "test": 90}, settings(max_epochs=20, top_k=1))
    for name, rate, score, seconds in ended:
        outcome = TrialOutcome(name, COMPLETED, score, seconds=(seconds,) * 20)
        reserve.completed(TrialSpec(name, {"rate": rate}, 20), outcome)
    assert reserve.last_trainings(20 * 60.0) == last


def test_the_finals_wait_for_what_has_had_three_quarters_of_a_full_training_and_for_nothing_else(settings):
    counts, usual = {"train": 700, "val": 90, "test": 90}, settings(max_epochs=20, retrain_epochs=20, top_k=1)
    reserve = budgeted.Reserve(PLAN, 2, counts, usual)
    reserve.completed(TrialSpec("0001", {"rate": 7}, 20), TrialOutcome("0001", COMPLETED, 0.5, seconds=(60.0,) * 20))
    assert PLAN.max_epochs == 20
    assert [reserve.grace(trained) for trained in ([], [0, 14])] == [0, 0]
    # No longer than the rest of it takes.
    assert reserve.grace([3, 15]) == pytest.approx(5 * 60, abs=PLAN.price.start)
    # Where a person said which finals there are, their time is not to be had.
    by_person = replace(usual, executions=2)
    assert by_person.finals_by_person
    assert budgeted.Reserve(PLAN, 2, counts, by_person).grace([15]) == 0


def trials(count: int) -> list[tuple[TrialSpec, TrialOutcome]]:
    """Of a search: some configurations are trained on, now and then to the end, some trials fail."""
    draw, made, waiting = random.Random(3), [], []
    for number in range(count):
        before = waiting.pop(draw.randrange(len(waiting))) if len(waiting) > 5 and draw.random() < 0.4 else None
        name, done = f"{number:04d}", 0 if before is None else before.epochs
        epochs = draw.choice([each for each in (3, 9, 20) if each > done])
        root, continues = (name, None) if before is None else (before.root, before.trial_id)
        spec = TrialSpec(name, {"rate": number}, epochs, initial_epoch=done, continues=continues, root=root)
        score = None if draw.random() < 0.1 else round(number / 600 + draw.random() / 2, 2)
        if epochs < 20 and score is not None:
            waiting.append(spec)
        status = FAILED if score is None else COMPLETED
        made.append((spec, TrialOutcome(name, status, score, seconds=(draw.uniform(1, 60),) * epochs)))
    return made


@pytest.mark.parametrize("top_k", [1, 3])
def test_what_is_kept_back_is_for_those_that_all_trials_would_be_ranked_for(top_k, settings):
    counts = {"train": 700, "val": 90, "test": 90}
    usual = settings(max_epochs=20, retrain_epochs=20, top_k=top_k)
    reserve, ended, seen = budgeted.Reserve(PLAN, 2, counts, usual), [], set()
    for spec, outcome in trials(300):
        ended.append((spec, outcome))
        reserve.completed(spec, outcome)
        prices, start = budgeted.epoch_prices(ended), PLAN.price.start
        best = budgeted.finalists(ranked(ended), PLAN, top_k)
        epochs = [prices.get(trial.root, PLAN.price.epoch) for trial, _ in best]
        own = [] if budgeted.DEFAULTS in {trial.root for trial, _ in best} else [PLAN.price.default]
        candidates = [budgeted._candidate("", epoch, PLAN.price, counts) for epoch in [*epochs, *own]]
        needed = makespan([each.seconds(PLAN.max_epochs) for each in candidates], 2)
        most = all_seeds(candidates, PLAN.final_epochs, 2)
        most += budgeted.ensemble_seconds(counts, max(epochs, default=PLAN.price.epoch), 5 * len(candidates))
        kept = max(min(PLAN.finals, most), min(needed, budgeted.MOST_FOR_FINALS * PLAN.budget))
        assert reserve.seconds() == kept + budgeted.RESTART_SECONDS + CLOSING_SECONDS + (1 - TARGET) * PLAN.budget
        longest = PLAN.max_epochs * max(epochs, default=PLAN.price.epoch) + start
        assert reserve.last_trainings(budgeted.CLOSING_TRAININGS * longest) == 2
        assert reserve.last_trainings(1.01 * budgeted.CLOSING_TRAININGS * longest) is None
        seen.add((kept, longest))
    assert len(seen) > 5


def test_after_each_trial_only_the_leading_ones_are_ranked(monkeypatch, settings):
    sizes = []
    monkeypatch.setattr(
        completed, "rank", lambda trials, direction: sizes.append(len(trials)) or rank(trials, direction)
    )
    reserve = budgeted.Reserve(PLAN, 2, {"train": 700, "val": 90, "test": 90}, settings(top_k=3))
    for spec, outcome in trials(300):
        reserve.completed(spec, outcome)
    assert max(sizes) <= 4


def test_a_configuration_keeps_its_seeds_under_another_rank_after_a_larger_budget(settings, monkeypatch):
    before = [("s-02-t0001-aaaaaaaa", 0), ("s-02-t0001-aaaaaaaa", 1), ("s-baseline-bbbbbbbb", 0)]
    state = replay(
        [
            PlannedFinals(runs=[FinalTraining(key=key, seed=seed, epochs=20) for key, seed in before]),
            Extended(asks=4, budget=PLAN.budget, finals=PLAN.finals),
        ]
    )
    dispatcher = SimpleNamespace(state=state, record=partial(apply, state), result=lambda key: None)
    session = SimpleNamespace(
        dispatcher=dispatcher, workspace=None, workers=2, failures={}, settings=SimpleNamespace(plan=PLAN)
    )
    monkeypatch.setattr(
        budgeted_finals, "read_info", lambda _: SimpleNamespace(counts={"train": 900, "val": 90, "test": 90})
    )
    monkeypatch.setattr(budgeted_finals, "run_finals", lambda _, finals, *__, **___: [final.run_id for final in finals])
    roles = [
        Final(key, purpose, {}, 20, 0)
        for key, purpose in [
            ("s-01-t0004-aaaaaaaa", "finalist"),
            ("s-02-t0002-cccccccc", "finalist"),
            ("s-baseline-bbbbbbbb", "baseline"),
        ]
    ]
    clock = Clock(PLAN.budget, SimpleNamespace(elapsed=lambda: 900.0))
    runs = budgeted_finals.run_budgeted_finals(session, settings(), PLAN, roles, [], clock, Console(quiet=True))
    assert {"s-01-t0004-aaaaaaaa-s2", "s-02-t0002-cccccccc-s0", "s-baseline-bbbbbbbb-s1"} <= set(runs)
    assert not {"s-01-t0004-aaaaaaaa-s0", "s-01-t0004-aaaaaaaa-s1", "s-baseline-bbbbbbbb-s0"} & set(runs)


@pytest.mark.long
def test_a_larger_budget_goes_on_where_the_search_ended_and_keeps_its_runs(budgeted_search):
    workspace, result, _ = budgeted_search
    again = run_search(workspace, budget=2 * BUDGET, resources=Resources(workers=2), **GIVEN)
    assert again.trials > result.trials
    trained = [run for run in result.runs if "-ensemble-" not in run]
    assert set(trained) < set(again.runs)
    rows = workspace.leaderboard.read_text()
    assert all(run in rows for run in again.runs)
    entries = journal.read(again.directory / "journal.jsonl")
    made = [(metrics.config_digest, metrics.seed) for metrics in read_runs(workspace) if metrics.kind != "ensemble"]
    assert len(set(made)) == len(made)
    (extended,) = [entry for entry in entries if isinstance(entry, Extended)]
    assert extended.budget == 2 * BUDGET
    # Nothing is left to do, and a smaller budget was used already.
    before = workspace.leaderboard.read_bytes()
    same = run_search(workspace, resources=Resources(workers=1), **GIVEN)
    assert set(same.runs) == set(again.runs)
    assert workspace.leaderboard.read_bytes() == before
    with pytest.raises(UsageError, match="has used"):
        run_search(workspace, budget=5.0, resources=Resources(workers=1), **GIVEN)


COUNTS = {"train": 2_000, "val": 200, "test": 200}


def kept(settings):
    """Seconds kept for the finals and what follows, after the defaults and one configuration that is ahead of them."""
    reserve = budgeted.Reserve(PLAN, 2, COUNTS, settings)
    before = reserve.seconds()
    for name, score, epoch in (("0000", 0.5, 8.0), ("0001", 0.6, 10.0)):
        outcome = TrialOutcome(name, "COMPLETED", score, seconds=(epoch,) * 20)
        reserve.completed(TrialSpec(name, {}, 20, root=name), outcome)
    return before, reserve.seconds()


def test_finals_that_a_person_asked_for_are_kept_time_for_and_do_not_keep_the_first_trial_from_running(settings):
    usual = settings(max_epochs=20, retrain_epochs=20)
    beside = RESTART_SECONDS + CLOSING_SECONDS + (1 - TARGET) * PLAN.budget
    assert kept(usual) == (PLAN.finals + beside, PLAN.finals + beside)
    # The finalist and the defaults, which are the baseline, three times each: more than half of the budget, which the
    # plan's own finals never have.
    before, after = kept(replace(usual, retrain_epochs=100, executions=3))
    assert before == beside
    assert 3 * 100 * (10 + 8) / 2 < after - beside < 1.1 * 3 * 100 * (10 + 8) / 2
    assert kept(replace(usual, retrain_epochs=5))[1] < 0.2 * PLAN.finals


def test_a_plan_has_the_finals_that_a_person_asked_for(settings):
    usual = settings(max_epochs=20, retrain_epochs=20)
    assert budgeted.as_asked(PLAN, usual, COUNTS) is PLAN
    asked = budgeted.as_asked(PLAN, replace(usual, retrain_epochs=30, executions=2), COUNTS)
    assert (asked.final_epochs, asked.final_runs) == (30, 6)
    # Two finalists and the baseline, twice each, on two workers.
    assert 30 * (20 + 20 + 8) < asked.finals < 1.1 * 30 * (20 + 20 + 8)
    assert asked.search + asked.finals == pytest.approx(PLAN.search + PLAN.finals)
    assert asked.trainings == pytest.approx(asked.search * 2 / (20 * 20 + 3 * 2), abs=0.1)
    wider, _ = holding(asked, SearchState(), 2 * PLAN.budget, 0.0)
    assert (wider.finals, wider.search) == (asked.finals, pytest.approx(asked.search + PLAN.search + PLAN.finals))
    longer = budgeted.as_asked(PLAN, replace(usual, retrain_epochs=100, executions=3), COUNTS)
    assert (longer.search, longer.trainings) == (0.0, 0.0)
    assert holding(longer, SearchState(), 4 * PLAN.budget, 0.0)[0].trainings > 0


def test_time_for_an_ensemble_grows_with_what_its_members_look_at_and_is_kept():
    counts = {"train": 28_000, "val": 3_500, "test": 3_500}
    one, double = (budgeted.ensemble_seconds(counts, epoch, 9) for epoch in (50.0, 100.0))
    # Five members, two views, 7,000 images: a sixth of what an epoch takes, each.
    assert 30 < one < double < 2 * one
    assert budgeted.ensemble_seconds({**counts, "val": 35_000}, 50.0, 9) > 2 * one
    assert budgeted.ensemble_seconds(counts, 50.0, 2) < 0.5 * one
