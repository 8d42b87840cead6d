"""The options of a classifier, declared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ..core.options import BackboneOptions, EstimatorOptions, Opt
from ..core.preprocess import PreprocessSpec

__all__ = ["ClassifierOptions"]


def _levels(word: str) -> int | str:
    if word == "auto" or (word.isdecimal() and int(word) >= 1):
        return word if word == "auto" else int(word)
    raise ValueError("expected auto or a whole number from 1")


@dataclass(kw_only=True, repr=False, eq=False)
class ClassifierOptions(EstimatorOptions, BackboneOptions):
    """The options of `ImageClassifier`, whose docstring says more of each."""

    preprocess: Annotated[
        PreprocessSpec | str | os.PathLike[str] | None,
        Opt(help="JSON record of how photos are prepared, instead of the backbone's own.", cli=Path | None),
    ] = None
    n_levels: Annotated[
        Literal["auto"] | int,
        Opt(help="Feature levels to take: auto, or how many of the last.", ge=1, parse=_levels),
    ] = "auto"
    mirror: Annotated[
        Literal["auto"] | bool,
        Opt(
            help="Train on mirrored photos too, if it helps: auto (few photos), yes or no.",
            choices={"auto": "auto", "yes": True, "no": False},
        ),
    ] = "auto"
    engine: Annotated[
        Literal["onnxruntime", "auto", "openvino", "cuda", "coreml", "directml"],
        Opt(
            help="What takes features of photos, as `rehead engines` lists it; auto: the fastest that it "
            "measured here. Tests and answers stay ONNX Runtime's.",
            cli=str,
        ),
    ] = "onnxruntime"
    golden: Annotated[
        bool,
        Opt(
            help="Keep small copies of five training photos in the model file, which `rehead check` asks it "
            "besides drawn pictures: whoever has the file can see them.",
            flag="--golden",
        ),
    ] = False
    class_weight: Annotated[
        Literal["balanced"] | None,
        Opt(
            help="Weigh every class the same, however many photos it has.",
            flag="--balanced",
            sets="balanced",
        ),
    ] = None
    keep_statistics: Annotated[
        bool,
        Opt(
            help="Keep sums over the training photos beside the model, statistics.npz, so that photos can be "
            "added, forgotten and merged later without the others. The head is then a ridge.",
            flag="--keep-statistics",
        ),
    ] = False
    statistics_by_class: Annotated[
        bool,
        Opt(
            help="Keep the sums of each class apart, so that a whole class can be forgotten without its "
            "photos: as many times the size as there are classes.",
            flag="--statistics-by-class",
        ),
    ] = False
    strict: Annotated[
        bool, Opt(help="Refuse unreadable photos instead of leaving them out.", flag="--strict")
    ] = False
    cache: Annotated[
        bool | str | os.PathLike[str], Opt(help="Keep features, so that the next run is faster.", cli=bool)
    ] = True

    @property
    def keeps_statistics(self) -> bool:
        """Whether sums over the photos are kept."""
        return self.keep_statistics or self.statistics_by_class
