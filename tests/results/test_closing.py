"""What a search says last."""

from __future__ import annotations

import numpy as np
import pytest

from tuning import cli
from tuning.results.closing import kept_words, second_seed
from tuning.train import options

LABELS = np.arange(300) % 3


@pytest.fixture
def ran(answer, write_params):
    """ran(run_id, wrong, seed) is a finished run with its params.json."""

    def write(run_id: str, wrong: int, seed: int = 0, **changes) -> None:
        predicted = LABELS.copy()
        predicted[:wrong] = (predicted[:wrong] + 1) % 3
        answer(run_id, LABELS, predicted, seed=seed, **changes)
        write_params(run_id, seed=seed)

    return write


def test_the_second_seed_is_trained_by_a_line_that_train_understands(workspace, ran):
    ran("one", 60)
    assert second_seed(workspace, ("one",)) is None
    ran("two", 90, config_digest="a" * 64, trial="0004")
    line = second_seed(workspace, ("one", "two"))
    assert line == "python -m tuning.train --from-trial faces/0003 --epochs 9 --seed 1 --dtype float32"
    args = options().parse_args(line.split()[3:])
    assert (args.from_trial, args.epochs, args.seed) == ("faces/0003", 9, 1)
    assert cli.as_typed(line) == line
    # What that line leaves makes seeds known.
    ran("again", 65, seed=1, search=None, trial=None, rank=None, kind="train")
    assert second_seed(workspace, ("one", "two")) is None


def test_where_only_another_configuration_was_repeated_the_best_gets_a_second_seed(workspace, ran):
    """As long as something is tied with it."""
    ran("best", 60)
    for seed, wrong in enumerate((80, 110)):
        ran(f"other-s{seed}", wrong, seed, config_digest="a" * 64, trial="0004")
    runs = ("best", "other-s0", "other-s1")
    assert second_seed(workspace, runs).startswith("python -m tuning.train --from-trial faces/0003 ")
    ran("third", 85, seed=2, config_digest="a" * 64, trial="0004")
    assert second_seed(workspace, runs) is None


def test_what_is_told_apart_needs_no_further_seed(workspace, ran):
    ran("best", 30)
    for seed in range(2):
        ran(f"other-s{seed}", 150, seed, config_digest="a" * 64, trial="0004")
    assert second_seed(workspace, ("best", "other-s0", "other-s1")) is None


def test_a_run_that_the_clock_ended_has_no_second_seed(workspace, ran, write_params):
    """The best that was trained to its end gets one; where there is none, none does."""
    ran("cut", 30, epochs=6, best_epoch=5)
    write_params("cut", shortened=[[4, 6]])
    ran("whole", 60, config_digest="a" * 64, trial="0004")
    assert " --from-trial faces/0004 " in second_seed(workspace, ("cut", "whole"))
    write_params("whole", early_stopping=3, shortened=[[4, 9]])
    assert second_seed(workspace, ("cut", "whole")) is None


def test_an_earlier_model_that_is_kept_is_named_with_its_score(workspace, ran):
    ran("new", 90)
    ran("old", 30, config_digest="a" * 64)
    assert kept_words(workspace, "new", ("new",)) == ""
    words = kept_words(workspace, "old", ("new",))
    assert words == " Kept the earlier model, old: its test macro-F1, 0.900, is higher."
    ran("zero", 30, config_digest="b" * 64)
    words = kept_words(workspace, "old", ("new", "zero"))
    assert words == " Kept the earlier model, old: its test macro-F1, 0.900, is as high."
