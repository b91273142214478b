"""The page as it is written: whole, inert, small, and never in the way of the search it tells of."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
from dataclasses import asdict
from html import escape, unescape
from html.parser import HTMLParser

import pytest

from tests.written_searches import PLAN
from tuning import cli, search
from tuning.core.errors import StateError, UsageError
from tuning.core.options import options_of
from tuning.core.settings import SearchSettings, freeze
from tuning.engine.budget import duration
from tuning.engine.journal import Journal
from tuning.history.use_of_time import plan_text
from tuning.pipeline.reporting import write_report
from tuning.results import report
from tuning.results.report.command import repeat_command
from tuning.results.report.evidence import read_evidence
from tuning.results.report.time_part import time_part

pytestmark = pytest.mark.usefixtures("no_importances")
HOSTILE = '</script><img src=x onerror="boom()">'


class Outline(HTMLParser):
    """The ids, the tags that are open at the end, and every address of a page."""

    VOID = frozenset({"meta", "img", "br", "input", "link", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        about = dict(attrs)
        self.ids += [about["id"]] if "id" in about else []
        self.addresses += [about[name] for name in ("src", "href", "action") if about.get(name)]
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(workspace, save, no_pictures):
    """page(new_search) is the text of the page of a search."""

    def write(new_search) -> str:
        save(new_search)
        path, _ = report.write(workspace, new_search.settings.name)
        return path.read_text(encoding="utf-8")

    return write


def heads_of(page: str) -> list[str]:
    """The heads of the table of configurations."""
    table = re.search(r'<table id="trials".*?</thead>', page, re.DOTALL)[0]
    return [unescape(head) for head in re.findall(r'<th scope="col">(.*?)</th>', table)]


def test_a_finished_search_has_every_part(page, workspace, hyperband, finish):
    new_search = hyperband()
    finish(new_search, [("0013", 1, 0.9), ("0012", 2, 0.7), (None, None, 0.5)], seeds=2)
    text = page(new_search)
    outline = Outline(text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    parts = {"verdict", "progress", "curves", "rungs", "configurations", "importance", "slices", "failed", "finalists"}
    assert parts | {"repeat"} <= set(outline.ids)
    for address in outline.addresses:
        assert address.startswith(("#", "data:image/png;base64,", "../")), address
        assert not address.startswith("#") or address[1:] in outline.ids
        # What lies beside the page is where its links say.
        assert not address.startswith("../") or (workspace.search("s") / address).exists(), address
    assert len(text) < 5_000_000
    for words in (
        "Trial 0013, seed 0 beats the baseline",
        "the loss is NaN",
        "Expected calibration error",
        "percentage points too ",
        "validation, in the search",
        "d" * 64,
        "finished",
    ):
        assert words in text
    # The worst of each run: their images came with the predictions.
    mistakes = [len(run.mistakes) for run in report.collect(workspace, "s").runs]
    assert max(mistakes) == 24
    assert text.count("data:image/png") == sum(mistakes)
    # What never varies has no axis.
    varied = ["rate", "width", "head", "units", "blocks", "norm"]
    assert heads_of(text) == ["trial", "val macro-F1", "epochs", "time", *varied, "retrained"]
    assert sorted(re.findall(r'<th scope="row" data-v="\d+">\d+ ★(\d)', text)) == ["1", "2"]
    assert text.count("seed 1: test 0.") == 3


def test_validation_scores_are_called_what_they_are(page, workspace, hyperband, finish, publish):
    new_search = hyperband()
    finish(new_search, [("0013", 1, 0.9), (None, None, 0.5)])
    run_id = "s-ensemble-cccccccc"
    new_search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose="ensemble")
    new_search.add("published", key=f"final/{run_id}", run_id=run_id)
    publish(run_id, 0.95, kind="ensemble")
    text = page(new_search)
    assert (
        text.count(
            ", of the published model, whose epoch was chosen on validation; the test score is of the same model."
        )
        == 2
    )
    assert text.count(", of the mean of its members, which were chosen on validation; no epoch is chosen.") == 1
    assert "the maximum over its epochs" not in text


def test_reliability_is_shown_with_and_without_a_temperature(page, workspace, hyperband, finish, publish):
    new_search = hyperband()
    finish(new_search, [("0013", 1, 0.9), (None, None, 0.5)])
    text = page(new_search)
    assert text.count('aria-label="reliability diagram') == 2 and "without its temperature" not in text
    none = {"used": False, "reason": "it does not pay"}
    additions = {"mirrored_view": none, "prior_correction": none}
    one = {
        "used": True,
        "value": 2.0,
        "f1_macro_before": 0.9,
        "f1_macro_after": 0.9,
        "loss_before": 1,
        "loss_after": 0.9,
    }
    about = {"trial": "0013", "rank": 1, "additions": {**additions, "temperature": one}}
    shutil.rmtree(workspace.run("s-01-t0013-cccccccc-s0"))
    publish("s-01-t0013-cccccccc-s0", 0.9, **about)
    text = page(new_search)
    assert text.count('aria-label="reliability diagram') == 3
    assert "as published" in text and "without its temperature" in text
    assert "Without the temperature in its graph, fitted on validation, it is 0." in text


def test_pictures_lie_beside_it(save, workspace, hyperband):
    save(hyperband())
    report.write(workspace, "s")
    pictures = sorted(path.name for path in workspace.search("s").glob("*.png"))
    assert pictures == ["best_so_far.png", "learning_curves.png"]


def test_the_same_search_is_the_same_page(page, hyperband):
    new_search = hyperband()
    assert page(new_search) == page(new_search)


def test_chance_is_that_of_the_data_that_the_search_was_run_on(workspace, save, random_search, write_data):
    save(random_search(2))
    for digest, classes in (("d" * 64, 3), ("e" * 64, None)):
        write_data(digest)
        assert report.collect(workspace, "s").classes == classes


def test_epochs_of_the_search_that_a_final_went_on_from_are_counted_once(workspace, random_search, publish):
    history = random_search(reuse_trials=True).history()
    assert (history.configuration_of("0003").epochs, history.configuration_of("0003").seconds) == (9, 18.0)
    for seed in (0, 1):
        publish(f"s{seed}", 0.6, trial="0003", rank=1, seed=seed, epochs=9, train_seconds=20.0)
    runs, _ = read_evidence(workspace, ["s0", "s1"])
    for reused, own in ((0, (9, 22.0)), (None, (18, 40.0))):
        cells = "".join(f"<td>{cell}</td>" for cell in ("finals", 2, own[0], "–", duration(own[1])))
        assert cells in time_part(history, runs, None, 3, reused)


def test_a_search_without_rungs_has_no_rungs(page, random_search):
    outline = Outline(page(random_search()))
    assert "rungs" not in outline.ids
    assert "slices" in outline.ids


@pytest.mark.parametrize("trials", [0, 1])
def test_a_search_that_has_just_begun_has_a_page(page, new_search, trials):
    search = new_search()
    for number in range(trials):
        search.fail(search.ask(f"{number:04d}", search.values(number), 1))
    search.ask("0009", search.values(9), 1)
    text = page(search)
    assert Outline(text).open == []
    assert "the test split is sealed" in text


def test_names_that_strangers_chose_stay_text(page, new_search, finish):
    search = new_search()
    search.records[1]["result"]["space"].append(
        {"class_name": "Choice", "config": {"name": HOSTILE, "values": [HOSTILE, "b"]}}
    )
    values = {**search.values(0), HOSTILE: HOSTILE}
    search.tell(search.ask("0000", values, None), 3)
    search.fail(search.ask("0001", values, None), HOSTILE)
    finish(search, [("0000", 1, 0.9), (None, None, 0.5)])
    text = page(search)
    outline = Outline(text)
    assert outline.open == []
    assert not any(address == "x" for address in outline.addresses)
    assert HOSTILE in heads_of(text)


def test_a_torn_tail_is_left_out_and_a_damaged_journal_refused(page, workspace, save, random_search):
    new_search = random_search(4)
    directory = save(new_search)
    path = directory / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'0badc0de {"n":99,"type":"res')
    found = report.collect(workspace, "s")
    assert (len(found.search.history.trials), found.problems) == (4, ())
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:8], b"x" + lines[8], *lines[9:]]))
    with pytest.raises(StateError, match="line 9 is damaged"):
        report.collect(workspace, "s")


def test_a_running_search_is_read_without_its_lock(workspace, save, random_search):
    new_search = random_search(4)
    new_search.ask("0004", new_search.values(4), None)
    directory = save(new_search)
    with Journal(directory / "journal.jsonl") as journal:
        # This very process would be the search that writes its own report as its last act.
        (directory / "journal.owner").write_text("process 1 on " + socket.gethostname())
        before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
        found = report.collect(workspace, "s")
        assert found.status == "running"
        assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == before
        assert len(journal.records) == len(new_search.records)
    assert report.collect(workspace, "s").status == "interrupted"


def test_an_unknown_search_is_refused_by_the_names_there_are(workspace, save, random_search):
    with pytest.raises(UsageError) as none:
        report.collect(workspace, "s")
    assert "python -m tuning.search" in none.value.remedy
    save(random_search(2))
    with pytest.raises(UsageError) as other:
        report.collect(workspace, "t")
    assert other.value.remedy == "use one of s"


def test_settings_that_cannot_be_read_are_named(workspace, save, random_search):
    directory = save(random_search(2))
    (directory / "search.json").write_text("[]")
    with pytest.raises(StateError, match=r"search\.json holds no settings"):
        report.collect(workspace, "s")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strategy": "random", "max_trials": 40, "name": "two", "seed": 7, "dtype_policy": "float32"},
        {"stop_curves": True, "reuse_trials": True},
        {"max_memory": 8 * 2**30},
        {"min_epochs": 2, "early_stopping": 3, "reduce_lr": 4, "top_k": 5, "retrain_epochs": 20, "executions": 3},
    ],
)
def test_the_command_begins_the_same_search(settings, changes):
    """Every setting that a person can give is in it, under the option of its name."""
    frozen = asdict(settings(**changes))
    words = shlex.split(repeat_command(frozen))
    assert words[:3] == ["python", "-m", "tuning.search"]
    given = vars(search.options().parse_args(words[3:]))
    for option in options_of(SearchSettings):
        expected = "float32" if frozen["dtype_policy"] == "float32" else "bfloat16"
        shown = {"dtype": expected, "max_memory": frozen["max_memory"] or 0}.get(option.name, frozen[option.field])
        assert str(given[option.name]) == str(shown), option.name
    assert given["strategy"] == frozen["strategy"]


def test_a_search_that_its_budget_ended_says_so_where_it_is_repeated(page, hyperband):
    new_search = hyperband()
    assert "--budget" not in page(new_search)
    new_search.add("stopped")
    assert "when its <code>--budget</code> was over" in page(new_search)


def test_a_search_with_a_plan_shows_it_from_its_start_and_does_not_promise_the_same_trials_anew(page, new_search):
    text = page(new_search(plan=PLAN))
    assert "No trial has ended yet" in text and ">The plan<" in text and 'class="plain numbers shares"' not in text
    assert "may find other trials" in text and "finds the same trials" not in text
    assert all(escape(line.strip()) in text for line in plan_text(PLAN))


def test_a_budget_is_in_the_command(settings):
    frozen = asdict(settings(plan=PLAN))
    given = search.options().parse_args(shlex.split(repeat_command(frozen, PLAN))[3:])
    assert (given.budget, given.max_epochs) == ("1h", frozen["max_epochs"])


def test_what_was_accepted_is_in_the_command_and_what_changed_on_the_way_is_said(page, save, new_search, settings):
    given = search.options().parse_args(
        shlex.split(repeat_command(asdict(settings(base="a" * 64, base_overlap=7))))[3:]
    )
    assert (given.base, given.accept) == ("a" * 64, "base-overlap")
    assert "--accept" not in repeat_command(asdict(settings(base="a" * 64, base_overlap=0)))
    begun = new_search()
    assert "which was accepted" not in page(begun)
    freeze(save(begun), settings(space_digest="b" * 64), frozenset({"space_digest"}))
    begun.settings = settings(space_digest="b" * 64)
    assert "On the way, its code changed, which was accepted" in page(begun)


def test_configurations_to_try_are_in_the_command_and_those_learned_are_where_they_come_from(settings):
    frozen = settings(tries=[{"rate": "3e-4", "width": "2"}, {"rate": "1"}], from_search="a", learned=[{"rate": 5}])
    given = search.options().parse_args(shlex.split(repeat_command(asdict(frozen)))[3:])
    assert (given.tries, given.from_search) == (["rate=3e-4,width=2", "rate=1"], "a")


def test_a_first_rung_that_is_part_of_an_epoch_is_in_the_command(settings):
    words = shlex.split(repeat_command(asdict(settings(parts=3))))
    assert search.options().parse_args(words[3:]).min_epochs == "1/3"


def test_another_backend_is_part_of_the_command(settings):
    assert repeat_command(asdict(settings(backend="jax"))).startswith("KERAS_BACKEND=jax python -m ")


def test_a_defect_of_the_report_is_no_failure_of_the_search(workspace, monkeypatch):
    said = []

    class Listening(cli.Console):
        def warn(self, text):
            said.append(text)

    def broken(*arguments):
        raise KeyError("a picture")

    monkeypatch.setattr(report, "write", broken)
    write_report(workspace, "s", Listening())
    assert "could not be written" in said[0]
    assert f"python -m tuning.report --root {workspace.root} s" in said[0]

    def full(*arguments):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr(report, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_report(workspace, "s", Listening())
