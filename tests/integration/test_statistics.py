"""Learning more photos, forgetting and merging, through the estimator: as if trained on what is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead import ImageClassifier, load_model
from rehead.classification.fitted import FittedClassifier
from rehead.classification.statistics import PhotoStatistics
from rehead.classification.statistics_file import read_statistics, statistics_beside
from rehead.errors import DataError, ModelFileError, UnknownNameError

PhotoFolder = Callable[..., Path]
CLASSES = {"ant": 12, "bee": 10, "cat": 9, "dog": 8}


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("learnt"), CLASSES)


@pytest.fixture(scope="module")
def files(photos: Path) -> list[tuple[Path, str]]:
    return [(path, path.parent.name) for path in sorted(photos.glob("*/*.jpg"))]


Classify = Callable[..., ImageClassifier]


@pytest.fixture(scope="module", params=["plain", "balanced", "mirrored", "by class"])
def classify(request: pytest.FixtureRequest, tiny_onnx: Path) -> Classify:
    """A classifier of two levels that keeps statistics."""
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "balanced": {"class_weight": "balanced"},
        "mirrored": {"mirror": True},
        "by class": {"statistics_by_class": True},
    }
    options = {"n_levels": 2, "mirror": False, "keep_statistics": True, **kinds[request.param]}
    return lambda **more: ImageClassifier(backbone=tiny_onnx, **{**options, **more})


def fit(classify: Classify, some: list[tuple[Path, str]], **more: Any) -> ImageClassifier:
    return classify(**more).fit([path for path, _ in some], [name for _, name in some])


def same_head(one: FittedClassifier, other: FittedClassifier) -> bool:
    """Whether all that is fitted is the same to the bit, where levels and strength are."""
    assert one.statistics is not None
    assert other.statistics is not None
    pairs = [
        (one.head.weight, other.head.weight),
        (one.head.bias, other.head.bias),
        (one.outlier_model.centres, other.outlier_model.centres),
        (one.outlier_model.within, other.outlier_model.within),
        (one.outlier_model.basis, other.outlier_model.basis),
        (one.classes, other.classes),
    ]
    return one.statistics.learnt.digests == other.statistics.learnt.digests and all(
        np.array_equal(a, b) for a, b in pairs
    )


def as_if(model: ImageClassifier, there: ImageClassifier) -> FittedClassifier:
    """What the photos of one give with levels, strength and styles of the other."""
    mine, theirs = model.fitted_.statistics, there.fitted_.statistics
    assert mine is not None
    assert theirs is not None
    return solved(theirs, mine)


def solved(sums: PhotoStatistics, chosen: PhotoStatistics) -> FittedClassifier:
    from dataclasses import replace

    both = replace(sums, point=chosen.point, shifts=chosen.shifts, styles=chosen.styles)
    found = object.__new__(FittedClassifier)
    head, model = both.head(), both.plain.distance(both.blocks)
    for name, value in {
        "head": head,
        "outlier_model": model,
        "classes": both.classes,
        "statistics": both,
    }.items():
        object.__setattr__(found, name, value)
    return found


def test_add_forget_and_merge_are_training_on_what_is_left(
    classify: Classify, files: list[tuple[Path, str]]
) -> None:
    first = [each for n, each in enumerate(files) if n % 2 and each[1] != "dog"]
    rest = [each for each in files if each not in first]
    whole = fit(classify, files)
    if whole.head_.chosen.mirrored:
        assert whole.fitted_.statistics is not None
        assert whole.fitted_.statistics.own is not None
    model = fit(classify, first)
    before = model.fitted_
    model.partial_fit([path for path, _ in rest], [name for _, name in rest])
    if model.head_.chosen.mirrored == whole.head_.chosen.mirrored:
        assert same_head(model.fitted_, as_if(model, whole))
    assert model.change_.classes == ("dog",)
    assert model.change_.photos == len(rest)
    model.partial_fit([path for path, _ in files], [name for _, name in files])  # all of them are known
    assert (model.change_.photos, model.change_.known) == (0, len(files))
    model.forget([path for path, name in rest if name != "dog"])
    model.forget([path for path, name in rest if name == "dog"], class_name="dog")
    assert same_head(model.fitted_, before)
    assert model.temperature_ == before.temperature


@settings(max_examples=5, deadline=None, phases=[Phase.generate])  # an example takes half a second
@given(data=st.data())
def test_any_order_of_changes_gives_the_same_logits(
    data: st.DataObject, tiny_onnx: Path, files: list[tuple[Path, str]]
) -> None:
    model = ImageClassifier(backbone=tiny_onnx, mirror=False, keep_statistics=True)
    start = files[::2]
    fit(lambda: model, start)
    there = {path for path, _ in start}
    for _ in range(data.draw(st.integers(1, 6))):
        move = data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=6, unique=True))
        come = [each for each in move if each[0] not in there]
        go = [path for path, _ in move if path in there]
        left = [name for path, name in files if path in there - set(go)]
        if come:
            model.partial_fit([path for path, _ in come], [name for _, name in come])
            there |= {path for path, _ in come}
        if go and min(map(left.count, CLASSES)) > 2:
            model.forget(go)
            there -= set(go)
    now = [each for each in files if each[0] in there]
    expected = as_if(model, fit(lambda: ImageClassifier(**model.get_params()), now))
    rows = model.transform([path for path, _ in files])
    logits = [f.head for f in (model.fitted_, expected)]
    used = [rows[:, rows.shape[1] - len(head.weight) :] @ head.weight + head.bias for head in logits]
    np.testing.assert_allclose(used[0], used[1], rtol=0, atol=1e-9)
    assert same_head(model.fitted_, expected)


def test_merge_is_the_union_in_either_order(classify: Classify, files: list[tuple[Path, str]]) -> None:
    one, two = files[::2], [each for each in files[1::2] if each[1] != "ant"]
    merged = [fit(classify, a).merge(fit(classify, b)) for a, b in ((one, two), (two, one))]
    assert same_head(merged[0].fitted_, merged[1].fitted_)
    whole = fit(classify, [*one, *two])
    if whole.head_.chosen.mirrored == merged[0].head_.chosen.mirrored:
        assert same_head(merged[0].fitted_, as_if(merged[0], whole))
    with pytest.raises(DataError, match="both learnt"):
        merged[0].merge(fit(classify, one))


@pytest.fixture(scope="module")
def saved(tiny_onnx: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with its statistics."""
    path = tmp_path_factory.mktemp("saved") / "model.onnx"
    ImageClassifier(backbone=tiny_onnx, keep_statistics=True, golden=True).fit(photos).save(path)
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved.parent, tmp_path / "copy")
    return tmp_path / "copy" / saved.name


def test_a_classifier_is_there_again_from_its_files(saved: Path, photos: Path, tmp_path: Path) -> None:
    some = sorted(photos.glob("*/0000.jpg"))
    model = ImageClassifier.load(saved)
    np.testing.assert_allclose(model.predict_proba(some), load_model(saved).predict_proba(some), atol=1e-5)
    model.save(tmp_path / "model.onnx")
    assert statistics_beside(saved).read_bytes() == statistics_beside(tmp_path / "model.onnx").read_bytes()
    assert load_model(saved).manifest.get("unmeasured") is None


def test_what_was_not_measured_is_said_and_measuring_ends_it(
    saved: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", dict.fromkeys(CLASSES, 6), seed=5)
    model = ImageClassifier.load(saved)
    assert len(load_model(saved).manifest["golden"]) == 10
    gone = sorted((more / "ant").iterdir())
    model.partial_fit(more)
    model.save(tmp_path / "model.onnx")
    said = load_model(tmp_path / "model.onnx").manifest
    assert "not measured since the last change (24 photos added)" in said["unmeasured"]
    assert len(said["golden"]) == 5  # drawn pictures: no copies of photos that may be forgotten
    again = ImageClassifier.load(tmp_path / "model.onnx").forget(gone)
    assert "24 photos added, 6 photos forgotten" in again.fitted_.unmeasured
    with pytest.raises(DataError, match="were not learnt"):
        again.measure(more / "bee", ["bee"] * 6)
    check = photo_folder(tmp_path / "check", dict.fromkeys(CLASSES, 8), seed=9)
    evaluation = again.measure(check)
    assert evaluation.photos == 32
    again.save(tmp_path / "model.onnx")
    said = load_model(tmp_path / "model.onnx").manifest
    assert "unmeasured" not in said
    assert said["operating_point"]["photos"] == 32
    assert len(said["seen"].split()) == sum(CLASSES.values()) + 18


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, p: m.forget([p / "extra.jpg"]), "never learnt"),
        (lambda m, p: m.forget(sorted((p / "ant").iterdir())), "last photos of 'ant'"),
        (lambda m, p: m.forget(class_name="ent"), "did you mean 'ant'"),
        (
            lambda m, p: m.forget(sorted((p / "ant").iterdir())[1:], class_name="ant"),
            "of which 11 were given",
        ),
        (lambda m, p: m.forget(), "nothing to forget"),
        (lambda m, p: m.partial_fit([p / "ant" / "0000.jpg"], ["bee"]), "was learnt as 'ant'"),
        (lambda m, p: m.partial_fit([p / "extra.jpg"], ["ANT "]), "differs from 'ant' in case"),
        (lambda m, p: m.partial_fit([p / "extra.jpg"], ["unknown"]), "unknown"),
        (lambda m, p: m.partial_fit([p / "extra.jpg"] * 2, ["ant", "bee"]), "in two classes"),
        (lambda m, p: m.partial_fit([p / "broken.jpg"], ["bee"]), "nothing was learnt"),
        (lambda m, p: m.measure([p / "extra.jpg"], ["owl"]), "not learnt: 'owl'"),
    ],
)
def test_a_change_that_cannot_be_leaves_all_as_it_was(
    saved: Path,
    photos: Path,
    photo_folder: PhotoFolder,
    tmp_path: Path,
    change: Callable[[ImageClassifier, Path], Any],
    message: str,
) -> None:
    shutil.copytree(photos, tmp_path / "p")
    extra = photo_folder(tmp_path / "x", {"a": 1}, seed=77) / "a" / "0000.jpg"
    extra.rename(tmp_path / "p" / "extra.jpg")
    (tmp_path / "p" / "broken.jpg").write_bytes(b"nothing")
    model = ImageClassifier.load(saved)
    before = model.fitted_
    with pytest.raises((DataError, UnknownNameError), match=message) as error:
        change(model, tmp_path / "p")
    assert "\n" not in str(error.value)
    assert model.fitted_ is before


def test_class_names_of_other_unicode_forms_clash(
    saved: Path, photos: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    new = sorted(photo_folder(tmp_path, {"a": 2}, seed=70).glob("a/*"))
    model = ImageClassifier.load(saved).partial_fit(new[:1], ["kéa"])
    with pytest.raises(DataError, match="Unicode form"):
        model.partial_fit(new[1:], ["ke\u0301a"])


def test_a_class_is_forgotten_without_its_photos(
    tiny_onnx: Path, photos: Path, files: list[tuple[Path, str]], tmp_path: Path
) -> None:
    rest = [each for each in files if each[1] != "bee"]
    for options in (
        {"statistics_by_class": True, "cache": False},
        {"keep_statistics": True, "cache": tmp_path},
    ):
        given: dict[str, Any] = {"backbone": tiny_onnx, "mirror": False, **options}
        model = ImageClassifier(**given).fit(photos)
        model.forget(class_name="bee")
        whole = ImageClassifier(**given).fit([path for path, _ in rest], [name for _, name in rest])
        assert same_head(model.fitted_, as_if(model, whole))
    model = ImageClassifier(backbone=tiny_onnx, keep_statistics=True, cache=False).fit(photos)
    with pytest.raises(DataError, match="--statistics-by-class"):
        model.forget(class_name="bee")
    two = ImageClassifier(backbone=tiny_onnx, statistics_by_class=True).fit(
        *zip(*[each for each in files if each[1] in ("ant", "bee")], strict=True)
    )
    with pytest.raises(DataError, match="only one class"):
        two.forget(class_name="bee")


def test_copies_count_once_and_contradictions_are_refused(
    tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    shutil.copy(folder / "ant" / "0000.jpg", folder / "ant" / "copy.jpg")
    once, twice = (
        ImageClassifier(backbone=tiny_onnx, mirror=False, keep_statistics=True).fit(f)
        for f in (photos, folder)
    )
    assert same_head(as_if(once, once), as_if(once, twice))
    assert any("1 copy" in sentence for sentence in twice.warnings_)
    shutil.copy(folder / "ant" / "0000.jpg", folder / "bee" / "copy.jpg")
    with pytest.raises(DataError, match="two classes, ant and bee"):
        ImageClassifier(backbone=tiny_onnx, keep_statistics=True).fit(folder)


def test_what_sums_cannot_keep_is_refused(tiny_onnx: Path, files: list[tuple[Path, str]]) -> None:
    model = ImageClassifier(backbone=tiny_onnx, keep_statistics=True)
    paths, labels = [path for path, _ in files], [name for _, name in files]
    with pytest.raises(DataError, match="sample_weight"):
        model.fit(paths, labels, sample_weight=np.ones(len(files)))
    with pytest.raises(DataError, match="keep_statistics"):
        ImageClassifier(backbone=tiny_onnx).partial_fit(paths, labels)
    with pytest.raises(DataError, match="keep_statistics"):
        ImageClassifier(backbone=tiny_onnx).fit(paths, labels).forget(paths[:1])


def damaged(path: Path) -> Iterator[tuple[bytes, str]]:
    data = path.read_bytes()
    yield data[: len(data) // 2], "cut short"
    yield b"", "not an .npz"
    at = data.index(b"plain.gram") + 4000
    yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], "no statistics that can be used"


def test_damaged_and_foreign_statistics_are_refused(
    copy: Path, tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    beside = statistics_beside(copy)
    whole = beside.read_bytes()
    for data, message in damaged(beside):
        beside.write_bytes(data)
        with pytest.raises(DataError, match=message) as error:
            ImageClassifier.load(copy)
        assert "\n" not in str(error.value)
    other = ImageClassifier(backbone=tiny_onnx, keep_statistics=True).fit(photos)
    other.forget([photos / "ant" / "0000.jpg"]).save(tmp_path / "o.onnx")
    shutil.copy(tmp_path / "o.statistics.npz", beside)
    with pytest.raises(DataError, match="of another model"):
        ImageClassifier.load(copy)
    beside.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        ImageClassifier.load(copy)
    beside.write_bytes(whole)
    ImageClassifier(backbone=tiny_onnx).fit(photos).save(tmp_path / "without.onnx")
    with pytest.raises(ModelFileError, match="--keep-statistics"):
        ImageClassifier.load(tmp_path / "without.onnx")
    other = ImageClassifier(backbone=copy, keep_statistics=True, grey_range=(0, 4095)).fit(photos)
    with pytest.raises(DataError, match="other network, preprocess"):
        ImageClassifier.load(copy).merge(other)


def rewritten(path: Path, **changed: NDArray[Any] | None) -> None:
    """The file with other arrays, and a digest that fits."""
    from rehead.classification import statistics_file

    both = {**statistics_file._arrays(path), **changed}
    arrays: dict[str, Any] = {name: array for name, array in both.items() if array is not None}
    digest = statistics_file._digest(arrays)
    np.savez(path, **{**arrays, "sha256": np.frombuffer(bytes.fromhex(digest), np.uint8)})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"squares": np.zeros(3)}, "squares is float64"),
        ({"squares": None}, "has no 'squares'"),
        ({"target": np.zeros(39, np.int32)}, "not those of its sums"),
        ({"target": np.full(39, -1, np.int32)}, "not those of its sums"),
        ({"photos": np.zeros((39, 32), np.uint8)}, "in it twice"),
        ({"plain.gram": np.full((1, 528), np.nan)}, "not finite"),
        ({"plain.gram": np.zeros((1, 5))}, "do not fit"),
        ({"shifts": np.zeros((2, 32), np.float32)}, "shifts is"),
        ({"about": np.frombuffer(b"[]", np.uint8)}, "its record is none"),
        ({"about": np.frombuffer(b'{"format": 9}', np.uint8)}, "pip install --upgrade"),
        ({"about": np.frombuffer(b"{", np.uint8)}, "no statistics"),
        ({"about": np.frombuffer(b"{}", np.uint8)}, "format is None"),
        ({"own.counts": np.zeros(4, np.int64)}, "no 'own.sums'"),
    ],
)
def test_a_file_that_somebody_made_is_refused(copy: Path, changed: dict[str, Any], message: str) -> None:
    beside = statistics_beside(copy)
    assert read_statistics(beside)
    rewritten(beside, **changed)
    with pytest.raises(DataError, match=message):
        read_statistics(beside)


def test_objects_are_not_read(copy: Path) -> None:
    beside = statistics_beside(copy)
    np.savez(beside, about=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="no statistics that can be used"):
        read_statistics(beside)
    np.savez_compressed(beside, about=np.zeros(9))
    with pytest.raises(DataError, match="compressed"):
        read_statistics(beside)
