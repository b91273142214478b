"""The settings of a search or a run: typed, frozen, and written before the first trial.

`SearchSettings` and `TrainSettings` hold exactly what results depend on. The options in `tuning.core.control` and
`tuning.pipeline.resources.Resources` may change from one resume to the next. A field made with `option` is an option of
the command and a keyword argument of the Python API; to add an option, add a field and use it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tuning.core.errors import RESTORE, OtherSettings, StateError
from tuning.core.files import digest, read_json, write_json
from tuning.core.options import RARE, USUAL, derived, labels, option
from tuning.core.plan import Plan

SCHEMA = 1
FILE_NAME = "search.json"
DTYPES = ("auto", "bfloat16", "float32")

WHAT = "search and training (fixed once begun)"
GOOD = "configurations to try first (fixed once begun)"
HOW = "running and resuming (may change at each resume)"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings that every training depends on.

    Attributes: in addition to the help of the options,
        base: sha256 of the model that trainings start from; None: from scratch.
        base_overlap: number of validation and test images that the base has seen; None: unknown, or no base.
        space_digest: sha256 of the code that defines the space.
        data_digest: digest of the prepared arrays (see `tuning.dataset.store.arrays`).
        backend: Keras backend of the workers.
        versions: see `tuning.core.packages.versions`.
        threads: number of threads of a trial; the order of float additions depends on it.
        dtype_policy: Keras dtype policy during training, e.g. "mixed_bfloat16".
    """

    space: str = option(
        None,
        "one of {spaces} (default: baseline_cnn; with --base: fine_tune), or your own builder as "
        "package.module:function",
        group=USUAL,
        metavar="SPACE",
    )
    base: str | None = option(
        None,
        "start from a pretrained model: a .keras file, the folder of an export or of a run, or a model of Keras "
        "Applications such as MobileNetV3Small (default: none, train from scratch)",
        group=USUAL,
        metavar="MODEL",
        label="the model of --base",
    )
    seed: int = option(0, "random seed (default: 0)", group=WHAT, metavar="N")
    early_stopping: int | None = option(
        None,
        "stop a training after this many epochs without a better val_f1_macro (default: never)",
        group=RARE,
        metavar="EPOCHS",
        least=1,
    )
    reduce_lr: int | None = option(
        None,
        "halve a constant learning rate after this many epochs without a better val_loss (default: never)",
        group=RARE,
        metavar="EPOCHS",
        least=1,
    )
    dtype_policy: str = option(
        "auto",
        "compute type in training (default: auto, which is bfloat16 where the hardware supports it, else float32)",
        group=RARE,
        name="dtype",
        choices=DTYPES,
    )
    space_digest: str = derived("the code of the search space")
    data_digest: str = derived("the prepared data or its split")
    backend: str = derived("the Keras backend (KERAS_BACKEND)")
    versions: dict[str, str] = derived("versions:", default_factory=dict)
    base_overlap: int | None = derived("the number of images that the base has seen", default=None)
    threads: int = derived(default=1)

    def digest(self) -> str:
        """sha256 of all fields."""
        return digest(asdict(self))


@dataclass(frozen=True, kw_only=True)
class SearchSettings(RunSettings):
    """The further settings that a search depends on.

    Attributes: in addition to the help of the options,
        min_epochs, max_trials, iterations: None: the strategy's own default.
        window: maximum number of trials asked for and not yet completed (in logical order).
        tries: hyperparameter values, as text, by name.
        max_memory: in bytes; None: no limit.
        plan: how the first budget is spent; None: the search began without a budget.
        parts: number of parts of the first epoch; the shortest trainings are one part long. 1: whole epochs only.
        learned: the best configurations of `from_search` when this search began, best first; None: none.
    """

    strategy: str = option("hyperband", "one of {strategies} (default: hyperband)", group=USUAL, metavar="NAME")
    name: str = option(None, "name of the search (default: SPACE-STRATEGY)", group=USUAL, metavar="NAME")
    max_epochs: int = option(None, "epochs of a full training (default: planned)", group=WHAT, metavar="N", least=1)
    min_epochs: int | None = option(
        None,
        "minimum length of the shortest trainings; for large data sets it may be a fraction of an epoch, such as 1/3 "
        "(default: planned)",
        group=RARE,
        metavar="N",
        kind=str,
    )
    sampler: str = option(
        "model",
        "how Hyperband chooses configurations: by a model of all learning curves, or at random as in the paper "
        "(default: model)",
        group=RARE,
        choices=("model", "random"),
    )
    factor: int = option(3, "Hyperband promotes one configuration in N (default: 3)", group=RARE, metavar="N", least=2)
    max_trials: int | None = option(
        None,
        "maximum number of trials (default: what the strategy needs; with a budget no limit)",
        group=WHAT,
        metavar="N",
        least=1,
    )
    iterations: int | None = option(
        None,
        "passes of Hyperband over all its brackets (default: 1; with a budget as many as the time allows)",
        group=RARE,
        metavar="N",
        least=1,
    )
    window: int = option(
        None,
        "trials proposed ahead of their results; four times the workers keeps all of them busy (default: {windows}; "
        "with a budget, twice the number of workers and at least 4, or four times if there are more than 8)",
        group=RARE,
        metavar="N",
        least=1,
    )
    top_k: int = option(
        3, "finalists to retrain and test; with a budget, the maximum (default: 3)", group=WHAT, metavar="K", least=1
    )
    retrain_epochs: int = option(
        None,
        "epochs for each finalist (default: --max-epochs; with a budget, what the time allows, even if that number "
        "is given)",
        group=WHAT,
        metavar="N",
        least=1,
    )
    executions: int = option(
        1,
        "seeds to train each finalist and the baseline with (default: 1; with a budget, what the time allows, even if "
        "1 is given)",
        group=WHAT,
        metavar="N",
        least=1,
    )
    ensemble: bool = option(
        True,
        "publish the mean of the best final runs as another model if it beats each of them on validation; it takes "
        "as long per image as all its members together (default: on)",
        group=WHAT,
    )
    tries: list[dict[str, str]] | None = option(
        None,
        "a configuration to try right after the space's defaults; hyperparameters left out keep their defaults; may "
        "be repeated (default: none)",
        group=GOOD,
        flag="--try",
        metavar="NAME=VALUE,…",
        repeated=True,
        label="the configurations to --try",
    )
    from_search: str | None = option(
        None,
        "then try the three best configurations of an earlier search in this workspace that fit the space, as they "
        "stand when this search begins; its data may differ (default: none)",
        group=GOOD,
        metavar="NAME",
    )
    starting_points: bool = option(
        True,
        "then try the starting points of the space, configurations known to be good, which --dry-run lists "
        "(default: on)",
        group=GOOD,
    )
    stop_curves: bool = option(
        True,
        "end a trial early if it predicts a single class for five epochs while no loss improves, or if its "
        "extrapolated score would gain less than the noise between seeds (default: on)",
        group=RARE,
    )
    reuse_trials: bool = option(
        False,
        "continue the search's own trainings of the finalists instead of retraining them from scratch with another "
        "seed (default: off)",
        group=RARE,
    )
    max_memory: int | None = option(
        None,
        "skip configurations whose weights, gradients and layer inputs alone take more memory than this, such as 8G; "
        "0 for no limit (default: the memory of this machine or of its largest GPU when the search begins)",
        group=RARE,
        metavar="SIZE",
        kind=str,
    )
    plan: Plan | None = derived("the plan of the budget", default=None)
    parts: int = derived("the first rung, in parts of an epoch,", default=1)
    learned: list[dict[str, Any]] | None = derived("what was learned from --from-search", default=None)

    @property
    def final_runs(self) -> int:
        """Maximum number of runs after the search: finalists and baseline, each with all its seeds."""
        return (self.top_k + 1) * self.executions

    @property
    def finals_by_person(self) -> bool:
        """Whether the user's options determine how the finals are trained; with a budget, otherwise the time does."""
        return self.executions > 1 or self.reuse_trials or self.retrain_epochs != self.max_epochs


@dataclass(frozen=True, kw_only=True)
class TrainSettings(RunSettings):
    """The further settings that a single run depends on: its epochs, and the hyperparameters given by the user."""

    epochs: int = option(30, "epochs to train for (default: 30)", group=USUAL, metavar="N", least=1)
    values: dict[str, str] = derived("the hyperparameters")


Settings = TypeVar("Settings", bound=RunSettings)


def freeze(directory: Path, settings: RunSettings, accepted: frozenset[str] = frozenset()) -> None:
    """Writes the settings into a new folder, or checks them against those in an existing one.

    Changes of `accepted` fields are recorded with the old values, and hold from now on.

    Raises:
        StateError: other fields differ; the message names each difference.
    """
    path = directory / FILE_NAME
    now = asdict(settings)
    written = {"schema": SCHEMA, "digest": settings.digest(), "settings": now}
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        write_json(path, written)
        return
    began = asdict(check(directory, settings, accepted))
    changed = [name for name in sorted(accepted) if began[name] != now[name]]
    if changed:
        before = read_json(path, RESTORE).get("accepted", [])
        changes = [{"what": name, "was": began[name], "now": now[name]} for name in changed]
        write_json(path, {**written, "accepted": [*before, *changes]})


def check(directory: Path, settings: RunSettings, accepted: frozenset[str] = frozenset()) -> RunSettings:
    """Checks `settings` against those in `directory`, except for `accepted` fields; returns the stored ones.

    Raises:
        StateError: other fields differ; the message names each difference.
    """
    began = load(directory, type(settings))
    current = dataclasses.replace(settings, **{name: getattr(began, name) for name in accepted})
    if changes := differences(began, current):
        raise OtherSettings(
            f"{directory.name} began with other settings: {'; '.join(changes)}",
            "use the settings it began with, give another --name, or start over with --fresh",
            [name for name, value in asdict(began).items() if asdict(current)[name] != value],
        )
    return began


def read_settings(directory: Path) -> dict[str, Any]:
    """The settings in a search's folder, as plain JSON.

    Raises:
        DataError: the file is missing or not valid JSON.
        StateError: it holds no settings, or was edited.
    """
    path = directory / FILE_NAME
    written = read_json(path, RESTORE)
    settings = written.get("settings") if isinstance(written, dict) else None
    if not isinstance(settings, dict):
        raise StateError(f"{path} holds no settings", RESTORE)
    if digest(settings) != written.get("digest"):
        raise StateError(f"{path} was edited: its settings do not match their digest", RESTORE)
    return settings


def load(directory: Path, kind: type[Settings]) -> Settings:
    """The settings in a search's folder.

    Raises:
        StateError: as for `read_settings`; or fields are missing, unknown, or of another type.
    """
    values, path = read_settings(directory), directory / FILE_NAME
    names = {field.name for field in dataclasses.fields(kind)}
    if changed := sorted(names ^ set(values)):
        raise StateError(
            f"{path} holds settings of another version: {', '.join(changed)}", "start the search over with --fresh"
        )
    return decoded(values, kind, str(path))


def decoded(values: Mapping[str, Any], kind: type[Settings], where: str) -> Settings:
    """Settings from plain values, with their types checked.

    Raises:
        StateError: a value is of another type; the message begins with `where`.
    """
    try:
        return msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        raise StateError(f"{where}: {error}", RESTORE) from None


def differences(began: RunSettings, current: RunSettings) -> list[str]:
    """A readable phrase for each setting that changed."""
    names, lines = labels(type(current)), []
    old_values, new_values = asdict(began), asdict(current)
    for name in sorted(new_values):
        old, new = old_values[name], new_values[name]
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict) and old:
                lines += [
                    f"{names[name]} {key} was {old.get(key, 'not there')}, now {new.get(key, 'not there')}"
                    for key in sorted({*old, *new})
                    if old.get(key) != new.get(key)
                ]
                continue
            shown = (
                f"{str(v)[:12]}…" if name.endswith("_digest") or (name == "base" and v) else repr(v) for v in (old, new)
            )
            lines.append(f"{names[name]} was {next(shown)}, now {next(shown)}")
    return lines
