"""A search in MLflow, in a database of its own; skipped where the extra is not installed."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from tuning.core.records import COMPLETED, TrialOutcome
from tuning.tracking import Published, Subject, Tracking, following
from tuning.tracking.mlflow import ENVIRONMENT, KEY_TAG, MLflow, address

from .conftest import curve


def test_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert address("http://127.0.0.1:5000") == ("http://127.0.0.1:5000", None)
    assert address("runs") == (f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}", tmp_path / "runs" / "artifacts")
    assert address((tmp_path / "my runs").as_uri())[1] == tmp_path / "my runs" / "artifacts"
    assert address("sqlite:///a/b.db") == ("sqlite:///a/b.db", tmp_path / "a" / "artifacts")
    assert address(f"sqlite:///{tmp_path}/b.db")[1] == tmp_path / "artifacts"


needs_mlflow = pytest.mark.skipif(not importlib.util.find_spec("mlflow"), reason="the extra mlflow is not installed")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A folder with MLflow's database; making its tables takes a second."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name, value in {**ENVIRONMENT, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client(store):
    from mlflow import MlflowClient

    return MlflowClient(address(str(store))[0])


def runs(client, tracker: MLflow) -> dict:
    """Key -> MLflow run, of one search; no key twice."""
    found = client.search_runs([tracker._experiment], f"tags.`face_tuning.search` = '{tracker._number}'")
    keys = [run.data.tags[KEY_TAG] for run in found]
    assert len(keys) == len(set(keys)), keys
    return dict(zip(keys, found, strict=True))


def follow(subject: Subject, store: Path, trials, published: Path | None = None) -> MLflow:
    tracker = MLflow(subject, str(store))
    for spec, outcome in trials:
        tracker.trial(spec, outcome)
    if published:
        tracker.run(Published.read(published))
    return tracker


@needs_mlflow
def test_a_search_is_a_run_with_runs_below_it(subject, store, trials, published, client):
    tracker = follow(subject, store, trials, published)
    tracker.end(finished=True)
    found = runs(client, tracker)
    final = f"final/{published.name}"
    assert set(found) == {"search", "trial/0000", "trial/0001", "trial/0002", final}
    parent = found.pop("search")
    assert (parent.info.run_name, parent.info.status) == ("faces", "FINISHED")
    assert parent.data.params == {"seed": "0", "strategy": "hyperband"}
    assert (parent.data.metrics["trials"], parent.data.metrics["failed"]) == (3, 1)
    assert parent.data.metrics["best_val_f1_macro"] == 0.5
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}

    trial = found["trial/0001"]
    assert trial.data.params == {"rate": "0.001", "batch_size": "8", "head": "dense", "norm": "True", "flip": "True"}
    history = client.get_metric_history(trial.info.run_id, "val_f1_macro")
    assert [(point.step, point.value) for point in history] == [(1, 0.2), (2, 0.3), (3, 0.5)]
    assert trial.data.tags["continues"] == "0000"

    failed = found["trial/0002"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["failure.kind"] == "not-finite"
    assert "nan in epoch 2" in failed.data.tags["mlflow.note.content"]

    finalist = found[final]
    metrics = Published.read(published).metrics
    assert finalist.data.metrics["test_f1_macro"] == metrics.test.f1_macro
    assert parent.data.metrics["test_f1_macro"] == metrics.test.f1_macro
    assert finalist.data.tags["model_sha256"] == metrics.model_sha256
    held = [entry.path for entry in client.list_artifacts(finalist.info.run_id)]
    assert {"model.keras", "metrics.json", "history.json"} <= set(held)
    assert list((store / "artifacts").rglob("model.keras"))


@needs_mlflow
def test_a_resume_adds_what_is_missing_and_changes_nothing_else(subject, store, trials, published, client):
    first = follow(subject, store, trials[:2])
    first.end(finished=False)
    before = runs(client, first)
    assert before["search"].info.status == "KILLED"
    # As a kill in the middle of a trial's requests leaves it.
    cut = first._create("trial/0002", "trial 0002", 0, {"mlflow.parentRunId": before["search"].info.run_id})

    second = follow(subject, store, trials, published)
    assert runs(client, second)["search"].info.status == "RUNNING"
    second.end(finished=True)
    after = runs(client, second)
    assert set(after) == {"search", "trial/0000", "trial/0001", "trial/0002", f"final/{published.name}"}
    assert after["trial/0002"].info.run_id != cut
    for key in ("trial/0000", "trial/0001"):
        assert after[key].to_dictionary() == before[key].to_dictionary()

    third = follow(subject, store, trials, published)
    third.end(finished=True)
    assert {key: run.info.run_id for key, run in runs(client, third).items()} == {
        key: run.info.run_id for key, run in after.items()
    }
    assert len(client.get_metric_history(after["search"].info.run_id, "trials")) == 2


@needs_mlflow
def test_a_trial_that_was_tried_again_replaces_the_failed_one(subject, store, trials, client):
    before = runs(client, follow(subject, store, trials))
    mended = (trials[2][0], TrialOutcome("0002", COMPLETED, 0.4, curve(0.4), seconds=(1.0,)))
    after = runs(client, follow(subject, store, [*trials[:2], mended]))
    assert after.keys() == before.keys()
    assert (before["trial/0002"].info.status, after["trial/0002"].info.status) == ("FAILED", "FINISHED")
    assert after["trial/0000"].info.run_id == before["trial/0000"].info.run_id


@needs_mlflow
def test_a_single_run_stands_alone(tmp_path, store, published, client):
    subject = Subject(published.name, tmp_path, tmp_path / "events", {}, single=True)
    tracker = follow(subject, store, [], published)
    tracker.end(finished=True)
    ((key, run),) = runs(client, tracker).items()
    assert key == f"final/{published.name}"
    assert run.info.status == "FINISHED" and "mlflow.parentRunId" not in run.data.tags


@needs_mlflow
def test_a_search_that_was_started_over_is_another(subject, store, trials, client):
    first = follow(subject, store, trials[:1])
    (subject.directory / "mlflow.json").unlink()
    second = follow(subject, store, trials[:1])
    assert runs(client, first)["search"].info.run_id != runs(client, second)["search"].info.run_id


@needs_mlflow
def test_names_and_values_that_mlflow_would_refuse(subject, store, later, client):
    tracker = follow(subject, store, [later(**{"bad:name=1": "x" * 7000, "none": None})])
    (run,) = [run for key, run in runs(client, tracker).items() if key == "trial/0003"]
    assert run.data.params["bad_name_1"].startswith("xxx") and run.data.params["none"] == "None"


@needs_mlflow
@pytest.mark.parametrize("listening", [False, True], ids=["nobody there", "one that never answers"])
def test_a_server_that_is_gone_costs_a_warning(listening, subject, trials):
    warnings = []
    progress = type("Progress", (), {"warn": lambda self, text: warnings.append(text)})()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        where = f"http://127.0.0.1:{server.getsockname()[1]}"
        with following(Tracking(mlflow=where), subject, progress) as trackers:
            for spec, outcome in trials:
                trackers.trial(spec, outcome)
    assert len(warnings) == 1 and warnings[0].startswith("mlflow is left out from here on")
