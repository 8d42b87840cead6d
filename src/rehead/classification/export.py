"""A classifier's model file: its graph, what it says of itself, and the check that it answers as fitted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backbones import graphs
from ..core.model_file import write_model_file
from ..core.runtime import open_session
from ..errors import ModelFileError
from ..heads.mahalanobis import RelativeMahalanobis

if TYPE_CHECKING:
    from .estimator import ImageClassifier

__all__ = ["write_classifier"]

_PARITY = 1e-4  # largest difference between the fitted head and the file that is written, in probability
_CHECKED = 4  # photos


def write_classifier(
    path: str | os.PathLike[str],
    fitted: ImageClassifier,
    distance: RelativeMahalanobis,
    photos: Sequence[Path],
    digests: Sequence[str],
    extra: Mapping[str, Any],
) -> None:
    """Write a fitted classifier as one ONNX with its manifest, whole or not at all.

    Parameters
    ----------
    path : path
    fitted : ImageClassifier
    distance : RelativeMahalanobis
        Its outlier score.
    photos, digests : sequence of path, of str
        What it was trained on; the file is run on a few of these before it is written.
    extra : mapping
        Further entries of the manifest.

    Raises
    ------
    ModelFileError
        The file would not answer as the classifier does, to 1e-4.
    OutputError
        It cannot be written.
    """
    graph = _graph(fitted, distance)
    _check_parity(graph, fitted, photos[:: max(1, len(photos) // _CHECKED)][:_CHECKED])
    write_model_file(path, graph, {**_manifest(fitted, digests), **extra})


def _graph(fitted: ImageClassifier, distance: RelativeMahalanobis) -> bytes:
    import onnx

    network, selection = fitted.backbone_, fitted.selection_
    model = graphs.linear_model(
        onnx.load_from_string(network.trunk),
        [level.name for level in network.levels],
        first=network.blocks[-selection.chosen.n_levels].start,
        weight=(selection.weight / fitted.temperature_).astype(np.float32),
        bias=(selection.bias / fitted.temperature_).astype(np.float32),
        outlier=distance,
    )
    model.producer_name = "rehead"
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def _check_parity(graph: bytes, fitted: ImageClassifier, photos: Sequence[Path]) -> None:
    pixels = fitted.pixels(photos, fitted.backbone_)
    found, _, _ = open_session(graph, threads=1).run(None, {"image": pixels})
    expected, _ = fitted.decision(photos)
    if (difference := float(np.abs(found - expected).max())) > _PARITY:
        raise ModelFileError(
            f"the file to be written differs from the fitted head by {difference:.1e} in probability, "
            f"more than {_PARITY}; this is a defect of rehead or of the backbone's graph; please tell us"
        )


def _manifest(fitted: ImageClassifier, digests: Sequence[str]) -> dict[str, Any]:
    chosen = fitted.selection_.chosen
    return {
        "kind": fitted.kind,
        "labels": [str(name) for name in fitted.classes_],
        "preprocess": fitted.backbone_.preprocess.to_dict(),
        "backbone": fitted.weights_record_,
        "depths": [level.name for level in fitted.backbone_.levels],
        "head": {
            "loss": chosen.loss,
            "depths": chosen.n_levels,
            "mirrored": chosen.mirrored,
            "strength": chosen.l2,
            "log_loss": chosen.log_loss,
            "temperature": fitted.temperature_,
            "class_weight": fitted.class_weight,
            "folds": fitted.n_folds_,
            "seed": fitted.random_state,
        },
        "operating_point": fitted.operating_point_.to_dict(),
        "photos": fitted.class_counts_,
        "unreadable": [name for name, _ in fitted.unreadable_],
        "seen": " ".join(sorted(digest[:12] for digest in digests)),
    }
