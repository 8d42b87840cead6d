from __future__ import annotations

import csv
import io
import json
import multiprocessing
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline

from rehead import ImageClassifier, Prediction, load_model
from rehead.classification import training_data
from rehead.core.model_file import read_model_file
from rehead.data import cv_folds
from rehead.errors import DataError, DatasetError, ImageError, NotAModelFileError, UnknownNameError

PhotoFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("made") / "photos", {"blå fisk": 12, "red": 12, "x'y": 12})


@pytest.fixture(scope="module")
def paths(photos: Path) -> list[Path]:
    return sorted(photos.glob("*/*.jpg"))


@pytest.fixture(scope="module")
def labels(paths: list[Path]) -> list[str]:
    return [path.parent.name for path in paths]


@pytest.fixture(scope="module")
def fitted(tiny_onnx: Path, photos: Path) -> ImageClassifier:
    return ImageClassifier(tiny_onnx).fit(photos)


def manifest(model: ImageClassifier, path: Path) -> dict[str, Any]:
    model.save(path)
    return dict(read_model_file(path).manifest)


# scikit-learn's grammar


def test_options_are_stored_as_given_and_survive_a_clone(tiny_onnx: Path) -> None:
    model = ImageClassifier(tiny_onnx, cv=3, coverage=0.9, class_weight="balanced")
    assert is_classifier(model)
    assert model.get_params()["cv"] == 3
    copy = clone(model.set_params(cv=4))
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert copy.cv == 4
    with pytest.raises(ValueError, match="nonsense"):
        model.set_params(nonsense=1)


def test_a_clone_of_a_fitted_model_is_not_fitted(fitted: ImageClassifier, paths: list[Path]) -> None:
    with pytest.raises(NotFittedError):
        clone(fitted).predict(paths[:1])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score", "decision"])
def test_nothing_is_answered_before_fit(method: str, tiny_onnx: Path, paths: list[Path]) -> None:
    arguments = (paths[:1], ["a"]) if method == "score" else (paths[:1],)
    with pytest.raises(NotFittedError):
        getattr(ImageClassifier(tiny_onnx), method)(*arguments)
    with pytest.raises(NotFittedError):
        ImageClassifier(tiny_onnx).save("never.onnx")


def test_a_fit_that_fails_leaves_the_model_unfitted(
    tiny_onnx: Path, paths: list[Path], tmp_path: Path
) -> None:
    model = ImageClassifier(tiny_onnx)
    with pytest.raises(DatasetError):
        model.fit(paths[:12], ["one"] * 12)
    with pytest.raises(NotFittedError):
        model.predict(paths[:1])


def test_cross_validation_on_a_list_of_paths(tiny_onnx: Path, paths: list[Path], labels: list[str]) -> None:
    model = ImageClassifier(tiny_onnx, cv=2)
    scores = cross_val_score(model, paths, labels, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.8
    again = cross_val_score(model, [str(path) for path in paths], labels, cv=3, scoring="balanced_accuracy")
    assert again.mean() > 0.8


def test_cross_validation_of_probabilities_and_with_groups(
    tiny_onnx: Path, paths: list[Path], labels: list[str]
) -> None:
    groups = np.arange(len(paths)) % 4
    probabilities = cross_val_predict(
        ImageClassifier(tiny_onnx, cv=2),
        paths,
        labels,
        groups=groups,
        cv=GroupKFold(2),
        method="predict_proba",
    )
    assert probabilities.shape == (36, 3)
    best = np.unique(labels)[probabilities.argmax(axis=1)]
    assert accuracy_score(labels, best) > 0.8


def test_options_can_be_searched(tiny_onnx: Path, paths: list[Path], labels: list[str]) -> None:
    search = GridSearchCV(ImageClassifier(tiny_onnx, cv=2), {"n_levels": [1, 2]}, cv=2).fit(paths, labels)
    assert search.best_params_["n_levels"] in (1, 2)
    assert search.predict(paths[:2]).shape == (2,)


def test_a_refit_replaces_everything(
    tiny_onnx: Path, photos: Path, paths: list[Path], labels: list[str], tmp_path: Path
) -> None:
    model = ImageClassifier(tiny_onnx).fit(photos)
    half = paths[:24]
    model.fit(half, labels[:24])
    fresh = ImageClassifier(tiny_onnx).fit(half, labels[:24])
    assert model.classes_.tolist() == ["blå fisk", "red"]
    assert {k for k in vars(model) if k.endswith("_")} == {k for k in vars(fresh) if k.endswith("_")}
    for path, each in ((tmp_path / "a.onnx", model), (tmp_path / "b.onnx", fresh)):
        each.save(path)
    assert_same_but_for_the_time(tmp_path / "a.onnx", tmp_path / "b.onnx")


# what is answered


def test_answers_are_in_the_order_of_the_photos_and_of_the_classes(
    fitted: ImageClassifier, paths: list[Path], labels: list[str]
) -> None:
    assert fitted.classes_.tolist() == ["blå fisk", "red", "x'y"]
    order = np.random.default_rng(0).permutation(len(paths))
    shuffled = [paths[n] for n in order]
    probabilities = fitted.predict_proba(shuffled)
    assert probabilities.shape == (36, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, fitted.predict_proba(paths)[order], atol=1e-6)
    answers = fitted.predict(shuffled)
    assert answers.shape == (36,)
    assert (answers == fitted.classes_[probabilities.argmax(axis=1)]).all()
    assert (answers == np.array(labels)[order]).mean() > 0.9


def test_one_path_a_folder_and_no_photo_at_all(
    fitted: ImageClassifier, photos: Path, paths: list[Path]
) -> None:
    assert fitted.predict(paths[0]).shape == (1,)
    assert fitted.predict(str(paths[0])).shape == (1,)
    np.testing.assert_array_equal(fitted.predict(photos), fitted.predict(paths))
    assert fitted.predict([]).shape == (0,)
    assert fitted.predict_proba([]).shape == (0, 3)


def test_the_score_with_and_without_labels(
    fitted: ImageClassifier, photos: Path, paths: list[Path], labels: list[str]
) -> None:
    expected = float((fitted.predict(paths) == np.array(labels)).mean())
    assert fitted.score(photos) == fitted.score(paths, labels) == expected
    assert fitted.score(paths[:2], ["red", labels[1]], sample_weight=[0, 1]) == 1
    with pytest.raises(DatasetError, match="class of each"):
        fitted.score(paths)
    with pytest.raises(ValueError, match="inconsistent"):
        fitted.score(paths, labels[:1])


def test_an_unreadable_photo_is_an_error_when_predicting(fitted: ImageClassifier, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        fitted.predict([tmp_path / "broken.jpg"])


# what is fitted on


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([7, 100, 23], [7, 23, 100]),
        (np.array(["b", "c", "a"]), ["a", "b", "c"]),
        (np.array(["1", "10", "9"], dtype=object), ["1", "10", "9"]),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        (np.array([7, 100, 23], dtype=object), [7, 23, 100]),
    ],
)
def test_labels_of_any_type(
    given: Any, kept: list[Any], tiny_onnx: Path, paths: list[Path], labels: list[str], tmp_path: Path
) -> None:
    number = np.unique(labels, return_inverse=True)[1]
    y = np.asarray(given)[number]
    model = ImageClassifier(tiny_onnx, mirror=False).fit(paths, y)
    assert model.classes_.tolist() == kept
    assert model.score(paths, y) > 0.9
    if isinstance(kept[0], int | float):
        assert (model.predict(paths) == y).mean() > 0.9
    if y.dtype.kind in "if":  # scikit-learn does not score objects
        assert cross_val_score(model, paths, y, cv=2, scoring="accuracy").mean() > 0.8
    model.save(tmp_path / "model.onnx")
    loaded = load_model(tmp_path / "model.onnx")
    assert loaded.labels == tuple(str(name) for name in kept)
    np.testing.assert_allclose(loaded.predict_proba(paths[:3]), model.predict_proba(paths[:3]), atol=1e-4)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_a_missing_label_is_refused(
    missing: Any, tiny_onnx: Path, paths: list[Path], labels: list[str]
) -> None:
    y = np.array(labels, dtype=object)
    y[3] = missing
    with pytest.raises(DatasetError, match="photo 3 has no label"):
        ImageClassifier(tiny_onnx).fit(paths, y)


@pytest.mark.parametrize(
    ("label", "named"), [({"a"}, "a set"), (["a"], "a list"), (("a", "b"), "a tuple"), (b"a", "a bytes")]
)
def test_labels_that_hold_several_things_are_refused_by_name(
    label: Any, named: str, tiny_onnx: Path, paths: list[Path], labels: list[str]
) -> None:
    with pytest.raises(DatasetError, match=f"label of photo 0 is {named}.*one class"):
        ImageClassifier(tiny_onnx).fit(paths, [label, *labels[1:]])
    with pytest.raises(DatasetError, match="int and str; give all of one type"):
        ImageClassifier(tiny_onnx).fit(paths, [1, *labels[1:]])  # type: ignore[arg-type]


def test_columns_of_a_data_frame(tiny_onnx: Path, paths: list[Path], labels: list[str]) -> None:
    frame = pd.DataFrame({"photo": paths, "class": labels})
    plain = ImageClassifier(tiny_onnx, mirror=False).fit(paths, labels)
    for X, y in ((frame["photo"], frame["class"]), (frame[["photo"]], frame[["class"]])):
        fitted = ImageClassifier(tiny_onnx, mirror=False).fit(X, y)
        np.testing.assert_array_equal(fitted.predict_proba(X), plain.predict_proba(paths))
        assert fitted.score(X, y) == plain.score(paths, labels)


def test_bytes_files_pixels_and_pillow_images_are_fitted_and_predicted(
    tiny_onnx: Path, paths: list[Path], labels: list[str], tmp_path: Path
) -> None:
    plain = ImageClassifier(tiny_onnx, mirror=False).fit(paths, labels)
    from_bytes = ImageClassifier(tiny_onnx, mirror=False).fit([path.read_bytes() for path in paths], labels)
    expected = plain.predict_proba(paths)
    np.testing.assert_array_equal(from_bytes.predict_proba(paths), expected)
    from_bytes.save(tmp_path / "model.onnx")
    pixels = [np.asarray(Image.open(path)) for path in paths]
    ImageClassifier(tiny_onnx, mirror=False).fit(np.stack(pixels), labels)
    model = load_model(tmp_path / "model.onnx")
    for answers in (plain.predict_proba, model.predict_proba):
        data = paths[0].read_bytes()
        with paths[0].open("rb") as opened:
            holders: list[Any] = [data, bytearray(data), memoryview(data), io.BytesIO(data), opened]
            for holder in holders:
                np.testing.assert_allclose(answers(holder), expected[:1], atol=1e-4)
            opened.seek(0)
            np.testing.assert_allclose(answers([opened, io.BytesIO(data)]), expected[[0, 0]], atol=1e-4)
        # the reader takes a JPEG at a smaller scale where that is enough, pixels come whole
        for picture in (Image.open(paths[0]), pixels[0]):
            np.testing.assert_allclose(answers(picture), expected[:1], atol=0.1)
        np.testing.assert_allclose(answers(np.stack(pixels)), expected, atol=0.2)
        with pytest.raises(DataError, match=r"array of float32 and shape \(56, 72, 3\)"):
            answers(pixels[0].astype(np.float32))
        with pytest.raises(DataError, match=r"photo 1: .* NoneType"):
            answers([paths[0], None])  # type: ignore[list-item]
        assert answers([]).shape == (0, 3)


def test_an_answer_equals_itself_and_a_predictor_goes_to_other_processes(
    fitted: ImageClassifier, paths: list[Path], tmp_path: Path
) -> None:
    fitted.save(tmp_path / "model.onnx")
    model = load_model(tmp_path / "model.onnx", threads=1)
    first, second = model.predict(paths[:2])
    assert first == model.predict(paths[0])[0]
    assert first != second
    assert first != "red"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(model.predict, [paths[0]]) == [[first]]
    again: ImageClassifier = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.predict_proba(paths[:2]), fitted.predict_proba(paths[:2]))


def test_weights_of_photos(tiny_onnx: Path, paths: list[Path], labels: list[str]) -> None:
    model = ImageClassifier(tiny_onnx, mirror=False)
    plain = model.fit(paths, labels).predict_proba(paths)
    same = model.fit(paths, labels, sample_weight=np.full(36, 2.0)).predict_proba(paths)
    np.testing.assert_allclose(same, plain, atol=1e-3)
    weight = np.where(np.arange(36) % 12 < 3, 0.0, 1.0)  # three photos of each class left out
    without = model.fit(paths, labels, sample_weight=weight).predict_proba(paths)
    kept = np.flatnonzero(weight)
    fewer = model.fit([paths[n] for n in kept], [labels[n] for n in kept]).predict_proba(paths)
    np.testing.assert_array_equal(without, fewer)
    red = np.array(labels) == "red"
    heavy = model.fit(paths, labels, sample_weight=np.where(red, 50.0, 1.0))
    column = heavy.classes_.tolist().index("red")
    assert heavy.predict_proba(paths)[~red, column].mean() > plain[~red, column].mean()
    for bad in (np.zeros(36), np.full(36, -1.0), np.full(36, np.nan), np.ones(35)):
        with pytest.raises(DatasetError, match="sample_weight"):
            model.fit(paths, labels, sample_weight=bad)


def test_features_by_transform_and_in_a_pipeline(
    fitted: ImageClassifier, paths: list[Path], labels: list[str]
) -> None:
    features = fitted.transform(paths)
    assert features.shape == (36, 32)
    assert features.dtype == np.float32
    assert fitted.transform([]).shape == (0, 32)
    pipeline = make_pipeline(clone(fitted), NearestCentroid()).fit(paths, labels)
    assert pipeline.score(paths, labels) > 0.8


def test_bagging_takes_a_column_of_paths(tiny_onnx: Path, paths: list[Path], labels: list[str]) -> None:
    model = BaggingClassifier(ImageClassifier(tiny_onnx, mirror=False), n_estimators=3, random_state=0)
    column = np.array(paths, dtype=object).reshape(-1, 1)
    assert model.fit(column, labels).score(column, labels) > 0.8
    assert model.predict_proba(column).shape == (36, 3)


def test_a_class_called_unknown_is_refused(tiny_onnx: Path, paths: list[Path], labels: list[str]) -> None:
    y = np.where(np.array(labels) == "red", "unknown", labels)
    with pytest.raises(DatasetError, match=r"class is called 'unknown'.*another name"):
        ImageClassifier(tiny_onnx).fit(paths, y)


@pytest.mark.parametrize("which", ["y", "groups", "y in two columns", "groups of a folder", "no y"])
def test_columns_that_do_not_fit_are_refused(
    which: str, tiny_onnx: Path, photos: Path, paths: list[Path], labels: list[str]
) -> None:
    model = ImageClassifier(tiny_onnx)
    with pytest.raises(DatasetError, match=r"36 photos.*expected one for each|class of each"):
        match which:
            case "y":
                model.fit(paths, labels[1:])
            case "groups":
                model.fit(paths, labels, groups=[1, 2, 3])
            case "y in two columns":
                model.fit(paths, np.array([labels, labels]).T)
            case "groups of a folder":
                model.fit(photos, groups=[1, 2, 3])
            case "no y":
                model.fit(paths)


def test_a_folder_a_csv_and_lists_give_the_same_model(
    tiny_onnx: Path,
    fitted: ImageClassifier,
    photos: Path,
    paths: list[Path],
    labels: list[str],
    tmp_path: Path,
) -> None:
    table = tmp_path / "photos.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *zip(map(str, paths), labels, strict=True)])
    wanted = fitted.predict_proba(paths)
    for model in (
        ImageClassifier(tiny_onnx).fit(table),
        ImageClassifier(tiny_onnx).fit(paths, labels),
        ImageClassifier(tiny_onnx).fit(photos, groups=np.arange(36)),
    ):
        np.testing.assert_allclose(model.predict_proba(paths), wanted, atol=1e-6)


def test_rows_for_testing_are_left_alone_and_scored_on(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    photo_folder(tmp_path / "p" / "train", {"a": 6, "b": 6}, seed=1)
    photo_folder(tmp_path / "p" / "test", {"a": 3, "b": 3}, seed=2)
    model = ImageClassifier(tiny_onnx).fit(tmp_path / "p")
    assert len(model.fitted_.trained_on.paths) == 12
    tested = sorted((tmp_path / "p" / "test").glob("*/*.jpg"))
    truth = [path.parent.name for path in tested]
    assert model.score(tmp_path / "p") == model.score(tested, truth)


def test_photos_of_a_group_never_stand_on_both_sides_of_a_fold(
    tiny_onnx: Path, paths: list[Path], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[NDArray[Any]] = []

    def spy(*columns: Any, **options: Any) -> NDArray[np.intp]:
        seen.append(cv_folds(*columns, **options))
        return seen[0]

    monkeypatch.setattr("rehead.classification.training_data.cv_folds", spy)
    groups = np.arange(36) // 3
    ImageClassifier(tiny_onnx, mirror=False).fit(paths, labels, groups=groups)
    (fold,) = seen
    assert all(len(set(fold[groups == g])) == 1 for g in range(12))
    assert len(set(fold)) > 1


def test_unreadable_photos_are_left_out_and_listed_or_refused(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "p", {"a": 6, "b": 6})
    whole = (folder / "a" / "0000.jpg").read_bytes()
    (folder / "a" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "empty.png").write_bytes(b"")
    model = ImageClassifier(tiny_onnx).fit(folder)
    assert [name for name, _ in model.unreadable_] == ["a/cut.jpg", "b/empty.png"]
    assert all(reason for _, reason in model.unreadable_)
    assert model.fitted_.trained_on.class_counts == {"a": 6, "b": 6}
    assert manifest(model, tmp_path / "m.onnx")["unreadable"] == ["a/cut.jpg", "b/empty.png"]
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        ImageClassifier(tiny_onnx, strict=True).fit(folder)


@pytest.mark.parametrize(
    "options",
    [
        {"cv": 1},
        {"coverage": 0},
        {"coverage": 1.5},
        {"coverage": float("nan")},
        {"n_levels": 0},
        {"n_levels": "all"},
        {"mirror": "yes"},
        {"class_weight": "even"},
        {"threads": -1},
    ],
)
def test_bad_options_are_refused_by_fit_and_not_by_the_constructor(
    options: dict[str, Any], tiny_onnx: Path, photos: Path
) -> None:
    model = ImageClassifier(tiny_onnx, **options)
    name = next(iter(options))
    with pytest.raises(DataError, match=rf"{name} is .*expected"):
        model.fit(photos)


def test_an_unknown_backbone_is_named_and_the_nearest_suggested(photos: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"efficientnet_lite9.*did you mean 'efficientnet_lite"):
        ImageClassifier("efficientnet_lite9").fit(photos)


# very little, and very odd


def test_two_photos_a_class_say_that_they_are_few(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "p", {"a": 2, "b": 2})
    model = ImageClassifier(tiny_onnx).fit(folder)
    assert any("Fewer than 10 photos" in warning for warning in model.warnings_)
    # four photos, all right or not, promise no certainty
    assert model.predict_proba(folder).max() < 0.95
    model.save(tmp_path / "m.onnx")


def test_one_photo_a_class_is_refused(tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'a', 'b' have 1 photo"):
        ImageClassifier(tiny_onnx).fit(photo_folder(tmp_path / "p", {"a": 1, "b": 1}))


def test_photos_that_are_all_the_same_are_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.save(tmp_path / name)
    with pytest.raises(DatasetError, match="near-duplicates"):
        ImageClassifier(tiny_onnx).fit(tmp_path)


def test_a_class_of_one_blank_picture_is_trained_on_and_said(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "p", {"a": 8, "b": 8})
    (folder / "blank").mkdir()
    for n in range(5):
        Image.new("RGB", (30, 30), (255, 255, 255)).save(folder / "blank" / f"{n}.png")
    model = ImageClassifier(tiny_onnx).fit(folder)
    assert model.predict(folder / "blank").tolist() == ["blank"] * 5
    assert any("5 photos" in warning and "near-duplicates" in warning for warning in model.warnings_)
    model.save(tmp_path / "m.onnx")


def test_a_photo_of_one_pixel_is_a_photo(tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "p", {"a": 4, "b": 4})
    Image.new("RGB", (1, 1), (9, 200, 30)).save(folder / "a" / "pixel.png")
    model = ImageClassifier(tiny_onnx).fit(folder)
    assert model.unreadable_ == []
    assert np.isfinite(model.predict_proba(folder / "a" / "pixel.png")).all()


def test_balanced_is_written_down(tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "p", {"a": 12, "b": 3})
    model = ImageClassifier(tiny_onnx, class_weight="balanced").fit(folder)
    assert manifest(model, tmp_path / "m.onnx")["head"]["class_weight"] == "balanced"


# determinism


def assert_same_but_for_the_time(one: Path, two: Path) -> None:
    created = rb'"created":"[^"]*"'
    digest = rb"[0-9a-f]{64}$"  # of all that stands before it
    first, second = (re.sub(digest, b"", re.sub(created, b"", p.read_bytes())) for p in (one, two))
    assert first == second


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_photos_give_the_same_file(
    threads: int, tiny_onnx: Path, fitted: ImageClassifier, photos: Path, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "a.onnx")
    ImageClassifier(tiny_onnx, cache=False, threads=threads).fit(photos).save(tmp_path / "b.onnx")
    assert_same_but_for_the_time(tmp_path / "a.onnx", tmp_path / "b.onnx")


# the real network


def test_the_default_backbone_tells_textures_apart(tmp_path: Path) -> None:
    from sklearn.datasets import load_sample_images

    for name, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        (tmp_path / "p" / name).mkdir(parents=True)
        for n in range(12):  # windows that do not overlap
            row, column = divmod(n, 4)
            window = image[row * 140 : row * 140 + 130, column * 160 : column * 160 + 150]
            Image.fromarray(window).save(tmp_path / "p" / name / f"{n}.png")
    model = ImageClassifier(mirror=False).fit(tmp_path / "p")
    assert model.fitted_.weights_record["name"] == "efficientnet_lite0"
    assert model.score(tmp_path / "p") > 0.9
    model.save(tmp_path / "m.onnx")
    photos = sorted((tmp_path / "p").glob("*/*.png"))[::6]
    loaded = load_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(loaded.predict_proba(photos), model.predict_proba(photos), atol=1e-4)
    assert json.dumps(dict(loaded.manifest))


# photos of another camera


def striped(folder: Path, count: int, seed: int, mode: str = "RGB") -> Path:
    """Photos of two classes, all of nearly one colour, as a camera at one place takes them."""
    for across, name in ((True, "across"), (False, "upright")):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng([seed, across, index])
            wave = np.sin(np.arange(64) * np.pi / 4 + rng.uniform(0, 2 * np.pi))
            light = 120 + 60 * (wave[:, None] if across else wave[None, :]) + rng.normal(0, 12, (64, 64))
            colour = np.array([1.15, 0.8, 0.35]) * rng.uniform(0.95, 1.05, 3)
            pixels = (light[:, :, None] * colour + rng.uniform(-15, 15)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{index:03d}.png")
    return folder


def odd_share(answers: list[Prediction]) -> float:
    return float(np.mean([answer.reason.startswith("unlike") for answer in answers]))


def test_grey_photos_of_known_classes_are_answered_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = striped(tmp_path / "train", 30, 0)
    grey = sorted(striped(tmp_path / "grey", 20, 1, "L").rglob("*.png"))
    new = sorted(striped(tmp_path / "new", 20, 1).rglob("*.png"))
    rng = np.random.default_rng(2)
    for n in range(10):
        noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64))
        noise.save(tmp_path / f"{n}.png")
    classifier = ImageClassifier("efficientnet_lite0", size=64, cache=False)
    classifier.fit(photos).save(tmp_path / "model.onnx")
    monkeypatch.setattr(training_data, "CAMERA_VIEWS", {})
    clone(classifier).fit(photos).save(tmp_path / "without.onnx")
    model, without = load_model(tmp_path / "model.onnx"), load_model(tmp_path / "without.onnx")
    assert "styles" not in without.manifest

    before, after = without.predict(grey), model.predict(grey)
    assert odd_share(before) > 0.9, "or there is nothing to mend"
    assert odd_share(after) <= 0.15
    answered = [answer for answer in after if answer.label == answer.nearest]
    assert {answer.note for answer in answered} == {"another kind of photo: grey"}
    assert {answer.note for answer in after if answer not in answered} == {""}
    assert answered[0].to_dict()["note"] == answered[0].note

    assert odd_share(model.predict(new)) <= 0.15
    assert odd_share(model.predict(sorted(tmp_path.glob("*.png")))) == 1.0
    for ours, theirs in zip((*after, *model.predict(new)), (*before, *without.predict(new)), strict=True):
        assert ours.nearest == theirs.nearest
        assert ours.probability == theirs.probability
    scores = classifier.decision(grey)[1]
    np.testing.assert_allclose([answer.outlier_score for answer in after], scores, atol=1e-3)


def test_a_model_whose_record_of_styles_is_nonsense_is_refused(
    fitted: ImageClassifier, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "model.onnx", extra={"styles": {"names": ["grey"], "limit": 0}})
    with pytest.raises(NotAModelFileError, match="other kinds of photos"):
        load_model(tmp_path / "model.onnx")
