"""The plan of a search before it starts: trials, epochs, time, disk space, the sizes of its models."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from tuning.core.acceptance import acceptable
from tuning.core.jobs import Description
from tuning.core.progress import SILENT, Progress
from tuning.core.settings import FILE_NAME, RunSettings, SearchSettings
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.dataset.store.file_state import verify_data
from tuning.engine import journal
from tuning.engine.budget import duration
from tuning.engine.state import replay
from tuning.history.source import JOURNAL
from tuning.history.use_of_time import plan_text
from tuning.pipeline import bases
from tuning.pipeline.budgeted import planned
from tuning.pipeline.extending import holding
from tuning.pipeline.planning import FEW_IMAGES
from tuning.pipeline.pricing import rehearsed
from tuning.pipeline.resources import Resources
from tuning.pipeline.session import check_start, opened, scratch
from tuning.pipeline.settings import search_settings, training_backend
from tuning.pipeline.trials import build_strategy, planned_epochs
from tuning.pipeline.warm_start import known_text
from tuning.results.runs import read_runs, runs_of
from tuning.tracking import Tracking


@dataclass(frozen=True)
class SearchPlan:
    """The plan of a search; times are estimates from a few measured batches on this machine.

    Attributes:
        trials, epochs: of the search; None if they depend on its results.
        final_epochs: of finalists and baseline together, at most.
        seconds: expected wall-clock time, final training included, for models like the default one; None if the number
            of epochs is unknown.
        disk_bytes: checkpoints at their peak, if all models were as large as the largest.
        budget: the plan of a budget in words, with what half and four times the time would buy; empty without one.
        models: "smallest", "default", "largest" of some configurations: parameters, epoch_seconds, values.
        schedule: the trainings without a budget, in words; empty with one.
        hint: advice that is worth more than this search, in words; may be empty.
        warnings: about the space, one sentence each: its preprocessing, compute type, and unsupported export formats.
        known: configurations tried right after the default one, in words; may be empty.
    """

    name: str
    trials: int | None
    epochs: int | None
    final_epochs: int
    workers: int
    seconds: float | None
    disk_bytes: int
    models: dict[str, dict[str, Any]]
    budget: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    schedule: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Formats the plan as text."""
        lines = [f"{self.name}: {self.budget[0]}", *self.budget[1:]] if self.budget else self._without_budget()
        lines[:0] = [*([self.hint] if self.hint else []), *(f"warning: {one}" for one in self.warnings)]
        for name, model in self.models.items():
            lines.append(
                f"  {name:<8} model: {model['parameters']:>12,} parameters, {model['epoch_seconds']:.1f} s per epoch"
            )
        lines += self.known
        lines.append(f"disk: up to {self.disk_bytes / 2**20:,.0f} MB for checkpoints while the search runs")
        lines.append("nothing was started")
        return "\n".join(lines)

    def _without_budget(self) -> list[str]:
        lines = [f"{self.name}: {self.schedule}"]
        if self.seconds is not None:
            lines.append(f"expected time: about {duration(self.seconds)} if models are like the default one")
        return lines


def plan_search(
    workspace: Workspace,
    strategy: str = "hyperband",
    *,
    resources: Resources = Resources(),  # noqa: B008 (frozen)
    fresh: bool = False,
    budget: float | None = None,
    base_weights: str | None = None,
    base_license: str | None = None,
    accept: str | None = None,
    progress: Progress = SILENT,
    **settings: Any,
) -> SearchPlan:
    """Plans the search that `run_search` would begin or resume; leaves nothing behind but a copy of its base.

    The arguments are the same except for `search_only`, `retry_failed` and `tracking`.

    Raises:
        TuningError: settings or data that the search would refuse.
    """
    began = time.monotonic()
    settings = bases.named(workspace, settings, base_weights, training_backend(), SILENT)
    frozen = search_settings(workspace, strategy, fresh=fresh, **settings)
    directory = workspace.search(frozen.name)
    check_start(workspace, directory, frozen, resources, Tracking(), fresh, acceptable(accept))
    read_runs(workspace, runs_of(workspace, frozen.name) if fresh else ())
    new = fresh or not (directory / FILE_NAME).exists()
    bases.check_overlap(workspace, frozen, settings.get("base"), accept, new)
    verify_data(workspace, look_only=True)
    held = frozen.plan
    if held is not None:
        state = replay(journal.read(directory / JOURNAL))
        held, _ = holding(held, state, budget, sum(entry.seconds for entry in state.spent))
    base = bases.adopt(workspace, frozen, settings.get("base"), base_license, frozen.max_memory, SILENT)
    progress.say("timing a few configurations on this machine; takes a minute or two")
    others: list[str] = []
    with (
        scratch(workspace, resources) as folder,
        opened(workspace, folder, frozen, resources, base=base, dtype=settings.get("dtype")) as session,
    ):
        if budget is not None and new:
            held, others = planned(session, budget, lambda: time.monotonic() - began, settings)
            frozen = search_settings(workspace, strategy, fresh=fresh, plan=held, **settings)
        description = session.describe()
        values = {name: model.values for name, model in description.parameters.items()}
        measured = rehearsed(session, values)
        models = {name: {**msgspec.to_builtins(one), "values": values[name]} for name, one in measured.items()}
        trials, epochs = planned_epochs(build_strategy(frozen, description, len(read_info(workspace).classes)), frozen)
        known = known_text(frozen, description)
        warnings = (*description.warnings, *refused_exports(workspace, description, SILENT))
    finals = frozen.final_runs
    workers = session.workers
    usual = models["default"]
    seconds = None
    if epochs is not None:
        search = (epochs * usual["epoch_seconds"] + (trials or 0) * usual["start_seconds"]) / workers
        final = math.ceil(finals / workers) * frozen.retrain_epochs * usual["epoch_seconds"]
        seconds = round(search + final, 1)
    alive = min(trials or frozen.window, frozen.window) + finals
    return SearchPlan(
        name=frozen.name,
        trials=trials,
        epochs=epochs,
        final_epochs=finals * frozen.retrain_epochs,
        workers=workers,
        seconds=seconds,
        disk_bytes=alive * max(model["checkpoint_bytes"] for model in models.values()),
        models=models,
        budget=() if held is None else (*plan_text(held), *others),
        known=tuple(known),
        schedule=schedule_text(frozen, trials, epochs, workers, budget),
        hint=base_hint(frozen, read_info(workspace).counts["train"]),
        warnings=warnings,
    )


def refused_exports(workspace: Workspace, description: Description, progress: Progress) -> list[str]:
    """Returns a sentence for each format in which the default configuration cannot be exported, with the reason."""
    if not description.unproven_model:
        return []
    from tuning.results.exporters.foresight import cannot_leave

    shape, suspects = read_info(workspace).input_shape, description.unproven_layers
    return cannot_leave(description.unproven_model, shape, progress, suspects)


def base_hint(settings: RunSettings, images: int) -> str:
    """Returns the advice to start from a base if there are few training images, else an empty string."""
    if settings.base is not None or images >= FEW_IMAGES:
        return ""
    return (
        f"{images:,} training images are few: starting from a pretrained model (--base MODEL) is likely to help "
        "more than any search from scratch (MODEL: a folder that export wrote after a search of many faces, or a "
        "network of Keras Applications such as MobileNetV3Small)"
    )


def schedule_text(
    settings: SearchSettings, trials: int | None, epochs: int | None, workers: int, budget: float | None = None
) -> str:
    """Describes what a search without a plan trains; empty for one with a plan.

    Args:
        trials, epochs: of the search; None if unknown.
        budget: seconds after which it ends, finals included, although it began without a budget.
    """
    if settings.plan is not None:
        return ""
    final = settings.final_runs * settings.retrain_epochs
    full, short = settings.max_epochs, settings.min_epochs
    ends = "" if budget is None else f"; begun without a budget, it keeps this plan and ends after {duration(budget)}"
    shortest = f", the shortest training {short}" if short is not None and short < full else ""
    return (
        f"{_or_open(trials)} trials, {_or_open(epochs)} epochs in the search; a full training has "
        f"{full}{shortest}; then up to {final} epoch{'s' * (final != 1)} of final training; {workers} at a time{ends}"
    )


def _or_open(number: int | None) -> str:
    return "an undetermined number of" if number is None else f"{number:,}"
