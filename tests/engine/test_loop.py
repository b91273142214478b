"""The loop and the dispatcher over simulated workers: the same sequence of asks and tells whatever happens."""

from __future__ import annotations

import pytest

from tuning.core.errors import StateError, TuningError
from tuning.core.records import COMPLETED, DONE, FAILED, WAIT, TrialSpec
from tuning.engine.dispatch import Dispatcher, JobFailed, expect
from tuning.engine.executors import Died, Finished, JobError
from tuning.engine.journal import Journal, read
from tuning.engine.loop import SearchLoop, outcome_of
from tuning.engine.order import LogicalOrder
from tuning.engine.state import replay

from .simulation import CRASH, Halving, SimulatedWorkers, payload, result, score, search


@pytest.fixture
def reference(tmp_path):
    return search(tmp_path / "reference.jsonl", SimulatedWorkers(1, seed=0))


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
def test_the_number_of_workers_changes_nothing(tmp_path, reference, workers):
    for seed in range(5):
        assert search(tmp_path / f"{seed}.jsonl", SimulatedWorkers(workers, seed)) == reference


def test_workers_are_kept_busy_up_to_the_window(tmp_path):
    executor = SimulatedWorkers(64, seed=0)
    search(tmp_path / "journal.jsonl", executor, window=6)
    assert executor.most == 6


class Lengths:
    """Twenty-four trainings of one, three or nine epochs; each of nine begins a tenth epoch of its own when told."""

    def __init__(self):
        self.log, self.asked, self.more, self.open = [], 0, [], 0

    def ask(self, recorded=None):
        if not self.more and self.asked >= 24:
            return WAIT if self.open else DONE
        number, done = self.asked, self.more.pop(0) if self.more else 0
        self.asked += 1
        self.open += 1
        epochs = done + 1 if done else (9, 3, 1)[number % 3]
        self.log.append(("ask", number, epochs))
        return TrialSpec(f"{number:04d}", {"number": number}, epochs, done)

    def tell(self, outcome):
        number = int(outcome.trial_id)
        self.open -= 1
        if ("ask", number, 9) in self.log:
            self.more.append(9)
        self.log.append(("tell", number))


@pytest.mark.parametrize("window", [1, 5, 30])
def test_trainings_of_many_lengths_are_told_alike_by_any_workers(tmp_path, window):
    reference = search(tmp_path / "reference.jsonl", SimulatedWorkers(1, seed=0), window, strategy=Lengths())
    for workers in (2, 7, 40):
        done = search(tmp_path / f"{workers}.jsonl", SimulatedWorkers(workers, workers), window, strategy=Lengths())
        assert done == reference
    told = [entry[1] for entry in reference[0] if entry[0] == "tell"]
    if window == 30:
        assert told[:16] == [*range(2, 24, 3), *range(1, 24, 3)]


def test_what_was_begun_is_finished_first(tmp_path):
    """One worker: the tenth epochs start as soon as they are known, before trainings that were asked for earlier."""
    executor = SimulatedWorkers(1, seed=0)
    submit, started = executor.submit, []
    executor.submit = lambda job: (started.append(job.payload["number"]), submit(job))
    with Journal(tmp_path / "journal.jsonl") as journal:
        dispatcher = Dispatcher(journal, executor)
        for number, begun in ((0, 0), (1, 0), (2, 3), (3, 9), (4, 9)):
            dispatcher.request(
                f"trial/{number}",
                "trial",
                lambda fence, n=number: {"trial_id": f"{n}", "number": n},
                LogicalOrder.priority(TrialSpec(f"{number}", {}, 27, begun), 0.0),
            )
        while len(started) < 5 or dispatcher.running():
            dispatcher.wait(0)
    assert started == [3, 4, 2, 0, 1]


def test_a_window_of_one_is_strictly_one_after_the_other(tmp_path):
    log, _ = search(tmp_path / "journal.jsonl", SimulatedWorkers(4, seed=0), window=1)
    assert [entry[0] for entry in log] == ["ask", "tell"] * (len(log) // 2)


def test_killed_at_every_moment_it_ends_the_same(tmp_path, reference):
    for first in range(15):
        path = tmp_path / f"{first}.jsonl"
        with pytest.raises(KeyboardInterrupt):
            search(path, SimulatedWorkers(3, seed=first, kill_after=first))
        for again in range(3):
            with pytest.raises(KeyboardInterrupt):
                search(path, SimulatedWorkers(2, seed=again, kill_after=0))
        assert search(path, SimulatedWorkers(3, seed=first + 100)) == reference
        state = replay(read(path))
        assert len(state.asks) == len(reference[1])
        assert all(job.result is not None for job in state.jobs.values())


def test_finished_it_runs_nothing_again(tmp_path, reference):
    path = tmp_path / "journal.jsonl"
    search(path, SimulatedWorkers(2, seed=0))
    before = path.read_bytes()
    idle = SimulatedWorkers(2, seed=0)
    assert search(path, idle) == reference
    assert idle.most == 0
    assert path.read_bytes() == before


def test_deaths_below_the_limit_change_nothing(tmp_path, reference):
    assert search(tmp_path / "j.jsonl", SimulatedWorkers(3, seed=1, deaths=0.4), max_deaths=1000) == reference


def test_a_poison_trial_fails_after_exactly_that_many_deaths(tmp_path):
    class Poison(SimulatedWorkers):
        def collect(self, timeout):
            job = self.jobs.pop(0)
            if job.payload["number"] == 3:
                return [Died(job.key, job.fence, CRASH)]
            return [Finished(job.key, job.fence, result(job.payload["trial_id"], score(job.payload["number"])))]

    path = tmp_path / "journal.jsonl"
    _, told = search(path, Poison(2, seed=0), max_deaths=2)
    failed = [outcome for _, outcome in told if outcome.status == FAILED]
    assert [outcome.trial_id for outcome in failed] == ["0003"]
    assert failed[0].failure.kind == "crash"
    assert "SIGSEGV" in failed[0].failure.message
    assert "2 attempts" in failed[0].failure.message
    with Journal(path) as journal:
        assert len(replay(journal.records).jobs["trial/0003"].deaths) == 2


def test_an_exception_of_the_builder_is_a_failed_trial_with_its_traceback(tmp_path):
    class Raising(SimulatedWorkers):
        def collect(self, timeout):
            job = self.jobs.pop(0)
            error = JobError("exception", "ValueError: no", traceback="Traceback …")
            return [Finished(job.key, job.fence, None, error)]

    _, told = search(tmp_path / "journal.jsonl", Raising(1, seed=0))
    assert {outcome.status for _, outcome in told} == {FAILED}
    assert told[0][1].failure.message == "ValueError: no"
    assert told[0][1].failure.traceback == "Traceback …"


def test_a_late_result_of_an_attempt_given_up_is_refused(tmp_path):
    class Zombie(SimulatedWorkers):
        """The first attempt of trial 0 is given up, then answers after all, with another score."""

        given_up = None

        def collect(self, timeout):
            job = self.jobs.pop(0)
            if job.key == "trial/0000" and self.given_up is None:
                self.given_up = job
                return [Died(job.key, job.fence, CRASH), Finished(job.key, job.fence, result("0000", 0.999))]
            return [Finished(job.key, job.fence, result(job.payload["trial_id"], score(job.payload["number"])))]

    _, told = search(tmp_path / "journal.jsonl", Zombie(1, seed=0))
    assert told[0][1].score == score(0)


def test_a_full_disk_in_a_worker_ends_the_search_and_records_nothing_of_it(tmp_path, reference):
    class FullDisk(SimulatedWorkers):
        def collect(self, timeout):
            job = self.jobs.pop(0)
            error = JobError("environment", "full", errno=28, filename="checkpoints/x")
            return [Finished(job.key, job.fence, None, error)]

    path = tmp_path / "journal.jsonl"
    with pytest.raises(OSError, match="checkpoints/x"):
        search(path, FullDisk(1, seed=0))
    assert search(path, SimulatedWorkers(2, seed=0)) == reference


def test_a_strategy_that_changed_its_mind_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    search(path, SimulatedWorkers(2, seed=0))

    class Changed(Halving):
        def ask(self, recorded=None):
            spec = super().ask()
            return spec if not isinstance(spec, TrialSpec) else TrialSpec(spec.trial_id, {**spec.values, "new": 1}, 1)

    with pytest.raises(StateError, match="proposal 0 was"):
        search(path, SimulatedWorkers(2, seed=0), strategy=Changed())


def test_out_of_time_what_is_finished_by_then_is_the_search_and_stays_it(tmp_path):
    path = tmp_path / "journal.jsonl"

    def run(executor, out_of_time):
        strategy = Halving()
        with Journal(path) as journal:
            dispatcher = Dispatcher(journal, executor)
            told = SearchLoop(strategy, dispatcher, 6, payload, out_of_time=out_of_time).run()
        return strategy.log, told

    looks = iter(range(1000))
    first = run(SimulatedWorkers(3, seed=0), lambda: next(looks) >= 9)
    assert 0 < len(first[1]) < 8
    again = SimulatedWorkers(3, seed=1)
    # A resume with time to spare ends in the same place, and starts nothing.
    assert run(again, lambda: False) == first
    assert again.most == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_idle_work_is_done_while_a_worker_has_nothing_to_do_until_it_is_finished(tmp_path, workers):
    """Halving waits for the last of a rung: of three workers, two have nothing to do; a single one always has."""
    executor, seen = SimulatedWorkers(workers, seed=0), []

    def on_idle():
        seen.append(executor.free())
        return len(seen) % 3 > 0

    for _ in range(2):  # the second time, all results are there
        with Journal(tmp_path / "journal.jsonl") as journal:
            dispatcher = Dispatcher(journal, executor)
            told = SearchLoop(Halving(), dispatcher, 6, payload, on_idle=on_idle).run()
            assert told == SearchLoop(Halving(), dispatcher, 6, payload).run()
    assert len(seen) == (3 if workers > 1 else 0)
    assert all(free > 0 for free in seen)


def test_a_job_that_took_the_search_down_too_often_is_given_up(tmp_path):
    path = tmp_path / "journal.jsonl"
    for _ in range(12):
        with pytest.raises(KeyboardInterrupt):
            search(path, SimulatedWorkers(1, seed=0, kill_after=0))
    _, told = search(path, SimulatedWorkers(1, seed=0))
    assert told[0][1].status == FAILED
    assert "12 times while this ran" in told[0][1].failure.message
    assert {outcome.status for _, outcome in told[1:]} == {COMPLETED}


def test_expect_carries_the_workers_remedy_and_exit_code():
    error = {"kind": "refused", "message": "not compiled", "remedy": "compile it", "exit_code": 2, "traceback": None}
    with pytest.raises(JobFailed, match="not compiled") as caught:
        expect({"error": error}, "space")
    assert (caught.value.remedy, caught.value.exit_code) == ("compile it", 2)
    assert expect({"a": 1}, "space") == {"a": 1}


def test_a_job_that_gets_an_epoch_further_each_time_is_never_given_up(tmp_path, reference):
    """However often the whole search is killed, a long trial ends as it would have."""
    path = tmp_path / "journal.jsonl"
    done = iter(range(1000))
    for _ in range(40):
        with Journal(path) as journal, pytest.raises(KeyboardInterrupt):
            dispatcher = Dispatcher(journal, SimulatedWorkers(1, seed=0, kill_after=0), 2, lambda key: next(done))
            SearchLoop(Halving(), dispatcher, 6, payload).run()
    assert search(path, SimulatedWorkers(1, seed=0)) == reference


def test_deaths_of_the_whole_search_count_less_the_more_deaths_are_allowed(tmp_path, reference):
    path = tmp_path / "journal.jsonl"
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt):
            search(path, SimulatedWorkers(1, seed=0, kill_after=0), max_deaths=4)
    assert search(path, SimulatedWorkers(1, seed=0), max_deaths=4) == reference


def test_out_of_time_from_the_first_moment_nothing_is_asked(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        strategy = Halving()
        dispatcher = Dispatcher(journal, SimulatedWorkers(1, seed=0))
        assert SearchLoop(strategy, dispatcher, 6, payload, out_of_time=lambda: True).run() == []
    assert strategy.log == []


def test_a_strategy_that_waits_for_nothing_is_a_defect_and_no_hang(tmp_path):
    class Waiting(Halving):
        def ask(self, recorded=None):
            return WAIT

    with pytest.raises(TuningError, match="nothing is running"):
        search(tmp_path / "journal.jsonl", SimulatedWorkers(1, seed=0), strategy=Waiting())


def test_a_job_is_under_way_once_however_often_it_is_requested(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        executor = SimulatedWorkers(2, seed=0)
        dispatcher = Dispatcher(journal, executor)
        executor.collect = lambda timeout: []
        for _ in range(3):
            dispatcher.request("trial/0", "trial", lambda fence: {})
            dispatcher.wait(0)
        assert dispatcher.running() == ("trial/0",)
        assert len(executor.jobs) == 1


@pytest.mark.parametrize("early", [DONE, WAIT])
@pytest.mark.parametrize("place", [0, 1, 2, 9])
def test_a_strategy_that_ends_or_waits_earlier_than_the_journal_says_is_refused(tmp_path, early, place):
    path = tmp_path / "journal.jsonl"
    search(path, SimulatedWorkers(2, seed=0))
    before = path.read_bytes()

    class Early(Halving):
        def ask(self, recorded=None):
            return early if self.asked == place else super().ask(recorded)

    with pytest.raises(StateError, match=f"proposal {place} was .*, now the strategy says {early}") as caught:
        search(path, SimulatedWorkers(2, seed=0), strategy=Early())
    assert str(path) in caught.value.problem
    assert "--fresh" in caught.value.remedy
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_answer_that_is_not_finite_fails_its_job_and_no_resume(tmp_path, value):
    class NotFinite(SimulatedWorkers):
        def collect(self, timeout):
            job = self.jobs.pop(0)
            answer = result(job.payload["trial_id"], score(job.payload["number"]))
            if job.payload["number"] == 3:
                answer["curve"][0]["val_loss"] = value
            return [Finished(job.key, job.fence, answer)]

    path = tmp_path / "journal.jsonl"
    first = search(path, NotFinite(2, seed=0))
    failed = [outcome for _, outcome in first[1] if outcome.status == FAILED]
    assert [(outcome.trial_id, outcome.failure.kind) for outcome in failed] == [("0003", "not-finite")]
    assert f"result.curve[0].val_loss is {value}" in failed[0].failure.message
    idle = SimulatedWorkers(2, seed=0)
    assert search(path, idle) == first
    assert idle.most == 0


def test_a_result_of_another_form_is_refused_by_the_name_of_its_trial():
    with pytest.raises(StateError, match="result of trial 0 is none that this version knows") as caught:
        outcome_of(TrialSpec("0", {}), {"trial_id": "0", "status": "COMPLETED", "ignored": []})
    assert "ignored" in caught.value.problem
    with pytest.raises(StateError, match="an error that this version does not know"):
        outcome_of(TrialSpec("0", {}), {"error": {"kind": "crash"}})
