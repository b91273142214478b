"""Every strategy behind the real loop and journal: resumed from any moment, a search ends as it would have ended."""

from __future__ import annotations

import msgspec
import pytest

from tuning.core.records import TrialSpec, keyed_seed
from tuning.engine.dispatch import Dispatcher
from tuning.engine.entries import Ask
from tuning.engine.executors import Finished
from tuning.engine.journal import Journal, encode, read
from tuning.engine.loop import SearchLoop
from tuning.oracles import STRATEGIES
from tuning.oracles.brackets import Brackets

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
            told = SearchLoop(
                search,
                Dispatcher(journal, TwoWorkers(simulated.completed)),
                window,
                lambda spec, fence: msgspec.to_builtins(spec),
            ).run()
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


def test_where_most_curves_end_early_a_resumed_hyperband_ends_the_same(simulated, tmp_path, monkeypatch):
    """Stages are larger than what waits for them, and what is paused later may be promoted into any of them."""

    def outcome_of(spec):
        outcome = msgspec.structs.replace(simulated.completed(spec), cost=1e6 * spec.values["width"] ** 2)
        if keyed_seed(0, "dead", spec.root) % 10 == 9:
            return outcome
        curve = outcome.curve[: 2 * spec.epochs // 3]
        return msgspec.structs.replace(outcome, curve=curve, score=max(row["objective"] for row in curve))

    def run(name, seed):
        given = {"max_epochs": 27, "min_epochs": 3, "iterations": 8}
        search = simulated.build("hyperband", simulated.mixed_space(), seed=seed, **given)
        path = tmp_path / f"{name}-{seed}.jsonl"
        with Journal(path) as journal:
            dispatcher = Dispatcher(journal, TwoWorkers(outcome_of))
            told = SearchLoop(search, dispatcher, 16, lambda spec, fence: msgspec.to_builtins(spec)).run()
        return [record.trial for record in read(path) if isinstance(record, Ask)], [spec.trial_id for spec, _ in told]

    def resumed(asks, seed):
        """The same, from its first so many proposals on."""
        lines = [encode(record) for record in read(tmp_path / f"whole-{seed}.jsonl")]
        last = [number for number, line in enumerate(lines, start=1) if b'"type":"ask"' in line][asks - 1]
        (tmp_path / f"resumed-{seed}.jsonl").write_bytes(b"".join(lines[:last]))
        return run("resumed", seed)

    differing = []
    for seed in (5, 8):
        whole = run("whole", seed)
        with monkeypatch.context() as patch:
            patch.setattr(Brackets, "find", find_that_remembers)
            other = run("other", seed)
        pairs = zip(whole[0], other[0], strict=False)
        differs = next((number for number, (now, then) in enumerate(pairs) if now != then), None)
        if differs is not None:
            differing.append(seed)
            assert resumed(differs, seed) == whole
    # In one search at least it matters where the two rules differ.
    assert differing


def find_that_remembers(self, fresh, paused_below):
    """A rule that a resume forgets: a bracket without a place is passed over until a trial of it has ended."""
    passed = self.__dict__.setdefault("passed", set())
    for bracket in self._open:
        now = bracket.number, bracket.stage, bracket.started - bracket.running
        if now in passed:
            continue
        if (slot := self._slot(bracket, fresh, paused_below)) is not None:
            return slot
        if bracket.running:
            passed.add(now)
    return self._slot(self._upcoming(), fresh, paused_below)
