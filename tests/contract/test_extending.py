"""What CONTRIBUTING's table says of adding things, walked: each in as many files as it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from rehead import ImageClassifier, PreprocessSpec, load_model, train
from rehead.backbones.backbone import Backbone, FeatureLevel
from rehead.backbones.encoder import PhotoEncoder
from rehead.backbones.features import Features
from rehead.backbones.graphs import builder as op
from rehead.core.options import Opt, arguments_of, check_options, options_of
from rehead.core.photos import File
from rehead.core.progress import Progress
from rehead.errors import DataError

ROOT = Path(__file__).parents[2]


def mean_colour_backbone() -> Backbone:
    """A backbone that is nothing but a graph: the mean colour of 32 x 32 pixels, through a fixed mixture."""
    image = op.argument(np.uint8, ("N", 32, 32, 3))
    pixels = op.div(op.cast(image, to=np.float32), op.const(np.float32(255)))
    channels_first = op.transpose(pixels, perm=[0, 3, 1, 2])
    mixture = np.random.default_rng(0).normal(size=(6, 3, 4, 4)).astype(np.float32)
    maps = op.relu(op.conv(channels_first, op.const(mixture), strides=[4, 4]))
    graph: bytes = op.build({"image": image}, {"colours": maps}).SerializeToString()
    return Backbone(
        "mean colour",
        PreprocessSpec(32, (0, 0, 0), (1, 1, 1)),
        (FeatureLevel("colours", 6),),
        {"name": "mean colour", "sha256": "00" * 32, "licences": {}},
        graph,
    )


def test_a_backbone_is_added_from_outside_in_one_file(
    photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    photos = photo_folder(tmp_path / "photos", {"red fish": 16, "blå": 16})
    classifier = ImageClassifier(encoder=PhotoEncoder(mean_colour_backbone(), cache=False))
    run = train(photos, tmp_path / "run", classifier=classifier)
    assert run.evaluation is not None
    assert run.evaluation.scores.accuracy.value >= 0.8
    model = load_model(run.folder / "model.onnx")
    assert model.manifest["backbone"]["name"] == "mean colour"
    photo = next((photos / "blå").iterdir())
    expected = run.classifier.predict_proba([photo])
    np.testing.assert_allclose(model.predict_proba(photo), expected, atol=1e-4)
    assert onnxruntime.InferenceSession(str(run.folder / "model.onnx")).get_inputs()[0].name == "image"


@dataclass(frozen=True)
class WorstHalf:
    """An encoder of one file: only the lower half of each photo, through a backbone."""

    inner: PhotoEncoder
    kind = "classifier"

    @property
    def backbone(self) -> Backbone:
        return self.inner.backbone

    def extract(
        self,
        paths: Sequence[File],
        *,
        mirror: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Features:
        return self.inner.extract(paths, mirror=mirror, threads=threads, progress=progress)

    def pixels(self, paths: Sequence[File]) -> NDArray[np.uint8]:
        return self.inner.pixels(paths)

    def manifest(self) -> Mapping[str, Any]:
        return {"note": "lower half"}

    def warnings(self, paths: Sequence[File]) -> list[str]:
        return [f"{len(paths)} photos were cut."]


def test_an_encoder_is_added_from_outside_in_one_file(
    photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    photos = photo_folder(tmp_path / "photos", {"red fish": 12, "blå": 12})
    encoder = WorstHalf(PhotoEncoder(mean_colour_backbone(), cache=False))
    classifier = ImageClassifier(encoder=encoder).fit(photos)
    assert "24 photos were cut." in classifier.warnings_
    classifier.save(tmp_path / "model.onnx")
    assert load_model(tmp_path / "model.onnx").manifest["note"] == "lower half"


@dataclass(kw_only=True)
class Options:
    """An owner of options."""

    folds: Annotated[int, Opt(help="Of the cross-validation.", ge=2)] = 5
    quick: Annotated[bool, Opt(help="Whether to hurry.")] = False


def test_an_option_is_added_by_its_declaration() -> None:
    assert list(options_of(Options)) == ["folds", "quick"]
    assert arguments_of(Options(folds=3, quick=True)) == ["--folds", "3", "--quick"]
    with pytest.raises(DataError, match="folds is 1; expected a whole number, 2 or more"):
        check_options(Options(folds=1))


def test_the_table_names_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text[text.index("| to add |") :].split("\n\n")[0]
    named = re.findall(r"`((?:src|tests)/[\w/.]+)`", table)
    assert len(named) >= 10
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []
