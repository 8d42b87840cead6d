"""Folders that are rather not the classes are refused, with the path that was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_files import lay, refusal
from rehead.data import read_dataset
from rehead.errors import DatasetError

INTEL = [
    *(f"seg_train/seg_train/{name}/{n}.jpg" for name in ("forest", "sea") for n in range(3)),
    *(f"seg_test/seg_test/{name}/{n}.jpg" for name in ("forest", "sea") for n in range(2)),
    *(f"seg_pred/seg_pred/{n}.jpg" for n in range(9)),
]
DAYS = [f"{day}/{name}/1.jpg" for day in ("monday", "tuesday") for name in ("cat", "dog")]


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (INTEL, "seg_train/seg_train"),
        ([f"seg_{part}/{name}/1.jpg" for part in ("train", "test") for name in "ab"], "seg_train"),
        (["train/cat/1.jpg", "train/dog/1.jpg", "test1/1.jpg"], "train"),
        (["Val2017/cat/1.jpg", "Val2017/dog/1.jpg", "more/cat/1.jpg"], "Val2017"),
        (["training_set/training_set/cat/1.jpg", "training_set/training_set/dog/1.jpg"], "training_set/" * 2),
        (["train/train/cat/1.jpg", "train/train/dog/1.jpg", "test/test/cat/1.jpg"], "train/train"),
        (DAYS, "monday"),
        ([*DAYS, "tuesday/bird/1.jpg", "wednesday/cat/1.jpg"], "tuesday"),
        ([f"train/{name}" for name in DAYS], "train/monday"),
        (["cat/1.jpg", "dog/1.jpg", "birds/birds/owl/1.jpg", "birds/birds/emu/1.jpg"], "birds/birds"),
    ],
)
def test_the_wrong_level_is_refused_with_the_path_meant(tmp_path: Path, names: list[str], meant: str) -> None:
    root = lay(tmp_path / "photos", *names)
    with pytest.raises(DatasetError) as caught:
        read_dataset(root)
    assert f"did you mean {root / meant}?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_copy_of_the_folder_in_itself_is_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "plants", "rose/1.jpg", "fern/1.jpg", "plants/rose/1.jpg", "plants/fern/1.jpg")
    assert f"did you mean {root / 'plants'}?" in refusal(root)


@pytest.mark.parametrize("name", ["train", "test1", "Val", "validation", "test_images", "val-2017"])
def test_a_class_named_like_a_split_is_refused_and_renaming_it_proposed(tmp_path: Path, name: str) -> None:
    message = refusal(lay(tmp_path, f"{name}/1.jpg", "bus/1.jpg", "car/1.jpg"))
    assert f"{name!r} is named like a split and not like a class, beside 'bus', 'car'" in message
    assert f"if {name!r} is a class, rename its folder, for example to '{name} class'" in message
    (tmp_path / name).rename(tmp_path / f"{name} class")
    assert read_dataset(tmp_path).classes == tuple(sorted(("bus", "car", f"{name} class")))


def test_flat_splits_are_refused_without_a_path(tmp_path: Path) -> None:
    message = refusal(lay(tmp_path, "train/cat.1.jpg", "train/dog.1.jpg", "test1/1.jpg"))
    assert "'test1', 'train' are named like splits" in message
    assert f"expected {tmp_path.name}/CLASS/*.jpg" in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    "names",
    [
        ("cats_train/1.jpg", "dogs_train/1.jpg"),
        ("cats_train/1.jpg", "cats_test/1.jpg", "other/1.jpg"),
        ("train/cat/1.jpg", "val/cat/1.jpg", "cats/1.jpg"),
        ("train/1.jpg", "val/1.jpg", "cats/1.jpg"),
    ],
)
def test_folders_that_end_like_splits_are_refused_together(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert "are named like splits" in refusal(lay(tmp_path, *names))


def test_splits_below_the_classes_are_refused(tmp_path: Path) -> None:
    names = [f"{name}/{part}/1.jpg" for name in ("bottle", "cable") for part in ("train", "test")]
    message = refusal(lay(tmp_path, *names))
    assert f"put the split above the class, {tmp_path.name}/test/bottle/*.jpg" in message


@pytest.mark.parametrize(
    "names",
    [
        ("cat/tabby/1.jpg", "cat/persian/1.jpg", "dog/terrier/1.jpg", "dog/poodle/1.jpg"),
        ("cat/images/1.jpg", "dog/images/1.jpg"),  # one name is no choice of classes
        ("cat/cat/1.jpg", "dog/dog/1.jpg"),  # unpacked one by one: the class is the same at either level
        ("cat/1.jpg", "cat/2.jpg", "cat/old/3.jpg", "dog/1.jpg", "dog/2.jpg", "dog/old/3.jpg"),
        ("cat/2019/1.jpg", "cat/2020/1.jpg", "dog/2020/1.jpg", "dog/2021/1.jpg"),
        ("bullet_train/1.jpg", "goldfish/1.jpg"),  # a class of ImageNet
        ("test tube/1.jpg", "trainer/1.jpg", "val d'or/1.jpg", "training shoe/1.jpg", "protest/1.jpg"),
        ("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg"),
    ],
)
def test_classes_are_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert len(read_dataset(lay(tmp_path, *names))) == len(names)
