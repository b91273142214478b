from __future__ import annotations

import numpy as np
import pytest

from tuning.core.errors import DataError
from tuning.trials.metrics import confusion_matrix, macro_f1


def test_no_images_give_zeros():
    assert macro_f1(confusion_matrix(np.array([], int), np.array([], int), 3)) == 0.0


@pytest.mark.parametrize(
    ("labels", "predictions", "says"),
    [
        ([0, 3], [0, 1], "labels reach from 0 to 3"),
        ([0, 1], [-1, 1], "predictions reach from -1"),
        ([0.5, 1.0], [0, 1], "labels must be"),
        ([[0, 1]], [0, 1], "labels must be"),
        ([0, 1], [0], "2 labels but 1 predictions"),
    ],
)
def test_class_indices_that_cannot_be_meant_are_refused(labels, predictions, says):
    with pytest.raises(DataError, match=says):
        confusion_matrix(np.array(labels), np.array(predictions), 3)
