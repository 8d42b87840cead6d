"""What turns a photo into the features that a head takes: the whole photo, or a part of it such as a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..core.engines import ONNX_RUNTIME
from ..core.photos import File
from ..core.preprocess import GreyRange
from ..core.progress import Progress
from ..images import load_image
from .backbone import Backbone
from .features import Features, extract, extract_views

__all__ = [
    "Encoder",
    "PhotoEncoder",
    "ViewEncoder",
    "engine_bias",
    "for_answers",
    "for_photos",
    "grey_range_note",
]

_COMPARED = 16  # photos: of 64 the mean is no better (benchmarks/engines.py)


class Encoder(Protocol):
    """Turns photos into features, and says what a model file needs to do the same."""

    @property
    def kind(self) -> str:
        """What a classifier's model file calls itself: "classifier" for whole photos."""

    @property
    def backbone(self) -> Backbone:
        """The network whose features these are."""

    def extract(
        self,
        paths: Sequence[File],
        *,
        mirror: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Features:
        """Features of photos, and with `mirror` of their mirror images; those that fail are listed in it."""

    def pixels(self, paths: Sequence[File]) -> NDArray[np.uint8]:
        """What the network gets of photos, uint8 (n, S, S, 3) RGB; ImageError where that cannot be had."""

    def manifest(self) -> Mapping[str, Any]:
        """Further entries of the model file's manifest."""

    def warnings(self, paths: Sequence[File]) -> list[str]:
        """Plain sentences about photos that were trained on, worth knowing before relying on them."""


@runtime_checkable
class ViewEncoder(Encoder, Protocol):
    """One that can also say what another camera would make of photos: where it cannot, no style is known."""

    def extract_views(
        self,
        paths: Sequence[File],
        views: Sequence[str],
        digests: Sequence[str],
        *,
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """Features of one view of each photo, as `features.extract_views`."""


@dataclass(frozen=True)
class PhotoEncoder:
    """Whole photos through a backbone.

    Parameters
    ----------
    backbone : Backbone
    cache : bool or path
        Keep features in rehead's cache, in another folder, or not at all.
    """

    backbone: Backbone
    cache: bool | Path = True
    kind = "classifier"

    def extract(
        self,
        paths: Sequence[File],
        *,
        mirror: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Features:
        """See `Encoder`."""
        return extract(
            paths,
            self.backbone,
            mirror=mirror,
            cache=self.cache is not False,
            cache_root=None if isinstance(self.cache, bool) else self.cache,
            threads=threads,
            progress=progress,
        )

    def extract_views(
        self,
        paths: Sequence[File],
        views: Sequence[str],
        digests: Sequence[str],
        *,
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """See `ViewEncoder`."""
        return extract_views(
            paths,
            views,
            digests,
            self.backbone,
            cache=self.cache is not False,
            cache_root=None if isinstance(self.cache, bool) else self.cache,
            threads=threads,
        )

    def pixels(self, paths: Sequence[File]) -> NDArray[np.uint8]:
        """See `Encoder`."""
        return np.stack([load_image(path, self.backbone.preprocess) for path in paths])

    def manifest(self) -> Mapping[str, Any]:
        """Nothing more."""
        return {}

    def warnings(self, paths: Sequence[File]) -> list[str]:  # noqa: ARG002
        """Which grey values are black and white, where photos have more than 8 bits."""
        limits = self.backbone.preprocess.grey_range
        return [] if limits is None else [grey_range_note(limits)]


def for_photos(encoder: Encoder, paths: Sequence[File], *, threads: int | None = None) -> Encoder:
    """The encoder for these photos, as `Backbone.for_photos`; one of another kind as it is."""
    if not isinstance(encoder, PhotoEncoder):
        return encoder
    return replace(encoder, backbone=encoder.backbone.for_photos(paths, threads=threads))


def for_answers(encoder: Encoder) -> Encoder:
    """The encoder as a model file runs it: by ONNX Runtime, whatever took the features of training photos."""
    if not isinstance(encoder, PhotoEncoder):
        return encoder
    return replace(encoder, backbone=encoder.backbone.with_engine(ONNX_RUNTIME))


def engine_bias(
    features: Features, encoder: Encoder, paths: Sequence[File], *, threads: int | None = None
) -> NDArray[np.float32] | None:
    """By how much features lie beside those that answers are made from, on average, float32 (D,).

    In bf16 most of the difference from ONNX Runtime's features is the same for all photos: weights that were
    rounded. A head that is fitted without it fits the features of the model file. None where they are those.

    Parameters
    ----------
    features : Features
        Of the photos, by the encoder.
    encoder : Encoder
    paths : sequence of path or bytes
        The photos; 16 of them are run by ONNX Runtime too.
    threads : int, optional
    """
    answering = for_answers(encoder)
    if answering.backbone.engine == encoder.backbone.engine:
        return None
    rows = np.flatnonzero(features.readable)
    rows = rows[:: max(1, len(rows) // _COMPARED)][:_COMPARED]
    exact = answering.extract([paths[n] for n in rows.tolist()], threads=threads)
    both = exact.readable
    if not both.any():
        return None
    bias: NDArray[np.float32] = (features.plain[rows[both]] - exact.plain[both]).mean(axis=0)
    return bias


def grey_range_note(limits: GreyRange) -> str:
    """A sentence on photos of more than 8 bits, and what they are taken for."""
    low, high = (f"{value:.6g}" for value in limits)
    return (
        f"Grey photos of more than 8 bits are read from {low}, black, to {high}, white, by the largest value "
        "of all of them; the model file says so, and photos to predict are read the same way."
    )
