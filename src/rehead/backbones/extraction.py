"""Features of a stream of photos, block after block, into a folder.

Memory is that of two blocks of photos, whatever their number: one is read while the network runs on the
other. A block ends after 1,024 photos or 128 MB of their bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.cache import digest_of
from ..core.model_file import read_model_file
from ..core.preprocess import PreprocessSpec
from ..data.sources import Part, Sample, read_ahead
from ..errors import DataError, ImageError, ModelFileError
from ..images import CAMERA_VIEWS
from .backbone import Backbone, load_backbone
from .engines import open_features
from .feature_folder import BLOCK, Block, BlockEntry, FeatureFolder, FeaturesRecord
from .features import Features, extract, extract_views

__all__ = ["Extractor", "backbone_of", "features_record"]

_BYTES = 128 << 20  # of photos in memory at a time; 1,024 of 125 kB
_VIEWED = 10  # photos of a block that are seen as another camera would take them too, two by each: 1 % more

Item = TypeVar("Item")


def features_record(
    backbone: Backbone, *, name: str, weights: str | None, dtype: str, source: str
) -> FeaturesRecord:
    """What features.json says of a network, known to `load_backbone` by this name and file of weights."""
    network = {
        "context": digest_of(backbone.context),
        "backbone": name,
        "weights": weights,
        "preprocess": backbone.preprocess.to_dict(),
    }
    levels = [(level.name, level.width) for level in backbone.levels]
    return FeaturesRecord(network, levels, dtype, list(CAMERA_VIEWS), source)


@dataclass
class Extractor:
    """Takes features of the parts of a source, with one session for all of them.

    Parameters
    ----------
    backbone : Backbone
    folder : FeatureFolder
    threads : int or None
        All processors by default.
    """

    backbone: Backbone
    folder: FeatureFolder
    threads: int | None = None

    def __post_init__(self) -> None:
        self._session: Any = None

    def part(self, part: Part, done: Callable[[int], None] | None = None) -> list[BlockEntry]:
        """The blocks of a part, made where they are not there; `done` is called with the photos of each.

        Raises
        ------
        DatasetError
            The part cannot be read to its end; blocks before it are kept.
        """
        name, version = part.name, part.version
        if (known := self.folder.part_blocks(name, version)) is not None:
            if done:
                done(sum(entry.rows for entry in known))
            return known
        found = []
        for photos in _one_ahead(_blocks(part.samples())):
            found.append(self._block(photos))
            if done:
                done(found[-1].rows)
        self.folder.write_part(name, version, found)
        return found

    def _block(self, photos: Sequence[tuple[Sample, bytes | ImageError]]) -> BlockEntry:
        digests = [hashlib.sha256(d).hexdigest() if isinstance(d, bytes) else "" for _, d in photos]
        rows = [
            (s.id, s.label, s.split, s.group, digest) for (s, _), digest in zip(photos, digests, strict=True)
        ]
        name = self.folder.record.name_of(rows)
        if name in self.folder:
            block = self.folder.read(name, features=False)
        else:
            block = self._computed(photos, digests)
            self.folder.write(name, block)
        return BlockEntry(name, len(block), int((~block.readable).sum()))

    def _computed(self, photos: Sequence[tuple[Sample, bytes | ImageError]], digests: list[str]) -> Block:
        if self._session is None:
            self._session = open_features(self.backbone, self.threads)
        problems = [data.reason if isinstance(data, ImageError) else "" for _, data in photos]
        there = [n for n, problem in enumerate(problems) if not problem]
        files = [data for _, data in photos if isinstance(data, bytes)]
        found = extract(files, self.backbone, cache=False, threads=self.threads, session=self._session)
        for row, error in found.errors:
            problems[there[row]] = error.reason
        samples = [sample for sample, _ in photos]
        hashes = np.zeros(len(samples), np.uint64)
        hashes[there] = found.hashes
        features = np.full((len(samples), found.plain.shape[1]), np.nan, np.float32)
        features[there] = found.plain
        viewed, styles, views = self._views(files, found)
        return Block(
            [sample.id for sample in samples],
            [sample.label for sample in samples],
            [sample.split for sample in samples],
            [sample.group for sample in samples],
            problems,
            np.array([list(bytes.fromhex(digest or "00" * 32)) for digest in digests], np.uint8).reshape(
                -1, 32
            ),
            hashes,
            self._stored(features),
            np.array(there, np.int64)[viewed],
            styles,
            self._stored(views),
        )

    def _views(
        self, files: Sequence[bytes], found: Features
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Rows, styles and features of views of some of the photos, those of the smallest digests."""
        readable = np.flatnonzero(found.readable).tolist()
        rows = sorted(readable, key=lambda n: found.digests[n])[:_VIEWED]
        names = list(CAMERA_VIEWS)
        styles = [n % len(names) for n in range(len(rows))]
        views = extract_views(
            [files[n] for n in rows],
            [names[n] for n in styles],
            [found.digests[n] for n in rows],
            self.backbone,
            cache=False,
            threads=self.threads,
            session=self._session,
        )
        there = np.isfinite(views).all(axis=1)
        return np.array(rows, np.int64)[there], np.array(styles, np.int64)[there], views[there]

    def _stored(self, features: NDArray[np.float32]) -> NDArray[np.floating]:
        """The features in the folder's precision."""
        if self.folder.record.dtype == "float32":
            return features
        largest = float(np.nanmax(np.abs(features), initial=0.0))
        if largest > float(np.finfo(np.float16).max):
            raise DataError(f"a feature is {largest:.3g}, which float16 does not hold; give --dtype float32")
        return features.astype(np.float16)


def _blocks(samples: Iterable[Sample]) -> Iterator[list[tuple[Sample, bytes | ImageError]]]:
    """Samples with their bytes, as many as make a block."""
    block: list[tuple[Sample, bytes | ImageError]] = []
    size = 0
    for sample, data in read_ahead(samples):
        block.append((sample, data))
        size += len(data) if isinstance(data, bytes) else 0
        if len(block) == BLOCK or size >= _BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each of which is made while the one before is used."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = pool.submit(next, items, end)
            yield item  # type: ignore[misc]


def backbone_of(folder: FeatureFolder) -> Backbone:
    """The network that took a folder's features; DataError where it is another one now."""
    network = folder.record.network
    preprocess = PreprocessSpec.from_dict(network["preprocess"])
    name = str(network["backbone"])
    given = None if name.lower().endswith(".onnx") and _is_model_file(name) else preprocess
    backbone = load_backbone(name, preprocess=given, weights=network["weights"])
    if preprocess.grey_range is not None:
        backbone = backbone.with_grey_range(preprocess.grey_range)
    if digest_of(backbone.context) != network["context"]:
        raise DataError(
            f"{folder.path}: {name} is not the network that took these features any more; give the file that "
            "it was then, or extract the features again"
        )
    return backbone


def _is_model_file(name: str) -> bool:
    try:
        read_model_file(Path(name))
    except ModelFileError:
        return False
    return True
