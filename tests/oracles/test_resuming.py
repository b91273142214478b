"""Every strategy behind the real loop and journal: resumed from any moment, a search ends as it would have ended."""

from __future__ import annotations

import msgspec
import pytest

from tuning.core.records import TrialSpec
from tuning.engine.dispatch import Dispatcher
from tuning.engine.entries import Ask
from tuning.engine.executors import Finished
from tuning.engine.journal import Journal, encode, read
from tuning.engine.loop import run_loop
from tuning.oracles import STRATEGIES

#: (space, number of moments that it is resumed from, settings)
CASES = {
    "mixed": ("mixed_space", 5, {}),
    "mixed, at most 12 trials": ("mixed_space", 3, {"max_trials": 12}),
    "five points": ("five_points", 30, {}),
}


class TwoWorkers:
    """An executor that answers with what the simulated trials come to."""

    def __init__(self, outcome_of):
        self.outcome_of, self.jobs = outcome_of, []

    def free(self):
        return 2 - len(self.jobs)

    def submit(self, job):
        self.jobs.append(job)

    def collect(self, timeout):
        job = self.jobs.pop(0)
        return [Finished(job.key, job.fence, msgspec.to_builtins(self.outcome_of(TrialSpec(**job.payload))))]


@pytest.mark.parametrize("window", [4, 16])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "auto"])
def test_resumed_after_any_proposal_it_ends_the_same(name, case, window, simulated, tmp_path):
    space, moments, settings = CASES[case]

    def run(path):
        search = simulated.build(name, getattr(simulated, space)(), seed=2, **settings)
        with Journal(path) as journal:
            told = run_loop(
                search,
                Dispatcher(journal, TwoWorkers(simulated.completed)),
                window,
                lambda spec, fence: msgspec.to_builtins(spec),
            )
        asked = [record.trial for record in read(path) if isinstance(record, Ask)]
        return asked, [spec.trial_id for spec, _ in told]

    path = tmp_path / "whole.jsonl"
    whole = run(path)
    assert run(path) == whole
    lines = [encode(record) for record in read(path)]
    cuts = [number for number, line in enumerate(lines, start=1) if b'"type":"ask"' in line]
    assert len(cuts) == len(whole[0])
    for cut in cuts[:: max(1, len(cuts) // moments)] + cuts[-2:]:
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(b"".join(lines[:cut]))
        assert run(path) == whole
