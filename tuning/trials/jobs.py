"""The jobs that a worker runs: plain records in, plain records out, files below the job's folder.

`describe` reads a search space, `rehearse` times a configuration, `trial` trains one configuration for the search,
`final` trains one from scratch and evaluates it once on the test split.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core.errors import Outdated
from tuning.core.files import replacing, write_text
from tuning.core.records import COMPLETED, FAILED, configuration
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import Dataset, open_dataset
from tuning.dataset.store.packing import ImageSplit
from tuning.dataset.store.sealed import TestOpening, open_test
from tuning.trials import runtime
from tuning.trials.batches import EVALUATION_BATCH, TrainingBatches
from tuning.trials.checkpoint import TrainingState, load_state, save_state
from tuning.trials.cost import least_memory, multiply_adds
from tuning.trials.data import opened, shapes
from tuning.trials.discover_space import describe
from tuning.trials.fit import FitSettings, NotFinite, fit, predict, validate
from tuning.trials.mistakes import worst_mistakes
from tuning.trials.plan import TrainingPlan, best_epoch
from tuning.trials.precision import use_float32_outputs
from tuning.trials.reuse import reused
from tuning.trials.spaces import build_model, interface, loaded_digest, read_names
from tuning.trials.steps import Steps, exchange, steps_of

Report = Callable[[dict[str, Any]], None]

#: Batches that a rehearsal times.
REHEARSAL_BATCHES = 8


def run_job(kind: str, payload: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Runs one job.

    Args:
        kind: a name of `JOBS`.
        payload: see the function of that name; always holds `root`, `space`, `threads` and `dtype_policy`, and may hold
            `space_digest` and `data_digest`, which must be those of what is there.
        report: called with each new entry of the curve.

    Returns:
        The job's result, plain JSON.

    Raises:
        Outdated: the search space's code or the prepared data are others than the payload says.
    """
    if payload.get("space_digest") not in (None, loaded_digest(payload["space"])):
        raise Outdated(
            f"the code of search space {payload['space']!r} was changed while it was in use",
            "put the code back and give the same command again, or begin anew with another --name or --fresh; in a "
            "notebook, reload the module or restart",
        )
    runtime.configure(payload["threads"])
    runtime.keep_compiled(Workspace(Path(payload["root"])).compiled)
    return JOBS[kind](payload, report)


def rehearse(payload: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Times one configuration over a few batches.

    Payload: `values`.

    Returns:
        `epoch_seconds` (training and validation of the whole data, estimated), `start_seconds` (building and tracing),
        `checkpoint_bytes`, `parameters`.
    """
    dataset = opened(payload, open_dataset)
    began = time.monotonic()
    steps, hp = _prepared({**payload, "seed": 0}, dataset)
    model = steps.model
    plan, classes = TrainingPlan.from_values(hp.values), len(dataset.info.classes)
    few = {
        name: ImageSplit(split.images[:count], split.labels[:count])
        for name, split, count in (
            ("train", dataset.train, REHEARSAL_BATCHES * plan.batch_size),
            ("val", dataset.val, EVALUATION_BATCH),
        )
    }
    seconds: dict[str, float] = {}
    for round_ in ("first", "second"):
        seconds[round_] = time.monotonic()
        logs = steps.train(TrainingBatches(few["train"], classes, plan, steps.feeding, 0, 1))
        float(logs["loss"])  # a GPU may still be at work until it has told
        seconds["validation"] = time.monotonic()
        predict(steps, few["val"].images)
    ended = time.monotonic()
    step = (seconds["validation"] - seconds["second"]) / len(few["train"])
    validation = (ended - seconds["validation"]) / len(few["val"])
    variables = [*model.weights, *model.optimizer.variables]
    return {
        "epoch_seconds": step * len(dataset.train) + validation * len(dataset.val),
        "start_seconds": seconds["second"] - began,
        "checkpoint_bytes": int(sum(np.asarray(variable).nbytes for variable in variables)),
        "parameters": int(model.count_params()),
    }


def trial(payload: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Trains one configuration of the search, from its own or its parent's checkpoint.

    Payload: `trial_id`, `values`, `seed`, `until`, `total_epochs`, `early_stopping`, `reduce_lr`, `attempt`,
    `checkpoints` (own folder), `parent` (folder of the trial it continues, or None), `known` (names of hyperparameters
    that the search knows already); `max_memory`, bytes that a training may take (or None); and `slices`,
    `stop_curves` and `keep_best`, see `FitSettings`.

    Returns:
        A `TrialOutcome` as JSON.
    """
    dataset = opened(payload, open_dataset)
    own = Path(payload["checkpoints"])
    # A parent's state that was lost costs its epochs again, nothing else: both are trained from the chain's one seed.
    start = load_state(own) or (load_state(Path(payload["parent"])) if payload["parent"] else None)
    steps, hp = _prepared(payload, dataset)
    settings = _fit_settings(payload, keep_best=payload.get("keep_best", False))
    plan = TrainingPlan.from_values(hp.values)
    unknown = [entry for entry in hp.get_config()["space"] if entry["config"]["name"] not in payload["known"]]
    read = read_names(hp)
    outcome: dict[str, Any] = {"trial_id": payload["trial_id"], "space": unknown, "read": read}
    outcome["ignored"] = ignored(payload, read)
    outcome["cost"] = multiply_adds(steps.model)
    outcome["memory"] = needed = least_memory(steps.model, min(plan.batch_size, len(dataset.train)))
    limit = payload.get("max_memory")
    if limit is not None and needed > limit:
        least, most = (f"{size / 2**20:,.0f} MiB" for size in (needed, limit))
        message = f"training takes {least} at the least, more than the {most} of --max-memory"
        failure = {"kind": "too-large", "message": message, "epoch": None, "traceback": None}
        return outcome | {"status": FAILED, "score": None, "curve": [], "seconds": [], "failure": failure}
    try:
        state = fit(steps, plan, dataset, settings, own, payload["attempt"], start, report)
    except NotFinite as error:
        failure = {"kind": "not-finite", "message": error.problem, "epoch": error.epoch, "traceback": None}
        curve = _curve_before_failure(own, start)
        return outcome | {"status": FAILED, "score": None, "curve": curve, "seconds": [], "failure": failure}
    if state is start:
        # Nothing was left to train; a trial that goes on from this one looks for its state here, not at the parent's.
        save_state(own, payload["attempt"], state)
    score = max(entry["val_f1_macro"] for entry in state.curve)
    return outcome | {
        "status": COMPLETED,
        "score": score,
        "curve": list(state.curve),
        "seconds": list(state.seconds),
        "failure": None,
    }


def ignored(payload: Mapping[str, Any], read: Sequence[str] | None) -> list[str]:
    """Names of values that neither the builder nor the trial looked at: whatever they are, the model is the same."""
    names = set(configuration(payload["values"]))
    return [] if read is None else sorted(names - {*read, *TrainingPlan.__dataclass_fields__})


def _curve_before_failure(own: Path, start: TrainingState | None) -> list[dict[str, Any]]:
    state = load_state(own) or start
    return list(state.curve) if state else []


def final(payload: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Trains one configuration and evaluates its best epoch, once, on the test split.

    Payload: as for `trial`, and `run_id`, `purpose` (of the test opening), `staging` (folder for the files). With
    `parent`, it goes on from that trial of the search; without that state, the same training starts from scratch.

    The model that is evaluated is the one that leaves: rebuilt in float32, with the weights of the epoch that was best
    on validation, and without optimizer, loss and metrics, which may be the builder's own. Writes `model.keras`,
    `model_summary.txt` and `predictions.npz` into `staging`.

    Returns:
        `curve`, `seconds`, `best_epoch`, `val`, `parameters`, `weights_sha256`, `values` (complete), `input`.
    """
    started = _now()
    dataset = opened(payload, open_dataset)
    own, staging = Path(payload["checkpoints"]), Path(payload["staging"])
    steps, hp = _prepared(payload, dataset)
    plan = TrainingPlan.from_values(hp.values)
    settings = _fit_settings(payload, keep_best=True)
    start = load_state(own) or (load_state(Path(payload["parent"])) if payload.get("parent") else None)
    if start is not None and not start.best:
        start = None
    state = fit(steps, plan, dataset, settings, own, payload["attempt"], start, report)

    model = _leaving_model(payload, dataset, state.best)
    leaving = steps_of(model, steps.interface)
    classes = dataset.info.classes
    validation = validate(leaving, dataset.val.images, dataset.val.labels, len(classes))
    opening = TestOpening(payload["run_id"], payload["purpose"])
    test = opened(payload, lambda workspace: open_test(workspace, opening))
    probabilities = predict(leaving, test.images)

    staging.mkdir(parents=True, exist_ok=True)
    with replacing(staging / "model.keras") as temporary:
        model.save(temporary)
    write_text(staging / "model_summary.txt", _summary(model))
    with replacing(staging / "predictions.npz") as temporary:
        np.savez(temporary, labels=test.labels, probabilities=probabilities, **worst_mistakes(test, probabilities))
    return {
        "curve": list(state.curve),
        "seconds": list(state.seconds),
        "best_epoch": best_epoch([entry["val_f1_macro"] for entry in state.curve]),
        "val": {name.removeprefix("val_"): value for name, value in validation.items()},
        "parameters": int(model.count_params()),
        "weights_sha256": weights_sha256(model),
        "values": configuration(hp.values),
        "input": {
            "image_size": dataset.info.image_size,
            "color": "gray" if dataset.info.channels == 1 else "rgb",
            "scaling": "0-1" if steps.interface.scaled else "0-255",
        },
        "output": "logits" if steps.interface.logits else "probabilities",
        "started": started,
        "finished": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def weights_sha256(model) -> str:
    """sha256 over the bytes of all weights in order; the states of random layers, which no prediction uses, apart."""
    result = hashlib.sha256()
    for variable in model.weights:
        if not runtime.is_seed_state(variable):
            result.update(np.ascontiguousarray(variable).tobytes())
    return result.hexdigest()


def _prepared(payload: Mapping[str, Any], dataset: Dataset) -> tuple[Steps, Any]:
    """(steps, hyperparameters) of the payload's configuration, initialised from its seed and as fast as can be."""
    model, hp = _built(payload, dataset)

    def make() -> Steps:
        use_float32_outputs(model)
        exchange(model)
        return steps_of(model, interface(model, payload["space"]))

    return reused(model, make), hp


def _built(payload: Mapping[str, Any], dataset: Dataset) -> tuple[Any, Any]:
    """(model, hyperparameters) as the builder made them."""
    shape, classes = shapes(dataset)
    runtime.begin_trial(payload["seed"], payload["dtype_policy"])
    return build_model(payload["space"], configuration(payload["values"]), shape, classes)


def _leaving_model(payload: Mapping[str, Any], dataset: Dataset, weights) -> Any:
    import keras

    built, _ = _built({**payload, "dtype_policy": "float32"}, dataset)
    # Left out of the clone, then: plain Keras would refuse a file that names a metric or a loss it does not know.
    built.compiled = False
    model = keras.models.clone_model(built)
    if not type(model).__module__.startswith("keras."):
        # A person's own class, with a training step of its own, say: what it computes is the graph.
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    model.set_weights(list(weights))
    return model


def _fit_settings(payload: Mapping[str, Any], keep_best: bool) -> FitSettings:
    return FitSettings(
        until=payload["until"],
        total_epochs=payload["total_epochs"],
        seed=payload["seed"],
        early_stopping=payload["early_stopping"],
        reduce_lr=payload["reduce_lr"],
        keep_best=keep_best,
        slices=payload.get("slices", 1),
        stop_curves=payload.get("stop_curves", False),
    )


def _summary(model) -> str:
    """Keras's table of the layers, whole: its printer cuts it off at the width of whatever terminal it finds."""
    lines: list[str] = []
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        model.summary(print_fn=lambda text, line_break=True: lines.append(text), line_length=100)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(lines) + "\n"


JOBS = {"describe": describe, "rehearse": rehearse, "trial": trial, "final": final}
