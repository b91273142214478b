"""The settings of a search or a run: typed, frozen, and written down before the first trial.

Everything the result is a function of stands here, and nothing else: the number of workers, the executor and the
budget may change from one resume to the next.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuning.core.errors import RESTORE, StateError, UsageError
from tuning.core.files import digest, read_json, write_json

SCHEMA = 1
FILE_NAME = "search.json"


@dataclass(frozen=True)
class RunSettings:
    """What training any configuration depends on.

    Attributes:
        space: a name of `SPACES` or `package.module:function`.
        space_digest: sha256 of the file that defines it.
        data_digest: of the prepared arrays (see `tuning.dataset.store.arrays`).
        seed: the seed that every other is keyed by.
        backend: Keras backend of the workers.
        threads: threads a trial computes with; the order of float additions depends on it.
        dtype_policy: Keras dtype policy during training, e.g. "mixed_bfloat16".
        early_stopping: epochs without a better val_f1_macro before training stops; None: never.
        reduce_lr: epochs without a better val_loss before a constant learning rate is halved; None: never.
    """

    space: str
    space_digest: str
    data_digest: str
    seed: int
    backend: str
    threads: int
    dtype_policy: str
    early_stopping: int | None
    reduce_lr: int | None

    def digest(self) -> str:
        """sha256 of all fields."""
        return digest(asdict(self))


@dataclass(frozen=True)
class SearchSettings(RunSettings):
    """What a search depends on, beside that.

    Attributes:
        name: of the search, and of its folder.
        strategy: a name of `STRATEGIES`.
        max_epochs: epochs of a full training.
        min_epochs: epochs of the shortest trainings that are compared; None: the strategy's own measure.
        factor: Hyperband's reduction factor.
        max_trials: trials at most; None: the strategy's own measure.
        window: trials asked for and not yet told, at most (logical order).
        top_k: finalists.
        retrain_epochs: epochs that each finalist, and the baseline, is retrained for.
        executions: seeds that each of them is retrained with.
        iterations: passes over all brackets of Hyperband; None: the strategy's own measure.
        slices: parts that the first epoch is trained in: the shortest trainings are one of them; 1: whole epochs only.
        stop_curves: whether a trial ends where its curve has clearly ended.
        reuse_trials: whether finalists go on from the search's own training of them.
        tries: a person's own configurations, tried right after the defaults: values, as text, by name; None: none.
        from_search: an earlier search, whose best configurations are tried after those; None: none.
        learned: what these were when this search began, the best first; None: none.
        max_memory: bytes; a configuration that takes more to train, at the least, is not trained; None: no limit.
    """

    name: str
    strategy: str
    max_epochs: int
    min_epochs: int | None
    factor: int
    max_trials: int | None
    window: int
    top_k: int
    retrain_epochs: int
    executions: int = 1
    iterations: int | None = None
    slices: int = 1
    stop_curves: bool = False
    reuse_trials: bool = False
    tries: list[dict[str, str]] | None = None
    from_search: str | None = None
    learned: list[dict[str, Any]] | None = None
    max_memory: int | None = None

    @property
    def final_runs(self) -> int:
        """Runs after the search, at most: finalists and baseline, each with all its seeds."""
        return (self.top_k + 1) * self.executions


@dataclass(frozen=True)
class TrainSettings(RunSettings):
    """What a single run depends on, beside that: the hyperparameters given (others at their defaults) and epochs."""

    values: dict[str, Any]
    epochs: int


Settings = TypeVar("Settings", bound=RunSettings)


def freeze(directory: Path, settings: RunSettings) -> None:
    """Writes the settings into a new folder, or checks them against what it began with.

    Raises:
        StateError: they differ; the message names each difference.
    """
    path = directory / FILE_NAME
    if path.exists():
        check(directory, settings)
        return
    directory.mkdir(parents=True, exist_ok=True)
    write_json(path, {"schema": SCHEMA, "digest": settings.digest(), "settings": asdict(settings)})


def check(directory: Path, settings: RunSettings) -> None:
    """Checks settings against what the search in `directory` began with.

    Raises:
        StateError: they differ; the message names each difference.
    """
    # A setting that the search began without is at the value that changes nothing.
    began = {**_defaults(type(settings)), **read_settings(directory)}
    if changes := differences(began, asdict(settings)):
        raise StateError(
            f"{directory.name} began with other settings: {'; '.join(changes)}",
            "use the settings it began with, give another --name, or start over with --fresh",
        )


def read_settings(directory: Path) -> dict[str, Any]:
    """The settings in a search's folder, as they were written.

    Raises:
        DataError: the file is gone, or no JSON.
        StateError: it holds something else, or was edited.
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
    """The settings that a search began with.

    Raises:
        StateError: the file holds other fields than this version knows.
    """
    values = {**_defaults(kind), **read_settings(directory)}
    if set(values) != {field.name for field in dataclasses.fields(kind)}:
        raise StateError(
            f"{directory / FILE_NAME} holds settings of another version", "start the search over with --fresh"
        )
    return kind(**values)


def _defaults(kind: type[RunSettings]) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}


def differences(began: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """A few readable words for each setting that changed."""
    names = {
        "space_digest": "the code of the search space",
        "data_digest": "the prepared data or its split",
        "tries": "the configurations to --try",
    }
    lines = []
    for key in sorted({*began, *current}):
        old, new = began.get(key), current.get(key)
        if old != new:
            old, new = (f"{str(v)[:12]}…" if key.endswith("_digest") else repr(v) for v in (old, new))
            lines.append(f"{names.get(key, key)} was {old}, now {new}")
    return lines


def check_positive(**options: float | None) -> None:
    """Raises a `UsageError` for the first option that is given and below 1."""
    for name, value in options.items():
        if value is not None and not value >= 1:  # NaN neither
            raise UsageError(f"--{name.replace('_', '-')} is {value}", "give 1 or more")
