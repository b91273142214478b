from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning.core.output import display_width
from tuning.results.comparison import Difference, SeedNoise
from tuning.results.leaderboard import COLUMNS, Row
from tuning.results.markdown import escaped
from tuning.results.schema import FEW, ClassFigures, Evaluation, Reliability
from tuning.results.standings import Seeds, Standing
from tuning.results.tables import leaderboard_csv, leaderboard_markdown, leaderboard_table

EMOTIONS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


def measured(per_class: dict[str, float], units: int = 90, few: tuple[str, ...] = ()) -> Evaluation:
    """Figures of 90 test images in so many units, few of them in some classes."""
    bounds = {f"{figure}_interval": (0.6, 0.8) for figure in ("precision", "recall", "f1")}
    classes = {}
    for name, f1 in per_class.items():
        count = FEW - (name in few)
        classes[name] = ClassFigures(precision=f1, recall=f1, f1=f1, support=count, units=count, **bounds)
    figures = dict.fromkeys(("accuracy", "precision_macro", "recall_macro", "f1_macro"), 0.7)
    more = {"per_class": classes, "confusion_matrix": [[90]], "f1_macro_interval": (0.6, 0.8), "units": units}
    believed = Reliability(error=0.1, interval=(0.0, 0.2), overconfident=0.0)
    more |= {"accuracy_interval": (0.6, 0.8), "calibration": believed, "untempered": None}
    return Evaluation(**figures, loss=1.25, **more)


def line(
    place: int, run_id: str = "", verdict: str | None = "tied", seeds: Seeds | None = None, **changes: Any
) -> Standing:
    """A row as `standings` returns it."""
    f1 = round(0.7 - place / 100, 6)
    test = measured(changes.pop("per_class", dict.fromkeys(EMOTIONS, 0.5)))
    columns = {
        **dict.fromkeys(("test_accuracy", "test_precision_macro", "test_recall_macro", "val_f1_macro"), f1),
        "run_id": run_id or f"baseline_cnn-hyperband-{place:02d}-t{place:04d}-85cecf7d-s0",
        "kind": "finalist",
        "search": "baseline_cnn-hyperband",
        "trial": f"{place:04d}",
        "rank": place,
        "space": "baseline_cnn",
        "strategy": "hyperband",
        "seed": 0,
        "epochs": 27,
        "best_epoch": 9,
        "parameters": 1_979_655,
        "test_f1_macro": f1,
        "test_f1_macro_low": f1 - 0.02,
        "test_f1_macro_high": f1 + 0.02,
        "test_loss": 1.25,
        "test_evaluations": 1,
        "data_digest": "d" * 12,
        "config_digest": f"{place:012d}",
    }
    verdict = "best" if place == 1 else verdict
    difference = Difference(0.0, -0.01, 0.01) if verdict else None
    row = Row(**{**columns, **changes})
    return Standing(row, test, f"bold-yak{place}", place, verdict, difference, seeds=seeds)


ROWS = [line(1), line(2), line(3, verdict="worse"), line(4, verdict=None, per_class={})]
SEEDS = {"seeds": Seeds(2, 0.65, 0.0125), "config_digest": "c" * 12}
EXECUTIONS = [line(1, "s-01-t0001-85cecf7d-s0", **SEEDS), line(2, "s-01-t0001-85cecf7d-s1", **SEEDS, seed=1), line(3)]


@pytest.mark.parametrize("width", range(50, 140))
def test_what_is_needed_to_go_on_comes_before_the_count_of_evaluations(width):
    header = leaderboard_table(ROWS, width).splitlines()[0]
    assert "name" in header
    if "tests" in header:
        assert "kind" in header and "val F1" in header
    if width >= 80:
        assert "kind" in header and "val F1" in header


@pytest.mark.parametrize("rows", [ROWS, EXECUTIONS], ids=["runs", "executions"])
@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_everything_fits_the_terminal_and_what_matters_is_there(rows, width):
    text = leaderboard_table(rows, width, {"d" * 12: 7})
    assert max(map(display_width, text.splitlines())) <= width
    header = text.splitlines()[0]
    assert all(name in header for name in ("name", "kind", "val F1", "test F1", "95 % interval", "vs best"))
    first = text.splitlines()[1]
    assert all(cell in first for cell in ("bold-yak1", "finalist", "0.690", "0.670–0.710", "best"))
    assert "F1 by class" in text and all(name in text for name in EMOTIONS)
    assert "in all: 7" in text
    assert ("0.650 ± 0.013 (2)" in text) == (rows is EXECUTIONS)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_what_a_base_may_have_seen_is_said_in_every_width(width):
    bases = [None, "a" * 12 + ", overlap not checked", "b" * 12 + ", overlap none", "c" * 12 + ", overlap 7 accepted"]
    rows = [line(place, base=base) for place, base in enumerate([*bases, bases[1]], 1)]
    text = " ".join(leaderboard_table(rows, width).split())
    if width < 200:
        assert f"#2, #5: started from base {bases[1]}." in text
        assert f"#4: started from base {bases[3]}." in text
        assert "b" * 12 not in text and "#1: started" not in text
    else:
        assert "started from" not in text
        assert all(base in text for base in bases[1:])


@settings(max_examples=30)
@given(st.integers(30, 250), st.integers(1, 90), st.integers(1, 40))
def test_no_width_and_no_name_breaks_the_lines(width, name, classes):
    rows = [line(1, "n" * name), line(2, per_class={f"class {index}": 0.5 for index in range(classes)})]
    text = leaderboard_table(rows, width)
    parts = text.split("\n\n")
    # The columns that are always there need so much; the rest must stay within the terminal.
    assert max(map(display_width, text.splitlines())) <= max(width, 35)
    assert sum(part.startswith("F1 by class") for part in parts) >= 1
    assert text.count("class ") == classes


def test_a_wide_terminal_shows_whole_names_and_more_columns():
    narrow, wide = (leaderboard_table(ROWS, width) for width in (80, 250))
    assert ROWS[0].row.run_id not in narrow and ROWS[0].name in narrow and "--wide" in narrow
    assert ROWS[0].row.run_id in wide and ROWS[0].name in wide and "--wide" not in wide
    assert all(name in wide for name in ("kind", "space", "strategy", "epochs", "accuracy", "loss"))


def test_runs_over_seeds_have_a_table_of_their_own_where_the_column_does_not_fit():
    narrow = leaderboard_table(EXECUTIONS, 80)
    table = narrow.split("\n\n")[2].splitlines()
    assert table[0] == "Mean ± standard deviation over seeds"
    assert table[2].split() == ["0.650", "±", "0.013", "(2)", "#1,", "#2", "s-01-t0001-85cecf7d"]
    assert len(table) == 3
    wide = leaderboard_table(EXECUTIONS, 160)
    assert "over seeds" in wide.splitlines()[0] and "Mean ±" not in wide


def test_a_pipe_gets_one_line_a_run_with_every_column():
    lines = leaderboard_table(ROWS).splitlines()
    assert len(lines) == 1 + len(ROWS)
    assert all(f"F1 {name}" in lines[0] for name in EMOTIONS)
    assert "test evaluations" in lines[0]
    assert "data" not in lines[0] and "over seeds" not in lines[0]
    assert lines[4].split()[-1] == "–"
    assert "data" in leaderboard_table([line(1), line(2, data_digest="e" * 12)]).splitlines()[0]


def test_markdown_cells_cannot_break_out():
    rows = [line(1, "a|b<script>", space="`x`\n_y_ [z](u)", per_class={"so|so": 0.5})]
    lines = leaderboard_markdown(rows).splitlines()
    assert len(lines) == 3
    assert "a\\|b&lt;script&gt;" in lines[2]
    assert "\\`x\\`\\_y\\_ \\[z\\](u)" in lines[2]
    assert lines[0].endswith("F1 so\\|so |")
    bare = [each.replace("\\|", "") for each in lines]
    assert len({each.count("|") for each in bare}) == 1


@given(st.text())
def test_escaped_text_is_one_line_without_markup(text):
    found = escaped(text)
    assert "\n" not in found and "<" not in found and ">" not in found
    assert all(found[index - 1] == "\\" for index, character in enumerate(found) if character in "`*_[]|~")


def test_csv_has_every_figure_and_no_formula():
    rows = [
        line(1, "=run", space="=1+1", per_class={"=happy": 0.5}),
        line(2, verdict=None, per_class={}),
    ]
    table = list(csv.DictReader(io.StringIO(leaderboard_csv(rows))))
    added = (
        "name place standing difference difference_low difference_high corrected compared units seed_deviation seeds "
        "seeds_mean seeds_deviation"
    )
    assert list(table[0]) == [*COLUMNS, *added.split(), "f1_'=happy"]
    assert (table[0]["space"], table[0]["standing"], table[0]["f1_'=happy"]) == ("'=1+1", "best", "0.500000")
    assert (table[1]["standing"], table[1]["difference"], table[1]["f1_'=happy"]) == ("", "", "")
    assert table[0]["difference_low"] == "-0.010000"


def test_colours_follow_the_verdicts_and_change_no_width():
    plain, painted = (leaderboard_table(ROWS, 120, coloured=coloured) for coloured in (False, True))
    lines = painted.splitlines()
    assert [line.startswith(f"\x1b[{code}m") for line, code in zip(lines[1:4], (32, 33, 31), strict=True)] == [True] * 3
    assert "\x1b" not in lines[0] + lines[4]
    assert re.sub("\x1b\\[[0-9]+m", "", painted) == plain


def test_what_the_best_score_is_worth_and_what_the_words_mean_stand_below():
    noise = SeedNoise(0.0134, 3)
    test = measured(dict.fromkeys(EMOTIONS, 0.5), units=40, few=("fear", "contempt"))
    best = replace(line(1), corrected=0.671, compared=4, noise=noise, test=test)
    rows = [best, replace(line(2, verdict="seeds unknown"), noise=noise), line(3, verdict=None)]
    text = " ".join(leaderboard_table(rows, 120, {"d" * 12: 7}).split())
    assert "#1 is the highest of 4 on the test split: 0.690, corrected for that 0.671" in text
    assert "40 independent units: the 90 test images hold copies" in text
    assert "Too few independent test images to tell (fewer than 8): contempt, fear." in text
    assert "and the luck of a training seed (deviation beyond that choice 0.013, from 3 repeated runs)" in text
    assert "seeds unknown: the choice of test images does not explain the difference" in text
    assert "not compared" in text and "few runs were repeated" not in text
    for degrees, words in ((1, 1), (3, 1), (4, 0)):
        noise = SeedNoise(0.0134, degrees)
        tied = [replace(best, noise=noise), replace(line(2, verdict="tied"), noise=noise)]
        text_of_tied = " ".join(leaderboard_table(tied, 120).split())
        assert text_of_tied.count("That interval is wide because few runs were repeated: more seeds") == words
    # A pipe has no room for sentences.
    piped = leaderboard_table(rows).splitlines()
    assert "corrected" in piped[0] and "0.671 (of 4)" in piped[1] and "40 of 90" in piped[1]
    words = "of the published model, its epoch or members chosen on validation"
    assert f"val F1: {words}; test F1: of the same model." in text and "maximum over" not in text
    alone = " ".join(leaderboard_table([replace(line(1), corrected=0.69, compared=1)], 120).split())
    assert "corrected" not in alone and "independent" not in alone and "Too few" not in alone


def test_what_is_better_in_the_mean_is_explained_and_green():
    rows = [line(1), line(2, verdict="better in the mean")]
    text = leaderboard_table(rows, 120, coloured=True)
    assert text.splitlines()[2].startswith("\x1b[32m")
    assert "better in the mean: its configuration is better over its seeds, beyond chance, than" in " ".join(
        text.split()
    )
    assert "better in the mean:" not in leaderboard_table(ROWS, 120)


def test_what_is_known_of_seeds_is_said_of_the_data_it_is_known_of():
    rows = [replace(line(1), noise=SeedNoise(0.0134, 3)), replace(line(2, verdict="worse"), noise=SeedNoise(0.0134, 3))]
    other = [line(3, data_digest="e" * 12), line(4, data_digest="e" * 12)]
    text = " ".join(leaderboard_table([*rows, *other], 120).split())
    words = "the luck of a training seed (deviation beyond that choice 0.013, from 3 repeated runs)"
    assert (
        "All rows on the same data are compared at once; the interval covers the choice of test images; on data "
        f"{'d' * 12} also {words}."
    ) in text
    # Tied are rows on data of which nothing is known.
    assert "few runs were repeated" not in text
    other = [replace(entry, noise=SeedNoise(0.02, 1)) for entry in other]
    text = " ".join(leaderboard_table([*rows, *other], 120).split())
    assert f"{words}; on data {'e' * 12} also the luck of a training seed (deviation beyond that choice 0.020" in text
    assert text.count("few runs were repeated") == 1
    assert f"covers the choice of test images and {words}." in " ".join(leaderboard_table(rows, 120).split())


def test_what_holds_for_all_rows_is_said_without_the_best_one():
    test = measured(dict.fromkeys(EMOTIONS, 0.5), units=40, few=("fear",))
    rows = [replace(line(n), test=test) for n in (2, 3, 4)]
    text = " ".join(leaderboard_table(rows, 120).split())
    assert text.count("40 independent units: the 90 test images hold copies") == 1
    assert text.count("Too few independent test images to tell (fewer than 8): fear.") == 1
