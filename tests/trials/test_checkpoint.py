from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from tuning.core import files
from tuning.trials.checkpoint import Saver, TrainingState, load_state, save_state


class Crash(BaseException):
    """Stands for the end of the process: nothing may catch it and go on."""


def state(epoch, seed=0):
    rng = np.random.default_rng((epoch, seed))
    return TrainingState(
        epoch=epoch,
        curve=tuple({"epoch": e, "loss": 1 / (3 * e), "val_f1_macro": 0.1 * e} for e in range(1, epoch + 1)),
        seconds=tuple(0.125 * e for e in range(1, epoch + 1)),
        weights=(rng.standard_normal((3, 2)).astype(np.float32), rng.standard_normal(4).astype(np.float16)),
        optimizer=(np.array(epoch * 10, np.int64), rng.standard_normal((3, 2)).astype(np.float32), np.float32(1e-3)),
        chosen=(np.array([np.inf, -0.0, 1e-45], np.float32),) if epoch > 1 else (),
        chosen_epoch=epoch // 2,
    )


def assert_same(found, expected):
    for field in dataclasses.fields(TrainingState):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name in ("weights", "optimizer", "chosen"):
            assert len(one) == len(other)
            for a, b in zip(one, other, strict=True):
                assert a.dtype == np.asarray(b).dtype
                assert a.shape == np.shape(b)
                assert a.tobytes() == np.asarray(b).tobytes()
        else:
            assert one == other


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_read_is_what_was_written_to_the_bit(tmp_path):
    for epoch in (1, 2):
        save_state(tmp_path / "deep" / "folder", 7, state(epoch))
        assert_same(load_state(tmp_path / "deep" / "folder"), state(epoch))


def test_types_that_numpy_itself_lacks_survive(tmp_path):
    import ml_dtypes

    values = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    save_state(tmp_path, 0, dataclasses.replace(state(1), weights=(values,)))
    [found] = load_state(tmp_path).weights
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()


def test_there_is_none_where_nothing_was_written(tmp_path):
    assert load_state(tmp_path / "missing") is None
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".partial-1-epoch-00001-attempt-0000001.npz").write_bytes(b"half")
    assert load_state(tmp_path) is None


def test_older_epochs_go_other_files_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for epoch in (1, 2, 10):
        save_state(tmp_path, 3, state(epoch))
    assert names(tmp_path) == ["epoch-00010-attempt-0000003.npz", "notes.txt"]


def test_numbers_that_need_more_digits_are_found_and_told_apart(tmp_path):
    """Where an epoch has thousands of parts, they are many; no more is kept of the others than usual."""
    for epoch, attempt in ((99_999, 9_999_999), (100_000, 9_999_999), (100_000, 10_000_000)):
        save_state(tmp_path, attempt, dataclasses.replace(state(1, seed=attempt), epoch=epoch))
    assert len(names(tmp_path)) == 2
    assert_same(load_state(tmp_path), dataclasses.replace(state(1, seed=10_000_000), epoch=100_000))


def test_attempts_do_not_overwrite_each_other(tmp_path):
    """A process that was given up, and its successor, side by side."""
    save_state(tmp_path, 3, state(2, seed=3))
    save_state(tmp_path, 9, state(2, seed=9))
    assert len(names(tmp_path)) == 2
    assert_same(load_state(tmp_path), state(2, seed=9))
    # The late one is behind: it takes away nothing that is ahead of it.
    save_state(tmp_path, 3, state(1, seed=3))
    assert_same(load_state(tmp_path), state(2, seed=9))


def test_what_was_trained_past_a_change_counts_only_from_attempts_that_knew_of_it(tmp_path):
    """A process that was given up may end an epoch more, after others have read how far it got."""
    save_state(tmp_path, 3, state(3, seed=3))
    assert load_state(tmp_path, [(2, 7)]) is None
    save_state(tmp_path, 3, state(2, seed=3))
    assert_same(load_state(tmp_path), state(3, seed=3))
    assert_same(load_state(tmp_path, [(2, 7)]), state(2, seed=3))
    assert_same(load_state(tmp_path, [(3, 7)]), state(3, seed=3))
    save_state(tmp_path, 8, state(3, seed=8))
    assert_same(load_state(tmp_path, [(2, 7)]), state(3, seed=8))
    # What a change let count, a later one may not; and what an earlier one did not, no later one does.
    assert_same(load_state(tmp_path, [(2, 7), (3, 9)]), state(3, seed=8))
    assert load_state(tmp_path, [(1, 7), (2, 9)]) is None


@pytest.mark.parametrize("damage", ["empty", "torn", "half", "text", "flipped"])
def test_a_damaged_newest_file_gives_way_to_an_older_one(tmp_path, damage):
    save_state(tmp_path, 2, state(2))
    save_state(tmp_path / "new", 2, state(3))
    [newest] = (tmp_path / "new").iterdir()
    whole = newest.read_bytes()
    middle = len(whole) // 2
    newest = tmp_path / newest.name
    newest.write_bytes(
        {
            "empty": b"",
            "torn": whole[:-1],
            "half": whole[:middle],
            "text": b"not a checkpoint",
            "flipped": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        }[damage]
    )
    assert_same(load_state(tmp_path), state(2))


def test_no_flipped_bit_is_an_error_or_a_wrong_state(tmp_path):
    """Most are found by the zip's checksums; those that change nothing that is read leave the state as it was."""
    save_state(tmp_path, 2, state(2))
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    missed = 0
    for position in rng.choice(len(whole), 400, replace=False):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ (1 << rng.integers(8))]) + whole[position + 1 :])
        found = load_state(tmp_path)
        if found is None:
            missed += 1
        else:
            assert_same(found, state(2))
    assert missed > 200


def test_a_crash_at_any_step_leaves_the_old_state_or_the_new_one(tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(files, "fault_hook", lambda operation, path: steps.append(operation))
    for epoch in (1, 2):
        save_state(tmp_path / "count", 1, state(epoch))
    second = steps[steps.index("write", 1) :]
    assert second == ["write", "fsync", "rename", "fsync-directory", "remove"]
    for number in range(1, len(second) + 1):
        folder = tmp_path / str(number)
        monkeypatch.setattr(files, "fault_hook", None)
        save_state(folder, 1, state(1))
        monkeypatch.setattr(files, "fault_hook", crash_at(number))
        with pytest.raises(Crash):
            save_state(folder, 1, state(2))
        # The new one is there from the rename on, which is the third step.
        assert_same(load_state(folder), state(1 if number <= 3 else 2))
        # And the next save clears up what the crash left.
        monkeypatch.setattr(files, "fault_hook", None)
        save_state(folder, 2, state(3))
        assert [name for name in names(folder) if name.startswith("epoch")] == ["epoch-00003-attempt-0000002.npz"]


def crash_at(number):
    count = 0

    def hook(operation, path):
        nonlocal count
        count += 1
        if count == number:
            raise Crash

    return hook


@pytest.mark.parametrize("error", [28, 5, 30])
def test_a_full_or_failing_disk_names_the_file_and_keeps_the_old_state(tmp_path, monkeypatch, error):
    save_state(tmp_path, 1, state(1))

    def fail(operation, path):
        if operation == "fsync":
            raise OSError(error, "disk trouble")

    monkeypatch.setattr(files, "fault_hook", fail)
    with pytest.raises(OSError, match="epoch-00002") as failed:
        save_state(tmp_path, 1, state(2))
    assert failed.value.errno == error
    assert_same(load_state(tmp_path), state(1))
    assert names(tmp_path) == ["epoch-00001-attempt-0000001.npz"]


class TestSaver:
    def test_training_goes_on_while_a_state_is_written_and_the_next_waits(self, tmp_path, monkeypatch):
        written, order = threading.Event(), []

        def wait(operation, path):
            if operation == "write":
                assert written.wait(30)
            if operation in ("write", "rename"):
                order.append((operation, path.name[:11]))

        monkeypatch.setattr(files, "fault_hook", wait)
        with Saver(tmp_path, 1) as saver:
            saver.save(state(1))  # returns, though nothing can be written yet
            assert load_state(tmp_path) is None
            written.set()
            saver.save(state(2))
            assert order[:2] == [("write", "epoch-00001"), ("rename", "epoch-00001")]
        assert order == [(step, f"epoch-0000{epoch}") for epoch in (1, 2) for step in ("write", "rename")]
        assert_same(load_state(tmp_path), state(2))

    def test_what_it_cannot_write_ends_the_training(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "fault_hook", crash_at(1))
        with pytest.raises(Crash), Saver(tmp_path, 1) as saver:
            saver.save(state(1))
        monkeypatch.setattr(files, "fault_hook", crash_at(1))
        with Saver(tmp_path, 1) as saver:
            saver.save(state(1))
            with pytest.raises(Crash):
                saver.save(state(2))
        assert load_state(tmp_path) is None

    def test_a_training_that_fails_waits_for_its_last_state(self, tmp_path):
        with pytest.raises(ValueError, match="of training"), Saver(tmp_path, 1) as saver:
            saver.save(state(1))
            raise ValueError("of training")
        assert_same(load_state(tmp_path), state(1))

    def test_a_training_that_fails_with_a_disk_that_is_full_is_not_over(self, tmp_path, monkeypatch):
        """It would be journaled without its last epoch; done again, once there is room, it has that."""
        monkeypatch.setattr(files, "fault_hook", crash_at(1))
        with pytest.raises(Crash), Saver(tmp_path, 1) as saver:
            saver.save(state(1))
            raise ValueError("of training")
