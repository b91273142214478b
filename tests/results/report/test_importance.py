"""What mattered is found, what did not is not claimed."""

from __future__ import annotations

import pytest

from tuning.results.report.importance import FEWEST, importances, most_telling


@pytest.fixture
def found(random_search):
    return importances(random_search(60).history(), seed=0)


def test_the_one_that_decides_comes_first_beyond_doubt(found):
    (result,) = found
    assert result.epochs is None
    assert result.configurations == 60
    assert result.explained > 0.6
    rate, *others = result.shares
    assert rate.name == "rate"
    assert rate.low > 0.3
    assert all(share.high < rate.low for share in others)
    assert all(share.low <= share.mean for share in result.shares)
    # Inactive values are values; what never varies is left out.
    assert {share.name for share in result.shares} == {"rate", "width", "head", "units", "blocks", "norm"}


def test_the_same_search_has_the_same_importances(found, random_search):
    assert importances(random_search(60).history(), seed=0) == found


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_any_seed_of_a_search_will_do(seed, random_search):
    assert importances(random_search(FEWEST).history(), seed=seed)


def test_budgets_are_never_mixed(hyperband):
    history = hyperband(2).history()
    found = importances(history, seed=0)
    assert [(entry.epochs, entry.configurations) for entry in found] == [(1, 30), (3, 20), (9, 10)]
    assert most_telling(found).explained == max(entry.explained for entry in found)


def test_few_configurations_and_equal_scores_have_none(random_search):
    search = random_search(FEWEST)
    assert importances(search.history(), seed=0)
    assert not importances(random_search(FEWEST - 1).history(), seed=0)
    for record in search.records:
        if record["type"] == "result":
            record["result"]["score"] = 0.5
    assert not importances(search.history(), seed=0)
