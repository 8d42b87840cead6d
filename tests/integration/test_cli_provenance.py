"""`rehead show`, `sign` and `check`, as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rehead import ImageClassifier


def rehead(*arguments: object, code: int = 0) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "rehead", *map(str, arguments)], capture_output=True, text=True
    )
    assert run.returncode == code, run.stderr
    return run.stdout + run.stderr


@pytest.fixture
def model(tmp_path: Path, tiny_onnx: Path, photo_folder: object) -> Path:
    photos = photo_folder(tmp_path / "photos", {"blå": 6, "red fish": 7})  # type: ignore[operator]
    path = tmp_path / "my mödel.onnx"
    ImageClassifier(tiny_onnx, cache=False).fit(photos).save(path)
    return path


def test_a_file_is_shown_signed_and_checked(model: Path, tmp_path: Path) -> None:
    for name in ("key", "other"):
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}-public.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    assert "blå (6), red fish (7)" in rehead("show", model)
    sha256 = json.loads(rehead("show", model, "--json"))["sha256"]
    bill = json.loads(rehead("show", model, "--bom"))
    assert bill["metadata"]["component"]["hashes"][0]["content"] == sha256
    assert "not signed" in rehead("check", model, "--key", tmp_path / "key-public.pem", code=2)
    rehead("sign", model, "--key", tmp_path / "key.pem")
    assert "signed with the key of" in rehead("check", model, "--key", tmp_path / "key-public.pem")
    assert "Ed25519" in rehead("show", model)
    refused = rehead("check", model, "--key", tmp_path / "other-public.pem", code=2)
    assert refused.startswith(f"rehead: {model}: not signed with the key of")
    assert len(refused.splitlines()) == 1


def test_an_altered_file_is_refused_in_a_line(model: Path) -> None:
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    for verb in ("show", "check"):
        assert "changed or damaged" in rehead(verb, model, code=2)


def test_a_training_signs_its_file(tmp_path: Path, tiny_onnx: Path, photo_folder: object) -> None:
    photos = photo_folder(tmp_path / "photos", {"blå": 12, "red fish": 12})  # type: ignore[operator]
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    run = ["train", photos, "--out", tmp_path / "run", "--backbone", tiny_onnx, "--quiet"]
    assert "no private key in PEM" in rehead(*run, "--sign", public, code=2)
    assert not (tmp_path / "run").exists()
    rehead(*run, "--sign", private)
    assert "signed with the key of" in rehead("check", tmp_path / "run/model.onnx", "--key", public)
