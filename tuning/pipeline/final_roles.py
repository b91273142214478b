"""Decides which configurations are retrained, in which role, and under which names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuning.core.files import digest
from tuning.core.records import TrialSpec, configuration
from tuning.dataset.store.sealed import Purpose
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline.settings import BASELINE

#: End of a finalist's run id, without its seed.
_FINALIST = re.compile(r"-(?P<rank>\d+)-t(?P<trial>\w+)-[0-9a-f]+$")


@dataclass(frozen=True)
class Final:
    """One run to be trained and evaluated.

    Attributes:
        run_id: deterministic: search, rank or role, configuration digest, seed.
        purpose: "finalist", "baseline", "ensemble" or "train".
        values: hyperparameter values; missing ones take their defaults.
        epochs: epochs to train for.
        seed: the random seed of its training is derived from this and the configuration.
        search, trial, rank: its origin, if it comes from a search.
        earlier: number of its earlier trainings that failed, or whose published files were removed by hand.
        root: first trial of the configuration whose training it continues, with that trial's seed; None: from scratch.
        space: its space if that is not the search's: the baseline of a search from a base starts from scratch.
    """

    run_id: str
    purpose: Purpose
    values: dict[str, Any]
    epochs: int
    seed: int
    search: str | None = None
    trial: str | None = None
    rank: int | None = None
    earlier: int = 0
    root: str | None = None
    space: str | None = None

    @property
    def key(self) -> str:
        return f"final/{self.run_id}" + (f"~{self.earlier}" if self.earlier else "")


def config_digest(space: str, values: Mapping[str, Any], base: str | None = None) -> str:
    """Returns the sha256 of a configuration: space, values without Keras Tuner's bookkeeping, and the base's sha256."""
    start = {} if base is None else {"base": base}
    return digest({"space": space, "values": configuration(values), **start})


def final_roles(
    search: str,
    space: str,
    seed: int,
    epochs: int,
    ranked: Sequence[tuple[RankedTrial, Mapping[str, Any]]],
    baselines: Sequence[Mapping[str, Any]],
    reuse: bool = False,
    base: str | None = None,
) -> list[Final]:
    """Returns the finalists and the baseline, in order; their run ids have no seed yet (see `seeded`). Pure.

    Args:
        ranked: the trials to retrain with their values, best first, compared at equal budgets.
        baselines: the baseline's values, in every form that they may take. If it is itself among the best, it is run
            once, as the baseline with its rank: the same configuration and seed would give the same row twice.
        reuse: whether each finalist's first seed continues the search's own training.
        base: sha256 of the model that the search starts from. The baseline is then that of a search from scratch, to
            show what the base gained.
    """
    scratch = None if base is None else BASELINE
    known = [config_digest(scratch or space, values) for values in baselines]
    roles: list[Final] = []
    for rank, (trial, values) in enumerate(ranked, start=1):
        found = config_digest(space, values, base)
        if found in known:
            run_id = f"{search}-baseline-{found[:8]}"
            purpose: Purpose = "baseline"
        else:
            run_id = f"{search}-{rank:02d}-t{trial.trial_id}-{found[:8]}"
            purpose = "finalist"
        role = Final(run_id, purpose, configuration(values), epochs, seed, search, trial.trial_id, rank)
        roles.append(replace(role, root=trial.root or trial.trial_id) if reuse else role)
    if all(role.purpose != "baseline" for role in roles):
        run_id = f"{search}-baseline-{known[0][:8]}"
        roles.append(Final(run_id, "baseline", dict(baselines[0]), epochs, seed, search, space=scratch))
    return roles


def role_planned(run_id: str, baseline: Final, trials: Mapping[str, TrialSpec], reuse: bool = False) -> Final:
    """Rebuilds the role that was planned under a run id (without seed) that none of the present roles has. Pure.

    On another machine a strategy with a model may round differently and recommend another trial; the journaled finals
    stay.

    Args:
        baseline: of the same search.
        trials: by id.
        reuse: as for `final_roles`.
    """
    found = _FINALIST.search(run_id)
    if found is None:
        return replace(baseline, run_id=run_id)
    trial = trials[found["trial"]]
    values, rank, root = configuration(trial.values), int(found["rank"]), trial.root or trial.trial_id
    role = Final(run_id, "finalist", values, baseline.epochs, baseline.seed, baseline.search, trial.trial_id, rank)
    return replace(role, root=root) if reuse else role


def final_runs(roles: Sequence[Final], seed: int, executions: int) -> list[Final]:
    """Returns each of `roles` with `executions` seeds: `seed`, `seed` + 1, …"""
    return [seeded(role, own) for role in roles for own in range(seed, seed + executions)]


def role_of(run_id: str) -> str:
    """Returns a run id without its seed, as it was before `seeded`: the same for all seeds of a configuration."""
    return run_id.rpartition("-s")[0]


def digest_in(role: str) -> str:
    """Returns the first digits of the configuration's digest, with which a run id without its seed ends."""
    return role.rpartition("-")[2]


def seeded(role: Final, seed: int) -> Final:
    """Returns `role` with a seed; only with the search's own seed does it continue a training of the search."""
    return replace(role, run_id=f"{role.run_id}-s{seed}", seed=seed, root=role.root if seed == role.seed else None)
