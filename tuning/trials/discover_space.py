"""The job that finds the hyperparameters of a search space, by building a few configurations."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras_tuner  # every job needs it: imported here so that a worker has it before its first job
import msgspec

from search_spaces import SPACES
from tuning.core.errors import Interrupted, TuningError, UsageError
from tuning.core.jobs import CountedModel, DescribeJob, Description, Entry
from tuning.core.records import entry_key, keyed_seed
from tuning.dataset.store.arrays import Dataset, open_dataset
from tuning.trials import bases, runtime
from tuning.trials.build import built, of_machine
from tuning.trials.data import open_verified
from tuning.trials.exportable import unproven
from tuning.trials.fit import check_outputs
from tuning.trials.global_state import ChangedKeras
from tuning.trials.input_range import doubts
from tuning.trials.keras_private import learning_rate_variable
from tuning.trials.plan import TrainingPlan, check_values
from tuning.trials.published import plain_model
from tuning.trials.reseeding import check_repeats, check_seeds, generators, same_weights
from tuning.trials.spaces import interface, mistake, starting_points
from tuning.trials.tryout import try_default

if TYPE_CHECKING:
    import keras

#: Number of configurations built to find hyperparameters that the default configuration does not declare.
DISCOVERY_BUILDS = 6
#: The dtype policy of spaces that cannot be trained in lower precision.
PLAIN = "float32"


def discover_space(job: DescribeJob, report: Callable[[Entry], None]) -> Description:
    """Finds the hyperparameters of a space, its default configuration, and the sizes of the models that it built.

    A space that cannot be trained in the job's dtype policy is described in `PLAIN`.

    Raises:
        UsageError: the builder fails for its default configuration, declares values that are not finite, builds a model
            that cannot be trained here, shares layers between models, or does not use the given base.
        OSError: the machine failed while the builder ran.
    """
    dataset = open_verified(job, open_dataset)
    try:
        return _described(job, dataset)
    except (TuningError, MemoryError, OSError) as error:
        if not isinstance(error, ChangedKeras) or job.dtype_policy == PLAIN:
            raise
        why = error.problem
    except Exception as error:
        if job.dtype_policy == PLAIN:
            raise mistake(job.space, error) from error
        why = f"{type(error).__name__}: {error}".strip().partition("\n")[0][:300]
    found = discover_space(msgspec.structs.replace(job, dtype_policy=PLAIN), report)
    note = f"this search trains in {PLAIN}, as with --dtype float32, because it cannot in {job.dtype_policy} ({why})"
    return msgspec.structs.replace(found, dtype_policy=PLAIN, dtype_problem=why, warnings=[note, *found.warnings])


def _described(job: DescribeJob, dataset: Dataset) -> Description:
    try:
        model, hp = built(job.space, {}, 0, job.dtype_policy, dataset)
    except TuningError:
        raise
    except Exception as error:
        if of_machine(error):
            raise
        raise mistake(job.space, error) from error
    drawn = generators()
    plan = TrainingPlan.from_values(hp.values)
    form = interface(model, job.space)
    check_outputs(model, form, job.space, dataset.val.images)
    constant_rate = plan.schedule == "constant" and learning_rate_variable(model.optimizer) is not None
    warnings = [doubts(model, form.scaled), _backend_without_effect()]
    # Keeping the model alive ensures that no other object gets the id of one of its weights.
    first, weights = model, _trained_weights(model)
    default = CountedModel(count=int(model.count_params()), values=dict(hp.values))
    models = [default]
    redeclared: dict[str, str] = {}
    known = keras_tuner.HyperParameters.from_config(hp.get_config())
    for build in range(DISCOVERY_BUILDS if job.discover else 0):
        try:
            model, hp = built(job.space, sampled(known, build), 0, job.dtype_policy, dataset)
        except (UsageError, Interrupted):
            raise
        except Exception as error:
            if of_machine(error):
                # Otherwise the hyperparameters found would depend on the state of the machine.
                raise
            # A builder need not support every combination; in the search such a configuration is a failed trial.
            continue
        shared = "an optimizer" if model.optimizer is first.optimizer else ""
        if first is model or weights & _trained_weights(model):
            shared = "layers"
        if shared:
            raise UsageError(
                f"search space {job.space!r} returns models that share {shared}: what one trial trains, another would "
                "begin with",
                "make, or load, every layer, and the optimizer, inside the builder",
            )
        models.append(CountedModel(count=int(model.count_params()), values=dict(hp.values)))
        redeclared |= _redeclared(known, hp)
        # With overwrite=True, Keras Tuner would add every entry again: a model of the space would see duplicates.
        known.merge(hp.space, overwrite=False)
    if job.base is not None and job.discover and not bases.opened():
        # Otherwise models trained from scratch would be published as fine-tuned from the base.
        raise UsageError(
            f"search space {job.space!r} does not use the model of --base",
            "leave --space out for fine_tune; or take an argument base in the builder, or call tuning.base_model() "
            "there; or leave --base out",
        )
    check_values(job.space, known.space)
    warnings += [
        f"hyperparameter {name!r} is declared in two ways ({how}): as in Keras Tuner, the first holds for all "
        "configurations; give each a name of its own, or declare each within hp.conditional_scope"
        for name, how in redeclared.items()
    ]
    layers: list[str] = []
    unproven_model = ""
    if job.discover and job.space not in SPACES:
        again, _ = built(job.space, {}, 1, job.dtype_policy, dataset)
        check_seeds(job.space, drawn, generators())
        warnings.append(same_weights(first, again))
        again, _ = built(job.space, {}, 0, job.dtype_policy, dataset)
        check_repeats(job.space, first, again)
        if layers := unproven(first):
            # In the dtype policy in which it would be published.
            unproven_model = plain_model(first).to_json().replace(f'"{job.dtype_policy}"', f'"{PLAIN}"')
        del model, first, again
        try_default(job, dataset)
    by_size = sorted(models, key=lambda found: found.count)
    return Description(
        space=known.get_config()["space"],
        defaults=default.values,
        parameters={"smallest": by_size[0], "default": default, "largest": by_size[-1]},
        starting_points=starting_points(job.space),
        constant_rate=constant_rate,
        warnings=[one for one in warnings if one],
        unproven_layers=layers,
        unproven_model=unproven_model,
    )


def _backend_without_effect() -> str | None:
    """Returns a warning if a module sets KERAS_BACKEND to another backend than the one loaded, else None."""
    import keras

    named, own = os.environ.get("KERAS_BACKEND"), keras.backend.backend()
    if named in (None, own):
        return None
    return (
        f"a module of the search space sets KERAS_BACKEND to {named!r} after Keras has loaded its backend: this search "
        f"trains on {own}; to train on {named}, set it in the command's environment and start over"
    )


def sampled(known: keras_tuner.HyperParameters, build: int) -> dict[str, Any]:
    """Returns the active values of one configuration: in build 0 the largest values, then random ones.

    With the largest values, loops over a number of blocks run completely, and declare all their hyperparameters.
    """
    found = known.copy()
    found.values = {}
    for parameter in known.space:
        if found.is_active(parameter):
            share = 1 - 1e-9 if build == 0 else (keyed_seed(0, build, parameter.name) + 0.5) / 2**31
            found.values[parameter.name] = parameter.prob_to_value(share)
    return found.values


def _redeclared(known: keras_tuner.HyperParameters, found: keras_tuner.HyperParameters) -> dict[str, str]:
    """Returns the names of hyperparameters that `found` declares differently from `known`, with the differences."""
    before = {entry_key(entry): entry for entry in known.get_config()["space"]}
    result = {}
    for entry in found.get_config()["space"]:
        one, other = ({"kind": e["class_name"], **e["config"]} for e in (before.get(entry_key(entry), entry), entry))
        if one != other:
            fields = [field for field in {**one, **other} if one.get(field) != other.get(field)]
            result[other["name"]] = ", ".join(f"{field} {one.get(field)} and {other.get(field)}" for field in fields)
    return result


def _trained_weights(model: keras.Model) -> set[int]:
    """Returns the ids of the weights, without the states of random layers."""
    return {id(variable) for variable in model.weights if not runtime.is_seed_state(variable)}
