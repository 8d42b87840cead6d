from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from rehead.heads.temperature import fit_temperature, log_loss, softmax


def drawn(
    temperature: float, n: int = 20000, classes: int = 4
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Logits that are too sure by a factor, and classes drawn from the true probabilities."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(n, classes)) * 2
    y = (softmax(true).cumsum(axis=1) > rng.uniform(size=(n, 1))).argmax(axis=1)
    return true * temperature, y.astype(np.intp)


@pytest.mark.parametrize("scale", [0.02, 0.5, 1.0, 3.0, 20.0])
def test_a_known_scale_is_recovered(scale: float) -> None:
    logits, y = drawn(scale)
    assert fit_temperature(logits, y) == pytest.approx(scale, rel=0.03)
    assert fit_temperature(logits, y, smooth=True) == pytest.approx(scale, rel=0.03)


def test_no_other_temperature_has_less_loss() -> None:
    logits, y = drawn(2.0, 300)
    best = log_loss(logits / fit_temperature(logits, y), y)
    assert all(best <= log_loss(logits / t, y) + 1e-6 for t in np.exp(np.linspace(-4, 4, 200)))


def test_weights_count_like_copies() -> None:
    logits, y = drawn(3.0, 200)
    weight = np.where(np.arange(200) < 50, 3.0, 1.0)
    rows = np.r_[np.arange(200), np.arange(50), np.arange(50)]
    assert fit_temperature(logits, y, weight) == pytest.approx(
        fit_temperature(logits[rows], y[rows]), rel=0.01
    )
    assert log_loss(logits, y, weight) == pytest.approx(log_loss(logits[rows], y[rows]))


@pytest.mark.parametrize(("n", "classes"), [(4, 2), (10, 2), (12, 6), (2000, 1000)])
def test_a_few_photos_that_are_all_right_do_not_promise_certainty(n: int, classes: int) -> None:
    y = (np.arange(n) % classes).astype(np.intp)
    logits = 5 * np.eye(classes)[y]
    certain = softmax(logits / fit_temperature(logits, y)).max(axis=1)
    careful = softmax(logits / fit_temperature(logits, y, smooth=True)).max(axis=1)
    assert (certain > 0.9999).all()
    share = 1 / (n + 2)
    np.testing.assert_allclose(careful, 1 - share + share / classes, atol=2e-3)


def test_more_photos_that_are_all_right_promise_more() -> None:
    def sure(n: int) -> float:
        y = (np.arange(n) % 2).astype(np.intp)
        logits = 5 * np.eye(2)[y]
        return float(softmax(logits / fit_temperature(logits, y, smooth=True)).max())

    assert sure(4) < sure(20) < sure(200) < 1


def test_photos_that_are_all_wrong_are_made_as_unsure_as_can_be() -> None:
    y = np.zeros(10, np.intp)
    logits = np.tile([0.0, 3.0], (10, 1))
    assert softmax(logits / fit_temperature(logits, y)).max() < 0.52


def test_logits_that_say_nothing_stay_as_they_are() -> None:
    y = (np.arange(12) % 3).astype(np.intp)
    for smooth in (False, True):
        temperature = fit_temperature(np.zeros((12, 3)), y, smooth=smooth)
        assert np.isfinite(temperature)
        assert temperature > 0


@pytest.mark.parametrize("size", [1e-30, 1e6, 1e30])
def test_extreme_logits_stay_finite(size: float) -> None:
    y = (np.arange(8) % 2).astype(np.intp)
    logits = size * np.eye(2)[y]
    logits[0] = logits[0, ::-1]
    for smooth in (False, True):
        temperature = fit_temperature(logits, y, smooth=smooth)
        probabilities = softmax(logits / temperature)
        assert np.isfinite(temperature)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert np.isfinite(log_loss(logits / temperature, y))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(arrays(np.float32, (5, 3), elements=st.floats(-1e4, 1e4, width=32)))
def test_softmax_is_a_distribution_in_the_order_of_the_logits(logits: NDArray[np.float32]) -> None:
    probabilities = softmax(logits)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(softmax(logits.astype(np.float64) + 7), probabilities, atol=1e-6)
    assert (probabilities[np.arange(5), logits.argmax(axis=1)] == probabilities.max(axis=1)).all()


def test_log_loss_is_what_it_says() -> None:
    logits, y = drawn(1.0, 50)
    expected = -np.log(softmax(logits)[np.arange(50), y]).mean()
    assert log_loss(logits, y) == pytest.approx(expected)
