"""Configurations timed over a few batches, by the workers that would train them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tuning.core.jobs import Rehearsal, RehearseJob, Values
from tuning.engine.dispatch import expect
from tuning.pipeline.session import Session, decoded


def rehearsed(session: Session, configurations: Mapping[str, Values]) -> dict[str, Rehearsal]:
    """What a few batches of each configuration measured, by its name; all workers at it at a time.

    Raises:
        JobFailed: one of them cannot be trained.
    """
    for name, values in configurations.items():
        job = RehearseJob(**session.common(), values=values)
        session.request(f"rehearse/{name}", "rehearse", partial(_always, job))
    return {
        name: decoded(expect(session.wait_for(f"rehearse/{name}"), f"the {name} model"), Rehearsal)
        for name in configurations
    }


def _always(job: RehearseJob, fence: int) -> RehearseJob:
    return job
