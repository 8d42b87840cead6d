from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rehead.data import MAX_BITS, MAX_BITS_ALONE, merge_groups, near_duplicates, perceptual_hash

SIDE = 224
MIRROR = 0xAAAAAAAAAAAAAAAA


def picture(seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Coloured clouds: like a photo, most of the contrast is coarse."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells in (3, 6, 12, 24, 48):
        cloud = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(cloud.resize((side, side), Image.Resampling.BICUBIC), dtype=float) / cells
    total -= total.min()
    image: NDArray[np.uint8] = (total * (255 / total.max())).astype(np.uint8)
    return image


def resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def bits(one: np.uint64, two: np.uint64) -> int:
    return min(int(np.bitwise_count(one ^ two)), int(np.bitwise_count(one ^ two ^ np.uint64(MIRROR))))


def names(n: int) -> list[str]:
    return [f"{row:064x}" for row in range(n)]


def copies(image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    trim = round(0.025 * SIDE)
    return {
        "quality 60": jpeg(image, 60),
        "half size": resized(resized(image, SIDE // 2), SIDE),
        "trimmed": resized(image[trim:-trim, trim:-trim], SIDE),
        "mirrored": image[:, ::-1],
        "dark": (image * 0.6).astype(np.uint8),
        "bright": np.minimum(image * 1.2, 255).astype(np.uint8),
        "grey": np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    }


# --- the hash --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_copies_have_near_hashes(seed: int) -> None:
    image = picture(seed)
    own = perceptual_hash(image)
    assert isinstance(own, np.uint64)
    for kind, copy in copies(image).items():
        limit = MAX_BITS if kind == "trimmed" else MAX_BITS_ALONE
        assert bits(own, perceptual_hash(copy)) <= limit, kind


def test_different_pictures_have_far_hashes() -> None:
    hashes = [perceptual_hash(picture(seed)) for seed in range(12)]
    assert min(bits(one, two) for one, two in itertools.combinations(hashes, 2)) > MAX_BITS_ALONE


def test_the_hash_is_the_signs_of_the_lowest_dct_coefficients() -> None:
    """Against the DCT's definition, on a size that 32 does not divide."""
    side = 48
    image = picture(1, side)
    luma = image.astype(float) @ [0.299, 0.587, 0.114]
    fine = np.repeat(
        np.repeat(luma, 2, axis=0), 2, axis=1
    )  # 96 = 3 x 32: reducing by area is a mean of 3 x 3
    small = fine.reshape(32, 3, 32, 3).mean(axis=(1, 3))
    x = (2 * np.arange(32) + 1) * np.pi / 64
    code = 0
    for v in range(8):
        for u in range(8):
            coefficient = (small * np.outer(np.cos(v * x), np.cos(u * x))).sum()
            code |= int(coefficient > 0 and (u, v) != (0, 0)) << (8 * v + u)
    assert int(perceptual_hash(image)) == code


def test_a_mirrored_picture_has_the_mirrored_hash() -> None:
    image = picture(2)
    assert int(perceptual_hash(image)) ^ int(perceptual_hash(image[:, ::-1])) == MIRROR


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_has_no_hash(grey: int) -> None:
    rng = np.random.default_rng(grey)
    blank = np.full((SIDE, SIDE, 3), grey, dtype=np.uint8)
    noisy = np.clip(blank + rng.normal(0, 5, blank.shape), 0, 255).astype(np.uint8)
    assert perceptual_hash(blank) == perceptual_hash(noisy) == 0


# --- groups ----------------------------------------------------------------------------------


def test_equal_bytes_are_joined_whatever_the_rest_says() -> None:
    digests = [bytes([1]) * 32, bytes([2]) * 32, bytes([1]) * 31 + b"\0", bytes([1]) * 32]
    far = np.array([1 << 1, (1 << 40) - 1, ~np.uint64(0), 0], dtype=np.uint64)
    assert near_duplicates(digests, far, np.eye(4, dtype=np.float32)).tolist() == [0, 1, 2, 0]


def test_planted_copies_are_found_and_nothing_else() -> None:
    originals = [picture(seed) for seed in range(8)]
    images = [*originals, *copies(originals[0]).values(), *copies(originals[5]).values()]
    truth = [*range(8), *[0] * 7, *[5] * 7]
    rng = np.random.default_rng(0)
    per_picture = rng.normal(size=(8, 32))
    features = (5 + per_picture[truth] + rng.normal(0, 0.2, (22, 32))).astype(np.float32)
    hashes = [perceptual_hash(image) for image in images]
    assert near_duplicates(names(22), hashes, features).tolist() == truth


def pair(distance: int, cosine: float) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """Two rows at a distance and a cosine after centring, and their opposites, which keep the mean at 0."""
    code = np.uint64(0x0123456789ABCDE0)
    other = code ^ np.uint64(((1 << (2 * distance)) - 1) & 0x5555555555555555)
    x, y = np.array([1, 0]), np.array([cosine, np.sqrt(1 - cosine**2)])
    far = [code ^ np.uint64(0x00FF00FF00FF00FF), code ^ np.uint64(0xFF00FF00FF00FF00)]
    return np.array([code, other, *far]), 7 + np.array([x, y, -x, -y], dtype=np.float32)


@pytest.mark.parametrize(
    ("distance", "cosine", "connected_groups"),
    [
        (0, 0.62, True),
        (0, 0.58, False),
        (8, 0.72, True),
        (8, 0.68, False),
        (16, 0.82, True),
        (16, 0.78, False),
        (17, 1, False),
    ],
)
def test_nearer_hashes_ask_less_of_the_features(distance: int, cosine: float, connected_groups: bool) -> None:
    hashes, features = pair(distance, cosine)
    assert bits(hashes[0], hashes[1]) == distance
    assert (near_duplicates(names(4), hashes, features).tolist() == [0, 0, 1, 2]) == connected_groups


@pytest.mark.parametrize(("distance", "connected_groups"), [(0, True), (4, True), (5, False)])
def test_hashes_alone_must_be_nearer(distance: int, connected_groups: bool) -> None:
    hashes, _ = pair(distance, 1)
    assert (near_duplicates(names(4), hashes, None).tolist() == [0, 0, 1, 2]) == connected_groups
    assert near_duplicates(names(4), hashes, None, max_bits=distance).tolist() == [0, 0, 1, 2]


def test_blank_pictures_are_not_chained() -> None:
    rng = np.random.default_rng(0)
    blanks = [np.clip(rng.normal(250, 3, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8) for _ in range(6)]
    hashes = [perceptual_hash(blank) for blank in blanks]
    assert near_duplicates(names(6), hashes, None, max_bits=64).tolist() == list(range(6))
    assert near_duplicates(names(6), hashes, np.ones((6, 3), dtype=np.float32), max_bits=64).max() == 5


def test_alike_in_light_and_shade_only_are_not_joined() -> None:
    """As aligned faces are: the features tell them apart."""
    hashes = np.full(50, perceptual_hash(picture(0)))
    features = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    assert near_duplicates(names(50), hashes, features).tolist() == list(range(50))


def test_tiles_do_not_show() -> None:
    """1,300 rows are three tiles; copies stand in any two of them, mirrored or not, and in chains."""
    rng = np.random.default_rng(1)
    n = 1300
    hashes = rng.integers(1, 2**64, n, dtype=np.uint64)
    features = rng.normal(size=(n, 16)).astype(np.float32)
    for one, two in [(0, 1299), (5, 6), (511, 512), (512, 1024), (40, 700)]:
        hashes[two] = hashes[one] ^ np.uint64(MIRROR if one == 40 else 6)
        features[two] = features[one]
    groups = near_duplicates(names(n), hashes, features)
    assert groups[0] == groups[1299]
    assert groups[511] == groups[512] == groups[1024]
    assert groups[40] == groups[700]
    assert groups.max() + 1 == n - 5
    first = np.unique(groups, return_index=True)[1]
    assert np.all(np.diff(first) > 0)


def test_no_photos_have_no_groups() -> None:
    assert len(near_duplicates([], [], None)) == 0
    assert len(near_duplicates([], [], np.zeros((0, 3), dtype=np.float32))) == 0


def test_columns_must_match() -> None:
    with pytest.raises(ValueError, match="2 digests, hashes of shape \\(3,\\)"):
        near_duplicates(names(2), [1, 2, 3], None)
    with pytest.raises(ValueError, match="3 rows of features"):
        near_duplicates(names(2), [1, 2], np.zeros((3, 4), dtype=np.float32))


# --- merging ---------------------------------------------------------------------------------


def test_merge_groups_by_hand() -> None:
    assert merge_groups([3, 3, 1, 2, 1]).tolist() == [0, 0, 1, 2, 1]
    assert merge_groups(["", "a", "", "a"]).tolist() == [0, 1, 2, 1]
    assert merge_groups([-1, -1, 5, 5]).tolist() == [0, 1, 2, 2]
    assert merge_groups([0, 1, 1, 2, 3], ["x", "x", "", "y", ""]).tolist() == [0, 0, 0, 1, 2]
    assert merge_groups(np.array(["", "b", "b"], dtype=object), [0, 0, 1]).tolist() == [0, 0, 0]
    assert merge_groups([]).tolist() == []


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda k: st.lists(st.lists(st.integers(-1, 9), min_size=k, max_size=k), min_size=1, max_size=25)
    )
)
def test_merge_groups_is_the_finest_partition(table: list[list[int]]) -> None:
    columns = list(zip(*table, strict=True))
    merged = merge_groups(*columns).tolist()
    n = len(table)
    together = [[a == b or any(c[a] == c[b] != -1 for c in columns) for b in range(n)] for a in range(n)]
    reach = np.array(together)
    for _ in range(n):
        reach = reach @ reach
    assert (np.equal.outer(merged, merged) == reach).all()
    assert list(dict.fromkeys(merged)) == list(range(max(merged) + 1))


def test_merge_groups_wants_rows_of_equal_number() -> None:
    with pytest.raises(ValueError, match=r"groups have shapes \[\(2,\), \(3,\)\]"):
        merge_groups([0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="expected"):
        merge_groups()
