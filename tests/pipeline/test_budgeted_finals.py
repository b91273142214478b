"""What is kept for finals, and what they do with it. Their time is counted, not waited for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuning.core.plan import FinalTraining, NewLength, Plan
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec
from tuning.engine.entries import OpenedTestSplit, PlannedFinals, Published
from tuning.engine.state import SearchState, apply
from tuning.history.use_of_time import plan_text
from tuning.pipeline import budgeted, budgeted_finals
from tuning.pipeline.final_planning import MOST_SEEDS, makespan
from tuning.pipeline.final_roles import Final
from tuning.pipeline.lengths import Watch
from tuning.pipeline.planning import plan_budget
from tuning.pipeline.prices import Prices, Sample
from tuning.pipeline.timing import Clock

#: Of a folder of some hundred images, and seconds of an epoch of its baseline and of what is better.
COUNTS, BASELINE, BETTER = {"train": 700, "val": 150, "test": 150}, 0.5, 1.5
#: Seconds until the first step.
START = 4.0


def plan(budget: float) -> Plan:
    """Of a space in which full trainings of the better configurations take three minutes."""
    default, *samples = (
        Sample(values={"width": epoch}, cost=epoch, epoch=epoch) for epoch in (BASELINE, 0.3, 0.5, 0.8, 1.0, BETTER)
    )
    prices = Prices(default=default, samples=tuple(samples), good=(samples[-1],), start=START, timed=5)
    return plan_budget(budget, 45.0, prices, COUNTS["train"] // 64, 2)


SETTINGS = SimpleNamespace(
    base=None,
    top_k=3,
    retrain_epochs=100,
    executions=1,
    finals_by_person=False,
    space="a",
    seed=0,
    ensemble=True,
    reuse_trials=False,
)


def trained(number: int, seconds: float, score: float) -> tuple[TrialSpec, TrialOutcome]:
    """A trial that was trained whole, and what an epoch of it took."""
    curve = tuple({"epoch": epoch} for epoch in range(1, 101))
    outcome = TrialOutcome(f"{number:04d}", COMPLETED, score, curve, seconds=(seconds,) * 100)
    return TrialSpec(outcome.trial_id, {"number": number} if number else {}, 100), outcome


class Finals:
    """The finals of a search that ended as late as its reserve allows.

    Args:
        failing: parts of the run ids of trainings that fail, as soon as they begin.

    Attributes:
        now: seconds that have passed.
        said: lines for the person.
        late: of each batch that was watched, whether it would be shortened although its epochs take what was planned
            with; and whether it would be if they took three times as long.
    """

    def __init__(self, patch: pytest.MonkeyPatch, plan: Plan, finalists: int, failing: tuple[str, ...] = ()) -> None:
        self.completed = [trained(0, BASELINE, 0.5), *(trained(n + 1, BETTER, 0.9 - n / 10) for n in range(finalists))]
        reserve = budgeted.Reserve(plan, 2, COUNTS, SETTINGS)
        for spec, outcome in self.completed:
            reserve.completed(spec, outcome)
        self.plan, self.failing, self.now = plan, failing, plan.budget - reserve.seconds()
        self.state, self.said = SearchState(stopped=True), []
        self.late: list[tuple[bool, bool]] = []
        self.directory, self.results = Path("there-is-none"), {}
        patch.setattr(budgeted_finals, "read_info", lambda workspace: SimpleNamespace(counts=COUNTS))
        patch.setattr(budgeted_finals, "run_finals", self._train)

    @property
    def decided(self) -> list[list[FinalTraining]]:
        return [entry.runs for entry in self.state.planned_finals]

    def run(self) -> list[str]:
        """Run ids of those that were published."""
        self._failures: dict[str, str] = {}
        dispatcher = SimpleNamespace(
            state=self.state, record=lambda entry: apply(self.state, entry), result=self.results.get
        )
        settings = SimpleNamespace(plan=self.plan)
        session = SimpleNamespace(
            dispatcher=dispatcher,
            failures=self._failures,
            workers=2,
            workspace=None,
            settings=settings,
            directory=self.directory,
        )
        better = [Final(f"s-{spec.trial_id}", "finalist", spec.values, 100, 0) for spec, _ in self.completed[1:]]
        runs = budgeted_finals.run_budgeted_finals(
            session,
            SETTINGS,
            self.plan,
            [*better, Final("s-base", "baseline", {}, 100, 0)],
            self.completed,
            Clock(self.plan.budget, SimpleNamespace(elapsed=lambda: self.now)),
            SimpleNamespace(say=self.said.append, warn=self.said.append),
        )
        self.now += budgeted.ensemble_seconds(COUNTS, BETTER, len(runs)) + budgeted.CLOSING_SECONDS
        return runs

    def _train(self, session, finals, progress, time=None, watch=None) -> list[str]:
        failed = [final for final in finals if any(part in final.run_id for part in self.failing)]
        self._failures |= {final.run_id: "the loss is NaN" for final in failed}
        if watch is not None:
            self.late.append((self._is_late(finals, watch, 1), self._is_late(finals, watch, 3)))
        sound = [final for final in finals if final not in failed]
        epochs = [(final.epochs, BASELINE if "base" in final.run_id else BETTER) for final in sound]
        self.now += makespan([START + 3 + number * seconds for number, seconds in epochs], 2)
        return [final.run_id for final in sound]

    @staticmethod
    def _is_late(finals: list[Final], watch: Watch, slower: float) -> bool:
        """Whether they would be, as they begin, on a machine that has become so much slower."""
        epoch = {final.run_id: slower * (BASELINE if "base" in final.run_id else BETTER) for final in finals}
        return watch.is_off_schedule(finals, {}, {run_id: [seconds] * 100 for run_id, seconds in epoch.items()})


@pytest.mark.parametrize("finalists", [0, 1, 3])
@pytest.mark.parametrize("hours", [0.25, 0.5, 1, 2, 8])
def test_what_finals_cannot_use_is_the_search_s(monkeypatch, hours, finalists):
    finals = Finals(monkeypatch, plan(3600 * hours), finalists)
    runs = finals.run()
    assert 0.95 < finals.now / finals.plan.budget <= 1
    assert len(runs) == len(set(runs))
    if hours > 0.5:
        assert len(runs) == MOST_SEEDS * (finalists + 1)
        assert {training.epochs for training in finals.decided[0]} == {100}
    assert finals.said == []


def test_the_plan_of_much_time_says_how_little_of_it_the_finals_can_use():
    hour, eight = plan(3600), plan(8 * 3600)
    assert hour.finals == eight.finals < 0.65 * 3600
    assert eight.search + eight.finals == pytest.approx(0.975 * 8 * 3600)
    assert eight.trainings > 10 * hour.trainings
    assert MOST_SEEDS == 5 and "unless five seeds of each take less" in plan_text(eight)[2]


def test_a_search_from_a_base_keeps_time_for_a_baseline_of_its_own():
    from_base = SimpleNamespace(**{**vars(SETTINGS), "base": "0" * 64})
    own, other = (budgeted.Reserve(plan(7200), 2, COUNTS, settings) for settings in (SETTINGS, from_base))
    for reserve in (own, other):
        reserve.completed(*trained(0, BASELINE, 0.5))
    # On two seats, five trainings more are two rounds more.
    assert other.seconds() - own.seconds() > 2 * 100 * BASELINE


def test_finals_that_end_early_say_that_nothing_is_left_and_decide_nothing_anew_in_a_replay(monkeypatch):
    finals = Finals(monkeypatch, plan(3600), 1)
    finals.now = 1200.0  # the search had nothing more to try
    runs = finals.run()
    (said,) = finals.said
    assert said.endswith("of the budget is left over: there is nothing more to train")
    decided = finals.decided
    assert len(runs) == 2 * MOST_SEEDS and decided[-1] == []
    finals.now = 1200.0
    assert finals.run() == runs
    assert finals.decided == decided
    # Whatever is trained again is as it was.
    assert len(finals.late) == len(decided) - 1


def test_finals_that_are_granted_more_than_the_budget_are_held_to_that_and_not_to_the_budget(monkeypatch):
    finals = Finals(monkeypatch, plan(3600), 3)
    finals.now = began = finals.plan.budget + 30
    runs = finals.run()
    assert finals.said == ["the budget is used up; the finals take about 22 min more"]
    granted, nothing = finals.state.planned_finals
    assert granted.until is not None and began < finals.now <= granted.until
    assert (nothing.runs, nothing.until) == ([], None)
    # The same after a kill, with those that were granted and those that were not decided yet.
    del finals.state.planned_finals[1:]
    finals.now = began + 30
    assert finals.run() == runs
    assert finals.late == [(False, True)] * 2
    # Nothing is cut to no time at all.
    del finals.state.planned_finals[1:]
    finals.now = granted.until + 30
    assert finals.run() == runs
    assert len(finals.late) == 2


def test_time_that_is_left_over_because_nothing_fits_into_it_is_told_as_well(monkeypatch):
    finals = Finals(monkeypatch, replace(plan(900), final_epochs=400), 3)
    finals.state.planned_finals = [
        PlannedFinals(runs=[FinalTraining(key=key, seed=0, epochs=400) for key in ("s-0001", "s-base")]),
    ]
    finals.now = 180.0
    finals.run()
    assert finals.said == ["2 min of the budget is left over: it is too little for another final training"]


def test_seeds_that_were_left_out_for_want_of_time_are_made_up_for_where_there_is_time_again(monkeypatch):
    """On a machine that was busy for a while; under other numbers, as the ones left out stay so."""
    finals = Finals(monkeypatch, plan(3600), 1)
    planned = [("s-0001", 0), *(("s-base", seed) for seed in range(4))]
    finals.state.planned_finals = [
        PlannedFinals(runs=[FinalTraining(key=key, seed=seed, epochs=100) for key, seed in planned])
    ]
    epochs = dict(zip(planned, (60, 70, 0, 0, 0), strict=True))
    finals.state.new_lengths = {
        f"{key}-s{seed}": [NewLength(run_id=f"{key}-s{seed}", after=5, until=until)]
        for (key, seed), until in epochs.items()
    }
    finals.now = 3000.0
    finals.run()
    again = finals.decided[1]
    assert again[0] == FinalTraining(key="s-0001", seed=1, epochs=70)
    assert [one.seed for one in again if one.key == "s-base"] == [4, 5, 6, 7]
    assert {one.epochs for one in again} == {70}


def test_where_the_only_finalist_fails_the_next_best_is_retrained_while_there_is_time(monkeypatch):
    finals = Finals(monkeypatch, plan(900), 3, failing=("0001",))
    finals.now = 750.0
    runs = finals.run()
    first, second, *_ = finals.decided
    assert {training.key for training in first} == {"s-0001", "s-base"}
    assert second[0].key == "s-0002" and {training.key for training in second[1:]} <= {"s-base"}
    assert finals.plan.max_epochs // 2 <= second[0].epochs < first[0].epochs
    assert {"s-base-s0", "s-0002-s0"} <= set(runs) and not any("0001" in run_id for run_id in runs)
    assert finals.now < finals.plan.budget


def test_a_finalist_that_fails_gets_no_further_seed_and_the_next_best_is_the_first(monkeypatch):
    finals = Finals(monkeypatch, plan(3600), 3, failing=("0001",))
    finals.state.planned_finals = [
        PlannedFinals(runs=[FinalTraining(key=f"s-{key}", seed=0, epochs=100) for key in ("0001", "0002", "base")])
    ]
    finals.now = 3200.0
    runs = finals.run()
    keys = [training.key for training in finals.decided[1]]
    assert keys[0] == "s-0002" and set(keys) == {"s-0002", "s-base"}
    assert not any("0001" in run_id or "0003" in run_id for run_id in runs)


def test_a_finalist_one_of_whose_seeds_fails_keeps_its_place(monkeypatch):
    finals = Finals(monkeypatch, plan(3600), 2, failing=("0001-s0",))
    finals.state.planned_finals = [
        PlannedFinals(
            runs=[FinalTraining(key=key, seed=seed, epochs=100) for key in ("s-0001", "s-base") for seed in (0, 1)]
        )
    ]
    finals.now = 3100.0
    finals.run()
    assert finals.decided[1][0] == FinalTraining(key="s-0001", seed=2, epochs=100)
    assert all(training.key != "s-0002" for runs in finals.decided for training in runs)


def with_earlier(finals: Finals, published: tuple[str, ...], opened: tuple[str, ...] = ()) -> None:
    """As after a larger budget: there are trainings that the one before had planned."""
    earlier = [FinalTraining(key=key, seed=0, epochs=100) for key in ("s-0001", "s-base")]
    finals.state.earlier_finals = [PlannedFinals(runs=earlier)]
    finals.state.test_openings = [
        OpenedTestSplit(key=f"final/{one.key}-s0", run_id=f"{one.key}-s0", purpose="finalist") for one in earlier
    ]
    finals.state.published = [Published(key=f"final/{run_id}", run_id=run_id) for run_id in published]
    (finals.directory / "staging").mkdir(parents=True)
    for run_id in opened:
        (finals.directory / "staging" / f"{run_id}.opened").touch()


@pytest.mark.parametrize("opened", [(), ("s-0001-s0",)])
def test_trainings_that_a_larger_budget_leaves_behind_have_opened_what_they_have(monkeypatch, tmp_path, opened):
    finals = Finals(monkeypatch, plan(3600), 1)
    finals.directory = tmp_path / "s"
    with_earlier(finals, ("s-base-s0",), opened)
    for _ in range(2):
        runs = finals.run()
        assert runs[0] == "s-base-s0" and "s-0001-s0" not in runs and "s-0001-s1" in runs
        assert finals.state.unopened == (set() if opened else {"final/s-0001-s0"})


def test_a_training_that_had_ended_before_the_budget_was_made_larger_is_published_all_the_same(monkeypatch, tmp_path):
    finals = Finals(monkeypatch, plan(3600), 1)
    finals.directory = tmp_path / "s"
    with_earlier(finals, ("s-base-s0",), ("s-0001-s0",))
    finals.results["final/s-0001-s0"] = {"seconds": [1.0]}
    (finals.directory / "staging" / "s-0001-s0").mkdir()
    assert finals.run()[:3] == ["s-0001-s0", "s-base-s0", "s-0001-s1"]


def test_a_larger_budget_trains_nothing_for_less_than_the_search_s_own_trainings(monkeypatch, tmp_path):
    finals = Finals(monkeypatch, replace(plan(3600), finals=20.0), 1)
    finals.directory = tmp_path / "s"
    with_earlier(finals, ("s-0001-s0", "s-base-s0"))
    finals.now = 3480.0
    for _ in range(2):
        assert finals.run() == ["s-0001-s0", "s-base-s0"]
        assert finals.decided == [[]]
        said = f"no further final trainings: the time left is too short for {finals.plan.max_epochs} epochs"
        assert finals.said == [said]
        finals.said.clear()


def test_where_no_finalist_is_there_yet_one_is_trained_for_as_long_as_there_is_time(monkeypatch, tmp_path):
    finals = Finals(monkeypatch, replace(plan(3600), finals=20.0), 1)
    finals.directory = tmp_path / "s"
    with_earlier(finals, ("s-base-s0",))
    finals.now = 3480.0
    assert {"s-base-s0", "s-0001-s1"} <= set(finals.run())
    assert finals.decided[0][0].epochs < finals.plan.max_epochs


def test_time_that_a_smaller_budget_left_is_told_with_what_makes_the_search_go_on(monkeypatch):
    finals = Finals(monkeypatch, plan(3600), 1)
    first = PlannedFinals(runs=[FinalTraining(key=key, seed=0, epochs=100) for key in ("s-0001", "s-base")])
    finals.state.planned_finals = [first, PlannedFinals(runs=[])]
    finals.now = 1800.0
    finals.run()
    (said,) = finals.said
    assert said.endswith("left over: a smaller budget ended this search; a --budget of more than 1h resumes it")


def test_what_was_planned_is_trained_although_the_strategy_recommends_something_else_now(monkeypatch):
    finals = Finals(monkeypatch, plan(3600), 2)
    planned = [FinalTraining(key=key, seed=0, epochs=100) for key in ("s-07-t0002-abcdef12", "s-base")]
    finals.state.planned_finals = [PlannedFinals(runs=planned), PlannedFinals(runs=[])]
    assert set(finals.run()) == {"s-07-t0002-abcdef12-s0", "s-base-s0"}
