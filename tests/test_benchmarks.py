"""The logic of the benchmarks; no meaningful measurements."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from msgspec import to_builtins

from benchmarks import comparison, data, draws
from benchmarks.__main__ import PARTS, main, options
from benchmarks.parts import gpu, loop
from benchmarks.processes import REPOSITORY, Child, memory_of, run, tree
from benchmarks.report import Report, Target, cell, circumstances, table
from benchmarks.searches import SearchRun
from benchmarks.watching import JournalWatch, TrialRun, reached
from tuning.core.records import TrialSpec
from tuning.core.workspace import Workspace
from tuning.engine.entries import from_json
from tuning.engine.journal import encode

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def journal(path, records):
    path.write_bytes(b"".join(encode(from_json({"n": number, **record})) for number, record in enumerate(records)))


def ask(trial_id, epochs, continues=None):
    return {"type": "ask", "trial": to_builtins(TrialSpec(trial_id, {}, epochs, continues=continues)), "completed": 0}


def result(trial_id, fence, scores, seconds):
    curve = [{"epoch": epoch, "val_f1_macro": score} for epoch, score in enumerate(scores, 1)]
    return {
        "type": "result",
        "key": f"trial/{trial_id}",
        "fence": fence,
        "result": {"trial_id": trial_id, "curve": curve, "seconds": seconds},
    }


class TestWatching:
    def test_records_have_the_time_of_the_look_that_first_saw_them(self, tmp_path):
        path, now = tmp_path / "journal.jsonl", [1.0]
        watch = JournalWatch(path, clock=lambda: now[0])
        watch.look()
        assert watch.records == []
        records = [ask("0000", 2), {"type": "attempt", "key": "trial/0000", "epoch": 0}]
        journal(path, records)
        watch.look()
        now[0] = 9.0
        journal(path, [*records, result("0000", 1, [0.1, 0.2], [5.0, 2.0])])
        whole = path.read_bytes()
        path.write_bytes(whole[:-3])
        watch.look()
        assert watch.trials() == []
        path.write_bytes(whole)
        watch.look()
        (trial,) = watch.trials()
        assert (trial.began, trial.ended, trial.seconds) == (1.0, 9.0, [5.0, 2.0])

    def test_a_trial_that_goes_on_counts_its_own_epochs_only_and_a_failed_one_not_at_all(self, tmp_path):
        path = tmp_path / "journal.jsonl"
        failed = {"type": "result", "key": "trial/0001", "fence": 3, "result": {"error": {"kind": "crash"}}}
        journal(
            path,
            [
                ask("0000", 2),
                {"type": "attempt", "key": "trial/0000", "epoch": 0},
                ask("0001", 3),
                {"type": "attempt", "key": "trial/0001", "epoch": 0},
                result("0000", 1, [0.1, 0.2], [1.0, 1.0]),
                failed,
                ask("0002", 3, continues="0000"),
                {"type": "attempt", "key": "trial/0002", "epoch": 2},
                result("0002", 7, [0.1, 0.2, 0.3], [1.0, 1.0, 4.0]),
            ],
        )
        watch = JournalWatch(path, clock=lambda: 0.0)
        watch.look()
        first, second = watch.trials()
        assert [entry["epoch"] for entry in first.curve] == [1, 2]
        assert [entry["epoch"] for entry in second.curve] == [3]
        assert second.seconds == [4.0]
        assert (first.epochs, second.epochs) == (2, 1)

    def test_a_target_is_reached_when_the_epoch_was_over_not_the_trial(self):
        slow = TrialRun("0000", 0.0, 100.0, [{"val_f1_macro": 0.2}, {"val_f1_macro": 0.5}], [10.0, 20.0])
        quick = TrialRun("0001", 0.0, 95.0, [{"val_f1_macro": 0.1}, {"val_f1_macro": 0.3}], [1.0, 1.0])
        assert slow.epoch_ends() == [80.0, 100.0]
        assert reached([slow, quick], 0.2) == 80.0
        assert reached([slow, quick], 0.3) == 95.0
        assert reached([slow, quick], 0.6) is None

    def test_a_steps_price_is_that_of_later_epochs(self):
        trial = TrialRun("0000", 0.0, 20.0, [{}] * 4, [9.0, 3.0, 2.0, 3.0])
        assert trial.steps() == 12.0
        with pytest.raises(ValueError, match="0000"):
            TrialRun("0000", 0.0, 20.0, [{}], [9.0]).steps()

    def test_a_search_knows_its_stages(self):
        trials = [
            TrialRun("0000", 15.0, 40.0, [{"val_f1_macro": 0.4}], [20.0]),
            TrialRun("0001", 12.0, 50.0, [{"val_f1_macro": 0.3}], [30.0]),
        ]
        search = SearchRun(SimpleNamespace(), 10.0, trials)
        assert (search.stage, search.start_up, search.epochs, search.best) == (38.0, 2.0, 2, 0.4)


class TestReport:
    def test_figures_keep_the_digits_that_mean_something(self):
        values = (None, 0.034567, 12.3456, 345.67, 45678.9, 12345, "text")
        assert [cell(value) for value in values] == ["–", "0.0346", "12.3", "345.7", "45,679", "12,345", "text"]

    def test_columns_are_aligned(self):
        lines = table(("what", "n"), [["a", 1], ["longer", 1000]]).splitlines()
        assert lines == ["what        n", "─────────────", "a           1", "longer  1,000"]

    @pytest.mark.parametrize(
        ("value", "at_least", "met"), [(4.0, True, True), (3.9, True, False), (3.9, False, True), (None, True, None)]
    )
    def test_targets(self, value, at_least, met):
        target = Target("speed", value, 4.0, at_least)
        assert target.met is met
        assert ("MISSED" in target.text()) == (met is False)

    def test_the_file_names_its_columns(self):
        report = Report(("what", "n"), [["a", 1.5]], [Target("n", 1.5, 1)], ["a note"])
        written = json.loads(json.dumps(report.to_json()))
        assert written["rows"] == [{"what": "a", "n": 1.5}]
        assert written["targets"][0]["met"] is True

    def test_circumstances_say_where_and_when(self, tmp_path):
        about = circumstances(tmp_path)
        assert about["machine"]["cores"] >= 1
        assert len(about["load"]) == 3
        assert "keras" in about["packages"]
        json.dumps(about)


class TestProcesses:
    def test_a_commands_time_and_memory_with_those_of_its_children(self, tmp_path):
        code = "import sys; x = bytearray(60 << 20); import time; t = time.process_time()\n"
        code += "while time.process_time() - t < 0.6: pass\nprint('done')"
        measured = run(
            ["-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"],
            tmp_path / "log",
            memory=0.05,
        )
        assert measured.stdout == "done\n"
        assert measured.seconds > 0.5
        assert measured.cpu_seconds > 0.55
        assert measured.peak_pss > 60 << 20

    def test_a_command_ends_when_there_is_enough_of_it(self, tmp_path):
        looks = []
        code = "import time; print('here', flush=True); time.sleep(60)"
        out = tmp_path / "log.out"

        def watch():
            looks.append(1)
            return out.exists() and bool(out.read_bytes())

        measured = run(["-c", code], tmp_path / "log", watch=watch)
        assert measured.stdout == "here\n"
        assert measured.seconds < 30
        assert len(looks) > 1

    def test_a_command_that_ends_just_before_it_is_asked_to_has_ended_well(self, tmp_path):
        out = tmp_path / "log.out"

        def watch():
            if not (out.exists() and out.read_text().endswith("\n")):
                return False
            while os.path.exists(f"/proc/{int(out.read_text())}"):
                time.sleep(0.01)
            return True

        measured = run(["-c", "import os; print(os.getpid())"], tmp_path / "log", watch=watch)
        assert int(measured.stdout)

    def test_a_failure_shows_what_was_said(self, tmp_path):
        with pytest.raises(RuntimeError, match=r"exit code 3: no luck"):
            run(["-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"], tmp_path / "log")

    def test_a_child_works_in_rounds_and_ends_with_its_pipe(self, tmp_path):
        code = "from benchmarks.processes import rounds, say\nfor n, _ in enumerate(rounds()): say({'n': n})"
        with Child(["-c", code], tmp_path / "log") as child:
            assert [child.round()["n"], child.round()["n"]] == [0, 1]
            child.process.stdin.close()
            assert child.process.wait(10) == 0

    def test_a_child_that_ends_instead_says_why(self, tmp_path):
        with Child(["-c", "raise SystemExit('tired')"], tmp_path / "log") as child:
            child.process.wait(10)
            with pytest.raises((RuntimeError, BrokenPipeError)):
                child.round()
            with pytest.raises(RuntimeError, match="tired"):
                child.answer()

    @pytest.mark.tensorflow
    def test_a_trial_of_ours_trains_an_epoch_a_round(self, prepared, tmp_path):
        root = tmp_path / "root"
        shutil.copytree(prepared.root, root)
        command = ["-m", "benchmarks.children.our_trial", root, "stress.tiny_cnn:build_model", "one", "float32"]
        with Child(command, tmp_path / "log") as child:
            rounds = [child.round(), child.round()]
        assert all(one["images"] and one["batches"] and one["dtype"] == "float32" for one in rounds)
        assert all(0 < one["feeding_seconds"] < one["seconds"] for one in rounds)

    def test_our_own_memory(self):
        own = memory_of(os.getpid())
        assert own["rss"] >= own["pss"] > 1 << 20
        assert tree(os.getpid())[0] == os.getpid()
        assert memory_of(2**22 + 1) == {"pss": 0, "rss": 0}


class TestLoop:
    @pytest.mark.parametrize(("strategy", "workers"), [("hyperband", 64), (loop.PAPERS, 64), ("random", 16)])
    def test_many_workers_are_kept_busy(self, tmp_path, strategy, workers, monkeypatch):
        # This test is about the order of the loop; the time of the disk or of other processes would make workers idle.
        monkeypatch.setattr("os.fsync", lambda descriptor: None)
        monkeypatch.setattr("time.perf_counter", time.process_time)
        done = loop.looped(tmp_path, strategy, workers, 600)
        assert len(done.asks) == len(done.tells) == 600
        assert done.busy > 0.9

    def test_a_search_that_ends_is_seen_through(self, tmp_path, monkeypatch):
        monkeypatch.setattr("os.fsync", lambda descriptor: None)
        done = loop.looped(tmp_path, loop.PAPERS, 8, 69, ends=True)
        assert done.trials == 69
        assert done.busy_to_the_end < done.busy

    def test_the_windows_size_is_what_keeps_them_busy(self, tmp_path, monkeypatch):
        monkeypatch.setattr("os.fsync", lambda descriptor: None)
        monkeypatch.setattr(loop, "WINDOWS", 0)
        assert loop.looped(tmp_path, loop.PAPERS, 256, 400).busy < 0.3


class TestCommand:
    def test_every_part_is_a_module_with_a_measure(self):
        import importlib

        for module in PARTS.values():
            assert callable(importlib.import_module(module).measure), module

    def test_an_unknown_part_names_the_known_ones(self, capsys):
        with pytest.raises(SystemExit):
            main(["speed"])
        assert "choose of start, step" in capsys.readouterr().err

    def test_a_part_prints_its_table_and_leaves_a_file(self, tmp_path, monkeypatch, capsys):
        def measure(context):
            context.say("measuring")
            return Report(("what", "n"), [["a", 1.5]], [Target("n", 1.5, 2)], data={"source": "x", "images": 3})

        monkeypatch.setitem(sys.modules, "benchmarks.parts.step", SimpleNamespace(measure=measure))
        assert main(["step", "--out", str(tmp_path / "out")]) == 0
        written = json.loads((tmp_path / "out" / "step.json").read_text())
        assert (written["part"], written["full"], written["rows"]) == ("step", False, [{"what": "a", "n": 1.5}])
        assert {"date", "machine", "packages", "load", "seconds"} <= written.keys()
        printed = capsys.readouterr().out
        assert "measuring …" in printed
        assert "n: 1.5 (≥ 2) MISSED" in printed

    def test_help_shows_lines_to_run(self):
        assert "python -m benchmarks step search" in options().format_help()


class TestGpu:
    def test_where_there_is_none_nothing_is_measured(self, monkeypatch):
        monkeypatch.setattr("tuning.core.machine.gpus", lambda: ())
        report = gpu.measure(None)
        assert (report.rows, report.notes) == ([], ("There is no GPU here.",))

    def test_load_and_memory_are_what_nvidia_smi_tells_meanwhile(self, tmp_path, monkeypatch):
        told = tmp_path / "nvidia-smi"
        told.write_text(f"#!/bin/sh\ncat {tmp_path}/now\n")
        told.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(gpu, "LOOK", 0.01)
        (tmp_path / "now").write_text("30, 512\n")
        with gpu._Watch() as watch:
            while len(watch._looks) < 3:
                time.sleep(0.01)
            (tmp_path / "now").write_text("90, 1024\n")
            while watch._looks[-1][0] < 0.9:
                time.sleep(0.01)
        assert 0.3 < watch.busy < 0.9
        assert watch.memory == 2**30


class TestComparison:
    def test_both_sides_have_one_schedule_and_each_pair_seeds_of_its_own(self, tmp_path, monkeypatch):
        lines = []
        monkeypatch.setattr(comparison, "plain_search", lambda sample, folder, *line: lines.append(line) or [None] * 3)
        monkeypatch.setattr(comparison, "our_search", lambda sample, name, *line: lines.append(line))
        context = SimpleNamespace(full=True, sample=lambda images: None, say=lambda text: None)
        assert len(comparison._compare(context, tmp_path).pairs) == 2
        schedule = ("--max-epochs", 9, "--factor", 3, "--iterations", 1)
        assert all("".join(map(str, schedule)) in "".join(map(str, line)) for line in lines)
        assert [line[-1] for line in lines] == [1, 0, 2, 1]


class TestDraws:
    def test_a_score_is_at_chance_below_a_tenth_more_than_it(self):
        assert [draws.at_chance(score, 4) for score in (None, 0.25, 0.274, 0.276)] == [True, True, True, False]

    def test_draws_are_complete_differ_and_are_the_same_again(self, prepared):
        first = draws.drawn(prepared, "baseline_cnn", 3, 0)
        assert first == draws.drawn(prepared, "baseline_cnn", 3, 0) != draws.drawn(prepared, "baseline_cnn", 3, 1)
        assert len({str(values) for values in first}) == 3
        assert all(("blocks" in values) == (values["block"] != "plain") for values in first)
        assert all(not name.startswith("tuner/") for values in first for name in values)

    @pytest.mark.parametrize(("silent", "code"), [(0, 0), (1, 0), (2, 1)])
    def test_more_than_a_twentieth_at_chance_fails_the_command(self, prepared, monkeypatch, capsys, silent, code):
        scores = iter([0.9, *[0.1] * silent, *[0.9] * 30])
        monkeypatch.setattr(draws, "_use_one_core", lambda: None)
        monkeypatch.setattr(draws, "trained", lambda *given: (600, next(scores), 3))
        assert draws.main(["--root", str(prepared.root), "--draws", "30"]) == code
        *rows, last = capsys.readouterr().out.splitlines()
        assert sum(json.loads(row)["at_chance"] for row in rows) == silent
        assert last.startswith(f"{silent} of 30 draws at chance")

    @pytest.mark.tensorflow
    def test_a_draw_is_trained_for_so_many_steps(self, prepared):
        command = [sys.executable, "-m", "benchmarks.draws", "--root", prepared.root, "--draws", "1", "--steps", "3"]
        ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
        row, last = ended.stdout.splitlines()
        assert json.loads(row)["steps"] == 3 and 0 <= json.loads(row)["val_f1_macro"] <= 1
        assert ended.returncode == json.loads(row)["at_chance"] and "1 draws" in last


class TestData:
    def test_a_sample_keeps_each_classs_share_and_is_the_same_again(self, tmp_path, monkeypatch):
        for label, count in (("happy", 60), ("sad", 30)):
            (tmp_path / "sets" / "fer2013" / label).mkdir(parents=True)
            for number in range(count):
                (tmp_path / "sets" / "fer2013" / label / f"{number}.png").write_bytes(b"x")
        monkeypatch.setenv("TUNING_DATASETS", str(tmp_path / "sets"))
        found = []
        for name in ("one", "other"):
            assert data.raw(tmp_path / name, 45, tmp_path / "log") == "fer2013"
            found.append(sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.png")))
        assert found[0] == found[1]
        assert sum(name.startswith("happy") for name in found[0]) == 30
        assert sum(name.startswith("sad") for name in found[0]) == 15

    def test_without_data_sets_faces_are_drawn(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TUNING_DATASETS", str(tmp_path / "nowhere"))
        assert data.raw(tmp_path / "raw", 60, tmp_path / "log") == "synthetic faces"
        assert len([path for path in (tmp_path / "raw").iterdir() if path.is_dir()]) == 7

    def test_a_prepared_workspace_is_counted(self, prepared):
        found = data.opened(prepared.root, "synthetic faces")
        assert found.workspace == Workspace(prepared.root)
        assert found.counts["train"] > found.counts["val"] > 0
