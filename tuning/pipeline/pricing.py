"""Measures what a space costs on this machine: some configurations are built and counted, a few of them timed."""

from __future__ import annotations

import copy
import itertools
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from functools import partial

from tuning.core.jobs import CountJob, Counts, Description, Job, Rehearsal, RehearseJob, Values
from tuning.core.records import keyed_seed
from tuning.engine.dispatch import JobFailed, expect
from tuning.oracles.cost_model import with_fixed
from tuning.pipeline.prices import Prices, Sample
from tuning.pipeline.session import Session, decoded

#: Number of sampled configurations whose multiply-adds are counted.
DRAWN = 32
#: Which of them are timed, in this order, as quantiles of the cost; the starting points are timed after the first
#: `BEFORE_GOOD`, as a small budget has no time for all.
TIMED_AT = (0.4, 0.15, 0.6, 0.05, 0.25)
BEFORE_GOOD = 2
#: Most workers that count at a time.
COUNTING = 8
#: Share of the time for pricing that counting may take.
COUNTING_SHARE = 0.3


def measured(session: Session, description: Description, good: Sequence[Values], seconds: float) -> Prices:
    """Measures what the space costs: its default configuration, samples of it, and its starting points.

    The starting points are timed too, one for all of the same multiply-adds: whether they are affordable decides what a
    budget is worth, and an estimate may be too high (on FER2013, 168 to 204 s an epoch where they took 142 s).

    Args:
        good: the starting points.
        seconds: time that this should take; what has begun by then is finished.
    """
    began = time.monotonic()
    drawn = sampled(description, DRAWN)
    configurations = [description.defaults, *good, *drawn]
    costs = _counted(session, configurations, COUNTING_SHARE * seconds)
    default = costs[0] or 1.0
    counted = {str(number): cost for number, cost in enumerate(costs[1 + len(good) :]) if cost}
    by_cost = {name: drawn[int(name)] for name in sorted(counted, key=counted.__getitem__)}
    known = {f"good-{cost:.0f}": values for values, cost in zip(good, costs[1:], strict=False) if cost}
    names = list(by_cost)
    chosen = list(dict.fromkeys(names[int(share * len(names))] for share in TIMED_AT)) if names else []
    order = [*chosen[:BEFORE_GOOD], *known, *chosen[BEFORE_GOOD:]]
    waiting = {"default": description.defaults} | {name: (known | by_cost)[name] for name in order}
    found = _timed(session, waiting, began + seconds)
    epoch = found.pop("default").epoch_seconds
    timed = {name: one for name, one in found.items() if name in by_cost}
    rates = [one.epoch_seconds / (epoch * _ratio(counted[name], default)) for name, one in timed.items()]
    rate = math.exp(statistics.fmean(map(math.log, rates))) if rates else 1.0
    start = [one.start_seconds for one in timed.values()]

    def sample(values: Values, cost: float, name: str) -> Sample:
        seconds = found[name].epoch_seconds if name in found else epoch * rate * _ratio(cost, default)
        return Sample(values=values, cost=cost, epoch=seconds)

    return Prices(
        default=Sample(values=description.defaults, cost=default, epoch=epoch),
        samples=tuple(sample(values, counted[name], name) for name, values in by_cost.items()),
        good=tuple(
            sample(values, cost, f"good-{cost:.0f}") for values, cost in zip(good, costs[1:], strict=False) if cost
        ),
        start=statistics.fmean(start) if start else 3.0,
        timed=len(timed),
    )


def sampled(description: Description, count: int) -> list[Values]:
    """Returns `count` uniform draws from the space, always the same ones."""
    from keras_tuner import HyperParameters

    from tuning.oracles import space

    entries = HyperParameters.from_config({"space": copy.deepcopy(description.space), "values": {}}).space
    return [
        space.fill(
            entries,
            lambda entry, number=number: space.value_at(  # type: ignore[misc]
                entry, keyed_seed(0, "price", number, entry.name) / 2**31
            ),
        )
        for number in range(count)
    ]


def _ratio(cost: float, default: float) -> float:
    return float(with_fixed(cost / default))


def _counted(session: Session, configurations: Sequence[Values], seconds: float) -> list[float | None]:
    """Returns the multiply-adds of each; None if it cannot be built, or if there was no time for it."""
    groups = min(session.workers, COUNTING)
    keys = [f"count/{group}" for group in range(groups)]
    for group, key in enumerate(keys):
        job = CountJob(**session.common(), values=list(configurations[group::groups]), seconds=seconds)
        session.request(key, "count", partial(_always, job))
    costs: list[float | None] = [None] * len(configurations)
    for group, key in enumerate(keys):
        found = decoded(expect(session.wait_for(key), "counting what configurations cost"), Counts).costs
        costs[group::groups] = [cost or None for cost in found]
    return costs


def _timed(session: Session, configurations: Mapping[str, Values], until: float) -> dict[str, Rehearsal]:
    """Times the default and as many others as can begin before `until`; returns the results by name.

    All workers are busy meanwhile, as in a search: trainings slow each other down there too.

    Args:
        configurations: by name, in the order in which they are timed; "default" is the first.
    """
    waiting = list(configurations.items())
    for name, values in itertools.islice(waiting, session.workers):
        _request(session, name, values)
    found: dict[str, Rehearsal] = {}
    for number, (name, _) in enumerate(waiting):
        if number and session.dispatcher.result(_key(name)) is None and _key(name) not in session.dispatcher.running():
            continue  # never begun
        try:
            found[name] = decoded(expect(session.wait_for(_key(name)), f"the {name} model"), Rehearsal)
        except JobFailed:
            if name == "default":
                raise
        following = number + session.workers
        if following < len(waiting) and time.monotonic() < until:
            _request(session, *waiting[following])
    return found


def _key(name: str) -> str:
    return f"rehearse/{name}"


def _request(session: Session, name: str, values: Values) -> None:
    session.request(_key(name), "rehearse", partial(_always, RehearseJob(**session.common(), values=values)))
    session.dispatcher.start()


def rehearsed(session: Session, configurations: Mapping[str, Values]) -> dict[str, Rehearsal]:
    """Times a few batches of each configuration, with all workers at a time; returns the results by name.

    Raises:
        JobFailed: a configuration cannot be trained.
    """
    for name, values in configurations.items():
        _request(session, name, values)
    return {
        name: decoded(expect(session.wait_for(_key(name)), f"the {name} model"), Rehearsal) for name in configurations
    }


def _always(job: Job, fence: int) -> Job:
    return job
