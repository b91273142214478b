"""Simulated trials: what an oracle is told is a formula of the configuration and the epochs, never a training."""

from __future__ import annotations

import math
from collections import deque
from types import SimpleNamespace

import keras_tuner
import pytest

from tuning.core.records import COMPLETED, DONE, FAILED, Failure, TrialOutcome, TrialSpec
from tuning.oracles import STRATEGIES
from tuning.oracles.adapter import OracleSearch


def mixed_space() -> keras_tuner.HyperParameters:
    """Every kind of entry: log, integer, unordered, boolean, fixed, conditional, the same name under two conditions."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-3)
    hp.Int("width", 16, 64, step=16, default=32)
    hp.Int("batch", 8, 100, sampling="log", default=32)
    hp.Choice("balance", ["none", "weights", "sampler"])
    hp.Boolean("norm")
    hp.Fixed("classes", 7)
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.5, 0.99, default=0.9)
        hp.Float("decay", 0.0, 0.1)
    with hp.conditional_scope("optimizer", ["adam"]):
        hp.Float("decay", 0.5, 1.0)
    return hp


def five_points() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Choice("point", [0, 1, 2, 3, 4])
    return hp


def value_of(values: dict, epochs: int) -> float:
    """The objective, in (0, 1), growing with the epochs; best near rate 0.01 and width 48."""
    distance = abs(math.log10(values.get("rate", 1e-2)) + 2) / 4
    distance += abs(values.get("width", 48) - 48) / 64 + 0.1 * (values.get("optimizer") == "sgd")
    distance += values.get("point", 0) / 20
    return math.exp(-distance) * (1 - math.exp(-epochs / 5))


def completed(spec: TrialSpec) -> TrialOutcome:
    curve = tuple({"epoch": e, "loss": 1 / e, "objective": value_of(spec.values, e)} for e in range(1, spec.epochs + 1))
    return TrialOutcome(spec.trial_id, COMPLETED, max(row["objective"] for row in curve), curve)


def failed(spec: TrialSpec) -> TrialOutcome:
    return TrialOutcome(spec.trial_id, FAILED, failure=Failure("crash", "killed by SIGSEGV", epoch=1))


def build(name: str, hyperparameters=None, **settings) -> OracleSearch:
    objective = keras_tuner.Objective("objective", settings.pop("direction", "max"))
    settings = {"max_epochs": 9, "factor": 3, **settings}
    return OracleSearch(STRATEGIES[name](objective, hyperparameters=hyperparameters or mixed_space(), **settings))


def drive(search: OracleSearch, window: int = 4, outcome_of=completed, limit: int = 1000) -> list[TrialSpec]:
    """Asks and tells in logical order until the strategy is done; returns what it asked for."""
    asked: list[TrialSpec] = []
    outstanding: deque[TrialSpec] = deque()
    while True:
        answer = search.ask() if len(outstanding) < window else None
        if isinstance(answer, TrialSpec):
            asked.append(answer)
            outstanding.append(answer)
            assert len(asked) <= limit, "the strategy does not end"
            continue
        if not outstanding:
            assert answer is DONE
            return asked
        search.tell(outcome_of(outstanding.popleft()))


def ask_in_vain(build_search) -> None:
    """A journal holds no WAIT: a search that asked in vain again and again must go on as one that never did."""
    search, waited = build_search(), []
    ask = search.ask

    def ask_again(recorded=None):
        answer = ask(recorded)
        if not isinstance(answer, TrialSpec):
            waited.append(answer)
            assert [ask(), ask()] == [answer, answer]
        return answer

    search.ask = ask_again
    assert drive(search, window=64) == drive(build_search(), window=64)
    assert len(waited) > 1


@pytest.fixture
def simulated() -> SimpleNamespace:
    return SimpleNamespace(
        build=build,
        drive=drive,
        ask_in_vain=ask_in_vain,
        completed=completed,
        failed=failed,
        value_of=value_of,
        mixed_space=mixed_space,
        five_points=five_points,
    )
