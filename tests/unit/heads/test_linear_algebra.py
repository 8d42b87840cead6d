"""numpy's and scipy's routines give the same, on either side of the size where one takes over."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.heads import linear_algebra
from rehead.heads.linear_algebra import add_gram, largest_eigenvectors, solve_centred


@pytest.fixture(params=[0, 10_000], ids=["scipy", "numpy"])
def rng(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> np.random.Generator:
    monkeypatch.setattr(linear_algebra, "_SMALL", request.param)
    return np.random.default_rng(3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_gram_matrices_are_summed(rng: np.random.Generator, order: str) -> None:
    gram = np.zeros((7, 7), np.float32, order="F")
    parts = [np.asarray(rng.normal(size=(5, 7)), np.float32, order=order) for _ in range(3)]  # type: ignore[call-overload]
    for part in parts:
        gram = add_gram(gram, part)
    rows = np.concatenate(parts)
    np.testing.assert_allclose(np.tril(gram), np.tril(rows.T @ rows), atol=1e-5)


@pytest.mark.parametrize("most", [1, 4, 40])
def test_eigenvectors_come_largest_first(rng: np.random.Generator, most: int) -> None:
    rows = rng.normal(size=(30, 20)).astype(np.float32)
    gram = np.asfortranarray(rows.T @ rows)
    values, vectors = largest_eigenvectors(gram.copy(order="F"), most)
    assert values.shape == (min(most, 20),)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(gram @ vectors, vectors * values, atol=2e-3)
    np.testing.assert_allclose(values, np.sort(np.linalg.eigvalsh(gram))[::-1][:most], rtol=1e-4)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_centred_systems_are_solved(rng: np.random.Generator, kind: type) -> None:
    rows = rng.normal(size=(60, 9)) + 1
    mean, right = rows.mean(axis=0), rng.normal(size=(9, 3))
    system: NDArray[np.floating] = np.asfortranarray((rows.T @ rows + np.eye(9)).astype(kind))
    found = solve_centred(system.copy(order="F"), mean, 60.0, right.copy())
    np.testing.assert_allclose((system - 60 * np.outer(mean, mean)) @ found, right, atol=1e-3)


def test_scipys_blas_is_limited_where_it_is_loaded_meanwhile() -> None:
    code = """
import numpy, threadpoolctl
from rehead.core.parallel import one_blas_thread
from rehead.heads.linear_algebra import _scipy
with one_blas_thread:
    assert "scipy" not in __import__("sys").modules
    _scipy()
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    print(*[pool["num_threads"] for pool in pools])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"1"}
