"""Plans a search's time: how long a full training is, how many fit, how much is reserved for the finals. Pure.

A plan is made once, from prices measured on this machine, and stored with the search. Later decisions that depend on
the clock (the end of the search; epochs and seeds of the finals) are journaled by the callers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuning.core.errors import UsageError
from tuning.core.plan import Plan, Price
from tuning.engine.budget import as_given
from tuning.oracles.rungs import shortest
from tuning.pipeline.final_planning import Candidate, all_seeds, makespan
from tuning.pipeline.prices import MOST_EPOCHS, Prices, Sample

#: Fewest and most full trainings that should fit into a search: beyond these, their length changes; and the fewest of
#: the shortest length with which a search is begun at all.
FEWEST, MOST, FEWEST_OF_ALL = 8, 40, 3
#: Most epochs of a training that starts from a base.
MOST_EPOCHS_FROM_BASE = 40
#: Training images below which starting from a base is worth more than any search from scratch.
FEW_IMAGES = 3_000
#: Optimizer steps of a full training, of a short one, and of the shortest: with fewer, scores say little. Expensive
#: configurations are left out before a training gets shorter than a short one.
STEPS, SHORT_STEPS, LEAST_STEPS = 8_000, 2_700, 1_500
#: Upper limits of the last two in epochs, for data with few steps per epoch: before `LEAST_EPOCHS`, nothing has been
#: learned there, and after `MOST_EPOCHS`, nothing new is.
SHORT_EPOCHS, LEAST_EPOCHS = 27, 12
#: Optimizer steps of a final training, if there is time for them.
FINAL_STEPS = 20_000
#: Least share of the space, its cheapest configurations, that must be affordable: while full trainings are longer than
#: short ones; once they are shorter; and for any plan at all.
KEPT, HALF_KEPT, LEAST_KEPT = 0.75, 0.5, 0.25
#: Share of the budget reserved for the finals; and the same if the space has starting points: training these longer is
#: worth more than searching for others.
FINALS_SHARE, FINALS_SHARE_KNOWN = 0.35, 0.65
#: A final training is at most this many times as long as a training of the search, or has `FINAL_STEPS` steps.
LONGER = 3
#: Number of starting points that `hyperband` trains in full.
TRAINED_WHOLE = 2
#: Share of the budget in which everything should end: estimates are a few percent off.
TARGET = 0.975
#: Images per optimizer step, for lengths given in steps.
BATCH = 64
#: Seconds after the last training: leaderboard, promotion, report.
CLOSING_SECONDS = 4.0


def steps_per_epoch(images: int) -> int:
    """Returns the optimizer steps per epoch of `images` in batches of `BATCH`, at least 1."""
    return max(1, images // BATCH)


def full_training(steps_per_epoch: int) -> int:
    """Returns the epochs of a full training if time does not matter: `STEPS` steps, in 20 to `MOST_EPOCHS` epochs."""
    return min(MOST_EPOCHS, max(20, round(STEPS / steps_per_epoch)))


def short_training(steps_per_epoch: int) -> int:
    """Returns the epochs below which trainings are shortened only after expensive configurations were left out."""
    return max(least_training(steps_per_epoch), min(SHORT_EPOCHS, math.ceil(SHORT_STEPS / steps_per_epoch)))


def least_training(steps_per_epoch: int) -> int:
    """Returns the fewest epochs that a full training of the search may have."""
    return min(LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps_per_epoch))


def least_rung(max_epochs: int, steps_per_epoch: int, factor: int = 3) -> int:
    """Returns the fewest epochs of a first rung: a ninth of `max_epochs` and about 200 steps, but at most a third of
    `max_epochs`; rounded as the rungs are."""
    ninth, steps = round(max_epochs / 9), math.ceil(200 / steps_per_epoch)
    return shortest(max_epochs, factor, max(1, min(max(ninth, steps), max_epochs // 3)))


def plan_budget(
    budget: float, spent: float, prices: Prices, steps_per_epoch: int, seats: int, max_epochs: int | None = None
) -> Plan:
    """Returns the plan of a budget.

    A full training has `STEPS` steps if 8 to 40 of them fit. If more would fit, it becomes longer, up to `MOST_EPOCHS`.
    If fewer would, the most expensive configurations are left out, first a quarter of the space, then a half, then
    three quarters; and for each of these it becomes shorter, down to `SHORT_STEPS` and then to `LEAST_STEPS` steps. A
    configuration is always left out if one training of it takes more than half of the search's time, or all of the
    finals'. To afford a first starting point, trainings may become as short as possible; to afford more of them, down
    to half of that length. Those that the finals could not train for long enough are not tried. More time or workers
    never cost one. Time that the finals could not use even for the most expensive configurations is the search's.

    Args:
        budget: seconds in total.
        spent: seconds that have passed.
        seats: trials at a time.
        max_epochs: epochs of a full training, if the user set them.

    Raises:
        UsageError: not even three of the shortest trainings fit; the message names the least budget.
    """

    def attempt(seconds: float) -> Plan | None:
        return _planned(seconds, spent, prices, steps_per_epoch, seats, max_epochs)

    plan = attempt(budget)
    if plan is not None:
        return plan
    refused, works = math.floor(budget / 60), max(2, 2 * math.ceil(budget / 60))
    while attempt(60 * works) is None:
        refused, works = works, 2 * works
    while works - refused > 1:
        middle = (refused + works) // 2
        refused, works = (refused, middle) if attempt(60 * middle) is not None else (middle, works)
    raise UsageError(
        f"--budget is {as_given(budget)}: in that time, this machine cannot search this space",
        f"give {works}m or more, search a smaller space, or train one configuration with python -m tuning.train",
    )


@dataclass(frozen=True)
class _Choice:
    """Share of the budget for the finals, epochs of a full training, affordable samples and starting points."""

    share: float
    epochs: int
    kept: list[Sample]
    good: list[Sample]


def _planned(
    budget: float, spent: float, prices: Prices, steps_per_epoch: int, seats: int, max_epochs: int | None
) -> Plan | None:
    dearest = max((prices.default, *prices.good, *prices.samples), key=lambda one: one.epoch)
    trained = (prices.default, *[dearest] * prices.top_k)
    # The evaluation of a run takes less than one of its epochs.
    runs = [Candidate(key="", epoch=one.epoch, start=prices.start + one.epoch) for one in trained]

    def split(share: float, epochs: int) -> tuple[float, float]:
        """Returns the seconds of the search and of the finals."""
        longest = longest_final(epochs, steps_per_epoch, prices.most_epochs)
        finals = min(share * budget, all_seeds(runs, longest, seats))
        return TARGET * budget - finals - spent - CLOSING_SECONDS, finals

    def tried(share: float, epochs: int) -> list[Sample]:
        return _tried(prices, epochs, *split(share, epochs), seats, steps_per_epoch)

    def choice(share: float, fewest_tried: int) -> _Choice | None:
        """Returns the best compromise with enough starting points, or with more if trainings stay half as long."""
        found: _Choice | None = None
        fewest_epochs = 1
        for epochs, part, fewest in _compromises(steps_per_epoch, max_epochs, prices.most_epochs):
            good = tried(share, epochs)
            if len(good) < (len(found.good) + 1 if found else fewest_tried) or epochs < fewest_epochs:
                continue
            if kept := _affordable(prices, epochs, *split(share, epochs), seats, part, fewest):
                fewest_epochs = fewest_epochs if found else epochs // 2
                found = _Choice(share, epochs, kept, good)
        return found

    found = choice(FINALS_SHARE_KNOWN, 1) or choice(FINALS_SHARE, 0)
    if found is None:
        return None
    share, epochs, kept, good = found.share, found.epochs, found.kept, found.good
    limit = prices.limit(kept)
    while max_epochs is None and epochs < prices.most_epochs and limit is None:
        longer = epochs + 1
        fits = _affordable(prices, longer, *split(share, longer), seats, 1.0, MOST)
        if not fits or len(tried(share, longer)) < len(good):
            break
        epochs = longer
    left, finals = split(share, epochs)
    longest = longest_final(epochs, steps_per_epoch, prices.most_epochs)
    price = prices.price(kept)
    return Plan(
        budget=budget,
        seats=seats,
        price=price,
        max_epochs=epochs,
        first_rung=least_rung(epochs, steps_per_epoch),
        trainings=round(trainings_in(left, epochs, price, seats), 1),
        search=round(TARGET * budget - finals, 1),
        finals=round(finals, 1),
        final_epochs=longest,
        window=window_of(seats),
        limit=limit,
        untried=[one.values for one in prices.good if one not in good],
        good=[one.values for one in good[:TRAINED_WHOLE] if longest > epochs],
    )


def _tried(prices: Prices, epochs: int, left: float, finals: float, seats: int, steps_per_epoch: int) -> list[Sample]:
    """Returns the affordable starting points: each must fit beside the defaults and the first of them.

    Each is priced at a training of the search, which the first two get. The finals must have time for a short training
    of it, times its price relative to the default's, but at most for a full one: in less time, cheaper ones learn more.
    """
    short, full = short_training(steps_per_epoch), min(prices.most_epochs, full_training(steps_per_epoch))
    tried: list[Sample] = []
    for one in prices.good:
        again = max(epochs, min(full, int(short * one.epoch / prices.default.epoch)))
        trained = (prices.default, *tried[: TRAINED_WHOLE - 1], one)
        whole, retrained = (
            makespan([prices.start + length * each.epoch for each in trained], seats) for length in (epochs, again)
        )
        if whole <= left and retrained <= finals:
            tried.append(one)
    return tried


def _compromises(steps_per_epoch: int, max_epochs: int | None, most: int) -> list[tuple[int, float, int]]:
    """Returns the (epochs of a full training, least share of the space, fewest trainings) to try, the best first."""
    full, short, least = (
        max_epochs or min(most, length(steps_per_epoch)) for length in (full_training, short_training, least_training)
    )
    return [
        *((epochs, KEPT, FEWEST) for epochs in range(full, short - 1, -1)),
        *((epochs, HALF_KEPT, FEWEST) for epochs in range(short, least - 1, -1)),
        *((epochs, LEAST_KEPT, FEWEST) for epochs in range(short, least - 1, -1)),
        (least, LEAST_KEPT, FEWEST_OF_ALL),
    ]


def _affordable(
    prices: Prices, epochs: int, left: float, finals: float, seats: int, share: float, fewest: int
) -> list[Sample]:
    """Returns as many of the cheapest samples as leave room for `fewest` trainings; empty if below `share` of all."""
    samples = prices.by_cost()
    for count in range(len(samples), math.ceil(share * len(samples)) - 1, -1):
        kept = samples[:count]
        longest = epochs * max(sample.epoch for sample in kept)
        if longest <= min(left / 2, finals) and trainings_in(left, epochs, prices.price(kept), seats) >= fewest:
            return kept
    return []


def window_of(seats: int) -> int:
    """Returns how many trials are proposed ahead: twice the seats, so that none waits for a rung; more if many."""
    return max(4, 4 * seats if seats > 8 else 2 * seats)


def _cost(epochs: int, price: Price) -> float:
    """Returns the seconds that one worker takes for a full training's worth of epochs, the starts of trials included.

    In a full training's worth of epochs, about three trials begin or continue.
    """
    return epochs * price.epoch + 3 * price.start


def trainings_in(seconds: float, epochs: int, price: Price, seats: int) -> float:
    """Returns how many full trainings' worth of epochs fit into `seconds`."""
    return max(0.0, seconds) * seats / _cost(epochs, price)


def longest_final(max_epochs: int, steps_per_epoch: int, most: int = MOST_EPOCHS) -> int:
    """Returns the most epochs of a final training, if trainings of the search have `max_epochs`."""
    return max(max_epochs, min(max(LONGER * max_epochs, round(FINAL_STEPS / steps_per_epoch)), most))
