"""The options of a face encoder, declared."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from ..core.options import Opt

if TYPE_CHECKING:
    from .types import Detector, Embedder

    AnyDetector: TypeAlias = str | Detector
    AnyEmbedder: TypeAlias = str | os.PathLike[str] | Embedder
else:  # these two need numpy, and the command line needs none of them
    AnyDetector = AnyEmbedder = Any

__all__ = ["DETECTORS", "REPLACED", "FaceOptions"]

DETECTORS = ("mtcnn", "yunet", "dlib", "dlib-cnn", "haar")
"""Ways to find faces, by name."""

REPLACED = (
    "backbone",
    "weights",
    "size",
    "grey_range",
    "preprocess",
    "n_levels",
    "engine",
    "golden",
    "cache",
)
"""Options of a classifier that a face encoder takes the place of."""


@dataclass(kw_only=True, repr=False, eq=False)
class FaceOptions:
    """How faces are found, and how one becomes a vector.

    Parameters
    ----------
    detector : str or Detector
        One of `DETECTORS`.
    embedder : str, path or Embedder
        "dlib", FaceNet's weights (.pt or .h5), or an ONNX file with its record beside it.
    selection : {"centre", "largest", "error"}
        Which of several faces is meant: by default the largest near the middle.
    commercial_safe : bool
        Refuse a named embedder whose code or weights are not stated to be free for commercial use.
    """

    detector: Annotated[
        AnyDetector, Opt(help="How faces are found.", choices={name: name for name in DETECTORS})
    ] = field(default="mtcnn", kw_only=False)
    embedder: Annotated[
        AnyEmbedder,
        Opt(
            help="dlib, FaceNet's weights (.pt or .h5), or an ONNX file with its JSON spec beside it.",
            cli=str,
        ),
    ] = field(default="dlib", kw_only=False)
    selection: Annotated[
        Literal["centre", "largest", "error"],
        Opt(
            help="Several faces in a photo: take the one in the centre, the largest, or none.",
            flag="--several",
        ),
    ] = "centre"
    commercial_safe: Annotated[
        bool,
        Opt(
            help="Refuse an embedder whose code or weights are not stated to be free for commercial use.",
            flag="--commercial-safe",
        ),
    ] = False
