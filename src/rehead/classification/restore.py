"""A fitted classifier again from its model file and its statistics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..backbones.backbone import load_backbone
from ..backbones.encoder import PhotoEncoder
from ..core.model_file import read_model_file
from ..errors import DataError, ModelFileError
from .fitted import FittedClassifier, TrainedOn
from .statistics_file import read_statistics, statistics_beside

__all__ = ["load_fitted"]


def load_fitted(
    path: str | os.PathLike[str], cache: bool | str | os.PathLike[str]
) -> tuple[FittedClassifier, dict[str, Any]]:
    """The fitted classifier of a model file and its statistics, and the options that it was fitted by.

    `path` is the file, or the run folder that holds model.onnx. ModelFileError, DataError.
    """
    model = Path(path) / "model.onnx" if Path(path).is_dir() else Path(path)
    file = read_model_file(model)
    said = file.manifest
    if "statistics" not in said:
        raise ModelFileError(
            f"{model}: was trained without statistics, so that it cannot learn or forget; train it with "
            "--keep-statistics"
        )
    beside = statistics_beside(model)
    saved, digest = read_statistics(beside)
    if digest != said["statistics"]:
        raise DataError(f"{beside}: the statistics of another model than {model.name}; put its own beside it")
    backbone = load_backbone(model)
    photos = saved.photos
    # the digest says that the network is the same; some are cut off elsewhere, which changes the fingerprint
    same = all(backbone.context[name] == photos.context.get(name) for name in ("preprocess", "levels"))
    if not same or [level.width for level in backbone.levels] != [*photos.widths]:
        raise DataError(f"{beside}: statistics of another backbone or other levels than {model.name} has")
    head, kept = said.get("head", {}), Path(cache) if not isinstance(cache, bool) else cache
    balanced, seed = "balanced" if photos.balanced else None, int(head.get("seed", 0))
    options = {
        "backbone": os.fspath(model),
        "n_levels": photos.levels[0] if len(photos.levels) == 1 else "auto",
        "class_weight": balanced,
        "coverage": saved.operating_point.coverage,
        "random_state": seed,
        "keep_statistics": True,
        "statistics_by_class": photos.by_class,
    }
    trained_on = TrainedOn(
        (),
        photos.learnt.digests,
        photos.class_counts,
        (),
        0,
        balanced,
        seed,
        backbone.engine.record(),
    )
    encoder, solved = PhotoEncoder(backbone, kept), photos.head()
    outliers = photos.outlier_model().with_styles_at(saved.style_limit, saved.allowances)
    fitted = FittedClassifier(
        encoder,
        backbone,
        photos.classes,
        solved,
        saved.temperature,
        outliers,
        saved.operating_point,
        trained_on,
        (),
        solved.parameters,
        photos,
        saved.changes,
    )
    return fitted, options
