"""What a classifier is fitted on: the features of photos, their classes, and which belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..backbones.encoder import Encoder, ViewEncoder, engine_bias
from ..backbones.features import Features, duplicate_groups
from ..core.photos import File
from ..core.progress import Progress
from ..data import check_trainable, cv_folds, merge_groups
from ..data.inputs import LabelledPhotos
from ..errors import DatasetError
from ..heads.mahalanobis import StyleViews
from ..images import CAMERA_VIEWS
from .options import ClassifierOptions

__all__ = ["TrainingFeatures", "extract_features", "groups_of", "mirrors", "style_views"]

_MIRROR_UP_TO = 200  # photos; mirrored ones cost as much again and gain little, benchmarks/head_candidates.py
_VIEWED = 100  # views of photos, 20 of each style: 192 gave the same limits (benchmarks/RESULTS.md)


@dataclass(frozen=True, eq=False)
class TrainingFeatures:
    """What is known of the photos before anything is fitted, a row for each that is readable.

    Parameters
    ----------
    backbone : Backbone
    plain, mirrored : float32 ndarray (n, D)
        Features of the photos and of their mirror images; None where those were not asked for.
    classes : ndarray (K,)
        Of str, or of the integers that were given.
    target : int ndarray (n,)
        Class of each, 0..K-1.
    group : int ndarray (n,)
        Copies and near-copies, and photos of one given group, share a number.
    paths : tuple of path or bytes
    digests : tuple of str
        Sha256 of each file.
    readable : bool ndarray
        Which of the photos that were given these are.
    unreadable : tuple of (str, str)
        Name and reason of the others.
    sample_weight : float64 ndarray (n,) or None
        Weight of each, None where all weigh the same.
    views : StyleViews or None
        Some of the photos as another camera would have taken them; None where the encoder cannot tell.
    """

    backbone: Backbone
    plain: NDArray[np.float32]
    mirrored: NDArray[np.float32] | None
    classes: NDArray[Any]
    target: NDArray[np.intp]
    group: NDArray[np.intp]
    paths: tuple[File, ...]
    digests: tuple[str, ...]
    readable: NDArray[np.bool_]
    unreadable: tuple[tuple[str, str], ...] = ()
    sample_weight: NDArray[np.float64] | None = None
    views: StyleViews | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[np.bool_]) -> TrainingFeatures:
        """What is known of some of them."""
        return replace(
            self,
            plain=self.plain[rows],
            mirrored=None if self.mirrored is None else self.mirrored[rows],
            target=self.target[rows],
            group=self.group[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            paths=tuple(compress(self.paths, rows)),
            digests=tuple(compress(self.digests, rows)),
            views=None if self.views is None else self.views.take(rows),
        )

    @property
    def class_counts(self) -> dict[str, int]:
        """Photos of each class."""
        counts = np.bincount(self.target, minlength=len(self.classes)).tolist()
        return dict(zip(map(str, self.classes), counts, strict=True))

    def folds(self, options: ClassifierOptions) -> NDArray[np.intp]:
        """Fold of each photo, (n,), no group divided; DatasetError where there are no two."""
        fold = cv_folds(self.target, self.group, count=options.cv, seed=options.random_state)
        if fold.max() < 1:
            raise DatasetError(
                "every class consists of one group of photos (near-duplicates, a burst, or a group that was "
                "given); add photos of other scenes"
            )
        return fold


def mirrors(options: ClassifierOptions, photos: int) -> bool:
    """Whether mirrored photos are tried when there are that many."""
    return options.mirror is True or (options.mirror == "auto" and photos <= _MIRROR_UP_TO)


def extract_features(
    rows: LabelledPhotos, encoder: Encoder, options: ClassifierOptions, progress: Progress | None = None
) -> TrainingFeatures:
    """Take the features of the training photos, and see which photos belong together.

    Raises
    ------
    DataError
        Too few classes or photos; with `strict` an unreadable photo.
    """
    names, paths, labels, groups, _, weights = rows
    backbone = encoder.backbone
    features = encoder.extract(
        paths, mirror=mirrors(options, len(paths)), threads=options.threads, progress=progress
    )
    if options.strict and features.errors:
        raise features.errors[0][1]
    keep = features.readable
    check_trainable(rows.as_dataset(keep))
    classes, target = np.unique(labels[keep], return_inverse=True)
    group = groups_of(features, backbone, keep, groups)
    bias = engine_bias(features, encoder, paths, threads=options.threads)
    plain = features.plain if keep.all() else features.plain[keep]
    mirrored = None if features.mirrored is None else features.mirrored[keep]
    if bias is not None:
        plain, mirrored = plain - bias, None if mirrored is None else mirrored - bias
    readable, digests = tuple(compress(paths, keep)), tuple(compress(features.digests, keep))
    return TrainingFeatures(
        backbone,
        plain,
        mirrored,
        classes,
        target,
        group,
        readable,
        digests,
        keep,
        tuple((names[row], error.reason) for row, error in features.errors),
        None if weights is None else weights[keep],
        style_views(encoder, readable, digests, plain, options, bias),
    )


def style_views(
    encoder: Encoder,
    paths: Sequence[File],
    digests: Sequence[str],
    plain: NDArray[np.float32],
    options: ClassifierOptions,
    bias: NDArray[np.float32] | None = None,
) -> StyleViews | None:
    """Views of some photos, whose features are `plain` (n, D); None where the encoder has none.

    `bias` (D,) is what `plain` was rid of, as of `encoder.engine_bias`.
    """
    if not isinstance(encoder, ViewEncoder):
        return None
    names = list(CAMERA_VIEWS)
    order = np.random.default_rng(options.random_state).permutation(len(paths))
    turn = np.arange(min(_VIEWED, len(paths) * len(names)))
    photo = order[turn % len(paths)]
    style = (turn % len(paths) + turn // len(paths)) % len(names)
    rows = encoder.extract_views(
        [paths[n] for n in photo],
        [names[n] for n in style],
        [digests[n] for n in photo],
        threads=options.threads,
    )
    rows = rows if bias is None else rows - bias
    there = np.isfinite(rows).all(axis=1)
    photo, rows = photo[there], rows[there]
    known, style = np.unique(style[there], return_inverse=True)
    if not len(known):
        return None
    shifts = np.stack([(rows - plain[photo])[style == k].mean(axis=0) for k in range(len(known))])
    return StyleViews(tuple(names[n] for n in known), photo, style, rows, shifts)


def groups_of(
    features: Features, backbone: Backbone, keep: NDArray[np.bool_], given: NDArray[Any] | None
) -> NDArray[np.intp]:
    """Group of each photo that is kept: near-duplicates, and those that are given (n,), are together."""
    near = duplicate_groups(features, backbone)[keep]
    return merge_groups(near) if given is None else merge_groups(near, given[keep])
