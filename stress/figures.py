"""How much the engine itself costs: proposals, results, appends, opening a journal; no trial is trained."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuning.core.records import COMPLETED, DONE, Signal, TrialOutcome, TrialSpec
from tuning.engine.dispatch import Dispatcher
from tuning.engine.entries import Ask, Attempt, Result
from tuning.engine.executors import Event, Finished, Job
from tuning.engine.journal import Journal, encode
from tuning.engine.loop import run_loop
from tuning.engine.state import replay

_EPOCHS = 27


class Endless:
    """A strategy that thinks nothing of it: `trials` proposals in a row."""

    def __init__(self, trials: int) -> None:
        self._trials, self._asked = trials, 0

    def ask(self, recorded: TrialSpec | None = None) -> TrialSpec | Signal:
        if self._asked == self._trials:
            return DONE
        self._asked += 1
        return TrialSpec(f"{self._asked:05d}", {"rate": 0.1, "width": 32}, _EPOCHS)

    def tell(self, outcome: TrialOutcome) -> None:
        return None


class AtOnce:
    """An executor whose jobs are done when they are asked after."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._jobs: deque[Job] = deque()

    def free(self) -> int:
        return self._workers - len(self._jobs)

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def collect(self, timeout: float) -> list[Event]:
        job = self._jobs.popleft()
        return [Finished(job.key, job.fence, _result(job.payload["trial_id"]))]

    def cancel(self) -> None:
        self._jobs.clear()

    def close(self) -> None:
        self.cancel()


def main(folder: Path, trials: int = 10_000) -> dict[str, Any]:
    """Runs the loop over `trials` simulated trials, appends and opens; milliseconds unless said otherwise."""
    asks, tells = [], []
    strategy = Endless(trials)
    strategy.ask, strategy.tell = _timed(strategy.ask, asks), _timed(strategy.tell, tells)
    began = time.perf_counter()
    with Journal(folder / "loop.jsonl") as journal:
        appends: list[float] = []
        journal.append = _timed(journal.append, appends)
        dispatcher = Dispatcher(journal, AtOnce(4))
        ended = run_loop(strategy, dispatcher, 64, lambda spec, fence: {"trial_id": spec.trial_id})
    seconds = time.perf_counter() - began
    resumed = _resume(folder / "loop.jsonl", trials)
    return {
        "passed": len(ended) == trials,
        "trials": trials,
        "loop_ms_a_trial": round(1000 * (seconds - sum(appends) / 1000 - sum(asks + tells) / 1000) / trials, 4),
        "append": _spread(appends),
        "bytes": (folder / "loop.jsonl").stat().st_size,
        "resume_of_all_seconds": round(resumed, 3),
        "open_1000_trials_seconds": round(_open(folder / "thousand.jsonl", 1000), 3),
        "seconds": round(seconds, 1),
    }


def _resume(path: Path, trials: int) -> float:
    began = time.perf_counter()
    with Journal(path) as journal:
        ended = run_loop(Endless(trials), Dispatcher(journal, AtOnce(4)), 64, lambda spec, fence: {})
    if len(ended) != trials:
        raise RuntimeError(f"{len(ended)} of {trials} trials came back")
    return time.perf_counter() - began


def _open(path: Path, trials: int) -> float:
    """Seconds to open and replay a journal of that many trials."""
    with path.open("wb") as file:
        for number in range(trials):
            key, n = f"trial/{number:05d}", 3 * number
            spec = TrialSpec(f"{number:05d}", {"rate": 0.1, "width": 32}, _EPOCHS)
            file.write(encode(Ask(n=n, trial=spec, completed=0)))
            file.write(encode(Attempt(n=n + 1, key=key)))
            file.write(encode(Result(n=n + 2, key=key, fence=n + 1, result=_result(spec.trial_id))))
    began = time.perf_counter()
    with Journal(path) as journal:
        replay(journal.records)
    return time.perf_counter() - began


def _result(trial_id: str) -> dict[str, Any]:
    metrics = ("loss", "accuracy", "val_loss", "val_accuracy", "val_f1_macro", "learning_rate")
    curve = [{"epoch": epoch, **dict.fromkeys(metrics, 0.512345678)} for epoch in range(1, _EPOCHS + 1)]
    return {
        "trial_id": trial_id,
        "status": COMPLETED,
        "score": 0.512345678,
        "curve": curve,
        "failure": None,
        "space": [],
        "seconds": [1.234] * _EPOCHS,
    }


def _timed(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        result = function(*arguments)
        into.append(1000 * (time.perf_counter() - began))
        return result

    return timed


def _spread(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"median": round(cuts[49], 3), "p99": round(cuts[98], 3), "longest": round(max(values), 3)}
