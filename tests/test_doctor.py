"""The command `doctor`: what it finds, what it repairs, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from filelock import FileLock

from tuning import doctor
from tuning.core import files, packages
from tuning.core import settings as config
from tuning.core.findings import FAULT, NOTE, OK
from tuning.core.records import TrialSpec
from tuning.core.workspace import Workspace
from tuning.dataset.store import description, packing
from tuning.dataset.store.manifests import Place, SplitManifest, write_split_manifest
from tuning.engine.entries import Ask, Attempt, Result, Spent
from tuning.engine.journal import Journal, encode
from tuning.results import integrity, leaderboard, promotion
from tuning.results.runs import RUN_FILES

CLASSES = ("happy", "sad")


@pytest.fixture(autouse=True)
def _backend_of_a_person(monkeypatch):
    """Remove the test process's choice of the NumPy backend, which cannot train."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)


@pytest.fixture
def workspace(tmp_path, make_run) -> Workspace:
    """A workspace without faults: data, two runs, leaderboard, promoted model, one search."""
    workspace = Workspace(tmp_path / "w").create()
    digest = prepare(workspace)
    for run_id, f1 in (("run-1", 0.5), ("run-2", 0.7)):
        make_run(workspace, run_id, f1, model=run_id.encode(), data_digest=digest)
        for name in RUN_FILES:
            (workspace.run(run_id) / name).touch()
        workspace.predictions(run_id).parent.mkdir(exist_ok=True)
        workspace.predictions(run_id).touch()
    promotion.promote(workspace)
    settings = config.TrainSettings(
        space="baseline_cnn",
        space_digest="s",
        data_digest=digest,
        seed=0,
        backend="tensorflow",
        threads=1,
        dtype_policy="float32",
        early_stopping=None,
        reduce_lr=None,
        values={},
        epochs=1,
    )
    search = workspace.search("first")
    search.mkdir()
    with Journal(search / "journal.jsonl") as journal:
        config.freeze(search, settings)
        journal.append(Spent(seconds=1.0))
        journal.append(Ask(trial=TrialSpec("0000", {}), completed=0))
        attempt = journal.append(Attempt(key="trial/0000"))
        journal.append(Result(key="trial/0000", fence=attempt.n, result={}))
    return workspace


def prepare(workspace: Workspace) -> str:
    """Write a data set with two images per split, as `prepare` does; return its digest."""
    import numpy as np

    places = [
        Place(f"{label}/{split}.png", f"{label}/{split}.png", f"{split}-{label}", label, f"{split}-{label}", split)
        for split in description.SPLITS
        for label in CLASSES
    ]
    manifest = SplitManifest((70.0, 15.0, 15.0), 0, "box", tuple(sorted(places, key=lambda place: place.file)), {})
    write_split_manifest(workspace.split_manifest, manifest)
    files.write_json(workspace.pool_manifest, {"schema": 1})
    files.write_json(workspace.pool_summary, {"schema": 1})
    files.write_json(workspace.class_names, list(CLASSES))
    content = {s: [(place.sha256, place.label) for place in places if place.split == s] for s in description.SPLITS}
    digest = description.dataset_digest(CLASSES, 8, "gray", 1, content)
    workspace.split.mkdir(parents=True)
    pixels = np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8, 1)
    hashes = {}
    for split in description.SPLITS:
        hashes |= packing.write_split(workspace.split, split, pixels, np.arange(2), np.arange(2))
    info = description.DatasetInfo(digest, CLASSES, 8, 1, dict.fromkeys(description.SPLITS, 2))
    description.write_description(workspace.split, info, manifest.digest, hashes)
    return digest


def faults(workspace: Workspace) -> list[str]:
    return [f"{finding.subject}: {finding.detail}" for finding in integrity.check(workspace) if finding.state == FAULT]


def snapshot(workspace: Workspace) -> dict[str, bytes]:
    return {
        str(path.relative_to(workspace.root)): path.read_bytes()
        for path in sorted(workspace.root.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def dead_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def append(path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def overwrite(path, position: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)


def edit(path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_sound_workspace_has_no_fault(workspace):
    found = integrity.check(workspace)
    assert [finding.state for finding in found] == [OK] * 5, found
    assert [finding.subject for finding in found] == ["data", "runs", "leaderboard", "promoted model", "search first"]


@pytest.mark.parametrize("create", [False, True])
def test_an_empty_workspace_has_no_fault(create, tmp_path):
    workspace = Workspace(tmp_path / "w")
    if create:
        workspace.create()
    assert {finding.state for finding in integrity.check(workspace)} == {NOTE}
    assert integrity.repair(workspace) == []


#: name -> (function that damages a workspace, text in the fault's message, whether --repair mends it)
DAMAGE = {
    "left by a killed write": (
        lambda w: (w.outs / f".partial-{dead_process()}-leaderboard.csv").write_text("run_id"),
        "interrupted writes: ",
        True,
    ),
    "folder left by a killed write": (
        lambda w: (w.trials / f".partial-{dead_process()}-run-3").mkdir(),
        "interrupted writes: ",
        True,
    ),
    "killed while a folder was swapped": (
        lambda w: os.replace(w.run("run-2"), w.trials / f".retired-{dead_process()}-run-2"),
        "interrupted writes: ",
        True,
    ),
    "row edited": (
        lambda w: w.leaderboard.write_text(w.leaderboard.read_text().replace("0.700000", "0.900000")),
        "leaderboard: line 2: test_",
        True,
    ),
    "leaderboard gone": (lambda w: w.leaderboard.unlink(), "leaderboard: ", True),
    "promoted model damaged": (lambda w: append(w.best_model, b"x"), "promoted model: ", True),
    "promoted metrics gone": (lambda w: w.best_model_metrics.unlink(), "promoted model: ", True),
    "promoted metrics no JSON": (lambda w: w.best_model_metrics.write_text("{"), "promoted model: ", True),
    "nothing promoted": (
        lambda w: (w.best_model.unlink(), w.best_model_metrics.unlink()),
        "promoted model: no model is promoted yet",
        True,
    ),
    "class names edited": (lambda w: w.class_names.write_text('["sad", "happy"]'), "data: ", False),
    "pool manifest no JSON": (lambda w: w.pool_manifest.write_text(""), "data: ", False),
    "pool summary gone": (lambda w: w.pool_summary.unlink(), "data: ", False),
    "split edited": (lambda w: edit(w.split_manifest, seed=7), "data: ", False),
    "split gone": (lambda w: w.split_manifest.unlink(), "data: ", False),
    "array truncated": (
        lambda w: os.truncate(packing.images_path(w.split, "train"), 100),
        "train.images.npy is damaged",
        False,
    ),
    "array bit flipped": (
        lambda w: overwrite(packing.images_path(w.split, "test"), 140, b"\xff"),
        "test.images.npy is damaged",
        False,
    ),
    "array gone": (lambda w: packing.labels_path(w.split, "test").unlink(), "test.labels.npy", False),
    "run's model damaged": (lambda w: append(w.run("run-1") / "model.keras", b"x"), "runs: ", False),
    "run's metrics edited": (lambda w: edit(w.run("run-1") / "metrics.json", epochs="many"), "runs: ", False),
    "run's plot gone": (lambda w: (w.run("run-1") / "loss.png").unlink(), "lacks loss.png", False),
    "settings edited": (lambda w: edit(w.search("first") / "search.json", settings={}), "search first: ", False),
    "settings gone": (lambda w: (w.search("first") / "search.json").unlink(), "search first: ", False),
    "journal damaged": (
        lambda w: (w.search("first") / "journal.jsonl").write_bytes(
            b"x" + (w.search("first") / "journal.jsonl").read_bytes()
        ),
        "search first: ",
        False,
    ),
    "journal gone": (lambda w: (w.search("first") / "journal.jsonl").unlink(), "journal.jsonl is gone", False),
    "journal contradictory": (
        lambda w: append(
            w.search("first") / "journal.jsonl", encode(Ask(n=4, trial=TrialSpec("0000", {}), completed=0))
        ),
        "trial 0000 was proposed 2 times",
        False,
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named_and_mended_where_it_can_be(name, workspace):
    damage, says, mendable = DAMAGE[name]
    before = snapshot(workspace)
    damage(workspace)
    damaged = snapshot(workspace)
    found = faults(workspace)
    assert any(says in fault for fault in found), found
    assert all(finding.remedy for finding in integrity.check(workspace) if finding.state == FAULT)
    assert snapshot(workspace) == damaged

    done = integrity.repair(workspace)
    if mendable:
        assert done
        assert faults(workspace) == []
        assert snapshot(workspace) == before
    else:
        assert done == []
        assert any(says in fault for fault in faults(workspace))
        assert snapshot(workspace) == damaged


def test_a_workspace_that_lacks_what_newer_versions_write_is_told_what_makes_it(workspace, monkeypatch):
    manifest = json.loads(workspace.pool_manifest.read_text())
    workspace.pool_manifest.write_text(
        json.dumps({**manifest, "source": [{"kind": "archive", "raw": "/my faces.zip"}]})
    )
    workspace.pool_summary.unlink()
    for run_id in ("run-1", "run-2"):
        workspace.predictions(run_id).unlink()
    found = {finding.subject: finding for finding in integrity.check(workspace)}
    assert found["data"].detail == f"{workspace.pool_summary} does not exist"
    line = f"run: python -m tuning.prepare --root {workspace.root} --raw '/my faces.zip', with the other options of"
    assert found["data"].remedy.startswith(line)
    assert found["predictions"].state == NOTE and found["predictions"].detail.startswith("2 of 2 runs lack ")
    # In the workspace, --root can be left out. Without the manifest, the doctor cannot know where the images are.
    monkeypatch.chdir(workspace.root)
    workspace.pool_manifest.write_text("{}")
    (data,) = [finding for finding in integrity.check(workspace) if finding.subject == "data"]
    assert data.remedy == "run: python -m tuning.prepare --raw and the folder of the images"


def test_a_torn_tail_is_no_fault(workspace):
    append(workspace.search("first") / "journal.jsonl", b'0123abcd {"n":4')
    (note,) = [finding for finding in integrity.check(workspace) if finding.subject == "search first"]
    assert note.state == NOTE and "the next run drops" in note.detail


def test_what_a_running_process_writes_is_left_alone(workspace):
    written = workspace.outs / f".partial-{os.getpid()}-class_names.json"
    written.write_text("[")
    assert faults(workspace) == []
    assert integrity.repair(workspace) == []
    assert written.exists()


def test_what_a_running_search_writes_is_left_alone(workspace):
    search = workspace.search("first")
    # The worker may run on another machine that shares this disk, so its process id means nothing here.
    written = search / f".partial-{dead_process()}-checkpoint.npz"
    written.write_text("half")
    with FileLock(search / "journal.lock"):
        assert faults(workspace) == []
        assert integrity.repair(workspace) == []
        (note,) = [finding for finding in integrity.check(workspace) if finding.subject == "search first"]
        assert note.state == NOTE and note.detail.endswith("running")
    assert written.exists()
    assert len(faults(workspace)) == 1


def test_runs_on_other_data_are_a_note(workspace):
    for run in ("run-1", "run-2"):
        edit(workspace.run(run) / "metrics.json", data_digest="e" * 64)
    leaderboard.rebuild(workspace)
    (note,) = [finding for finding in integrity.check(workspace) if finding.subject == "promoted model"]
    assert note.state == NOTE and "current data" in note.detail


def test_a_leaderboard_whose_runs_are_all_gone_is_emptied(workspace):
    for run in ("run-1", "run-2"):
        shutil.rmtree(workspace.run(run))
    assert "leaderboard: line 2: there is no run 'run-2'" in faults(workspace)
    assert integrity.repair(workspace) == [f"wrote {workspace.leaderboard} from 0 runs"]
    assert not any(fault.startswith("leaderboard") for fault in faults(workspace))
    assert integrity.repair(workspace) == []


def test_the_best_run_must_be_the_promoted_one(workspace, make_run):
    digest = json.loads((workspace.run("run-1") / "metrics.json").read_text())["data_digest"]
    make_run(workspace, "run-3", 0.9, data_digest=digest)
    leaderboard.rebuild(workspace)
    (fault,) = [entry for entry in faults(workspace) if entry.startswith("promoted model")]
    assert "run-2 is promoted" in fault and "run-3" in fault
    assert integrity.repair(workspace) == ["promoted run-3"]


def test_the_command_says_it_all_and_exits_3(workspace, capsys):
    workspace.leaderboard.unlink()
    root = ["--root", str(workspace.root)]
    assert doctor.main(root) == 3
    text = capsys.readouterr().out
    assert "FAULT  leaderboard" in text and f"→ run: python -m tuning.doctor --root {workspace.root} --repair" in text
    assert doctor.main([*root, "--json"]) == 3
    result = json.loads(capsys.readouterr().out)
    assert result["healthy"] is False
    assert [entry["subject"] for entry in result["workspace"] if entry["state"] == "fault"] == ["leaderboard"]

    assert doctor.main([*root, "--repair"]) == 0
    text = capsys.readouterr().out
    assert "repaired\n  wrote " in text and "FAULT" not in text
    assert doctor.main([*root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True


def test_a_missing_package_exits_4_and_is_named(tmp_path, monkeypatch, capsys):
    versions = {"keras": "3.0.0", "tensorflow": None}
    real = packages.version
    monkeypatch.setattr(packages, "version", lambda name: versions.get(name, real(name)))
    assert doctor.main(["--root", str(tmp_path)]) == 4
    text = capsys.readouterr().out
    assert "keras" in text and "3.0.0 (wanted " in text and ">=3.15.1" in text
    assert "missing (wanted >=2.21)" in text


def test_backends_and_what_installs_them(monkeypatch):
    there = {"tensorflow": "2.21.0", "jax": "0.10.2"}
    monkeypatch.setattr(packages, "version", there.get)
    found = {finding.subject: finding for finding in doctor.backend_findings(None, [])}
    assert (found["tensorflow"].state, found["tensorflow"].detail) == (OK, "2.21.0: trials run on it")
    assert found["jax"].detail == "0.10.2: KERAS_BACKEND=jax chooses it"
    assert (found["torch"].state, found["torch"].remedy) == (NOTE, "run: pip install torch")
    assert set(found) == set(doctor.BACKENDS)

    found = {finding.subject: finding for finding in doctor.backend_findings("torch", [object()])}
    assert (found["torch"].state, found["torch"].detail) == (FAULT, "missing, but KERAS_BACKEND chooses it")
    assert "tensorflow[and-cuda]" in found["cuda"].remedy
    assert found["jax"].detail.endswith("not to the same bits in each process")
    (fault,) = [entry for entry in doctor.backend_findings("theano", []) if entry.state == FAULT]
    assert fault.subject == "theano" and "tensorflow, jax, torch" in fault.remedy


def test_the_backends_are_those_that_can_train():
    from tuning.pipeline.settings import BACKENDS

    assert tuple(doctor.BACKENDS) == BACKENDS


def test_a_backend_that_is_missing_exits_4(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    assert doctor.main(["--root", str(tmp_path)]) == 4
    assert "FAULT  theano" in capsys.readouterr().out


def test_every_extra_is_explained():
    assert set(doctor.EXTRAS) == {extra for extra in packages.requirements() if extra}


def test_the_command_runs_without_any_of_the_packages(tmp_path):
    """Without any installed package, it says what is missing instead of failing on its own imports."""
    code = (
        "import sys\n"
        "from importlib import metadata\n"
        "def missing(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = missing\n"
        "for name in ('numpy', 'filelock', 'tqdm', 'packaging', 'keras', 'cv2', 'pandas'): sys.modules[name] = None\n"
        "from tuning import doctor\n"
        "sys.exit(doctor.main([]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(packages.Path(packages.__file__).parents[2]), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert "keras-tuner" in done.stdout and "missing" in done.stdout
