"""extract, and train from a folder of features or a source that is read as a stream."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead import load_model
from rehead.backbones import extraction, features
from source_files import photos_of, write_parquet, write_tar

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'rehead[cloud]'")

Cli = Callable[..., tuple[int, str, str]]
Keyed = list[tuple[str, bytes, str]]


@pytest.fixture(scope="module")
def photos(photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Keyed:
    folder = photo_folder(tmp_path_factory.mktemp("made"), {"red fish": 40, "blå": 40, "c": 40})
    found = photos_of(folder)
    return [*found, ("broken", b"no photo", "c"), ("copy", found[0][1], found[0][2])]


@pytest.fixture(scope="module")
def shards(photos: Keyed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for n in range(3):
        write_tar(folder / f"a-{n}.tar", photos[41 * n : 41 * (n + 1)])
    return folder


def of(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """metrics.json and run.json."""
    read = [json.loads((run / name).read_text("utf-8")) for name in ("metrics.json", "run.json")]
    return read[0], read[1]


def test_train_from_features(cli: Cli, shards: Path, tiny_onnx: Path, photos: Keyed, tmp_path: Path) -> None:
    code, out, err = cli(
        "extract", shards / "a-{0..2}.tar", "--to", tmp_path / "features", "--backbone", tiny_onnx
    )
    assert (code, err) == (0, "")
    assert "122 photos, 32 features each, float16" in out
    assert "1 photo could not be read" in out
    code, out, err = cli("train", tmp_path / "features", "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert "121 photos of 3 classes" in out
    metrics, record = of(tmp_path / "run")
    assert metrics["test"]["accuracy"]["value"] > 0.8
    assert record["unreadable"][0]["photo"] == "a-2.tar/broken"
    model = load_model(tmp_path / "run" / "model.onnx")
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        predicted = {row["path"]: row for row in csv.DictReader(file)}
    with (tmp_path / "run" / "splits.csv").open(encoding="utf-8", newline="") as file:
        splits = {row["path"]: row for row in csv.DictReader(file)}
    assert len(splits) == len(photos)
    assert {name for name, row in splits.items() if row["split"] == "test"} == predicted.keys()
    assert splits["a-2.tar/copy"]["split"] == splits["a-0.tar/0000"]["split"]
    assert splits["a-2.tar/copy"]["group"] == splits["a-0.tar/0000"]["group"]
    content = {f"a-{n // 41}.tar/{key}": data for n, (key, data, _) in enumerate(photos)}
    for name, row in predicted.items():  # features were kept in float16
        (answer,) = model.predict([content[name]])
        assert answer.probability == pytest.approx(float(row["probability"]), abs=0.02)
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_same_photos_in_another_form_give_the_same_run(
    cli: Cli, shards: Path, tiny_onnx: Path, photos: Keyed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Split, sums and ridge heads depend on the photos, not on order, shards or blocks."""
    assert cli("train", shards, "--out", tmp_path / "tar", "--backbone", tiny_onnx)[0] == 0
    monkeypatch.setattr(extraction, "BLOCK", 7)
    parquet, run = write_parquet(tmp_path / "a.parquet", photos[::-1]), tmp_path / "parquet"
    code, _, err = cli("train", parquet, "--out", run, "--backbone", tiny_onnx)
    assert code == 0, err
    assert not (tmp_path / "parquet.work").exists()

    def ridge(folder: Path) -> list[Any]:
        return [point for point in of(folder)[0]["head"]["path"] if point["candidate"].endswith("ridge")]

    for one, other in zip(ridge(tmp_path / "tar"), ridge(run), strict=True):
        assert one["candidate"] == other["candidate"]
        assert one["log_loss"] == pytest.approx(other["log_loss"], abs=1e-6)
    counts = [of(folder)[1]["photos"] for folder in (tmp_path / "tar", run)]
    assert counts[0] | {"folder": ""} == counts[1] | {"folder": ""}
    scores = [of(folder)[0]["test"] for folder in (tmp_path / "tar", run)]
    assert scores[0]["accuracy"] == scores[1]["accuracy"]


def test_a_training_that_was_killed_goes_on(
    cli: Cli, shards: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    extract = features.extract

    def counted(files: Any, *args: Any, **kwargs: Any) -> Any:
        if len(sizes) == 2:
            raise KeyboardInterrupt
        sizes.append(len(files))
        return extract(files, *args, **kwargs)

    monkeypatch.setattr(extraction, "extract", counted)
    command = ["train", shards, "--out", tmp_path / "run", "--backbone", tiny_onnx]
    assert cli(*command)[0] == 130
    assert not (tmp_path / "run").exists()
    sizes.clear()

    def noted(files: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(files))
        return extract(files, *args, **kwargs)

    monkeypatch.setattr(extraction, "extract", noted)
    assert cli(*command)[0] == 0
    assert sizes == [40]
    assert (tmp_path / "run" / "model.onnx").is_file()


def test_options_that_do_not_go_together(cli: Cli, shards: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    command = ["train", shards, "--out", tmp_path / "run", "--backbone", tiny_onnx]
    for more in (
        ["--keep-statistics"],
        ["--balanced"],
        ["--golden"],
        ["--mirror", "yes"],
        ["--train", "all"],
        ["--engine", "auto"],
    ):
        code, _, err = cli(*command, *more)
        assert (code, err.count("\n")) == (2, 1), err
        assert more[0] in err or "as a stream" in err
    cli("extract", shards, "--to", tmp_path / "features", "--backbone", tiny_onnx)
    code, _, err = cli(
        "train", tmp_path / "features", "--out", tmp_path / "run", "--backbone", "mobilenet_v2"
    )
    assert (code, err.count("\n")) == (2, 1)
    assert "the features are" in err
    (tmp_path / "features" / "features.json").unlink()
    code, _, err = cli("train", tmp_path / "features", "--out", tmp_path / "run")
    assert (code, err.count("\n")) == (2, 1)
    assert "the extraction was not finished" in err


def test_photos_without_a_class_or_of_one(cli: Cli, photos: Keyed, tiny_onnx: Path, tmp_path: Path) -> None:
    one = write_tar(tmp_path / "one.tar", [photo for photo in photos if photo[2] == "c"])
    code, _, err = cli("train", one, "--out", tmp_path / "run", "--backbone", tiny_onnx)
    assert (code, err.count("\n")) == (2, 1)
    assert "at least two classes" in err
    none = write_tar(tmp_path / "none.tar", [(key, data, "") for key, data, _ in photos[:5]])
    code, _, err = cli("train", none, "--out", tmp_path / "other", "--backbone", tiny_onnx)
    assert (code, err.count("\n")) == (2, 1)
    assert "none.tar/0000 has no class" in err


def test_another_network_of_the_same_name_is_noticed(
    cli: Cli, shards: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    net = tmp_path / "net.onnx"
    net.write_bytes(tiny_onnx.read_bytes())
    about = json.loads(tiny_onnx.with_suffix(".json").read_text("utf-8"))
    net.with_suffix(".json").write_text(json.dumps(about))
    assert cli("extract", shards / "a-0.tar", "--to", tmp_path / "features", "--backbone", net)[0] == 0
    import onnx

    model = onnx.load(net)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.asarray(weight * 1.5, weight.dtype), model.graph.initializer[0].name)
    )
    onnx.save(model, net)
    code, _, err = cli("train", tmp_path / "features", "--out", tmp_path / "run")
    assert (code, err.count("\n")) == (2, 1)
    assert "is not the network that took these features any more" in err
