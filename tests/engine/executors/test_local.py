"""Real worker processes: whatever ends one is an event, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuning.engine.dispatch import Dispatcher
from tuning.engine.executors import Died, Finished, Job, Progressed, local
from tuning.engine.executors.local import LocalExecutor
from tuning.engine.journal import Journal

HERE = Path(__file__).parent


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    made = []

    def build(workers=1, **options):
        executor = LocalExecutor(workers, "sample_work:run", {"SAMPLE": "yes"}, tmp_path / "logs", **options)
        made.append(executor)
        return executor

    yield build
    for executor in made:
        executor.close()


def job(kind, fence=0, **payload):
    return Job(f"{kind}/{fence}", fence, kind, payload)


def ended(executor, count=1, seconds=30):
    """The ends of `count` jobs, by key."""
    found, deadline = {}, time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < deadline, "no answer"
        for event in executor.collect(1.0):
            if not isinstance(event, Progressed):
                found[event.key] = event
    return found


def state(pid):
    """The letter of a process's state, as of `ps`; "Z" where it is gone, or waits for its parent to say so."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def ends(pid, seconds=10):
    """Whether a process is gone, at the latest after so many seconds."""
    deadline = time.monotonic() + seconds
    while state(pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    return state(pid) == "Z"


def has_ended(pid):
    """Waits until our own child is gone with all its threads, and its ends of the pipes with them; returns its number.

    Its state alone is "Z" as soon as its first thread is gone.
    """
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_pid


def test_a_worker_answers_and_stays_for_the_next_job(make):
    executor = make()
    assert executor.free() == 1
    executor.submit(job("echo", 1, value=[1, "ü"]))
    assert executor.free() == 0
    first = ended(executor)["echo/1"]
    assert isinstance(first, Finished)
    assert first.result["payload"] == {"value": [1, "ü"]}
    executor.submit(job("echo", 2))
    second = ended(executor)["echo/2"]
    assert second.result["pid"] == first.result["pid"] != os.getpid()


def test_progress_arrives_before_the_end(make):
    executor = make()
    executor.submit(job("echo"))
    events = []
    while not any(isinstance(event, Finished) for event in events):
        events += executor.collect(5.0)
    assert events[0] == Progressed("echo/0", 0, {"epoch": 1})


def test_workers_start_with_their_environment(make):
    executor = make()
    executor.submit(job("environment", names=["SAMPLE", "PATH"]))
    assert ended(executor)["environment/0"].result == {"SAMPLE": "yes", "PATH": os.environ["PATH"]}


def test_an_exception_is_an_error_with_its_traceback(make):
    executor = make()
    executor.submit(job("raise"))
    event = ended(executor)["raise/0"]
    assert event.error.kind == "exception"
    assert event.error.message == "ValueError: a bad"
    assert "sample_work.py" in event.error.traceback


def test_a_full_disk_is_no_fault_of_the_configuration(make):
    executor = make()
    executor.submit(job("full-disk"))
    error = ended(executor)["full-disk/0"].error
    assert (error.kind, error.errno, error.filename) == ("environment", 28, "/some/checkpoint")


@pytest.mark.alone
@pytest.mark.parametrize(
    ("kind", "payload", "failure", "words"),
    [
        ("signal", {"signal": signal.SIGKILL}, "memory", "SIGKILL"),
        ("signal", {"signal": signal.SIGSEGV}, "crash", "SIGSEGV"),
        ("exit", {"code": 7}, "crash", "exit code 7"),
    ],
)
def test_a_death_names_its_cause_within_a_second_and_the_next_job_gets_a_new_worker(
    make, kind, payload, failure, words
):
    executor = make()
    executor.submit(job("echo"))
    ended(executor)
    executor.submit(job(kind, **payload))
    began = time.monotonic()
    event = ended(executor)[f"{kind}/0"]
    assert time.monotonic() - began < 1.0
    assert isinstance(event, Died)
    assert event.failure.kind == failure
    assert words in event.failure.message
    if kind == "signal":
        assert "last words" in event.failure.traceback
    executor.submit(job("echo", 9))
    assert isinstance(ended(executor)["echo/9"], Finished)


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process")
def test_a_worker_that_died_while_idle_is_no_death_of_the_next_job(make):
    executor = make(2)
    executor.warm_up()
    dead, alive = (worker.process.pid for worker in executor._workers)
    os.kill(dead, signal.SIGKILL)
    assert has_ended(dead) == dead
    executor.submit(job("echo", 1))
    event = ended(executor)["echo/1"]
    assert isinstance(event, Finished) and event.result["pid"] == alive
    # Nor where none is left.
    os.kill(alive, signal.SIGKILL)
    assert has_ended(alive) == alive
    executor.submit(job("echo", 2))
    assert isinstance(ended(executor)["echo/2"], Finished)
    assert executor.free() == 2


def test_fifty_kills_in_a_row_are_fifty_deaths_and_a_worker_that_works(make):
    executor = make()
    for n in range(50):
        executor.submit(job("signal", n, signal=signal.SIGKILL))
        (event,) = ended(executor).values()
        assert isinstance(event, Died)
        assert (event.fence, event.failure.kind) == (n, "memory")
    executor.submit(job("echo"))
    assert isinstance(ended(executor)["echo/0"], Finished)


def test_a_hang_is_ended_by_the_timeout(make, monkeypatch):
    monkeypatch.setattr(local, "CHECK_SECONDS", 0.1)
    executor = make(trial_timeout=1.0)
    executor.submit(job("sleep", seconds=60))
    event = ended(executor, seconds=10)["sleep/0"]
    assert event.failure.kind == "timeout"
    assert "1 s" in event.failure.message


def test_a_stopped_worker_is_given_up_after_its_lease(make, monkeypatch):
    monkeypatch.setattr(local, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(local, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr("tuning.engine.executors.worker.HEARTBEAT_SECONDS", 0.2)
    executor = make()
    executor.submit(job("stop"))
    event = ended(executor, seconds=10)["stop/0"]
    assert event.failure.kind == "lost"


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_builder_may_start_processes_and_has_an_empty_stdin(make):
    executor = make()
    executor.submit(job("child"))
    assert ended(executor)["child/0"].result == {"got": 1}
    executor.submit(job("stdin"))
    assert ended(executor)["stdin/0"].result == {"read": ""}
    executor.submit(job("echo"))
    assert isinstance(ended(executor)["echo/0"], Finished)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("end", ["closed", "killed", "given up"])
def test_what_a_builder_started_ends_with_its_worker(make, end, monkeypatch):
    monkeypatch.setattr(local, "CHECK_SECONDS", 0.2)
    executor = make(trial_timeout=4.0 if end == "given up" else None)
    executor.submit(job("parent", signal=signal.SIGKILL if end == "killed" else None))
    events = []
    while not any(isinstance(event, Progressed) for event in events):
        events += executor.collect(10)
    children = events[0].entry["pid"], events[0].entry["forked"]
    if end == "closed":
        executor.close()
    elif len(events) == 1:
        assert isinstance(ended(executor, seconds=20)["parent/0"], Died)
    for pid in children:
        assert ends(pid)


def test_time_in_which_we_stood_still_is_no_trials(make):
    executor = make(trial_timeout=100.0)
    executor.submit(job("sleep", seconds=60))
    (worker,) = executor._workers
    # An hour ago the parent was stopped, a second after the trial began.
    worker.began, worker.seen, executor._checked = (time.monotonic() - ago for ago in (3601, 3600, 3600))
    assert executor._overdue() == []
    assert time.monotonic() - worker.began < 10


def test_a_worker_that_ran_out_of_memory_is_replaced(make):
    executor = make()
    executor.submit(job("greedy"))
    event = ended(executor)["greedy/0"]
    assert event.error.kind == "memory"
    assert executor._workers == [] and executor.free() == 1


@pytest.mark.parametrize("kind", ["final", "ensemble"])
def test_what_is_to_be_published_is_never_given_up_for_its_time(kind, make):
    executor = make(trial_timeout=1.0)
    worker = local._Worker(0, None, None, job=Job("final/run", 1, kind), began=0.0)
    assert executor._given_up(worker, now=worker.seen) is None
    worker.job = Job("trial/0001", 1, "trial")
    assert executor._given_up(worker, now=worker.seen).kind == "timeout"


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
def test_the_commit_of_a_worker_that_was_stopped_past_its_lease_and_goes_on_is_refused(make, tmp_path, monkeypatch):
    """Here giving up does not end it, as on a machine that lost its network: it wakes, and answers after all."""
    executor = make()
    # On a busy machine a worker starts for longer than its lease is here, and would be given up before it is stopped.
    executor.submit(job("echo"))
    ended(executor)
    monkeypatch.setattr(local, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(local, "LEASE_SECONDS", 1.0)
    zombies = []

    def lose(worker):
        executor._workers.remove(worker)
        zombies.append(worker)

    with Journal(tmp_path / "journal.jsonl") as journal:
        dispatcher = Dispatcher(journal, executor)
        monkeypatch.setattr(executor, "_kill", lose)
        dispatcher.request("job", "stop", lambda fence: {"fence": fence})
        while not zombies:
            dispatcher.wait(5.0)
        (zombie,) = zombies
        monkeypatch.undo()
        # Its successor, already under way, is stopped too; only the zombie is woken.
        os.kill(zombie.process.pid, signal.SIGCONT)
        late = Finished("job", zombie.job.fence, {"woke": True})
        _, message = next(m for m in iter(lambda: executor._messages.get(timeout=10), None) if _is_answer(m, zombie))
        assert (message.fence, message.result) == (late.fence, late.result)
        monkeypatch.setattr(executor, "collect", lambda timeout: [late])
        before = list(journal.records)
        dispatcher.wait(0)
        assert journal.records == before
        assert dispatcher.result("job") is None
        # The successor's is the one that counts.
        monkeypatch.setattr(executor, "collect", lambda timeout: [Finished("job", late.fence + 2, {"mine": True})])
        dispatcher.wait(0)
        assert dispatcher.result("job") == {"mine": True}
    executor._workers.append(zombie)


def _is_answer(received, worker):
    return received[0] is worker and isinstance(received[1], Finished)


def test_jobs_run_side_by_side(make):
    executor = make(2)
    for n in range(2):
        executor.submit(job("sleep", n, seconds=0.5))
    found = ended(executor, 2)
    assert len({event.result["pid"] for event in found.values()}) == 2


def test_warm_workers_have_done_their_imports_before_the_first_job(make, tmp_path):
    executor = make(2)
    executor.warm_up()
    logs = [tmp_path / "logs" / f"worker-{slot}.log" for slot in range(2)]
    deadline = time.monotonic() + 30
    while not all("imported" in log.read_text() for log in logs):
        assert time.monotonic() < deadline, [log.read_text() for log in logs]
        time.sleep(0.05)
    warm = {worker.process.pid for worker in executor._workers}
    assert executor.free() == len(warm) == 2
    for n in range(2):
        executor.submit(job("sleep", n, seconds=0.5))
    assert {event.result["pid"] for event in ended(executor, 2).values()} == warm


def test_a_worker_is_recycled_after_its_share_of_jobs(make, monkeypatch):
    monkeypatch.setattr(local, "RECYCLE_JOBS", 2)
    executor = make()
    pids = []
    for n in range(3):
        executor.submit(job("echo", n))
        pids.append(ended(executor)[f"echo/{n}"].result["pid"])
    assert pids[0] == pids[1] != pids[2]


def test_waiting_costs_next_to_nothing(make):
    executor = make()
    executor.submit(job("echo"))
    ended(executor)
    executor.submit(job("sleep", seconds=4))
    before = time.process_time()
    ended(executor)
    assert time.process_time() - before < 0.04


def test_a_worker_that_cannot_even_be_killed_stops_nothing(make, monkeypatch):
    """One that hangs in a driver, say: the kernel ends it when that returns, if ever."""
    executor = make()
    executor.submit(job("sleep", seconds=60))
    (worker,) = executor._workers

    def wait(timeout=None):
        assert timeout is not None, "waits for ever"
        raise subprocess.TimeoutExpired("worker", timeout)

    with monkeypatch.context() as patch:
        patch.setattr(worker.process, "wait", wait)
        executor.cancel()
    assert executor.free() == 1
    executor.submit(job("echo"))
    assert isinstance(ended(executor)["echo/0"], Finished)
    worker.process.wait()


@pytest.mark.alone
def test_close_ends_running_workers_at_once(make):
    executor = make()
    executor.submit(job("echo"))
    pid = ended(executor)["echo/0"].result["pid"]
    executor.submit(job("sleep", seconds=60))
    began = time.monotonic()
    executor.close()
    assert time.monotonic() - began < 2
    assert state(pid) == "Z"
    executor.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
@pytest.mark.parametrize("kind", ["sleep", "stop"])
def test_no_worker_outlives_a_killed_parent(tmp_path, kind):
    """Not even one that is stopped and so cannot notice anything itself."""
    code = f"""
import sys, time
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
from tuning.engine.executors import Job
from tuning.engine.executors.local import LocalExecutor
executor = LocalExecutor(1, "sample_work:run", {{}}, Path({str(tmp_path)!r}))
executor.submit(Job("a", 0, {kind!r}, {{"seconds": 60}}))
print(executor._workers[0].process.pid, flush=True)
while True: executor.collect(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    worker = int(parent.stdout.readline())
    deadline = time.monotonic() + 10
    while kind == "stop" and state(worker) != "T" and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    assert state(worker) != "Z"
    parent.kill()
    parent.communicate()
    assert ends(worker, 5)
