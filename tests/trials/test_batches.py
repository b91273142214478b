from __future__ import annotations

import numpy as np
import pytest

from tuning.dataset.store.packing import ImageSplit
from tuning.trials.batches import (
    EVALUATION_BATCH,
    EvaluationBatches,
    TrainingBatches,
    as_input,
    class_weights,
    epoch_order,
)
from tuning.trials.plan import TrainingPlan
from tuning.trials.spaces import Interface

LABELS = np.repeat([0, 1, 2], [70, 25, 5])
ONE_HOT, SPARSE = Interface(sparse=False, scaled=True, logits=False), Interface(sparse=True, scaled=False, logits=False)


def split(labels=LABELS, channels=1):
    """Every picture is its own number, so that a batch tells which pictures it holds."""
    images = np.zeros((len(labels), 8, 8, channels), np.uint8)
    images += np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    images.setflags(write=False)
    return ImageSplit(images, labels)


def batches(plan, interface=SPARSE, seed=0, epoch=1, data=None):
    whole = TrainingBatches(data or split(), 3, plan, interface, seed, epoch)
    return [whole[index] for index in range(len(whole))]


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_an_epoch_visits_every_image_once(balance):
    order = epoch_order(LABELS, balance, 0, 1)
    assert sorted(order) == list(range(100))
    assert not np.array_equal(order, np.arange(100))


@pytest.mark.parametrize("balance", ["none", "sampler"])
@pytest.mark.parametrize("parts", [1, 3, 7, 100])
def test_the_parts_of_an_epoch_are_the_epoch(balance, parts):
    plan = TrainingPlan(batch_size=4, class_balance=balance)
    whole = TrainingBatches(split(), 3, plan, SPARSE, 0, 1).order
    cut = [TrainingBatches(split(), 3, plan, SPARSE, 0, 1, (which, parts)) for which in range(parts)]
    assert np.array_equal(np.concatenate([part.order for part in cut]), whole)
    assert all(len(part) for part in cut)


def test_no_two_parts_of_an_epoch_are_augmented_alike():
    plan = TrainingPlan(batch_size=50, augmentation=1.0)
    same = split(np.zeros(100, np.int64))
    same.images.setflags(write=True)
    same.images[:] = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    one, other = (TrainingBatches(same, 3, plan, SPARSE, 0, 1, (which, 2))[0][0] for which in range(2))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_the_order_is_keyed_by_seed_and_epoch_and_nothing_else(balance):
    np.random.seed(1)
    first = epoch_order(LABELS, balance, 7, 2)
    np.random.seed(2)
    assert np.array_equal(first, epoch_order(LABELS, balance, 7, 2))
    assert not np.array_equal(first, epoch_order(LABELS, balance, 7, 3))
    assert not np.array_equal(first, epoch_order(LABELS, balance, 8, 2))


def test_the_balanced_sampler_shows_every_class_alike_in_an_epoch_of_the_same_length():
    seen = np.zeros(3)
    for epoch in range(1, 101):
        order = epoch_order(LABELS, "sampler", 0, epoch)
        assert len(order) == 100
        seen += np.bincount(LABELS[order], minlength=3)
    assert seen / seen.sum() == pytest.approx([1 / 3] * 3, abs=0.02)


def test_the_sampler_does_without_a_class_that_training_lacks():
    assert set(epoch_order(np.array([0, 0, 2]), "sampler", 0, 1)) <= {0, 1, 2}


def test_class_weights_are_one_over_root_of_count_with_mean_one_over_the_images():
    weights = class_weights(LABELS)
    assert weights.dtype == np.float32
    assert weights[LABELS].mean() == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx((70 / 25) ** 0.5)
    assert weights[2] / weights[0] == pytest.approx((70 / 5) ** 0.5)
    assert class_weights(np.array([0, 0, 2]))[1] == 0


def test_the_last_batch_holds_what_is_left():
    found = batches(TrainingPlan(batch_size=32))
    assert [len(images) for images, _ in found] == [32, 32, 36]
    assert [len(images) for images, _ in batches(TrainingPlan(batch_size=46))] == [46, 54]
    assert [len(images) for images, _ in batches(TrainingPlan(batch_size=40))] == [40, 40, 20]
    assert len(batches(TrainingPlan(batch_size=100))) == 1
    assert [len(images) for images, _ in batches(TrainingPlan(batch_size=256))] == [100]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 32, 64])
@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_no_last_batch_is_less_than_a_quarter_of_one(size, balance):
    """Batch norm's averages are mostly of the last steps, and they are what is validated and published."""
    plan = TrainingPlan(batch_size=size, class_balance=balance)
    around = {whole * size + rest for whole in range(4) for rest in range(-1, size // 4 + 2)}
    for count in sorted(count for count in around if count > 0):
        epoch = TrainingBatches(split(LABELS.repeat(4)[:count]), 3, plan, SPARSE, 0, 1)
        cut = [epoch.chosen(index) for index in range(len(epoch))]
        *others, last = map(len, cut)
        # Each image that the epoch visits is in one batch, in the epoch's order.
        assert np.array_equal(np.concatenate(cut), epoch.order) and len(epoch.order) == count
        assert set(others) <= {size}
        assert last == count or size / 4 <= last < size * 5 / 4
        if not 0 < count % size < size / 4:
            assert len(epoch) == -(-count // size)


def test_the_parts_of_an_epoch_have_no_small_last_batch_either():
    plan = TrainingPlan(batch_size=16)
    cut = [TrainingBatches(split(), 3, plan, SPARSE, 0, 1, (which, 3)) for which in range(3)]
    assert [[len(part[index][0]) for index in range(len(part))] for part in cut] == [[16, 17], [16, 17], [16, 18]]


def test_pictures_keep_their_labels():
    found = batches(TrainingPlan(batch_size=32))
    numbers = np.concatenate([images[:, 0, 0, 0] for images, _ in found])
    labels = np.concatenate([labels for _, labels in found])
    assert np.array_equal(labels, LABELS[numbers])
    assert np.array_equal(numbers, epoch_order(LABELS, "none", 0, 1))


def test_labels_are_indices_or_one_hot_rows_as_the_loss_wants_them():
    _, sparse = batches(TrainingPlan())[0]
    _, rows = batches(TrainingPlan(), ONE_HOT)[0]
    assert sparse.shape == (32,)
    assert np.issubdtype(sparse.dtype, np.integer)
    assert rows.shape == (32, 3)
    assert rows.dtype == np.float32
    assert np.array_equal(rows.argmax(axis=1), sparse)
    assert np.array_equal(rows.sum(axis=1), np.ones(32))


def test_weights_come_third_and_only_where_they_are_asked_for():
    _, labels, weights = batches(TrainingPlan(class_balance="weights"))[0]
    assert np.array_equal(weights, class_weights(LABELS)[labels])
    assert all(len(batch) == 2 for batch in batches(TrainingPlan(class_balance="sampler")))


def test_images_are_scaled_unless_the_model_does_it():
    images = split().images
    scaled = as_input(images, ONE_HOT)
    assert scaled.dtype == np.float32
    assert scaled.max() == np.float32(99) / np.float32(255)
    assert as_input(images, SPARSE) is images


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_is_keyed_by_epoch_and_batch(channels):
    plan = TrainingPlan(batch_size=32, augmentation=0.5, flip=True)
    noise = np.random.default_rng(0).integers(0, 256, (100, 8, 8, channels), dtype=np.uint8)
    data = ImageSplit(noise, LABELS)
    whole = TrainingBatches(data, 3, plan, SPARSE, 5, 1)
    # In any order, and however often: a data loader may fetch a batch twice.
    last, first = whole[2][0], whole[0][0]
    assert np.array_equal(first, whole[0][0])
    assert np.array_equal(last, batches(plan, seed=5, data=data)[2][0])
    assert first.shape == (32, 8, 8, channels)
    assert not np.array_equal(first, batches(plan, seed=5, epoch=2, data=data)[0][0])
    assert not np.array_equal(first, noise[whole.order[:32]])
    # The same pictures in another epoch, or in another batch, are changed in another way.
    later = TrainingBatches(data, 3, plan, SPARSE, 5, 2)
    later.order = np.concatenate([whole.order[:32]] * 2)
    assert not np.array_equal(later[0][0], first)
    assert not np.array_equal(later[0][0], later[1][0])


def test_flips_alone_need_no_magnitude():
    noise = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), dtype=np.uint8)
    data = ImageSplit(noise, LABELS)
    [(images, _)] = batches(TrainingPlan(batch_size=100, flip=True), data=data)
    original = noise[epoch_order(LABELS, "none", 0, 1)]
    mirrored = (images == original[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((images == original).all(axis=(1, 2, 3)) | mirrored).all()
    assert 20 < mirrored.sum() < 80


def test_evaluation_goes_through_a_split_in_order():
    images = np.random.default_rng(0).integers(0, 256, (EVALUATION_BATCH + 3, 4, 4, 1), dtype=np.uint8)
    whole = EvaluationBatches(images, SPARSE)
    assert len(whole) == 2
    found = [whole[index] for index in range(2)]
    assert all(len(batch) == 1 for batch in found)
    assert np.array_equal(np.concatenate([batch[0] for batch in found]), images)


@pytest.mark.parametrize("together", [1, 3, 100])
def test_how_many_are_made_together_and_in_which_order_makes_no_difference(together, monkeypatch):
    plan = TrainingPlan(batch_size=16, augmentation=1.0, flip=True, class_balance="sampler")
    monkeypatch.setattr("tuning.trials.batches.BYTES_TOGETHER", 1)
    single = batches(plan)
    monkeypatch.setattr("tuning.trials.batches.BYTES_TOGETHER", together * 16 * 64)
    whole = TrainingBatches(split(), 3, plan, SPARSE, 0, 1)
    for index in (6, 0, 1, 5, 2, 2, 3, 4):
        assert all(np.array_equal(*pair) for pair in zip(whole[index], single[index], strict=True))


def test_those_that_are_made_next_are_asked_for_once_each(monkeypatch):
    monkeypatch.setattr("tuning.trials.batches.BYTES_TOGETHER", 3 * 16 * 64)
    whole, asked = TrainingBatches(split(), 3, TrainingPlan(batch_size=16), SPARSE, 0, 1), []
    monkeypatch.setattr(whole.ahead, "request", lambda chosen: asked.append(chosen.tolist()))
    seen = []
    for index in range(len(whole)):
        whole[index]
        seen.append(len(asked))
    assert seen == [3, 3, 3, 4, 4, 4, 4]
    assert asked == [whole.chosen(index).tolist() for index in (3, 4, 5, 6)]
