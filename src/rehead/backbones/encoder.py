"""What turns a photo into the features that a head takes: the whole photo, or a part of it such as a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Progress
from ..images import load_image
from .backbone import Backbone
from .features import Features, extract, extract_views

__all__ = ["Encoder", "PhotoEncoder", "ViewEncoder"]


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
        paths: Sequence[Path],
        *,
        mirror: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Features:
        """Features of photos, and with `mirror` of their mirror images; those that fail are listed in it."""

    def pixels(self, paths: Sequence[Path]) -> NDArray[np.uint8]:
        """What the network gets of photos, uint8 (n, S, S, 3) RGB; ImageError where that cannot be had."""

    def manifest(self) -> Mapping[str, Any]:
        """Further entries of the model file's manifest."""

    def warnings(self, paths: Sequence[Path]) -> list[str]:
        """Plain sentences about photos that were trained on, worth knowing before relying on them."""


@runtime_checkable
class ViewEncoder(Encoder, Protocol):
    """One that can also say what another camera would make of photos: where it cannot, no style is known."""

    def extract_views(
        self,
        paths: Sequence[Path],
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
        paths: Sequence[Path],
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
        paths: Sequence[Path],
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

    def pixels(self, paths: Sequence[Path]) -> NDArray[np.uint8]:
        """See `Encoder`."""
        return np.stack([load_image(path, self.backbone.preprocess) for path in paths])

    def manifest(self) -> Mapping[str, Any]:
        """Nothing more."""
        return {}

    def warnings(self, paths: Sequence[Path]) -> list[str]:  # noqa: ARG002
        """None."""
        return []
