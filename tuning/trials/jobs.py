"""The jobs that a worker runs: plain records in, plain records out, files below the job's folder.

`describe` reads a search space, `rehearse` times a configuration, `trial` trains one configuration for the search,
`final` trains one from scratch and evaluates it once on the test split.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tuning.dataset.arrays import Dataset, open_dataset, read_info
from tuning.dataset.packing import ImageSplit
from tuning.dataset.sealed import TestOpening, open_test
from tuning.errors import DataError, Interrupted, Outdated, TuningError, UsageError
from tuning.files import replacing, write_text
from tuning.records import COMPLETED, FAILED, configuration, keyed_seed
from tuning.trials import runtime
from tuning.trials.batches import EVALUATION_BATCH, TrainingBatches
from tuning.trials.checkpoint import TrainingState, load_state, save_state
from tuning.trials.cost import multiply_adds
from tuning.trials.fit import FitSettings, NotFinite, check_outputs, fit, predict, validate
from tuning.trials.mistakes import worst_mistakes
from tuning.trials.plan import TrainingPlan, best_epoch
from tuning.trials.reuse import reused
from tuning.trials.spaces import build_model, interface, loaded_digest, mistake
from tuning.trials.steps import Steps, exchange, steps_of
from tuning.workspace import Workspace

T = TypeVar("T")
Report = Callable[[dict[str, Any]], None]

#: Random configurations built to find hyperparameters that the default configuration does not reach.
DISCOVERY_BUILDS = 6
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


def describe(payload: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The hyperparameters of a space, found by building a few configurations.

    Payload: `discover`, whether to build others than the default configuration.

    Returns:
        `space` (Keras Tuner configs), `defaults` (values), and `parameters`: the smallest, default and largest count
        of model parameters seen, each with its `values`.

    Raises:
        UsageError: the builder does not build its default configuration, builds what cannot be trained here, or uses
            layers in two models.
    """
    from keras_tuner import HyperParameters

    dataset = _opened(payload, open_dataset)
    shape, classes = _shapes(dataset)
    runtime.begin_trial(0, payload["dtype_policy"])
    try:
        model, hp = build_model(payload["space"], {}, shape, classes)
    except TuningError:
        raise
    except Exception as error:
        raise mistake(payload["space"], error) from error
    TrainingPlan.from_values(hp.values)
    check_outputs(model, interface(model, payload["space"]), payload["space"], dataset.val.images[:8])
    # The model is kept: no other object gets the identity of one of its weights.
    first, weights = model, _trained(model)
    defaults = dict(hp.values)
    seen = [(int(model.count_params()), defaults)]
    known = HyperParameters.from_config(hp.get_config())
    for build in range(DISCOVERY_BUILDS if payload["discover"] else 0):
        values = {}
        for parameter in known.space:
            # The first build takes the largest of everything: loops over a count then reach their last round.
            share = 1 - 1e-9 if build == 0 else (keyed_seed(0, build, parameter.name) + 0.5) / 2**31
            values[parameter.name] = parameter.prob_to_value(share)
        runtime.begin_trial(0, payload["dtype_policy"])
        try:
            model, hp = build_model(payload["space"], _active(known, values), shape, classes)
        except (UsageError, Interrupted):
            raise
        except Exception:
            # Not every combination must build; the search meets such a one as a failed trial.
            continue
        if first is model or weights & _trained(model):
            raise UsageError(
                f"search space {payload['space']!r} returns models that share layers: what one trial trains, another "
                "would begin with",
                "make, or load, every layer inside the builder",
            )
        seen.append((int(model.count_params()), dict(hp.values)))
        known.merge(hp.space)
    by_size = sorted(seen, key=lambda entry: entry[0])
    models = {"smallest": by_size[0], "default": seen[0], "largest": by_size[-1]}
    return {
        "space": known.get_config()["space"],
        "defaults": defaults,
        "parameters": {name: {"count": count, "values": values} for name, (count, values) in models.items()},
    }


def _trained(model) -> set[int]:
    """Identities of the weights, the states of random layers apart."""
    return {id(variable) for variable in model.weights if not runtime.is_seed_state(variable)}


def _active(known, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without the hyperparameters that these values make inactive."""
    probe = known.copy()
    probe.values = {}
    for parameter in known.space:
        if probe.is_active(parameter):
            probe.values[parameter.name] = values[parameter.name]
    return probe.values


def rehearse(payload: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Times one configuration over a few batches.

    Payload: `values`.

    Returns:
        `epoch_seconds` (training and validation of the whole data, estimated), `start_seconds` (building and tracing),
        `checkpoint_bytes`, `parameters`.
    """
    dataset = _opened(payload, open_dataset)
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
        steps.train(TrainingBatches(few["train"], classes, plan, steps.feeding, 0, 1))
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
    that the search knows already); and `slices`, `stop_curves` and `keep_best`, see `FitSettings`.

    Returns:
        A `TrialOutcome` as JSON.
    """
    dataset = _opened(payload, open_dataset)
    own = Path(payload["checkpoints"])
    # A parent's state that was lost costs its epochs again, nothing else: both are trained from the chain's one seed.
    start = load_state(own) or (load_state(Path(payload["parent"])) if payload["parent"] else None)
    steps, hp = _prepared(payload, dataset)
    settings = _fit_settings(payload, keep_best=payload.get("keep_best", False))
    plan = TrainingPlan.from_values(hp.values)
    unknown = [entry for entry in hp.get_config()["space"] if entry["config"]["name"] not in payload["known"]]
    outcome: dict[str, Any] = {"trial_id": payload["trial_id"], "space": unknown, "ignored": ignored(payload, hp)}
    outcome["cost"] = multiply_adds(steps.model)
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


def ignored(payload: Mapping[str, Any], hp) -> list[str]:
    """Names of values that neither the builder nor the trial looked at: whatever they are, the model is the same."""
    read = {entry["config"]["name"] for entry in hp.get_config()["space"]} | set(TrainingPlan.__dataclass_fields__)
    return sorted(set(configuration(payload["values"])) - read)


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
    dataset = _opened(payload, open_dataset)
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
    test = _opened(payload, lambda workspace: open_test(workspace, opening))
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


def _opened(payload: Mapping[str, Any], opener: Callable[[Workspace], T]) -> T:
    """What `opener` opens, if the data are those that the payload names.

    They are compared once it is open: what is open stays what it is, whatever is put in its place.
    """
    workspace = Workspace(Path(payload["root"]))
    try:
        found, digest = opener(workspace), read_info(workspace).digest
    except DataError as error:
        # Half replaced, say: whatever is wrong with the data says nothing about a configuration.
        raise Outdated(error.problem, error.remedy) from error
    if payload.get("data_digest") not in (None, digest):
        raise Outdated(
            f"the data in {workspace.split} were prepared anew while they were in use",
            "prepare what was there before and give the same command again, or begin anew with another --name or "
            "--fresh",
        )
    return found


def _shapes(dataset: Dataset) -> tuple[tuple[int, int, int], int]:
    info = dataset.info
    return (info.image_size, info.image_size, info.channels), len(info.classes)


def _prepared(payload: Mapping[str, Any], dataset: Dataset) -> tuple[Steps, Any]:
    """(steps, hyperparameters) of the payload's configuration, initialised from its seed and as fast as can be."""
    model, hp = _built(payload, dataset)

    def make() -> Steps:
        exchange(model)
        return steps_of(model, interface(model, payload["space"]))

    return reused(model, make), hp


def _built(payload: Mapping[str, Any], dataset: Dataset) -> tuple[Any, Any]:
    """(model, hyperparameters) as the builder made them."""
    shape, classes = _shapes(dataset)
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
