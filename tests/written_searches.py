"""Fixtures that write searches without running them: journals of any size, as the engine writes them, and their runs.

For all tests that read searches (plugin of `tests/conftest.py`).
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tuning.core.plan import Plan, Price
from tuning.core.records import TrialSpec
from tuning.core.settings import SearchSettings, freeze
from tuning.engine import journal
from tuning.engine.entries import Entry, from_json
from tuning.history.reading import history_of
from tuning.history.records import History
from tuning.history.source import facts_of
from tuning.oracles.rungs import brackets

DEFAULTS = {"rate": 1e-3, "width": 32, "head": "dense", "units": 128, "blocks": 3, "norm": False, "flip": True}
SPACE = [
    ("Float", {"name": "rate", "min_value": 1e-4, "max_value": 1e-2, "step": None, "sampling": "log"}),
    ("Choice", {"name": "width", "values": [16, 32, 64]}),
    ("Choice", {"name": "head", "values": ["dense", "average"]}),
    ("Choice", {"name": "units", "values": [64, 128]}),
    ("Int", {"name": "blocks", "min_value": 2, "max_value": 5, "step": None, "sampling": "linear"}),
    ("Boolean", {"name": "norm"}),
    ("Fixed", {"name": "flip", "value": True}),
]
#: The plan of a search with a budget of an hour.
PLAN = Plan(
    budget=3600,
    seats=2,
    price=Price(epoch=20, low=10, high=30, start=2, default=8, timed=1),
    max_epochs=20,
    first_rung=3,
    trainings=9.0,
    search=2250,
    finals=1260,
    final_epochs=60,
    window=4,
    limit=None,
    untried=[],
    good=[],
)


class WrittenSearch:
    """The journal of a running search; scores depend on the learning rate, the epoch and some noise."""

    def __init__(self, settings: SearchSettings, seed: int = 0) -> None:
        self.settings, self._rng = settings, np.random.default_rng(seed)
        self.records: list[dict[str, Any]] = []
        self._curves: dict[str, list[dict[str, Any]]] = {}
        space = [{"class_name": kind, "config": config} for kind, config in SPACE]
        fence = self.add("attempt", key="describe", epoch=0)
        result = {"space": space, "defaults": DEFAULTS, "parameters": {}}
        self.add("result", key="describe", fence=fence, result=result)

    @property
    def entries(self) -> list[Entry]:
        return [from_json(record) for record in self.records]

    def add(self, kind: str, **fields: Any) -> int:
        self.records.append({"n": len(self.records), "type": kind, **fields})
        return len(self.records) - 1

    def values(self, number: int) -> dict[str, Any]:
        if number == 0:
            return dict(DEFAULTS)
        draw = self._rng
        values = {
            "rate": float(10 ** draw.uniform(-4, -2)),
            "width": int(draw.choice([16, 32, 64])),
            "head": str(draw.choice(["dense", "average"])),
            "blocks": int(draw.integers(2, 6)),
            "norm": bool(draw.integers(2)),
            "flip": True,
        }
        return values | ({"units": int(draw.choice([64, 128]))} if values["head"] == "dense" else {})

    def ask(self, trial: str, values: dict[str, Any], epochs: int | None, **more: Any) -> TrialSpec:
        spec = TrialSpec(trial, values, epochs, **{"root": trial, **more})
        self.add("ask", trial=msgspec.to_builtins(spec), completed=0)
        return spec

    def tell(self, spec: TrialSpec, epochs: int) -> float:
        fence = self.add("attempt", key=f"trial/{spec.trial_id}", epoch=0)
        curve = list(self._curves.get(spec.continues or "", ()))
        best = 0.75 - 0.2 * abs(math.log10(spec.values["rate"]) + 3)
        while len(curve) < epochs:
            score = best * (1 - math.exp(-(len(curve) + 1) / 5)) + float(self._rng.normal(0, 0.01))
            curve.append({"epoch": len(curve) + 1, "loss": 2.0, "val_loss": 2 - score, "val_f1_macro": score})
        self._curves[spec.trial_id] = curve
        score = max(entry["val_f1_macro"] for entry in curve)
        result = {"trial_id": spec.trial_id, "status": "COMPLETED", "score": score, "curve": curve}
        result |= {"seconds": [2.0] * len(curve), "failure": None, "space": []}
        self.add("result", key=f"trial/{spec.trial_id}", fence=fence, result=result)
        return score

    def fail(self, spec: TrialSpec, message: str = "the loss is NaN") -> None:
        fence = self.add("attempt", key=f"trial/{spec.trial_id}", epoch=0)
        error = {"kind": "exception", "message": message, "traceback": "Traceback …\nValueError"}
        self.add("result", key=f"trial/{spec.trial_id}", fence=fence, result={"error": error})

    def history(self, slices: int = 1) -> History:
        return history_of(facts_of(self.entries), slices)

    def spend(self, seconds: float) -> None:
        self.add("spent", seconds=seconds)


@pytest.fixture
def no_importances(monkeypatch) -> None:
    """Leave out importances in tests of something else: the forests take a second each."""
    monkeypatch.setattr("tuning.results.report.importances", lambda history, seed: ())


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Leave out pictures in tests of something else on the page: drawing takes a second."""
    monkeypatch.setattr("tuning.results.report.pictures.pictures", lambda history, importances, title: {})


@pytest.fixture
def settings() -> Callable[..., SearchSettings]:
    """`settings(name="s", strategy="hyperband", …)` returns the settings of a search."""

    def make(**changes: Any) -> SearchSettings:
        values = {
            "space": "baseline_cnn",
            "space_digest": "a" * 64,
            "data_digest": "d" * 64,
            "seed": 0,
            "backend": "tensorflow",
            "threads": 1,
            "dtype_policy": "mixed_bfloat16",
            "early_stopping": None,
            "reduce_lr": None,
            "name": "s",
            "strategy": "hyperband",
            "max_epochs": 9,
            "min_epochs": None,
            "factor": 3,
            "max_trials": None,
            "window": 64,
            "top_k": 2,
            "retrain_epochs": 9,
        }
        return SearchSettings(**{**values, **changes})

    return make


@pytest.fixture
def new_search(settings) -> Callable[..., WrittenSearch]:
    """`new_search()` returns a search that has just begun."""
    return lambda **changes: WrittenSearch(settings(**changes))


@pytest.fixture
def hyperband(new_search) -> Callable[..., WrittenSearch]:
    """`hyperband(passes)` returns a search after some passes over all brackets.

    The last trial of each first rung with more than three trials has failed.
    """

    def run(passes: int = 1, **changes: Any) -> WrittenSearch:
        search = new_search(**changes)
        number = 0
        for _ in range(passes):
            for bracket in brackets(search.settings.max_epochs, search.settings.factor):
                scores: dict[str, float] = {}
                specs: dict[str, TrialSpec] = {}
                for place, rung in enumerate(bracket.rungs):
                    promoted = sorted(scores, key=scores.get, reverse=True)[: rung.size]
                    scores = {}
                    for slot in range(rung.size if place == 0 else len(promoted)):
                        trial = f"{number:04d}"
                        parent = specs[promoted[slot]] if place else None
                        values = parent.values if parent else {**search.values(number), "tuner/bracket": bracket.number}
                        more = {"root": parent.root, "continues": parent.trial_id} if parent else {}
                        initial = bracket.rungs[place - 1].epochs if place else 0
                        specs[trial] = search.ask(trial, values, rung.epochs, initial_epoch=initial, **more)
                        number += 1
                        if place == 0 and slot == rung.size - 1 and rung.size > 3:
                            search.fail(specs[trial])
                        else:
                            scores[trial] = search.tell(specs[trial], rung.epochs)
                search.spend(30.0)
        return search

    return run


@pytest.fixture
def random_search(new_search) -> Callable[..., WrittenSearch]:
    """`random_search(trials)` returns a random search after `trials` full trainings."""

    def run(trials: int = 12, **changes: Any) -> WrittenSearch:
        search = new_search(strategy="random", **changes)
        for number in range(trials):
            spec = search.ask(f"{number:04d}", search.values(number), None)
            search.tell(spec, search.settings.max_epochs)
            if number % 2:
                search.spend(20.0)
        return search

    return run


@pytest.fixture
def save(workspace) -> Callable[[WrittenSearch], Path]:
    """`save(search)` writes settings and journal into the search's folder; returns that folder."""

    def write(search: WrittenSearch) -> Path:
        directory = workspace.search(search.settings.name)
        directory.mkdir(exist_ok=True)
        freeze(directory, search.settings)
        (directory / "journal.jsonl").write_bytes(b"".join(map(journal.encode, search.entries)))
        return directory

    return write


@pytest.fixture
def finish(workspace, publish) -> Callable[..., None]:
    """`finish(search, [("0012", 1, 0.9), (None, None, 0.5)])` adds runs: (trial, rank, share of correct predictions).

    Each has `seeds` seeds, with equal predictions; trial None is the baseline.
    """

    def end(search: WrittenSearch, runs: list[tuple[str | None, int | None, float]], seeds: int = 1) -> None:
        for seed, (trial, rank, skill) in itertools.product(range(seeds), runs):
            role = "baseline" if trial is None else f"{rank:02d}-t{trial}"
            run_id = f"{search.settings.name}-{role}-cccccccc-s{seed}"
            purpose = "baseline" if trial is None else "finalist"
            search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose=purpose)
            fence = search.add("attempt", key=f"final/{run_id}", epoch=0)
            search.add("result", key=f"final/{run_id}", fence=fence, result={"curve": []})
            about = {"kind": purpose, "trial": trial, "rank": rank, "search": search.settings.name, "seed": seed}
            publish(run_id, skill, config_digest=role.ljust(64, "0"), **about)
            search.add("published", key=f"final/{run_id}", run_id=run_id)

    return end


@pytest.fixture
def publish(workspace) -> Callable[..., dict[str, Any]]:
    """`publish(run_id, skill, …)` writes a run's simulated predictions and the metrics computed from them."""
    from tuning.core import files
    from tuning.dataset.store.packing import ImageSplit
    from tuning.trials.classification import classification_metrics
    from tuning.trials.mistakes import worst_mistakes

    classes = ["angry", "happy", "sad"]

    def write(run_id: str, skill: float, images: int = 120, **changes: Any) -> dict[str, Any]:
        rng = np.random.default_rng(3)
        labels = np.arange(images) % len(classes)
        right = rng.random(images) < skill
        scores = rng.random((images, len(classes))) / 2
        scores[np.arange(images), np.where(right, labels, (labels + 1) % len(classes))] += 1
        probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        pixels = rng.integers(0, 256, (images, 24, 24, 1), dtype=np.uint8)
        test = classification_metrics(labels, probabilities, classes)
        metrics = {
            "schema": 1,
            "run_id": run_id,
            "kind": "finalist",
            "search": "s",
            "trial": None,
            "rank": None,
            "space": "baseline_cnn",
            "strategy": "hyperband",
            "seed": 0,
            "epochs": 9,
            "best_epoch": 7,
            "parameters": 684_199,
            "val": {"f1_macro": test["f1_macro"], "accuracy": 0.6, "loss": 1.1},
            "test": test,
            "test_openings": 1,
            "classes": classes,
            "data_digest": "d" * 64,
            "config_digest": run_id.ljust(64, "0")[:64],
            "weights_sha256": hashlib.sha256(run_id.encode()).hexdigest(),
            "model_sha256": "f" * 64,
            "dtype_policy": "float32",
            "versions": {},
            "input": {"image_size": 24, "color": "gray", "scaling": "0-1"},
            "output": "probabilities",
            "started": "2025-01-01T10:00:00+00:00",
            "finished": "2025-01-01T10:05:00+00:00",
            "train_seconds": 300.5,
            "milliseconds": 0.5,
            "additions": None,
            "base": None,
            "best_member": None,
            **changes,
        }
        folder = workspace.run(run_id)
        folder.mkdir()
        files.write_json(folder / "metrics.json", metrics)
        worst = worst_mistakes(ImageSplit(pixels, labels), probabilities)
        workspace.predictions(run_id).parent.mkdir(exist_ok=True)
        kept = {"labels": labels, "probabilities": probabilities, "units": np.arange(images), **worst}
        np.savez(workspace.predictions(run_id), **kept)
        return metrics

    return write
