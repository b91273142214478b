"""Toy work without TensorFlow, with the same kinds of jobs as real work, epoch by epoch and with checkpoints.

An "epoch" mixes keyed random numbers into eight weights, so that an epoch that is skipped, repeated or drawn
differently changes every later figure.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stress.evidence import Note, note
from tuning.core.files import replacing, sha256_file, write_bytes, write_text
from tuning.core.plan import NewLength
from tuning.core.records import COMPLETED, configuration, keyed_seed
from tuning.trials.checkpoint import TrainingState, load_state, save_state
from tuning.trials.plan import TrainingPlan, learning_rate_factor

#: Environment variable with the seconds that an epoch takes, so that there is something to interrupt.
SECONDS = "STRESS_EPOCH_SECONDS"
#: Environment variable: how many times as long an epoch of a final training takes, as on a machine that became busy.
SLOW_FINALS = "STRESS_SLOW_FINALS"
#: Environment variable with ids of trials that fail, or "final" for all finals; without it, they succeed in a retry.
BROKEN = "STRESS_BROKEN_TRIALS"
CLASSES = ("angry", "happy", "sad")
_IMAGES = 30
_RATE = {
    "name": "rate",
    "default": 0.1,
    "conditions": [],
    "min_value": 0.0,
    "max_value": 1.0,
    "step": None,
    "sampling": "linear",
}


def run(kind: str, payload: Mapping[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run one job; payloads and results have the form of those of `tuning.trials.jobs`."""
    if kind == "describe":
        return _describe()
    if kind == "count":
        return {"costs": [100] * len(payload["values"])}
    if kind == "rehearse":
        seconds = max(0.01, float(os.environ.get(SECONDS, "0")))
        return {"epoch_seconds": seconds, "start_seconds": 0.01, "checkpoint_bytes": 100, "parameters": 8}
    if payload.get("trial_id", kind) in os.environ.get(BROKEN, "").split(","):
        raise RuntimeError("the device is busy")
    if kind == "ensemble":
        return _ensemble(payload)
    state = _train(payload, report)
    return _trial(payload, state) if kind == "trial" else _final(payload, state)


def _describe() -> dict[str, Any]:
    size = {"count": 8, "values": {"rate": _RATE["default"]}}
    return {
        "space": [{"class_name": "Float", "config": _RATE}],
        "defaults": {"rate": _RATE["default"]},
        "parameters": dict.fromkeys(("smallest", "default", "largest"), size),
    }


def _train(payload: Mapping[str, Any], report: Callable[[dict[str, Any]], None]) -> TrainingState:
    own, parent = Path(payload["checkpoints"]), payload.get("parent")
    changes = msgspec.convert(payload.get("new_lengths", []), list[NewLength])
    state = load_state(own, ((one.after, one.since) for one in changes))
    if state is None and parent:
        state = load_state(Path(parent))
        if state is None and BROKEN not in os.environ:
            # Real work would train these epochs again. But no checkpoint may be deleted from which a trial can still
            # continue, except when failed trials are retried.
            raise RuntimeError(f"{parent} holds no checkpoint")
    state = state or TrainingState(0, (), (), (np.zeros(8),), (np.zeros(1),))
    while state.epoch < payload["until"]:
        epoch = state.epoch + 1
        note(Note(payload["seed"], epoch))
        slower = float(os.environ.get(SLOW_FINALS, "1")) if "staging" in payload else 1.0
        time.sleep(slower * float(os.environ.get(SECONDS, "0")))
        seconds = slower * 0.1
        rng = np.random.default_rng(keyed_seed(payload["seed"], "epoch", epoch))
        weights = 0.9 * state.weights[0] + payload["values"]["rate"] * rng.random(8)
        # Another length changes the learning rate, and that the weights.
        constant = TrainingPlan(schedule="constant")
        weights = learning_rate_factor(constant, epoch, payload["total_epochs"], [], changes=changes) * weights
        score = float(weights.mean() % 1)
        entry = {"epoch": epoch, "learning_rate": 0.1, "accuracy": score, "val_accuracy": score, "val_f1_macro": score}
        entry |= {"loss": 1 - score, "val_loss": 1 - score}
        state = TrainingState(
            epoch, (*state.curve, entry), (*state.seconds, seconds), (weights,), (np.ones(1) * epoch,)
        )
        save_state(own, payload["attempt"], state)
        report({**entry, "seconds": seconds})
    return state


def _trial(payload: Mapping[str, Any], state: TrainingState) -> dict[str, Any]:
    return {
        "trial_id": payload["trial_id"],
        "status": COMPLETED,
        "score": max(entry["val_f1_macro"] for entry in state.curve),
        "curve": list(state.curve),
        "seconds": list(state.seconds),
        "failure": None,
        "space": [],
    }


def _final(payload: Mapping[str, Any], state: TrainingState) -> dict[str, Any]:
    last = state.curve[-1]
    val = {name: last[f"val_{name}"] for name in ("f1_macro", "accuracy", "loss")}
    return {
        **_published(payload, keyed_seed(payload["seed"], "test"), state.weights[0].tobytes(), val),
        "curve": list(state.curve),
        "seconds": list(state.seconds),
        "best_epoch": state.epoch,
        "values": configuration(payload["values"]),
    }


def _ensemble(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of an ensemble. Its model file is the members' files, each repeated as often as its weight."""
    time.sleep(float(os.environ.get(SECONDS, "0")))
    content = b"".join(Path(member["model"]).read_bytes() * member["weight"] for member in payload["members"])
    seed = int.from_bytes(hashlib.sha256(content).digest()[:6], "big")
    return _published(payload, seed, content, {"f1_macro": 0.9, "accuracy": 0.9, "loss": 0.1})


def _published(payload: Mapping[str, Any], seed: int, model: bytes, val: Mapping[str, Any]) -> dict[str, Any]:
    staging = Path(payload["staging"])
    staging.mkdir(parents=True, exist_ok=True)
    write_text(staging.with_name(f"{staging.name}.opened"), "")
    write_bytes(staging / "model.keras", model)
    write_text(staging / "model_summary.txt", "a toy\n")
    rng = np.random.default_rng(seed)
    labels = np.arange(_IMAGES) % len(CLASSES)
    # First of the test split, then of the validation split.
    probabilities = [rng.random((_IMAGES, len(CLASSES))) + np.eye(len(CLASSES))[labels] / 2 for _ in range(2)]
    shares = [(p / p.sum(axis=1, keepdims=True)).astype(np.float32) for p in probabilities]
    arrays = {"labels": labels, "probabilities": shares[0], "units": np.arange(_IMAGES)}
    with replacing(staging / "predictions.npz") as temporary:
        np.savez(temporary, **arrays, val_labels=labels, val_probabilities=shares[1])
    return {
        "val": dict(val),
        "parameters": len(model) // 8,
        "weights_sha256": sha256_file(staging / "model.keras"),
        "input": {"image_size": 8, "color": "gray", "scaling": "0-1"},
        "output": "probabilities",
        "milliseconds": 1.0,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
    }
