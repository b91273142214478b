"""The job that trains one configuration for the search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from tuning.core.jobs import Entry, TrialJob
from tuning.core.records import COMPLETED, FAILED, Failure, TrialOutcome, entry_key
from tuning.dataset.store.arrays import open_dataset
from tuning.trials.build import start_state, training_steps
from tuning.trials.checkpoint import load_state, save_state
from tuning.trials.cost import least_memory, multiply_adds
from tuning.trials.data import open_verified
from tuning.trials.fit import NotFinite, fit, never_finite
from tuning.trials.plan import TrainingPlan, best_score


def run_trial(job: TrialJob, report: Callable[[Entry], None]) -> TrialOutcome:
    """Trains one configuration, from its own or its parent's checkpoint if there is one."""
    dataset = open_verified(job, open_dataset)
    start = start_state(job)
    steps, hp = training_steps(job, job.seed, dataset)
    plan = TrainingPlan.from_values(hp.values)
    memory = least_memory(steps.model, min(plan.batch_size, len(dataset.train)))
    outcome = TrialOutcome(
        trial_id=job.trial_id,
        status=FAILED,
        space=tuple(entry for entry in hp.get_config()["space"] if entry_key(entry) not in job.known),
        cost=multiply_adds(steps.model),
        memory=memory,
    )
    if job.max_memory is not None and memory > job.max_memory:
        return msgspec.structs.replace(outcome, failure=_too_large(memory, job.max_memory))
    own = Path(job.checkpoints)
    try:
        state = fit(steps, plan, dataset, job, start, report)
    except NotFinite as error:
        before = load_state(own) or start
        return msgspec.structs.replace(outcome, failure=_not_finite(error), curve=before.curve if before else ())
    if state is start:
        # Nothing was left to train; a trial that continues this one looks for the checkpoint here, not at the parent's.
        save_state(own, job.attempt, state)
    score = best_score([entry["val_f1_macro"] for entry in state.curve])
    if score is None:
        return msgspec.structs.replace(outcome, failure=_not_finite(never_finite(state.curve)), curve=state.curve)
    return msgspec.structs.replace(outcome, status=COMPLETED, score=score, curve=state.curve, seconds=state.seconds)


def _too_large(memory: int, limit: int) -> Failure:
    least, most = (f"{size / 2**20:,.0f} MiB" for size in (memory, limit))
    return Failure("too-large", f"training takes {least} at the least, more than the {most} of --max-memory")


def _not_finite(error: NotFinite) -> Failure:
    return Failure("not-finite", error.problem, error.epoch)
