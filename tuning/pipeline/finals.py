"""The last stage: configurations are retrained from scratch, evaluated once on the test split, and published.

The only stage that opens the test split. Each opening is journaled before the job that uses it may start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tuning.core.files import digest, remove_directory
from tuning.core.progress import Progress
from tuning.core.records import configuration, keyed_seed
from tuning.core.settings import RunSettings
from tuning.dataset.store.arrays import read_info
from tuning.engine.entries import OpenedTestSplit, Published
from tuning.engine.loop import trial_key
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline.session import Session
from tuning.results.runs import StagedRun, publish_run
from tuning.results.schema import About, Columns, Input, Params, TrainedWith, Validation


@dataclass(frozen=True)
class Final:
    """One run to be retrained and evaluated.

    Attributes:
        run_id: deterministic: search, rank or role, configuration digest, seed.
        purpose: "finalist", "baseline" or "train".
        values: hyperparameter values; what is missing takes its default.
        epochs: epochs to train for.
        seed: what its training is keyed by, together with the configuration.
        search, trial, rank: where it comes from, where it does.
        removals: how often its published files were removed by hand, so that it is trained anew.
        root: the first trial of the chain that it goes on from, whose seed it then has; None: from scratch.
    """

    run_id: str
    purpose: str
    values: dict[str, Any]
    epochs: int
    seed: int
    search: str | None = None
    trial: str | None = None
    rank: int | None = None
    removals: int = 0
    root: str | None = None

    @property
    def key(self) -> str:
        return f"final/{self.run_id}" + (f"~{self.removals}" if self.removals else "")


def config_digest(space: str, values: Mapping[str, Any]) -> str:
    """sha256 of a configuration: its space and its values, Keras Tuner's bookkeeping apart."""
    return digest({"space": space, "values": configuration(values)})


def final_runs(
    search: str,
    space: str,
    seed: int,
    epochs: int,
    ranked: Sequence[tuple[RankedTrial, Mapping[str, Any]]],
    baselines: Sequence[Mapping[str, Any]],
    top_k: int,
    executions: int = 1,
    reuse: bool = False,
) -> list[Final]:
    """The finalists and the baseline, in order. Pure.

    Args:
        ranked: trials with their values, best first, compared at equal budgets.
        baselines: the baseline's values, in as many forms as there are. Where it is itself among the best, it is run
            once, as the baseline with its rank: the same configuration and seed would give the same row twice.
        executions: how many seeds each configuration is retrained with: `seed`, `seed` + 1, …
        reuse: whether, for the first of these, the search's own training is gone on with.
    """
    known = [config_digest(space, values) for values in baselines]
    roles: list[Final] = []
    for rank, (trial, values) in enumerate(ranked[:top_k], start=1):
        found = config_digest(space, values)
        if found in known:
            run_id = f"{search}-baseline-{found[:8]}"
            purpose = "baseline"
        else:
            run_id = f"{search}-{rank:02d}-t{trial.trial_id}-{found[:8]}"
            purpose = "finalist"
        role = Final(run_id, purpose, configuration(values), epochs, seed, search, trial.trial_id, rank)
        roles.append(replace(role, root=trial.root or trial.trial_id) if reuse else role)
    if all(role.purpose != "baseline" for role in roles):
        run_id = f"{search}-baseline-{known[0][:8]}"
        roles.append(Final(run_id, "baseline", dict(baselines[0]), epochs, seed, search))
    return [
        replace(role, run_id=f"{role.run_id}-s{own}", seed=own, root=role.root if own == seed else None)
        for role in roles
        for own in range(seed, seed + executions)
    ]


def run_finals(session: Session, finals: Sequence[Final], progress: Progress, every: int = 5) -> list[str]:
    """Trains, evaluates and publishes; returns the run ids published, in order. A failed one is reported and left out.

    Every so many epochs of a run get a line. Going on after an interruption repeats nothing that was journaled, and
    publishes what was not.
    """
    dispatcher = session.dispatcher
    finals = [with_removals(session, final) for final in finals]
    opened = {record.key for record in dispatcher.state.test_openings}
    for final in finals:
        if final.key not in opened:
            dispatcher.record(OpenedTestSplit(key=final.key, run_id=final.run_id, purpose=final.purpose))
        dispatcher.request(final.key, "final", lambda fence, final=final: _payload(session, final, fence))
    published = []
    names = f"{len(finals)} runs" if len(finals) > 1 else finals[0].run_id
    epochs = max(final.epochs for final in finals)
    progress.say(f"training {names} for up to {epochs} epoch{'s' * (epochs != 1)}, then the test")
    with progress.bar(sum(final.epochs for final in finals), "final training", "epoch") as bar:

        def on_epoch(key: str, entry: Mapping[str, Any]) -> None:
            bar.update()
            if entry["epoch"] % every == 0:
                progress.say(
                    f"  {key.removeprefix('final/')}: epoch {entry['epoch']}, loss {entry['loss']:.4f}, "
                    f"val_loss {entry['val_loss']:.4f}, val_f1_macro {entry['val_f1_macro']:.4f} "
                    f"({entry['seconds']:.1f} s)"
                )

        dispatcher.on_progress = on_epoch
        for final in finals:
            while dispatcher.result(final.key) is None:
                dispatcher.wait()
    for final in finals:
        result = dispatcher.result(final.key)
        if error := result.get("error"):
            progress.warn(f"{final.run_id} failed: {error['message']}")
            continue
        _publish(session, final, result)
        published.append(final.run_id)
    return published


def with_removals(session: Session, final: Final) -> Final:
    """`final` with its removals counted: the times it was published, but for the one that is there."""
    published = sum(record.run_id == final.run_id for record in session.dispatcher.state.published)
    there = (session.workspace.run(final.run_id) / "metrics.json").exists()
    return replace(final, removals=max(0, published - there))


def _openings(session: Session, final: Final) -> int:
    """How often the test split was opened for this run: once, and once more for each time it was trained anew.

    An evaluation that a kill cut short and that is done again, with the same weights, is the same opening.
    """
    return sum(record.run_id == final.run_id for record in session.dispatcher.state.test_openings)


def _staging(session: Session, final: Final) -> Path:
    return session.directory / "staging" / final.run_id


def _payload(session: Session, final: Final, fence: int) -> dict[str, Any]:
    found = config_digest(session.settings.space, final.values)
    reused = final.root is not None
    return session.payload(
        final.epochs,
        values=final.values,
        seed=keyed_seed(final.seed, *(("trial", final.root) if reused else ("final", found))),
        parent=str(session.checkpoints(trial_key(final.trial))) if reused else None,
        until=final.epochs,
        attempt=fence,
        checkpoints=str(session.checkpoints(final.key)),
        staging=str(_staging(session, final)),
        run_id=final.run_id,
        purpose=final.purpose,
    )


def _publish(session: Session, final: Final, result: Mapping[str, Any]) -> None:
    state = session.dispatcher.state
    done = {record.run_id for record in state.published}
    if final.run_id in done and (session.workspace.run(final.run_id) / "metrics.json").exists():
        return
    settings, info = session.settings, read_info(session.workspace)
    about = About(
        kind=final.purpose,
        search=final.search,
        trial=final.trial,
        rank=final.rank,
        space=settings.space,
        strategy=getattr(settings, "strategy", None),
        seed=final.seed,
        parameters=result["parameters"],
        test_evaluations=_openings(session, final),
        classes=list(info.classes),
        data_digest=settings.data_digest,
        config_digest=config_digest(settings.space, result["values"]),
        weights_sha256=result["weights_sha256"],
        dtype_policy=settings.dtype_policy,
        input=msgspec.convert(result["input"], Input),
        started=result["started"],
        finished=result["finished"],
        train_seconds=round(sum(result["seconds"]), 3),
        best_epoch=result["best_epoch"],
        val=Validation(**{name: result["val"][name] for name in ("f1_macro", "accuracy", "loss")}),
        output=result["output"],
    )
    params = Params(values=dict(result["values"]), settings=_trained_with(settings, final))
    publish_run(
        session.workspace,
        StagedRun(final.run_id, _staging(session, final), about, history_columns(result), params),
    )
    session.dispatcher.record(Published(key=final.key, run_id=final.run_id))
    remove_directory(_staging(session, final))
    remove_directory(session.checkpoints(final.key))


def _trained_with(settings: RunSettings, final: Final) -> TrainedWith:
    return TrainedWith(
        space=settings.space,
        seed=final.seed,
        backend=settings.backend,
        threads=settings.threads,
        dtype_policy=settings.dtype_policy,
        early_stopping=settings.early_stopping,
        reduce_lr=settings.reduce_lr,
        epochs=final.epochs,
    )


def history_columns(result: Mapping[str, Any]) -> Columns:
    """Keras-style columns of a curve; None where an epoch lacks a metric."""
    curve = result["curve"]
    names = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_f1_macro", "learning_rate"]
    columns = {name: [entry.get(name) for entry in curve] for name in names}
    return {**columns, "seconds": list(result["seconds"])}
