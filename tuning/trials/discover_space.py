"""The job that reads a search space, by building a few configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tuning.core.errors import Interrupted, TuningError, UsageError
from tuning.core.records import keyed_seed
from tuning.dataset.store.arrays import Dataset, open_dataset
from tuning.trials import runtime
from tuning.trials.cost import least_memory
from tuning.trials.data import opened, shapes
from tuning.trials.fit import check_outputs
from tuning.trials.plan import TrainingPlan
from tuning.trials.spaces import build_model, interface, mistake, read_names

#: Random configurations built to find hyperparameters that the default configuration does not reach.
DISCOVERY_BUILDS = 6


def describe(payload: Mapping[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The hyperparameters of a space, found by building a few configurations.

    Payload: `discover`, whether to build others than the default configuration.

    Returns:
        `space` (Keras Tuner configs), `defaults` (values); `parameters`: the smallest, default and largest count of
        model parameters seen, each with its `values`; and `sized`, of all that were built: `values`, `read`, see
        `read_names` (None, too, where the builder was given others), and `memory`, the bytes that training them takes
        at the least.

    Raises:
        UsageError: the builder does not build its default configuration, builds what cannot be trained here, or uses
            layers in two models.
    """
    from keras_tuner import HyperParameters

    dataset = opened(payload, open_dataset)
    shape, classes = shapes(dataset)
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
    sized = _sized(model, hp, {}, dataset)
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
            given = _active(known, values)
            model, hp = build_model(payload["space"], given, shape, classes)
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
        sized += _sized(model, hp, given, dataset)
        # Else Keras Tuner adds every entry once more, and a model of the space has as many dimensions too many.
        known.merge(hp.space, overwrite=False)
    by_size = sorted(seen, key=lambda entry: entry[0])
    models = {"smallest": by_size[0], "default": seen[0], "largest": by_size[-1]}
    return {
        "space": known.get_config()["space"],
        "defaults": defaults,
        "parameters": {name: {"count": count, "values": values} for name, (count, values) in models.items()},
        "sized": sized,
    }


def _sized(model, hp, given: Mapping[str, Any], dataset: Dataset) -> list[dict[str, Any]]:
    """One entry of what `describe` returns as `sized`; none where the search will meet the values as a failed trial."""
    values = dict(hp.values)
    try:
        batch = min(TrainingPlan.from_values(values).batch_size, len(dataset.train))
    except UsageError:
        return []
    # What the builder filled in itself it may have looked at before, when it was not there.
    read = read_names(hp) if values == given else None
    return [{"values": values, "read": read, "memory": least_memory(model, batch)}]


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
