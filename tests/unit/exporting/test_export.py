"""What an export refuses, in one line, with nothing half-written."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from rehead.cli import main
from rehead.core import atomic
from rehead.core.model_file import read_model_file, write_model_file
from rehead.exporting import TARGETS, export_model

GOLDEN = Path(__file__).parents[2] / "golden"
CLASSIFIER, KEYPOINTS = GOLDEN / "classifier_protocol1.onnx", GOLDEN / "keypoints_protocol2.onnx"
Cli = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `rehead export` in this process, which must fail with one line; the line."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["rehead", "export", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        lines = capsys.readouterr().err.splitlines()
        assert (end.value.code, len(lines)) == (2, 1)
        return lines[0]

    return run


def test_an_export_says_of_which_file_it_was_made(tmp_path: Path) -> None:
    done = export_model(CLASSIFIER, tmp_path / "new" / "out", "python")
    record = json.loads((done.folder / "export.json").read_text("utf-8"))
    assert record["for"] == "python"
    assert record["kind"] == "classifier"
    assert [path.name for path in done.files] == sorted(path.name for path in done.folder.iterdir())
    assert done.size == sum(path.stat().st_size for path in done.folder.iterdir())


def test_a_folder_in_use_is_left_as_it_is(tmp_path: Path, refused: Cli) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for more in ([], ["--overwrite"]):
        assert "holds other files" in refused(CLASSIFIER, "--to", tmp_path, "--for", "python", *more)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_earlier_export_is_replaced_when_that_is_asked_for(tmp_path: Path, refused: Cli) -> None:
    folder = export_model(CLASSIFIER, tmp_path / "out", "ovms").folder
    assert "--overwrite" in refused(CLASSIFIER, "--to", folder, "--for", "triton")
    assert (folder / "config.json").is_file()
    export_model(CLASSIFIER, folder, "triton", overwrite=True)
    assert not (folder / "config.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_altered_model_is_refused(tmp_path: Path, refused: Cli) -> None:
    data = bytearray(CLASSIFIER.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "altered.onnx").write_bytes(data)
    line = refused(tmp_path / "altered.onnx", "--to", tmp_path / "out", "--for", "python")
    assert "altered.onnx" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["python", "web", "html"])
def test_keypoints_go_where_they_can(target: str, tmp_path: Path, refused: Cli) -> None:
    line = refused(KEYPOINTS, "--to", tmp_path / "out", "--for", target)
    assert line.endswith(
        f"a keypoints model, which '{target}' cannot hold; it can go to triton, kserve, ovms"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_the_graph_does_not_keep_is_refused(tmp_path: Path, refused: Cli) -> None:
    file = read_model_file(CLASSIFIER)
    model = onnx.load_from_string(file.graph)
    del model.metadata_props[:]
    write_model_file(tmp_path / "m.onnx", model.SerializeToString(), {**file.manifest, "labels": ["one"]})
    assert "its graph takes" in refused(tmp_path / "m.onnx", "--to", tmp_path / "out", "--for", "html")


@pytest.mark.parametrize("name", ["Model", "-a", "a-", "a/b", "..", "", "a" * 64])
def test_names_that_servers_do_not_take(name: str, tmp_path: Path, refused: Cli) -> None:
    assert "is no name" in refused(CLASSIFIER, "--to", tmp_path / "out", "--for", "triton", "--name", name)


def test_a_full_disk_leaves_nothing(tmp_path: Path, refused: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(atomic, "write_text", full)
    line = refused(CLASSIFIER, "--to", tmp_path / "out", "--for", "triton")
    assert "No space left on device" in line
    assert list(tmp_path.iterdir()) == []


def test_every_target_is_on_the_command_line() -> None:
    from typing import get_args, get_type_hints

    from rehead.cli.export import export

    kinds = get_type_hints(export, include_extras=True)["target"]
    assert set(get_args(get_args(kinds)[0])) == set(TARGETS)
