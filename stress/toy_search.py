"""A search by the engine alone, with toy work in real worker processes; calling it again resumes it.

python -m stress.toy_search DIRECTORY WORKERS
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from tuning.core.files import canonical_json, remove_directory, write_text
from tuning.core.records import DONE, WAIT, Signal, TrialOutcome, TrialSpec, keyed_seed
from tuning.engine.dispatch import Dispatcher
from tuning.engine.executors.local import LocalExecutor
from tuning.engine.journal import Journal
from tuning.engine.loop import SearchLoop, trial_key
from tuning.oracles import rungs
from tuning.trials.checkpoint import epochs_done

RESULT = "result.json"
MAX_EPOCHS, FACTOR = 8, 2


class OneBracket:
    """A strategy of successive halving over keyed random rates: Hyperband's first bracket, without Keras Tuner."""

    def __init__(self) -> None:
        self.bracket = rungs.Halving(next(iter(rungs.plan(MAX_EPOCHS, FACTOR))), "max")
        self._specs: dict[str, TrialSpec] = {}

    def ask(self, recorded: TrialSpec | None = None) -> TrialSpec | Signal:
        if self.bracket.spent:
            return DONE
        step = self.bracket.next_step()
        if step is None:
            return WAIT
        trial_id = f"{len(self._specs):04d}"
        parent = self._specs.get(step.parent)
        values = dict(parent.values) if parent else {"rate": keyed_seed(0, "rate", trial_id) / 2**31}
        root = parent.root if parent else trial_id
        spec = TrialSpec(trial_id, values, step.epochs, step.initial_epoch, step.parent, root)
        self.bracket.start(trial_id, step)
        self._specs[trial_id] = spec
        return spec

    def tell(self, outcome: TrialOutcome) -> None:
        self.bracket.tell(outcome.trial_id, outcome.score)


def search(directory: Path, workers: int, max_deaths: int = 100_000) -> None:
    """Run the search to its end and write every trial with its outcome to `result.json`."""
    strategy = OneBracket()

    def checkpoints(key: str) -> Path:
        return directory / "checkpoints" / key

    def payload(spec: TrialSpec, fence: int) -> dict[str, Any]:
        return {
            "trial_id": spec.trial_id,
            "values": spec.values,
            "seed": keyed_seed(0, "trial", spec.root),
            "until": spec.epochs,
            "attempt": fence,
            "checkpoints": str(checkpoints(trial_key(spec.trial_id))),
            "parent": str(checkpoints(trial_key(spec.continues))) if spec.continues else None,
        }

    told: set[str] = set()

    def prune(spec: TrialSpec, outcome: TrialOutcome) -> None:
        told.add(spec.trial_id)
        for trial_id in sorted(told - strategy.bracket.continuable()):
            remove_directory(checkpoints(trial_key(trial_id)))

    with Journal(directory / "journal.jsonl") as journal:
        executor = LocalExecutor(workers, "stress.toy:run", {}, directory / "logs")
        try:
            dispatcher = Dispatcher(journal, executor, max_deaths, lambda key: epochs_done(checkpoints(key)))
            ended = SearchLoop(strategy, dispatcher, 64, payload, prune).run()
        finally:
            executor.close()
    write_text(directory / RESULT, canonical_json(msgspec.to_builtins(ended)))


if __name__ == "__main__":
    search(Path(sys.argv[1]), int(sys.argv[2]))
