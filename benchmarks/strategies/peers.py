"""Strategies of other libraries, each in its best published form."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.strategies.problem import EPOCHS, defaults, keras_tuner_space, space
from benchmarks.strategies.simulator import Job, Method


class Recording:
    """Base of all peers: the incumbent is the configuration with the best last score, at whatever epoch."""

    def __init__(self) -> None:
        self._best = float("-inf")
        self._choice: dict[str, Any] | None = None

    def note(self, job: Job, scores: list[float]) -> None:
        if scores[-1] > self._best:
            self._best, self._choice = scores[-1], job.configuration

    def recommend(self) -> dict[str, Any] | None:
        return self._choice


class Stepping(Recording):
    """Base of peers that are told every epoch: a worker continues its trial until the peer stops it."""

    def __init__(self) -> None:
        super().__init__()
        self._going: dict[int, Job] = {}  # worker -> its next epoch
        self._worker_of: dict[Any, int] = {}  # trial -> its worker

    def ask(self, worker: int) -> Job | None:
        if worker in self._going:
            return self._going.pop(worker)
        job = self.begin()
        if job is not None:
            self._worker_of[self.number(job)] = worker
        return job

    def go_on(self, job: Job) -> None:
        """Train the job's trial for one more epoch, on the same worker."""
        self._going[self._worker_of[self.number(job)]] = Job(job.key, job.configuration, job.last, job.last + 1)


class KerasTuner(Recording):
    """An oracle of Keras Tuner. Promoted trials pay only for the epochs they add, which is better than in reality."""

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


class Optuna(Stepping):
    """Optuna's multivariate TPE or Gaussian process; `pruned`: every epoch is reported to the Hyperband pruner.

    The defaults are tried first.
    """

    def __init__(self, seed: int, pruned: bool = False, gaussian: bool = False) -> None:
        import optuna

        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        pruner = optuna.pruners.HyperbandPruner(1, EPOCHS, 3) if pruned else optuna.pruners.NopPruner()
        if gaussian:
            sampler = optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)
        else:
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        # The pruner derives brackets from the study's name, which would otherwise be random.
        self._study = optuna.create_study(
            study_name=f"seed-{seed}", direction="maximize", sampler=sampler, pruner=pruner
        )
        self._study.enqueue_trial(defaults())
        self._pruned = pruned

    def number(self, job: Job) -> int:
        return job.key.number

    def begin(self) -> Job:
        trial = self._study.ask()
        configuration = {}
        for name, entry in space().items():
            suggest = trial.suggest_int if entry["type"] == "uniform_int" else trial.suggest_float
            configuration[name] = suggest(name, entry["lower"], entry["upper"], log=entry["log"])
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
            self.go_on(job)


class Smac(Recording):
    """SMAC's multi-fidelity facade: a random forest proposes, Hyperband allocates epochs. The defaults are tried first.

    A configuration that is proposed again with a larger budget pays only for the epochs it adds.
    """

    def __init__(self, seed: int) -> None:
        from ConfigSpace import ConfigurationSpace, Float, Integer
        from smac import MultiFidelityFacade, Scenario

        super().__init__()
        logging.getLogger("smac").setLevel(logging.ERROR)
        entries = []
        for name, entry in space().items():
            kind = Integer if entry["type"] == "uniform_int" else Float
            entries.append(kind(name, (entry["lower"], entry["upper"]), log=entry["log"], default=defaults()[name]))
        known = ConfigurationSpace(seed=seed, space=entries)
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            known,
            deterministic=True,
            n_trials=10**6,
            min_budget=EPOCHS / 27,
            max_budget=EPOCHS,
            seed=seed,
            output_directory=Path(self._folder.name),
        )
        self._smac = MultiFidelityFacade(
            scenario,
            lambda config, seed=0, budget=0: 0.0,
            initial_design=MultiFidelityFacade.get_initial_design(
                scenario, n_configs=5, additional_configs=[known.get_default_configuration()]
            ),
            logging_level=logging.ERROR,
            overwrite=True,
        )
        self._trained: dict[Any, int] = {}

    def ask(self, worker: int) -> Job | None:
        info = self._smac.ask()
        first, last = self._trained.get(info.config, 0), max(1, round(info.budget))
        return Job(info, dict(info.config), min(first, last - 1), last)

    def tell(self, job: Job, scores: list[float]) -> None:
        from smac.runhistory import TrialValue

        self.note(job, scores)
        self._trained[job.key.config] = job.last
        self._smac.tell(job.key, TrialValue(cost=-scores[-1]), save=False)


class SyneTune(Stepping):
    """A scheduler of Syne Tune that stops trials: every epoch is reported. The defaults are tried first."""

    def __init__(self, seed: int, name: str, **options: Any) -> None:
        import numpy as np
        from syne_tune import config_space
        from syne_tune.optimizer import baselines

        super().__init__()
        np.random.seed(seed)  # Syne Tune also draws from NumPy's global generator
        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        entries = {}
        for key, entry in space().items():
            kind = "randint" if entry["type"] == "uniform_int" else "uniform"
            kind = ("log" + kind) if entry["log"] else kind
            entries[key] = getattr(config_space, kind)(entry["lower"], entry["upper"])
        self._scheduler = getattr(baselines, name)(
            entries,
            metric="score",
            time_attr="epoch",
            max_t=EPOCHS,
            do_minimize=False,
            random_seed=seed,
            points_to_evaluate=[defaults()],
            **options,
        )
        self._count = 0

    def number(self, job: Job) -> int:
        return job.key.trial_id

    def begin(self) -> Job | None:
        from syne_tune.backend.trial_status import Trial

        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        trial = Trial(self._count, suggestion.config, datetime.fromtimestamp(0))
        self._count += 1
        self._scheduler.on_trial_add(trial)
        return Job(trial, {name: suggestion.config[name] for name in space()}, 0, 1)

    def tell(self, job: Job, scores: list[float]) -> None:
        self.note(job, scores)
        trial, result = job.key, {"score": scores[-1], "epoch": job.last}
        if job.last == EPOCHS:
            self._scheduler.on_trial_complete(trial, result)
        elif self._scheduler.on_trial_result(trial, result) == "CONTINUE":
            self.go_on(job)


def _random(objective, hyperparameters, seed):
    import keras_tuner

    return keras_tuner.oracles.RandomSearchOracle(objective, 10**6, hyperparameters=hyperparameters, seed=seed)


def _bayesian(objective, hyperparameters, seed):
    import keras_tuner

    return keras_tuner.oracles.BayesianOptimizationOracle(objective, 10**6, hyperparameters=hyperparameters, seed=seed)


def _hyperband(objective, hyperparameters, seed):
    import keras_tuner

    return keras_tuner.oracles.HyperbandOracle(
        objective, EPOCHS, factor=3, hyperband_iterations=100, hyperparameters=hyperparameters, seed=seed
    )


@dataclass(frozen=True)
class Peer:
    """A row of `PEERS`: the module it needs, the packages to install, its constructor; `slow` ones run on demand."""

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
    "optuna-tpe": Peer("optuna", "optuna", Optuna),
    "optuna-tpe-hyperband": Peer("optuna", "optuna", lambda seed: Optuna(seed, pruned=True)),
    "optuna-gp": Peer("torch", "optuna torch", lambda seed: Optuna(seed, gaussian=True), slow=True),
    "smac-multi-fidelity": Peer("smac", "smac", Smac, slow=True),
    "syne-tune-asha": Peer("syne_tune", "syne-tune", lambda seed: SyneTune(seed, "ASHA")),
    "syne-tune-bohb": Peer("syne_tune", "syne-tune", lambda seed: SyneTune(seed, "BOHB")),
    "syne-tune-asha-cqr": Peer("syne_tune", "syne-tune", lambda seed: SyneTune(seed, "ASHACQR"), slow=True),
}
