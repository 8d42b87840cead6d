from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rehead import ImageClassifier
from rehead.images import image_size

PhotoFolder = Callable[..., Path]
Result = tuple[int, str, str]
Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("made") / "my photos", {"blå": 8, "red fish": 8})


@pytest.fixture(scope="module")
def model(photos: Path, tiny_onnx: Path) -> Path:
    ImageClassifier(tiny_onnx, mirror=False).fit(photos).save(photos.parent / "model.onnx")
    return photos.parent / "model.onnx"


def refused(result: Result, *named: object) -> None:
    code, out, err = result
    assert code == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("rehead: ")
    for thing in named:
        assert str(thing) in err


def test_explain_writes_a_picture_and_says_what_is_in_it(
    cli: Cli, model: Path, photos: Path, tmp_path: Path
) -> None:
    photo = photos / "blå" / "0000.jpg"
    for method in ("cam", "occlusion", "auto"):
        code, out, err = cli("explain", model, photo, "--out", tmp_path / f"{method}.png", "--method", method)
        assert (code, err) == (0, "")
        assert "blå" in out
        assert str(tmp_path / f"{method}.png") in out.replace("\n", "")
        assert image_size(tmp_path / f"{method}.png")[0] > 800
    assert (tmp_path / "auto.png").read_bytes() == (tmp_path / "cam.png").read_bytes()


def test_layers_of_a_photo_and_of_a_folder(cli: Cli, tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    code, out, err = cli("layers", "--list", "--backbone", tiny_onnx)
    assert (code, err) == (0, "")
    assert "middle" in out
    photo = photos / "blå" / "0000.jpg"
    code, out, err = cli(
        "layers",
        photo,
        "--backbone",
        tiny_onnx,
        "--layer",
        "first",
        "--channels",
        5,
        "-o",
        tmp_path / "a.png",
    )
    assert (code, err) == (0, "")
    assert "1 photo, 5 channels, 8 x 8 pixels" in out
    code, out, err = cli(
        "layers", photos, "--backbone", tiny_onnx, "--channel", 7, "--images", 9, "-o", tmp_path / "b.npz"
    )
    assert (code, err) == (0, "")
    with np.load(tmp_path / "b.npz") as written:
        assert written["maps"].shape == (9, 1, 4, 4)


def test_similar_prints_distances(cli: Cli, tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    photo = photos / "blå" / "0000.jpg"
    code, out, err = cli(
        "similar", photos, "--to", photo, "--backbone", tiny_onnx, "--count", 3, "-o", tmp_path / "s.png"
    )
    assert (code, err) == (0, "")
    assert "nearest of 15 photos" in out
    assert "middle and last" in out
    assert image_size(tmp_path / "s.png")[0] > 700


def test_bad_input_is_one_line_and_writes_nothing(
    cli: Cli, model: Path, tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    photo, out = photos / "blå" / "0000.jpg", tmp_path / "out.png"
    own = tmp_path / "net.onnx"
    shutil.copy(tiny_onnx, own)
    refused(cli("explain", own, photo, "-o", out), "net.onnx", "--preprocess", "net.json")
    (tmp_path / "broken.jpg").write_bytes(photo.read_bytes()[:300])
    refused(cli("explain", model, tmp_path / "broken.jpg", "-o", out), "broken.jpg", "truncated")
    refused(cli("explain", model, photo, "-o", tmp_path / "out.jpeg"), "out.jpeg", ".png")
    refused(cli("explain", tmp_path / "none.onnx", photo, "-o", out), "none.onnx")
    refused(cli("explain", model, photo, "-o", out, "--labels", tmp_path / "none.txt"), "none.txt")
    refused(
        cli("layers", photo, "--backbone", tiny_onnx, "--layer", "midle", "-o", out), "did you mean 'middle'"
    )
    refused(cli("layers", photo, "--backbone", tiny_onnx, "--channel", 99, "-o", out), "no channel 99")
    refused(cli("layers", photos, "--backbone", tiny_onnx, "-o", out), "--channel 7")
    refused(cli("layers", photo, "--backbone", tiny_onnx), "--out", "--list")
    refused(cli("layers", "--list", "--backbone", "efficientnet_lite"), "did you mean 'efficientnet_lite")
    refused(cli("similar", photo, "--to", photo, "--backbone", tiny_onnx), "no other photo")
    refused(cli("similar", photos, "--to", tmp_path / "none.jpg", "--backbone", tiny_onnx), "none.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.jpg", "net.onnx"]


def test_labels_of_an_onnx_classifier_of_others(
    cli: Cli, tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"thing {n}" for n in range(24)) + "\n", "utf-8")
    code, out, err = cli(
        "explain",
        tiny_onnx,
        photos / "blå" / "0000.jpg",
        "-o",
        tmp_path / "o.png",
        "--labels",
        tmp_path / "labels.txt",
    )
    assert (code, err) == (0, "")
    assert "thing " in out
    record = json.loads(tiny_onnx.with_suffix(".json").read_text("utf-8"))
    (tmp_path / "record.json").write_text(json.dumps(record), "utf-8")
    shutil.copy(tiny_onnx, tmp_path / "net.onnx")
    arguments = ("explain", tmp_path / "net.onnx", photos / "blå" / "0000.jpg", "-o", tmp_path / "p.png")
    assert cli(*arguments, "--preprocess", tmp_path / "record.json")[0] == 0
