"""Other libraries' strategies, each in its best published form. One that is not installed is left out, and said so."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.strategies.problem import EPOCHS, defaults, keras_tuner_space, space
from benchmarks.strategies.simulator import Job, Method


class Recording:
    """What all peers share: the incumbent is the best of the longest trained, by its last score."""

    def __init__(self) -> None:
        self._best: tuple[int, float] = (0, float("-inf"))
        self._choice: dict[str, Any] | None = None

    def note(self, job: Job, scores: list[float]) -> None:
        if (job.last, scores[-1]) > self._best:
            self._best, self._choice = (job.last, scores[-1]), job.configuration

    def recommend(self) -> dict[str, Any] | None:
        return self._choice


class KerasTuner(Recording):
    """An oracle of Keras Tuner's own; promoted trials pay only for the epochs they add, better than it really does."""

    def __init__(self, seed: int, build: Callable[..., Any]) -> None:
        import keras_tuner

        super().__init__()
        self._oracle = build(keras_tuner.Objective("score", "max"), keras_tuner_space(), seed + 1)
        self._oracle.verbose = 0
        self._oracle._display.on_trial_begin = self._oracle._display.on_trial_end = lambda trial: None
        for name in ("save", "_save_trial"):
            setattr(self._oracle, name, lambda *arguments: None)

    def ask(self, worker: int) -> Job | None:
        trial = self._oracle.create_trial(f"worker-{worker}")
        if trial.status != "RUNNING":
            return None
        values = trial.hyperparameters.values
        configuration = {name: values[name] for name in space()}
        return Job(trial, configuration, values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", EPOCHS))

    def tell(self, job: Job, scores: list[float]) -> None:
        self.note(job, scores)
        trial = job.key
        self._oracle.update_trial(trial.trial_id, {"score": scores[-1]})
        trial.status = "COMPLETED"
        self._oracle.end_trial(trial)


class Optuna(Recording):
    """Multivariate TPE, alone or with the Hyperband pruner; with it, every epoch is reported. Defaults first."""

    def __init__(self, seed: int, pruned: bool) -> None:
        import optuna

        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        pruner = optuna.pruners.HyperbandPruner(1, EPOCHS, 3) if pruned else optuna.pruners.NopPruner()
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._study.enqueue_trial(defaults())
        self._pruned = pruned
        self._going: dict[int, Job] = {}  # worker -> the job that goes on
        self._worker_of: dict[int, int] = {}

    def ask(self, worker: int) -> Job | None:
        if worker in self._going:
            return self._going.pop(worker)
        trial = self._study.ask()
        configuration = {}
        for name, entry in space().items():
            suggest = trial.suggest_int if entry["type"] == "uniform_int" else trial.suggest_float
            configuration[name] = suggest(name, entry["lower"], entry["upper"], log=entry["log"])
        self._worker_of[trial.number] = worker
        return Job(trial, configuration, 0, 1 if self._pruned else EPOCHS)

    def tell(self, job: Job, scores: list[float]) -> None:
        import optuna

        self.note(job, scores)
        trial = job.key
        trial.report(scores[-1], job.last)
        if job.last == EPOCHS:
            self._study.tell(trial, scores[-1])
        elif trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._going[self._worker_of[trial.number]] = Job(trial, job.configuration, job.last, job.last + 1)


def _random(objective, hyperparameters, seed):
    import keras_tuner

    return keras_tuner.oracles.RandomSearch(objective, 10**6, hyperparameters=hyperparameters, seed=seed)


def _bayesian(objective, hyperparameters, seed):
    import keras_tuner

    return keras_tuner.oracles.BayesianOptimization(objective, 10**6, hyperparameters=hyperparameters, seed=seed)


def _hyperband(objective, hyperparameters, seed):
    import keras_tuner

    return keras_tuner.oracles.Hyperband(
        objective, EPOCHS, factor=3, hyperband_iterations=100, hyperparameters=hyperparameters, seed=seed
    )


@dataclass(frozen=True)
class Peer:
    """A row of `PEERS`: the module it needs, the package to install for it; `slow` ones run only on demand."""

    module: str
    package: str
    build: Callable[[int], Method]
    slow: bool = False

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


PEERS: dict[str, Peer] = {
    "keras-tuner-random": Peer("keras_tuner", "keras-tuner", lambda seed: KerasTuner(seed, _random)),
    "keras-tuner-hyperband": Peer("keras_tuner", "keras-tuner", lambda seed: KerasTuner(seed, _hyperband)),
    "keras-tuner-bayesian": Peer("keras_tuner", "keras-tuner", lambda seed: KerasTuner(seed, _bayesian), slow=True),
    "optuna-tpe": Peer("optuna", "optuna", lambda seed: Optuna(seed, pruned=False)),
    "optuna-tpe-hyperband": Peer("optuna", "optuna", lambda seed: Optuna(seed, pruned=True)),
}
