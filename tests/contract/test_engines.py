"""What an engine may change: the features of training photos, never what a model file answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead import ImageClassifier, audit_photos, load_model, similar, train
from rehead.backbones.backbone import Backbone, load_backbone
from rehead.backbones.encoder import PhotoEncoder
from rehead.backbones.engines import check_pictures, feature_parity, measure_engines, open_features
from rehead.backbones.features import extract
from rehead.core import engines
from rehead.core.engines import ENGINES, ONNX_RUNTIME, OnnxRuntime, Session, find_engine, measured_file
from rehead.core.model_file import read_model_file
from rehead.core.runtime import cpu_count
from rehead.errors import EngineError, MissingExtraError, UnknownNameError

OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="needs rehead[openvino]")


class PhotoFolder(Protocol):
    def __call__(self, folder: Path, counts: dict[str, int], *, seed: int = 0) -> Path: ...


@dataclass(frozen=True)
class Fake:
    """ONNX Runtime, whose features it rounds and stretches."""

    name: str = "fake"
    bits: int = 8  # of the mantissa, as bf16 has
    scale: float = 1.0
    version: str = "1"
    precision: str = "bf16"
    opened: list[int] = field(default_factory=list, compare=False)

    def missing(self) -> str | None:
        return None

    def record(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version, "precision": self.precision}

    def device(self) -> str:
        return "an imagined one"

    def open(self, graph: bytes, *, threads: int, of: str) -> Session:
        self.opened.append(threads)
        return _Rounded(ONNX_RUNTIME.open(graph, threads=threads, of=of), self)


class _Rounded:
    def __init__(self, session: Session, engine: Fake) -> None:
        self._session, self._engine = session, engine

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        assert inputs["image"].shape[0] == 1
        found = []
        for array in self._session.run(outputs, inputs):
            mantissa, exponent = np.frexp(array)
            steps = 2.0**self._engine.bits
            rounded = np.ldexp(np.round(mantissa * steps) / steps, exponent)
            found.append((self._engine.scale * rounded).astype(np.float32))
        return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def backbone(tiny_onnx: Path) -> Backbone:
    return load_backbone(tiny_onnx)


@pytest.fixture
def photos(tmp_path: Path, photo_folder: PhotoFolder) -> Path:
    return photo_folder(tmp_path / "photos", {"blå": 16, "red fish": 16})


# parity


def test_an_engine_of_few_bits_passes_and_is_compared_once(backbone: Backbone, cache: Path) -> None:
    other = backbone.with_engine(Fake())
    for _ in range(2):
        open_features(other, threads=3)
    known = list((cache / "engines").iterdir())
    assert len(known) == 1
    found = json.loads(known[0].read_text("utf-8"))
    assert 0.9999 < found["parity"] < 1
    assert other.engine == Fake()
    assert isinstance(other.engine, Fake)
    assert other.engine.opened == [3, 3]
    known[0].write_text(json.dumps({**found, "parity": 0.5}), "utf-8")  # what is remembered is what counts
    with pytest.raises(EngineError, match=r"parity 0\.50000"):
        open_features(other)
    known[0].write_text("no JSON", "utf-8")
    open_features(other)


@pytest.mark.parametrize(
    "engine", [Fake(bits=2), Fake(scale=1.1), Fake(scale=float("nan")), Fake(bits=7, precision="fp32")]
)
def test_other_features_are_refused(engine: Fake, backbone: Backbone, photos: Path) -> None:
    with pytest.raises(EngineError, match=r"other features than ONNX Runtime.*use --engine onnxruntime"):
        extract(sorted(photos.rglob("*.jpg")), backbone.with_engine(engine))


def test_parity_is_one_for_the_same_and_falls_with_the_difference(backbone: Backbone) -> None:
    graph = backbone.features_graph()

    def parity(engine: Fake) -> float:
        return feature_parity(engine.open(graph, threads=1, of="a fake"), graph, backbone)

    assert parity(Fake(bits=30)) == 1
    found = [parity(Fake(bits=bits)) for bits in (12, 8, 6, 4)]
    assert found == sorted(found, reverse=True)
    assert parity(Fake(bits=30, scale=2.0)) == pytest.approx(0.8, abs=1e-6)  # 1 - |a|^2 / 5 |a|^2


@settings(max_examples=8, deadline=None)
@given(st.integers(16, 200))
def test_pictures_of_the_check_are_like_photos(side: int) -> None:
    pictures = check_pictures(side)
    assert pictures.shape == (8, side, side, 3)
    assert pictures.dtype == np.uint8
    assert (pictures.std(axis=(1, 2)) > 15).all()
    assert ((pictures == 0) | (pictures == 255)).mean() < 0.2
    steps = np.abs(np.diff(pictures.astype(float), axis=1)).mean()
    shuffled = np.random.default_rng(0).permuted(pictures.astype(float), axis=1)
    assert steps < 0.7 * np.abs(np.diff(shuffled, axis=1)).mean()  # neighbours are alike
    np.testing.assert_array_equal(pictures, check_pictures(side))


# keys of the cache


def test_each_engine_version_and_precision_has_features_of_its_own(backbone: Backbone, photos: Path) -> None:
    variants = [
        backbone,
        *(
            backbone.with_engine(engine)
            for engine in (Fake(), Fake(version="2"), Fake(precision="fp16"), Fake(name="other"))
        ),
    ]
    files = sorted(photos.rglob("*.jpg"))[:4]
    assert len({json.dumps(one.context, sort_keys=True) for one in variants}) == len(variants)
    assert [extract(files, one).computed for one in variants] == [4] * len(variants)
    assert [extract(files, one).computed for one in variants] == [0] * len(variants)


def test_the_key_of_onnx_runtime_is_what_it_was(backbone: Backbone) -> None:
    assert set(backbone.context) == {"preprocess", "levels", "network"}
    assert backbone.with_engine(Fake()).with_engine(ONNX_RUNTIME).context == backbone.context


# what is trained and what answers


def test_a_run_by_another_engine_is_tested_on_what_its_file_answers(
    backbone: Backbone, photos: Path, tmp_path: Path
) -> None:
    engine = Fake(bits=7)
    encoder = PhotoEncoder(backbone.with_engine(engine))
    run = train(photos, tmp_path / "run", classifier=ImageClassifier(encoder=encoder))
    said = {"name": "fake", "version": "1", "precision": "bf16"}
    manifest = read_model_file(run.folder / "model.onnx").manifest
    assert manifest["head"]["engine"] == said
    assert json.loads((run.folder / "run.json").read_text("utf-8"))["engine"] == said
    model = load_model(run.folder / "model.onnx")
    lines = (run.folder / "predictions.csv").read_text("utf-8-sig").splitlines()
    column = lines[0].split(",").index("probability")
    tested = {line.split(",")[0]: float(line.split(",")[column]) for line in lines[1:]}
    assert len(tested) >= 4
    answers = model.predict([photos / name for name in tested])
    assert [a.probability for a in answers] == pytest.approx(list(tested.values()), abs=2e-5)
    rounded = extract([photos / name for name in tested], encoder.backbone).plain
    others = run.classifier.fitted_.decide(rounded)[0].max(axis=1)
    assert np.abs(others - list(tested.values())).max() > 2e-4  # so the test above can tell the two apart


def test_a_fitted_classifier_answers_by_onnx_runtime(backbone: Backbone, photos: Path) -> None:
    fitted = ImageClassifier(encoder=PhotoEncoder(backbone.with_engine(Fake(bits=7)))).fit(photos)
    files = sorted(photos.rglob("*.jpg"))[:5]
    np.testing.assert_array_equal(fitted.transform(files), extract(files, backbone).plain)
    assert fitted.fitted_.backbone.engine == ONNX_RUNTIME


@dataclass(frozen=True)
class Beside(Fake):
    """ONNX Runtime, whose features it moves by the same for every photo."""

    def open(self, graph: bytes, *, threads: int, of: str) -> Session:
        return _Moved(ONNX_RUNTIME.open(graph, threads=threads, of=of))


class _Moved:
    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [array + np.float32(0.01) for array in self._session.run(outputs, inputs)]


def test_what_an_engine_adds_to_every_photo_is_taken_off_before_fitting(
    backbone: Backbone, photos: Path
) -> None:
    plain, moved = (
        ImageClassifier(encoder=PhotoEncoder(backbone.with_engine(engine)), mirror=True).fit(photos)
        for engine in (ONNX_RUNTIME, Beside("beside"))
    )
    files = sorted(photos.rglob("*.jpg"))
    raw = extract(files, backbone.with_engine(Beside("beside"))).plain - extract(files, backbone).plain
    np.testing.assert_allclose(raw, 0.01, atol=1e-5)
    (answers, outliers), (expected, distances) = moved.decision(files), plain.decision(files)
    np.testing.assert_allclose(answers, expected, atol=1e-3)
    np.testing.assert_allclose(outliers, distances, rtol=0.01, atol=1e-3)
    limits = [one.operating_point_.outlier_score for one in (moved, plain)]
    assert limits[0] == pytest.approx(limits[1], rel=0.01)


def test_a_run_without_a_word_about_engines_is_onnx_runtimes(tiny_onnx: Path, photos: Path) -> None:
    fitted = ImageClassifier(tiny_onnx).fit(photos)
    assert fitted.fitted_.trained_on.engine["name"] == "onnxruntime"
    assert fitted.fitted_.trained_on.engine["precision"] == "fp32"


# names


def test_names_that_are_wrong_and_engines_that_are_not_here(
    tiny_onnx: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openvino'"):
        ImageClassifier(tiny_onnx, engine="openvin").fit(photos)  # type: ignore[arg-type]
    for name in ("cuda", "coreml", "directml"):
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
        with pytest.raises(MissingExtraError, match=f"engine {name}: .*onnxruntime|macOS"):
            find_engine(name)
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rehead\[openvino\]'"):
        audit_photos(photos, backbone=tiny_onnx, engine="openvino")
    with pytest.raises(MissingExtraError, match=r"pip install 'rehead\[openvino\]'"):
        similar(photos, photos / "blå" / "0000.jpg", backbone=tiny_onnx, engine="openvino")


# ONNX Runtime's providers, of which only that of the processor is here


def test_a_provider_runs_through_the_same_door(backbone: Backbone, photos: Path) -> None:
    like_directml = OnnxRuntime(
        "like directml", "AzureExecutionProvider", "somewhere", "get another", one_at_a_time=True
    )  # a provider that takes no operator of ours and leaves all to the processor
    if like_directml.missing():
        pytest.skip("this ONNX Runtime has no provider but the processor's")
    assert like_directml.device() == "somewhere"
    files = sorted(photos.rglob("*.jpg"))[:6]
    expected = extract(files, backbone).plain
    np.testing.assert_array_equal(extract(files, backbone.with_engine(like_directml)).plain, expected)


@pytest.mark.parametrize("name", ["cuda", "coreml", "directml"])
def test_a_provider_that_is_listed_but_cannot_be_loaded_is_an_error(
    name: str, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    engine = ENGINES[name]
    assert isinstance(engine, OnnxRuntime)
    listed = [engine.provider, "CPUExecutionProvider"]
    if engine.provider in onnxruntime.get_available_providers():
        pytest.skip(f"{engine.provider} is here")
    asked: list[Any] = []
    session = onnxruntime.InferenceSession

    def without(graph: bytes, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        asked.extend(providers)  # ONNX Runtime goes on without a provider whose libraries are not there
        return session(graph, options, providers=providers[1:], enable_fallback=enable_fallback)

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: listed)
    monkeypatch.setattr("onnxruntime.InferenceSession", without)
    assert find_engine(name) == engine
    with pytest.raises(EngineError, match=f"{engine.provider} cannot be loaded"):
        open_features(backbone.with_engine(engine))
    assert asked[0] == (engine.provider, dict(engine.options))


# what was measured, and auto


def remember(speeds: Mapping[str, float | None], **changes: Any) -> None:
    record = {
        "processor": engines.processor(),
        "threads": cpu_count(),
        "engines": [
            {**engines.ENGINES[name].record(), "photos_per_second": speed} for name, speed in speeds.items()
        ],
    }
    measured_file().parent.mkdir(parents=True, exist_ok=True)
    measured_file().write_text(json.dumps({**record, **changes}), "utf-8")


def test_auto_is_what_was_measured_here_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Fake("fast")
    monkeypatch.setattr(engines, "ENGINES", {"onnxruntime": ONNX_RUNTIME, "fast": fast})
    assert find_engine("auto") == ONNX_RUNTIME  # nothing was measured
    remember({"onnxruntime": 100.0, "fast": 160.0})
    assert find_engine("auto") == fast
    remember({"onnxruntime": 100.0, "fast": 105.0})  # as two measurements of one engine differ
    assert find_engine("auto") == ONNX_RUNTIME
    remember({"onnxruntime": 100.0, "fast": None})
    assert find_engine("auto") == ONNX_RUNTIME
    for changes in ({"processor": "another"}, {"threads": 99}, {"threads": "two"}, {"engines": None}):
        remember({"onnxruntime": 100.0, "fast": 160.0}, **changes)
        assert find_engine("auto") == ONNX_RUNTIME
    remember({"onnxruntime": 100.0, "fast": 160.0})
    other = {"onnxruntime": ONNX_RUNTIME, "fast": replace(fast, version="2")}
    monkeypatch.setattr(engines, "ENGINES", other)
    assert find_engine("auto") == ONNX_RUNTIME  # that version was not measured


def test_measuring_says_what_is_here_and_remembers_it(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehead.backbones.engines._SECONDS", 0.01)
    some = {"onnxruntime": ONNX_RUNTIME, "bad": Fake("bad", bits=2), "cuda": ENGINES["cuda"]}
    monkeypatch.setattr("rehead.backbones.engines.ENGINES", some)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    ours, bad, missing = measure_engines(backbone)
    assert ours.parity == 1
    assert ours.photos_per_second is not None
    assert ours.photos_per_second > 0
    assert ours.reason is None
    assert bad.photos_per_second is None
    assert bad.reason is not None
    assert "other features" in bad.reason
    assert missing.version is None
    assert missing.reason is not None
    assert "pip install onnxruntime-gpu" in missing.reason
    kept = json.loads(measured_file().read_text("utf-8"))
    assert [one["name"] for one in kept["engines"]] == ["onnxruntime", "bad", "cuda"]
    assert kept["backbone"] == backbone.name


# the command line, as a process


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "rehead", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def test_the_command_lists_every_engine() -> None:
    done = process("engines", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["engines"]] == list(ENGINES)
    assert found["engines"][0]["photos_per_second"] > 0
    assert found["auto"] in ENGINES
    assert all((one["reason"] is None) == (one["photos_per_second"] is not None) for one in found["engines"])
    assert measured_file().is_file()


def test_a_wrong_name_on_the_command_line(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    done = process(
        "train", photos, "-o", tmp_path / "run", "--backbone", tiny_onnx, "--engine", "onnx-runtime"
    )
    assert done.returncode == 2
    assert done.stderr == "rehead: unknown engine 'onnx-runtime'; did you mean 'onnxruntime'?\n"


# OpenVINO itself


@OPENVINO
def test_openvino_gives_the_features_of_onnx_runtime() -> None:
    backbone = load_backbone("efficientnet_lite0")
    graph = backbone.features_graph()
    engine = find_engine("openvino")
    session = engine.open(graph, threads=2, of="a network")
    least = {"bf16": 0.999, "fp32": 0.9999999}[engine.record()["precision"]]
    assert feature_parity(session, graph, backbone) >= least


@OPENVINO
def test_openvino_trains_a_model_file(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    arguments = ["--backbone", tiny_onnx, "--engine", "openvino"]
    done = process("train", photos, "-o", tmp_path / "run", *arguments)
    assert done.returncode == 0, done.stderr
    assert "by openvino" in done.stdout
    manifest = read_model_file(tmp_path / "run" / "model.onnx").manifest
    assert manifest["head"]["engine"]["name"] == "openvino"


@OPENVINO
def test_openvino_refuses_what_is_no_graph_in_one_line() -> None:
    with pytest.raises(EngineError, match=r"net: OpenVINO cannot run its graph .*use --engine onnxruntime"):
        find_engine("openvino").open(b"no graph", threads=1, of="net")


@OPENVINO
def test_openvino_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """It would, when it is imported, and keep a number for the user in the home folder."""
    home = tmp_path / "home"
    home.mkdir()
    code = """
import socket, sys

def refused(*_, **__):
    raise AssertionError("nothing is to be sent")

socket.socket.connect = socket.getaddrinfo = refused
from rehead.core.engines import find_engine
assert find_engine("openvino").record()["name"] == "openvino"
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""
    environment = {"HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home)}
    silent = ("CI", "TF_BUILD", "JENKINS_URL")  # with these it would be silent by itself
    kept = {name: value for name, value in os.environ.items() if name not in silent}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
