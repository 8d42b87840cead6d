"""Features of any number of photos, from a source to a folder of features."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ..backbones.backbone import Backbone
from ..backbones.extraction import Extractor, features_record
from ..backbones.feature_folder import BlockEntry, FeatureFolder, is_feature_folder
from ..classification.estimator import ImageClassifier
from ..classification.options import ClassifierOptions
from ..core.locking import locked
from ..core.options import option_values
from ..core.progress import Progress
from ..core.runtime import trim_memory
from ..data.options import TableOptions
from ..data.sources import Part, find_source, open_source
from ..errors import DatasetError
from .ray_cluster import Cluster

__all__ = ["extract_source", "is_stream"]


def extract_source(
    source: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    classifier: ClassifierOptions | None = None,
    table: TableOptions | None = None,
    dtype: str = "float16",
    on: str | None = None,
    progress: Progress | None = None,
) -> FeatureFolder:
    """Take the features of a source's photos; a killed run goes on where it was.

    Parameters
    ----------
    source : path
        What `data.sources.open_source` reads.
    to : path
        The folder of features, new or begun by the same call before.
    classifier : ClassifierOptions, optional
        Of which the network, its weights and preprocessing, `threads` and `strict` are taken.
    table : TableOptions, optional
        How a CSV is read, and what columns are called.
    dtype : str
        "float16" or "float32".
    on : str, optional
        "ray", or "ray:ADDRESS" of a cluster, whose machines share the folder.
    progress : callable, optional
        Called as progress(done, total); the total is what is known so far where a source does not tell.

    Returns
    -------
    FeatureFolder

    Raises
    ------
    DataError, OutputError, MissingExtraError
        Blocks that were made are kept.
    """
    options = classifier or ClassifierOptions()
    cluster = None if on is None else Cluster(on, options.threads)
    with locked(to):
        opened = open_source(source, table)
        backbone = ImageClassifier(**option_values(options)).make_encoder().backbone
        weights = None if options.weights is None else os.fspath(options.weights)
        record = features_record(
            backbone, name=_name(options), weights=weights, dtype=dtype, source=opened.name
        )
        folder = FeatureFolder(Path(to), record)
        folder.prepare()
        counted = _Counted(progress, opened.count())
        if cluster is None:
            found = _on_this_machine(opened.parts(), backbone, folder, options.threads, counted)
        else:
            found = cluster.extract(opened.parts(), folder, counted)
        return _finished(folder, found, options)


def _name(options: ClassifierOptions) -> str:
    """What the network is called; a file by its whole path, as it is opened from elsewhere too."""
    name = os.fspath(options.backbone)
    return str(Path(name).resolve()) if name.lower().endswith(".onnx") else name


def is_stream(given: str | os.PathLike[str], table: TableOptions | None = None) -> bool:
    """Whether a name stands for a folder of features, or a source that is read as a stream."""
    return is_feature_folder(Path(given)) or find_source(given, table) is not None


def _on_this_machine(
    parts: Iterable[Part],
    backbone: Backbone,
    folder: FeatureFolder,
    threads: int | None,
    done: Callable[[int], None],
) -> list[BlockEntry]:
    extractor = Extractor(backbone, folder, threads)
    return [entry for part in parts for entry in extractor.part(part, done)]


def _finished(folder: FeatureFolder, blocks: list[BlockEntry], options: ClassifierOptions) -> FeatureFolder:
    trim_memory()
    done = folder.finish(blocks)
    name, rows = done.record.source, done.record.rows
    if not rows:
        raise DatasetError(f"{name}: no photo is in it")
    if done.record.unreadable == rows or (options.strict and done.record.unreadable):
        photo, reason = next(done.unreadable())
        which = f"none of the {rows} photos can be read; " if done.record.unreadable == rows else ""
        raise DatasetError(f"{name}: {which}{photo}: {reason}")
    return done


class _Counted:
    """Adds up photos for a progress callback."""

    def __init__(self, progress: Progress | None, total: int | None) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, photos: int) -> None:
        self._done += photos
        if self._progress:
            self._progress(self._done, max(self._total or 0, self._done))
