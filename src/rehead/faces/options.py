"""The options of a face encoder, declared."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from ..core.options import Opt, check_options

if TYPE_CHECKING:
    from .types import Detector, Embedder

    AnyDetector: TypeAlias = str | Detector
    AnyEmbedder: TypeAlias = str | os.PathLike[str] | Embedder
else:  # these two need numpy, and the command line needs none of them
    AnyDetector = AnyEmbedder = Any

__all__ = ["DETECTORS", "REPLACED", "CalibrationFile", "FaceOptions", "NamingOptions", "TargetFmr"]

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

CalibrationFile = Annotated[
    Path | None,
    Opt(
        help="What scores mean, as `rehead faces evaluate` saves it; the embedder's own by default.",
        default=None,
    ),
]
TargetFmr = Annotated[
    float | None,
    Opt(
        help="Share of pairs of different people that may match; the threshold follows from it.",
        ge=1e-9,
        le=0.999,
        flag="--false-matches",
        shown="0.001, or as low as is supported",
        default=None,
    ),
]


@dataclass(frozen=True, kw_only=True)
class NamingOptions:
    """When a face is given a name.

    Parameters
    ----------
    fpir : float
        Share of strangers who may be taken for somebody.
    accept_unsupported : bool
        Name people although the calibration does not support so low a share.
    refuse_poor : bool
        Leave out faces that are small, blurred or turned away.
    """

    fpir: Annotated[
        float,
        Opt(
            help="Share of strangers who may be taken for somebody; the threshold follows from it.",
            ge=1e-9,
            le=0.999,
            flag="--strangers",
        ),
    ] = 0.01
    accept_unsupported: Annotated[
        bool,
        Opt(
            help="Name people although so low a share of strangers is not supported.",
            flag="--accept-unsupported",
        ),
    ] = False
    refuse_poor: Annotated[
        bool, Opt(help="Leave out faces that are small, blurred or turned away.", flag="--refuse-poor")
    ] = False

    def __post_init__(self) -> None:
        check_options(self)


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
