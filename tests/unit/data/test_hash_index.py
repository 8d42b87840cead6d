"""Pairs of near hashes are those that comparing all with all finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.data.duplicates import MIRROR
from rehead.data.hash_index import NEAR_BITS, near_pairs


def brute(code: NDArray[np.uint64]) -> dict[tuple[int, int], int]:
    found = {}
    for i in range(len(code)):
        for j in range(i + 1, len(code)):
            differ = int(code[i]) ^ int(code[j])
            bits = min(differ.bit_count(), (differ ^ int(MIRROR)).bit_count())
            if code[i] and code[j] and bits <= NEAR_BITS:
                found[i, j] = bits
    return found


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 60), flips=st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_pairs_are_those_of_all_with_all(seed: int, n: int, flips: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(1, 2**63, size=4, dtype=np.uint64) << np.uint64(1)
    code = base[rng.integers(4, size=n)]
    for row in range(n):
        for bit in rng.integers(1, 64, size=rng.integers(flips + 1)):
            code[row] ^= np.uint64(1) << np.uint64(bit)
        if rng.random() < 0.3:
            code[row] ^= MIRROR
        if rng.random() < 0.1:
            code[row] = 0
    i, j, bits = near_pairs(code)
    found = dict(zip(zip(i.tolist(), j.tolist(), strict=True), bits.tolist(), strict=True))
    assert len(found) == len(i)
    expected = brute(code)
    if max(np.unique(code, return_counts=True)[1], default=0) <= 8:
        assert found == expected
    else:  # of more than 8 photos of one hash some stand for all
        assert found.items() <= expected.items()


def test_many_photos_of_one_hash_are_chained() -> None:
    i, j, bits = near_pairs(np.full(500, 12345, np.uint64))
    assert len(i) < 500 * 65
    assert set(zip(range(499), range(1, 500), strict=True)) <= set(zip(i.tolist(), j.tolist(), strict=True))
    assert not bits.any()


@pytest.mark.parametrize("code", [[], [0, 0], [7]])
def test_nothing_to_pair(code: list[int]) -> None:
    assert [len(column) for column in near_pairs(np.array(code, np.uint64))] == [0, 0, 0]
