from __future__ import annotations

import numpy as np
import pytest

from rehead.evaluation import uniform_wrong
from rehead.evaluation.metrics import accuracy, log_loss


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_no_answer_is_wrong_and_costs_what_a_guess_does(classes: int) -> None:
    truth = np.arange(classes)
    rows = uniform_wrong(truth, classes)
    assert accuracy(truth, rows) == 0
    assert accuracy(truth, rows.astype(np.float32)) == 0
    assert rows.sum(axis=1) == pytest.approx(1)
    assert log_loss(truth, rows) == pytest.approx(np.log(classes), rel=1e-3)
