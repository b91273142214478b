"""What a final training leaves: the file that is published is what was validated and tested."""

from __future__ import annotations

import json

import numpy as np
import pytest
from msgspec import to_builtins

from tuning.core.plan import NewLength
from tuning.trials.metrics import confusion_matrix, macro_f1, rounded
from tuning.trials.plan import TrainingPlan, learning_rate_factor

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

#: The changes of a training's length: shortened once; lengthened; and shortened twice.
CUT = [NewLength(run_id="", after=2, until=4)]
LONGER = [NewLength(run_id="", after=2, until=9)]
TWICE = [NewLength(run_id="", after=1, until=6), NewLength(run_id="", after=3, until=5)]
#: Final trainings whose files are opened.
OPENED = ("adapted", "tiny")

_OPEN = """
import json, sys
import keras, numpy as np
images, *paths = sys.argv[1:]
models = {path: keras.saving.load_model(path, safe_mode=True, compile=False) for path in paths}
print(json.dumps([
    {
        split: model.predict(np.load(f"{images}/{split}.images.npy") / np.float32(255), verbose=0).tolist()
        for split in ("test", "val")
    }
    for model in models.values()
]))
"""


@pytest.fixture(scope="module")
def finals(tmp_path_factory, job, run_jobs):
    folder = tmp_path_factory.mktemp("finals")
    names = {"adapted": {}, "forgetful": {}, "tiny": {}, "again": {}}
    jobs = [
        job("final", folder / name, "tiny" if name == "again" else name, until=6, total_epochs=6, **more)
        for name, more in names.items()
    ]
    # One that ends earlier than planned; and the same from the checkpoint that it had by then.
    cut = {"until": 4, "total_epochs": 6, "new_lengths": to_builtins(CUT)}
    jobs += [
        job("final", folder / "cut", "tiny", **cut),
        job("final", folder / "went on", "tiny", until=2, total_epochs=6),
        job("final", folder / "went on", "tiny", **cut, attempt=2),
    ]
    longer = to_builtins(LONGER)
    jobs.append(job("final", folder / "longer", "tiny", until=9, total_epochs=6, new_lengths=longer))
    # One that is shortened twice; and the same from the checkpoints that it had each time, and one thereafter.
    twice = to_builtins(TWICE)
    jobs.append(job("final", folder / "twice", "tiny", until=5, total_epochs=6, new_lengths=twice))
    steps = [(1, []), (3, twice[:1]), (4, twice), (5, twice)]
    jobs += [
        job("final", folder / "in steps", "tiny", until=until, total_epochs=6, new_lengths=cuts, attempt=attempt)
        for attempt, (until, cuts) in enumerate(steps, start=1)
    ]
    steps = ["twice", "step 1", "step 2", "step 3", "in steps"]
    return folder, dict(zip([*names, "cut", "begun", "went on", "longer", *steps], run_jobs(jobs), strict=True))


def staged(folder):
    with np.load(folder / "staging" / "predictions.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def predicted(finals, prepared, printed_by):
    """What the files predict in another process: name -> split -> probabilities."""
    models = [finals[0] / name / "staging" / "model.keras" for name in OPENED]
    return dict(zip(OPENED, printed_by(_OPEN, "tensorflow", str(prepared.split), *map(str, models)), strict=True))


@pytest.mark.parametrize("name", OPENED)
def test_the_file_predicts_what_was_tested_and_validated(finals, predicted, name):
    folder, outcomes = finals
    assert outcomes[name]["error"] is None
    kept = staged(folder / name)
    for split, prefix in (("test", ""), ("val", "val_")):
        assert np.array(predicted[name][split]) == pytest.approx(kept[f"{prefix}probabilities"], abs=1e-6)
    guesses = kept["val_probabilities"].argmax(axis=1)
    f1 = macro_f1(confusion_matrix(kept["val_labels"], guesses, kept["val_probabilities"].shape[1]))
    assert outcomes[name]["result"]["val"]["f1_macro"] == pytest.approx(f1)


def test_a_model_whose_file_forgets_something_fails_before_the_test_split_is_opened(finals):
    folder, outcomes = finals
    assert "the saved model, opened again, does not predict" in outcomes["forgetful"]["error"]["message"]
    assert not (folder / "forgetful" / "staging.opened").exists()
    assert not (folder / "forgetful" / "staging" / "predictions.npz").exists()


def test_what_the_graph_has_beside_the_network_is_said_and_the_same_each_time(finals):
    _, outcomes = finals
    found = outcomes["tiny"]["result"]
    assert found["additions"] == outcomes["again"]["result"]["additions"]
    assert found["weights_sha256"] == outcomes["again"]["result"]["weights_sha256"]
    tried = found["additions"]
    # `tiny` is trained with mirror images, `adapted` without.
    assert tried["mirrored_view"]["f1_macro_after"] is not None
    assert outcomes["adapted"]["result"]["additions"]["mirrored_view"]["used"] is False
    last = [one["f1_macro_after" if one["used"] else "f1_macro_before"] for one in tried.values()][-1]
    assert last == pytest.approx(rounded(found["val"]["f1_macro"]), abs=1e-6)
    assert found["milliseconds"] > 0
    json.dumps(tried)


def rate_factors(changes, epochs):
    plan = TrainingPlan(schedule="constant")
    return [learning_rate_factor(plan, epoch, 6, [], changes=changes) for epoch in range(1, epochs + 1)]


def test_one_that_ends_earlier_cools_down_and_is_the_same_wherever_it_goes_on_from(finals):
    _, outcomes = finals
    whole, cut, again = (outcomes[name]["result"]["curve"] for name in ("tiny", "cut", "went on"))
    assert cut == again
    assert outcomes["cut"]["result"]["weights_sha256"] == outcomes["went on"]["result"]["weights_sha256"]
    assert len(cut) == 4
    assert cut[:2] == whole[:2]
    rates = [entry["learning_rate"] for entry in cut]
    assert rates == pytest.approx([whole[0]["learning_rate"] * factor for factor in rate_factors(CUT, 4)])


def test_one_that_is_shortened_twice_is_the_same_wherever_it_goes_on_from(finals):
    _, outcomes = finals
    assert [outcomes[name]["epochs"] for name in ("twice", "step 1", "step 2", "step 3", "in steps")] == [5, 1, 2, 1, 1]
    whole, twice, steps = (outcomes[name]["result"]["curve"] for name in ("tiny", "twice", "in steps"))
    assert twice == steps
    assert outcomes["twice"]["result"]["weights_sha256"] == outcomes["in steps"]["result"]["weights_sha256"]
    assert len(twice) == 5 and twice[:1] == whole[:1]
    rates = [whole[0]["learning_rate"] * factor for factor in rate_factors(TWICE, 5)]
    assert [entry["learning_rate"] for entry in twice] == pytest.approx(rates)


def test_one_that_is_lengthened_trains_on_beyond_its_plan(finals):
    _, outcomes = finals
    whole, longer = (outcomes[name]["result"]["curve"] for name in ("tiny", "longer"))
    assert len(longer) == 9 and longer[:2] == whole[:2]
    rates = [entry["learning_rate"] for entry in longer]
    assert rates == pytest.approx([whole[0]["learning_rate"] * factor for factor in rate_factors(LONGER, 9)])
