"""What every test may use: a tiny real network, synthetic photos, and a cache of its own.

    tiny_onnx       path of an ONNX file (a convolutional network at 32 px), its record beside it
    drawn_faces     drawn_faces(tmp_path, 10) draws faces of ten people and writes their points
    cli             cli("train", photos, "--out", out) runs the command line in this process
    launch          launch(film) starts Chromium with a camera
    photo_folder    photo_folder(tmp_path / "photos", {"red fish": 12, "blå": 12}) writes class folders
    face_photo      face_photo(path, 3, 5) writes a photo of persons 3 and 5, for
    face_pipeline   a detector and an embedder that know such photos
    one_torch_thread  torch on one thread, for a module
    postgres        a running PostgreSQL server with pgvector

rehead's cache lies in a temporary folder for the whole session, so the graph of the real backbone is
built once; no test sees the user's own cache or weights.
"""

from __future__ import annotations

import colorsys
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from browser import Launch, chromium
from postgres_server import Server, running_server
from rehead.core.runtime import open_session
from rehead.faces import Face, Photo, Quality
from rehead.faces.embedding.spec import spec_fingerprint
from rehead.faces.pipeline import FacePipeline
from rehead.faces.types import pixels_of
from rehead.faces.verification.calibration import Calibration, calibrate

_SIDE = 32


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Small networks are slower on several threads, much so beside other work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process, with some standard input; exit code, output, error output."""
    from rehead.cli import main

    def run(*arguments: object, stdin: bytes | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rehead", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err

    return run


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Start Chromium; skips where it is not there."""
    yield from chromium()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server of the session's own; skips where it cannot start."""
    with running_server() as server:
        yield server


class PhotoFolder(Protocol):
    def __call__(
        self, folder: Path, counts: Mapping[str, int], *, seed: int = 0, size: tuple[int, int] = (72, 56)
    ) -> Path: ...


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("rehead-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REHEAD_CACHE", str(root))
        patch.delenv("REHEAD_WEIGHTS", raising=False)
        patch.delenv("COLUMNS", raising=False)  # a width that somebody exported
        yield root


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of tiny.onnx: `input` float32 (N, 3, 32, 32) to `middle` (N, 8, 8, 8) and `last` (N, 24).

    The weights are random and always the same; tiny.json beside it is its PreprocessSpec.
    """
    import onnx

    from rehead.backbones.graphs import builder as op

    rng = np.random.default_rng(7)

    def conv(x: op.Var, inputs: int, outputs: int, kernel: int, stride: int) -> op.Var:
        weight = rng.normal(size=(outputs, inputs, kernel, kernel)) / np.sqrt(inputs * kernel * kernel)
        bias = rng.normal(scale=0.1, size=outputs)
        arrays = (op.const(array.astype(np.float32)) for array in (weight, bias))
        return op.relu(op.conv(x, *arrays, group=1, strides=[stride] * 2, auto_pad="SAME_UPPER"))

    image = op.argument(np.float32, ("N", 3, _SIDE, _SIDE))
    middle = conv(image, 3, 8, 5, 4)
    last = op.flatten(op.global_average_pool(conv(middle, 8, 24, 3, 2)), axis=1)
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    onnx.save(op.build({"input": image}, {"middle": middle, "last": last}), path)
    record = {"size": _SIDE, "mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}
    path.with_suffix(".json").write_text(json.dumps(record), "utf-8")
    return path


@pytest.fixture(scope="session")
def photo_folder() -> PhotoFolder:
    """Write FOLDER/CLASS/0000.jpg ... and return FOLDER.

    The n-th class of `counts` has a colour and a stripe width of its own, over coarse light and shade
    that no two photos share, so that a head can learn the classes and no photo duplicates another.
    The same arguments write the same bytes; another `seed` writes other photos of the same classes.
    `size` is (width, height).
    """

    def write(
        folder: Path, counts: Mapping[str, int], *, seed: int = 0, size: tuple[int, int] = (72, 56)
    ) -> Path:
        for number, (name, count) in enumerate(counts.items()):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                rng = np.random.default_rng([seed, number, index])
                photo = Image.fromarray(_photo(rng, number, size))
                photo.save(folder / name / f"{index:04d}.jpg", quality=95)
        return folder

    return write


def _photo(rng: np.random.Generator, number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = size
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
    shade = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float64) / 255
    stripes = np.sin(np.arange(width) * 2 * np.pi / (4 + 3 * (number % 5)) + rng.uniform(0, 2 * np.pi))
    hue = (number * 0.618 + rng.normal(scale=0.03)) % 1  # the golden ratio spreads any number of hues
    colour = np.array(colorsys.hsv_to_rgb(hue, 0.7, 1.0))
    light = 90 + 110 * shade + 25 * stripes[None, :]
    pixels = light[:, :, None] * colour + rng.normal(scale=8, size=(height, width, 3))
    return np.asarray(pixels.clip(0, 255), dtype=np.uint8)


_BLOCK = 24  # pixels, the side of a face
_WIDTH = 32  # numbers, an embedding
_POINTS = np.array([[7, 8], [17, 8], [12, 13], [8, 18], [16, 18]], float)
_BLURRED = 240  # variants from which a photo is


class FacePhoto(Protocol):
    def __call__(self, path: Path, *people: int, variant: int = 0) -> Path: ...


@pytest.fixture(scope="session")
def face_photo() -> FacePhoto:
    """Write a PNG of some people, 0 to 254, side by side; none is an empty scene.

    Another `variant`, 0 to 254, is another photo of the same people; from 240 on it is blurred.
    """

    def write(path: Path, *people: int, variant: int = 0) -> Path:
        pixels = np.full((_BLOCK, _BLOCK * max(len(people), 1), 3), 255, np.uint8)
        for place, person in enumerate(people):
            pixels[:, place * _BLOCK : (place + 1) * _BLOCK] = person, variant, place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


class BlockDetector:
    """Finds the faces of `face_photo`."""

    def detect(self, photo: Photo) -> list[Face]:
        pixels = pixels_of(photo)
        found = []
        for left in range(0, pixels.shape[1], _BLOCK):
            if pixels[0, left, 0] < 255:
                box = np.array([left, 0, left + _BLOCK, _BLOCK], float)
                points = box[:2] + _POINTS
                sharpness = 1.0 if pixels[0, left, 1] >= _BLURRED else 100.0
                found.append(Face(box, points, 1.0, Quality(64.0, sharpness, 0.0, 0.0, 0.0)))
        return found


class BlockEmbedder:
    """Photos of one person lie around a direction of the person's own."""

    def __init__(self, spread: float = 0.5, sha256: str = "ab" * 32) -> None:
        self.spread, self.sha256 = spread, sha256

    @property
    def embedding_spec(self) -> dict[str, Any]:
        licences = {"code": "Apache-2.0", "weights": "CC0-1.0", "data": "none"}
        return {
            "name": "blocks",
            "sha256": self.sha256,
            "dimensions": _WIDTH,
            "template": _POINTS.tolist(),
            "size": _BLOCK,
            "preprocess": {},
            "distance": "cosine",
            "licences": licences,
        }

    def embed(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.float32]:
        pixels = pixels_of(photo)
        rows = []
        for face in faces:
            person, variant = (int(x) for x in pixels[2, int(face.box[0]) + 2, :2])
            centre = np.random.default_rng([person]).normal(size=_WIDTH)
            row = centre + self.spread * np.random.default_rng([person, variant]).normal(size=_WIDTH)
            rows.append(row / np.linalg.norm(row))
        return np.array(rows, np.float32).reshape(len(rows), _WIDTH)


class GraphBlockEmbedder(BlockEmbedder):
    """One whose network is an ONNX graph: what it knows of a face is its mean colour."""

    def __init__(self) -> None:
        super().__init__(sha256="ef" * 32)
        self._graph = _colour_graph()
        self._session = open_session(self._graph, threads=1)

    @property
    def graph(self) -> bytes:
        return self._graph

    def aligned(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.uint8]:
        pixels = pixels_of(photo)
        return np.stack([pixels[:_BLOCK, int(f.box[0]) : int(f.box[0]) + _BLOCK] for f in faces])

    def embed(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self._session.run(None, {"image": self.aligned(photo, faces)})[0]
        return rows


def _colour_graph() -> bytes:
    """Waves of the mean colour: persons differ in red, photos a little in green."""
    from rehead.backbones.graphs import builder as op

    rng = np.random.default_rng(3)
    weight = (rng.normal(size=(3, _WIDTH)) * [[0.5], [0.004], [0.0]]).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, _WIDTH).astype(np.float32)
    image = op.argument(np.uint8, ("N", _BLOCK, _BLOCK, 3))
    colour = op.reduce_mean(op.cast(image, to=np.float32), axes=[1, 2], keepdims=0)
    waves = op.cos(op.add(op.matmul(colour, op.const(weight)), op.const(phase)))
    length = op.sqrt(op.reduce_sum(op.mul(waves, waves), op.const([1]), keepdims=1))
    graph: bytes = op.build({"image": image}, {"embedding": op.div(waves, length)}).SerializeToString()
    return graph


@pytest.fixture(scope="session")
def face_parts() -> tuple[BlockDetector, GraphBlockEmbedder]:
    """Detector and embedder of a `FaceEncoder`."""
    return BlockDetector(), GraphBlockEmbedder()


@pytest.fixture(scope="session")
def face_pipeline() -> FacePipeline:
    return FacePipeline(BlockDetector(), BlockEmbedder())


@pytest.fixture(scope="session")
def other_face_pipeline() -> FacePipeline:
    """The same with an embedder of other weights."""
    return FacePipeline(BlockDetector(), BlockEmbedder(0.4, "cd" * 32))


@pytest.fixture(scope="session")
def face_calibration(face_pipeline: FacePipeline) -> Calibration:
    """What scores of `face_pipeline` mean, from 200 people."""
    rng = np.random.default_rng(99)
    people = np.repeat(np.arange(200), 2)
    rows = rng.normal(size=(200, _WIDTH))[people] + 0.5 * rng.normal(size=(400, _WIDTH))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return calibrate(
        rows, people, fingerprint=spec_fingerprint(face_pipeline.embedder.embedding_spec), source="made up"
    )


class DrawnFaces(Protocol):
    def __call__(
        self, folder: Path, people: int, *, each: int = 2, seed: int = 0, missing: float = 0.0
    ) -> Path: ...


@pytest.fixture(scope="session")
def drawn_faces() -> DrawnFaces:
    """Write FOLDER/points.csv and FOLDER/PERSON_0.png ... and return the CSV.

    A face is an ellipse with two eyes, a nose and two corners of the mouth, its five points, at a place, size
    and turn and in colours of its own. `missing` is the share of points that the CSV leaves out.
    """

    def write(folder: Path, people: int, *, each: int = 2, seed: int = 0, missing: float = 0.0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["name," + ",".join(f"{part}_{axis}" for part in FACE for axis in "xy")]
        for person in range(people):
            for photo in range(each):
                rng = np.random.default_rng([seed, person, photo])
                image, points = _face(rng, np.random.default_rng([seed, person]))
                name = f"ünä {person:02d}_{photo}.png"
                image.save(folder / name)
                cells = [f"{value:.2f}" for value in points.ravel()]
                for point in np.flatnonzero(rng.random(len(points)) < missing)[:3]:
                    cells[2 * point : 2 * point + 2] = ["", ""]
                lines.append(",".join([name, *cells]))
        (folder / "points.csv").write_text("\n".join(lines) + "\n", "utf-8")
        return folder / "points.csv"

    return write


FACE = {
    "left_eye": (-0.4, -0.3),
    "right_eye": (0.4, -0.3),
    "nose": (0.0, 0.1),
    "mouth_left": (-0.35, 0.5),
    "mouth_right": (0.35, 0.5),
}


def _face(
    rng: np.random.Generator, of_person: np.random.Generator
) -> tuple[Image.Image, NDArray[np.float64]]:
    width, height, fine = 72, 60, 4
    skin, ground = (tuple(of_person.integers(low, low + 60, 3).tolist()) for low in (170, 40))
    shape = np.array(list(FACE.values())) + of_person.normal(scale=0.03, size=(5, 2))
    angle, size = rng.normal(scale=0.15), rng.uniform(16, 22)
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = shape @ turn.T + [width / 2, height / 2] + rng.uniform(-6, 6, 2)
    image = Image.new("RGB", (width * fine, height * fine), ground)
    draw = ImageDraw.Draw(image)
    outline = np.stack([np.cos(np.linspace(0, 6.28, 40)), 1.2 * np.sin(np.linspace(0, 6.28, 40))], axis=1)
    middle = points.mean(axis=0)
    draw.polygon([tuple(p) for p in fine * (outline @ turn.T + middle)], fill=skin)
    for point, colour in zip(points, ("black", "black", "brown", "red", "red"), strict=True):
        x, y = fine * (point + 0.5)
        draw.ellipse([x - 8, y - 8, x + 8, y + 8], fill=colour)
    return image.resize((width, height), Image.Resampling.BOX), points
