"""What the surrogate is given: a bounded subset that follows from what was completed; what it proposes."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.oracles import search_model, space
from tuning.oracles.search_model import Score, SearchModel


@pytest.fixture
def filled(simulated):
    """filled(count) is a model of so many configurations, drawn uniformly, of two rungs in turn."""

    def build(count):
        hp = simulated.mixed_space()
        generator = np.random.default_rng(0)
        known = [space.fill(hp.space, lambda entry: space.value_at(entry, generator.random())) for _ in range(count)]
        model = SearchModel(0, (3, 9), known.__getitem__)
        model.follow(hp.space)
        for number, values in enumerate(known):
            rung = number % 2
            model.scores.append(Score(number, rung, (3, 9)[rung], 1, simulated.value_of(values, (3, 9)[rung])))
        return model, known

    return build


def test_beyond_some_hundred_a_subset_is_known_that_does_not_depend_on_who_asks(filled):
    model, _ = filled(900)
    asked_once = model.posterior().seen.curve.tolist()
    assert len(asked_once) == search_model.KNOWN
    again, _ = filled(900)
    everything, again.scores = again.scores, []
    for score in everything:
        again.scores.append(score)
        if len(again.scores) % 50 == 0:
            again.posterior()
    assert again.posterior().seen.curve.tolist() == asked_once
    best = sorted((score for score in everything[:800] if score.rung == 1), key=lambda score: -score.score)[:20]
    assert {score.configuration for score in best} <= set(asked_once)


def test_the_best_are_known_between_two_fits_of_the_parameters(filled, monkeypatch):
    """Hundreds of scores lie between them; nor does the surrogate know more for it than it may."""
    monkeypatch.setattr(search_model, "fit", lambda points, targets, prior: prior.mean)
    model, _ = filled(600)
    everything = model.scores
    for count in range(200, 600, 7):
        model.scores = everything[:count]
        seen = model.scores[: count - count % (count // search_model.KNOWN)]
        best = sorted(seen, key=lambda score: (-score.rung, -score.score))[: search_model.KNOWN // 2]
        known = model.known()
        assert {score.configuration for score in best} <= set(known)
        assert len(known) <= search_model.KNOWN


def test_what_else_is_known_is_spread_over_the_whole_search(filled, monkeypatch):
    """As new as the last score, and no stretch of the search is missing."""
    monkeypatch.setattr(search_model, "fit", lambda points, targets, prior: prior.mean)
    model, _ = filled(600)
    everything = model.scores
    for count in range(search_model.KNOWN, 600, 7):
        model.scores = everything[:count]
        # Of each configuration here there is one score, and their numbers are in the order of completion.
        known = [0, *model.known(), count]
        assert max(np.diff(known)) <= count / (search_model.KNOWN // 4) + 1


def test_a_proposal_is_untried_better_than_what_is_known_and_the_same_for_the_same_key(filled, simulated):
    model, known = filled(60)
    numbers = list(range(60))
    first = model.propose(7, model.posterior(), numbers, lambda values: False)
    assert model.propose(7, model.posterior(), numbers, lambda values: False) == first
    other = model.propose(7, model.posterior(), numbers, lambda values: values == first.values)
    assert other.values != first.values and other.gain <= first.gain
    assert model.propose(7, model.posterior(), numbers, lambda values: True) is None
    assert simulated.value_of(first.values, 9) > np.quantile([simulated.value_of(values, 9) for values in known], 0.9)


def test_what_does_not_work_is_proposed_less(filled):
    """What fails has no score, so that the posterior is uncertain there and would look."""
    model, known = filled(80)
    fails = [values["rate"] > 1e-2 for values in known]

    def share():
        drawn = [model.propose(key, model.posterior(), tried, lambda values: False) for key in range(12)]
        return sum(proposal.values["rate"] > 1e-2 for proposal in drawn) / 12

    model.scores = [score for score in model.scores if not fails[score.configuration]]
    tried = [number for number in range(80) if not fails[number]]
    before = share()
    model.set_works([(number, not failed) for number, failed in enumerate(fails)])
    assert share() < before / 2
