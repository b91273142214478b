"""What the end of a job means."""

from __future__ import annotations

import pytest

from tuning.core.records import Failure
from tuning.engine.audit import audit
from tuning.engine.dispatch import Dispatcher, JobFailed
from tuning.engine.entries import Attempt, AttemptDied
from tuning.engine.executors import Finished, JobError
from tuning.engine.journal import Journal


class Answering:
    """An executor whose jobs end as it was told, in order."""

    def __init__(self, *ends):
        self.ends, self.jobs = list(ends), []

    def free(self):
        return 1

    def submit(self, job):
        self.jobs.append(job)

    def collect(self, timeout):
        events = [Finished(job.key, job.fence, *self.ends.pop(0)) for job in self.jobs]
        self.jobs = []
        return events

    def cancel(self):
        self.jobs = []


SHORT = (None, JobError("memory", "out of memory: 3 GiB"))


@pytest.mark.parametrize(
    ("ends", "result"),
    [
        ([SHORT, ({"score": 1}, None)], {"score": 1}),
        ([SHORT, SHORT], {"error": {"kind": "memory", "message": "out of memory: 3 GiB (2 attempts)"}}),
    ],
)
def test_a_job_that_ran_out_of_memory_has_a_second_attempt(ends, result, tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        dispatcher = Dispatcher(journal, Answering(*ends))
        dispatcher.request("trial/0001", "trial", lambda fence: {})
        for _ in range(4):
            dispatcher.wait(0)
        assert dispatcher.result("trial/0001") == result


def test_attempts_whose_end_nobody_saw_are_not_counted_as_the_one_death(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        dispatcher = Dispatcher(journal, Answering())
        key = "trial/0001"
        died = dispatcher.record(Attempt(key=key)).n
        dispatcher.record(AttemptDied(key=key, fence=died, failure=Failure("crash", "signal 9"), node=None))
        for _ in range(12):
            dispatcher.record(Attempt(key=key))
        dispatcher.request(key, "trial", lambda fence: {})
        dispatcher.wait(0)
        error = dispatcher.result(key)["error"]
        assert error["message"] == "the whole search, or a node, ended 12 times while this ran"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            JobError("environment", "/some/file: odd", errno=28, filename="/some/file"),
            "No space left on device: '/some/",
        ),
        (JobError("environment", "Can't write data", errno=28), "Can't write data: 'a worker'"),
    ],
)
def test_a_full_disk_ends_the_command_with_the_path_or_the_words_of_who_met_it(error, words, tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        dispatcher = Dispatcher(journal, Answering((None, error)))
        dispatcher.request("trial/0001", "trial", lambda fence: {})
        with pytest.raises(OSError, match=words) as caught:
            dispatcher.wait(0)
            dispatcher.wait(0)
        assert caught.value.errno == 28
        assert dispatcher.result("trial/0001") is None


def test_a_result_that_arrives_with_the_error_of_a_full_disk_counts(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        full = JobError("environment", "no room", errno=28)
        dispatcher = Dispatcher(journal, Answering((None, full), ({"score": 1}, None)))
        for key in ("trial/0001", "trial/0002"):
            dispatcher.request(key, "trial", lambda fence: {})
        with pytest.raises(OSError, match="no room"):
            dispatcher.wait(0)
        assert dispatcher.result("trial/0001") is None
        assert dispatcher.result("trial/0002") == {"score": 1}


@pytest.mark.parametrize("kind", ["environment", "outdated", "stop"])
def test_however_often_it_is_told_to_stop_a_job_is_not_suspected(kind, tmp_path):
    """By the disk, by changed code, or by a person: the next start has a clean slate."""
    key, ends = "trial/0001", (None, JobError(kind, "no room", errno=28))
    for _ in range(20):
        with Journal(tmp_path / "journal.jsonl") as journal:
            dispatcher = Dispatcher(journal, Answering(ends))
            dispatcher.request(key, "trial", lambda fence: {})
            dispatcher.start()
            if kind != "stop":
                with pytest.raises((OSError, JobFailed), match="no room"):
                    dispatcher.wait(0)
            dispatcher.cancel()
            assert dispatcher.running() == ()
    with Journal(tmp_path / "journal.jsonl") as journal:
        dispatcher = Dispatcher(journal, Answering(({"score": 1}, None)))
        dispatcher.request(key, "trial", lambda fence: {})
        dispatcher.wait(0)
        dispatcher.wait(0)
        assert dispatcher.result(key) == {"score": 1}
        assert audit(journal.records) == [f"{key} ran, but was never proposed"]
