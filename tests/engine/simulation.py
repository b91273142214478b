"""A strategy and workers for tests of the loop: nothing is trained, and what happens when is drawn from a seed."""

from __future__ import annotations

import random

from tuning.core.records import COMPLETED, DONE, WAIT, Failure, TrialSpec
from tuning.engine.dispatch import Dispatcher
from tuning.engine.executors import Died, Finished, Progressed
from tuning.engine.journal import Journal
from tuning.engine.loop import SearchLoop

CRASH = Failure("crash", "the worker crashed (SIGSEGV)")


class Halving:
    """A strategy that needs whole rungs: 8 trials, then the best 4, 2 and 1; remembers what it was asked and told."""

    def __init__(self):
        self.log, self.scores, self.asked, self.rung = [], {}, 0, list(range(8))
        self.queue = [(None, i) for i in range(8)]
        self.waiting = set()

    def ask(self, recorded=None):
        if not self.queue:
            if self.waiting:
                return WAIT
            if len(self.rung) == 1:
                return DONE
            best = sorted(self.rung, key=lambda i: (-self.scores[i], i))[: len(self.rung) // 2]
            self.queue = [(i, i) for i in best]
            self.rung = []
        parent, _ = self.queue.pop(0)
        number = self.asked
        self.asked += 1
        self.waiting.add(number)
        if parent is not None:
            self.rung.append(number)
        self.log.append(("ask", number))
        return TrialSpec(f"{number:04d}", {"parent": parent, "number": number}, epochs=1)

    def tell(self, outcome):
        number = int(outcome.trial_id)
        self.waiting.discard(number)
        self.scores[number] = outcome.score if outcome.status == COMPLETED else -1.0
        self.log.append(("tell", number, outcome.status))


def score(number: int) -> float:
    return (number * 37 % 101) / 101


class SimulatedWorkers:
    """An executor whose jobs end in random order; some die, and the whole search may be killed between two events."""

    def __init__(self, workers, seed, deaths=0.0, kill_after=None):
        self.workers, self.random = workers, random.Random(seed)
        self.deaths, self.kill_after = deaths, kill_after
        self.jobs, self.most = [], 0

    def free(self):
        return self.workers - len(self.jobs)

    def submit(self, job):
        assert self.free() > 0
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))

    def collect(self, timeout):
        if self.kill_after is not None:
            if self.kill_after == 0:
                raise KeyboardInterrupt
            self.kill_after -= 1
        job = self.jobs.pop(self.random.randrange(len(self.jobs)))
        if self.random.random() < self.deaths:
            return [Died(job.key, job.fence, CRASH)]
        return [
            Progressed(job.key, job.fence, {"epoch": 1}),
            Finished(job.key, job.fence, result(job.payload["trial_id"], score(job.payload["number"]))),
        ]

    def cancel(self):
        self.jobs.clear()

    def close(self):
        pass


def result(trial_id, value):
    return {
        "trial_id": trial_id,
        "status": COMPLETED,
        "score": value,
        "curve": [{"epoch": 1, "val_f1_macro": value}],
        "failure": None,
        "space": [],
        "seconds": [0.1],
    }


def payload(spec, fence):
    return {"trial_id": spec.trial_id, "number": spec.values["number"]}


def search(path, executor, window=6, max_deaths=2, strategy=None):
    strategy = strategy or Halving()
    with Journal(path) as journal:
        told = SearchLoop(strategy, Dispatcher(journal, executor, max_deaths), window, payload).run()
    return strategy.log, told
