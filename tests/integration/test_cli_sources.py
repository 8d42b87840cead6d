"""predict and evaluate on shards, Parquet and addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rehead
from source_files import photos_of, write_csv, write_parquet, write_tar

fsspec = pytest.importorskip("fsspec", reason="needs fsspec: pip install 'rehead[cloud]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'rehead[cloud]'")

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = photo_folder(tmp_path_factory.mktemp("made") / "photos", {"red fish": 8, "blå": 8})
    return root


@pytest.fixture(scope="module")
def model(folder: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "model.onnx"
    rehead.ImageClassifier(backbone=tiny_onnx).fit(folder).save(path)
    return path


@pytest.fixture
def sources(folder: Path, tmp_path: Path) -> list[str]:
    """The photos of the folder in each form."""
    photos = photos_of(folder)
    write_tar(tmp_path / "a-0.tar", photos[:10])
    write_tar(tmp_path / "a-1.tar", photos[10:])
    write_parquet(tmp_path / "a.parquet", photos)
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for key, data, label in photos:
        memory.pipe(f"/bucket/photos/{label}/{key}.jpg", data)
    return [str(tmp_path / "a-{0..1}.tar"), str(tmp_path / "a.parquet"), "memory://bucket/photos"]


def test_answers_are_those_for_the_files(cli: Cli, model: Path, folder: Path, sources: list[str]) -> None:
    code, out, _ = cli("predict", model, folder, "--format", "jsonl")
    assert code == 0

    def answers(text: str) -> list[tuple[str, float]]:
        records = map(json.loads, text.splitlines())
        return sorted((record["nearest"], record["probability"]) for record in records)

    for source in sources:
        code, streamed, err = cli("predict", model, source, "--format", "jsonl")
        assert (code, err) == (0, "")
        assert answers(streamed) == answers(out)
    code, table, _ = cli("predict", model, sources[0])
    assert code == 0
    assert "a-0.tar/0000" in table


def test_evaluation_is_that_of_the_files(
    cli: Cli, model: Path, folder: Path, sources: list[str], tmp_path: Path
) -> None:
    expected = json.loads(cli("evaluate", model, folder, "--json")[1])["test"]
    for source in sources:
        code, out, err = cli("evaluate", model, source, "--json", "--out", tmp_path / "evaluated")
        assert (code, err) == (0, "")
        found = json.loads(out)["test"]
        assert found["accuracy"] == expected["accuracy"]
        assert found["log_loss"]["value"] == pytest.approx(expected["log_loss"]["value"], abs=1e-9)
        assert (tmp_path / "evaluated" / "report.html").is_file()


def test_unreadable_photos_and_a_shard_that_ends_early(
    cli: Cli, model: Path, folder: Path, tmp_path: Path
) -> None:
    photos = photos_of(folder)
    broken = write_tar(tmp_path / "a.tar", [*photos[:3], ("broken", b"no photo", "blå")])
    code, out, err = cli("predict", model, broken, "--format", "jsonl")
    assert code == 0
    assert [json.loads(line).get("error") is not None for line in out.splitlines()] == [False] * 3 + [True]
    code, out, err = cli("evaluate", model, broken)
    assert code == 0
    assert "unreadable: a.tar/broken" in out
    broken.write_bytes(broken.read_bytes()[:9000])
    for verb in ("predict", "evaluate"):
        code, _, err = cli(verb, model, broken, *(["--format", "csv"] if verb == "predict" else []))
        assert code == 2
        assert err.count("\n") == 1
        assert "a.tar: the shard ends early" in err


def test_addresses_in_messages(cli: Cli, model: Path) -> None:
    code, _, err = cli("evaluate", model, "memory://nothing/here.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "memory://nothing/here.csv: does not exist" in err


def test_a_csv_of_addresses(cli: Cli, model: Path, folder: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    write_csv(tmp_path / "a.csv", photos_of(folder))
    lines = (tmp_path / "a.csv").read_text("utf-8").splitlines()
    for line in lines[1:]:
        name = line.partition(",")[0]
        memory.pipe(f"/bucket/{name}", (tmp_path / name).read_bytes())
    table = "\n".join([lines[0], *(f"memory://bucket/{line}" for line in lines[1:])])
    memory.pipe("/bucket/list.csv", table.encode())
    code, out, _ = cli("evaluate", model, "memory://bucket/list.csv", "--json")
    assert code == 0
    assert json.loads(out)["test"]["photos"] == 16
