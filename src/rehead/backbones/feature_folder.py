"""A folder of features: blocks of rows, each a file that is named by its content.

    features.json       what took them, and the blocks in order; written last
    blocks/ab/ab12.npz  up to 1,024 rows: features (n, D), perceptual hashes, digests, and as JSON the rest
    parts/*.json        which blocks a part of the source came to
    unreadable.csv      photos without features, and why

A block's name is the sha256 of the network and of the ids, classes and contents of its photos. So a killed
extraction finds what it has, two workers that make the same block make the same file, and none is counted
twice. npz files are zip archives, whose checksums tell damaged ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core import atomic
from ..core.cache import digest_of
from ..core.csv_cells import CsvWriter
from ..errors import DataError, OutputError

__all__ = ["BLOCK", "Block", "BlockEntry", "FeatureFolder", "FeaturesRecord", "is_feature_folder"]

FORMAT = 1
"""Raised when the meaning of a file of the folder changes."""

BLOCK = 1024
"""Rows of a block: of 1,280 features in float16 2.6 MB, some 14 s of a processor."""

_RECORD, _SETTINGS = "features.json", "extraction.json"


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of features, and what is known of their photos.

    Parameters
    ----------
    ids, labels, splits, groups, problems : list of str
        (n,) as of `Sample`; `problems` says why a photo has no features.
    digests : uint8 ndarray (n, 32)
        Sha256 of each file; zeros where it could not be read.
    hashes : uint64 ndarray (n,)
        Perceptual hash of each photo.
    features : float16 or float32 ndarray (n, D)
        NaN where a photo has none.
    viewed, styles : int ndarray (v,)
        Row of the photo, and number in `images.CAMERA_VIEWS`, of each view.
    views : float16 or float32 ndarray (v, D)
        Features of some photos as another camera would have taken them.
    """

    ids: list[str]
    labels: list[str]
    splits: list[str]
    groups: list[str]
    problems: list[str]
    digests: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    features: NDArray[np.floating]
    viewed: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    styles: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    views: NDArray[np.floating] = field(default_factory=lambda: np.zeros((0, 0), np.float16))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which rows have features, (n,)."""
        return np.array([not problem for problem in self.problems], dtype=bool)

    def to_bytes(self) -> bytes:
        """The block as a file."""
        texts = {name: getattr(self, name) for name in _TEXTS}
        rows = np.frombuffer(
            json.dumps(texts, ensure_ascii=False).encode("utf-8", "backslashreplace"), np.uint8
        )
        buffer = io.BytesIO()
        np.savez(buffer, rows=rows, **{name: getattr(self, name) for name in _ARRAYS})
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path, *, features: bool = True) -> Block:
        """The block of a file, with `features` or without; DataError where it is damaged."""
        wanted = [name for name in _ARRAYS if features or name not in ("features", "views")]
        found = _arrays(path, ["rows", *wanted])
        texts: dict[str, list[str]] = json.loads(found.pop("rows").tobytes().decode("utf-8"))
        if not features:
            found |= {name: np.zeros((0, 0), np.float16) for name in ("features", "views")}
        return cls(**texts, **found)  # type: ignore[arg-type]


def _arrays(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in wanted}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: a block of features is missing or damaged; remove it, and give the same "
            "`rehead extract` again"
        ) from error


_TEXTS = ("ids", "labels", "splits", "groups", "problems")
_ARRAYS = ("digests", "hashes", "features", "viewed", "styles", "views")


class BlockEntry(NamedTuple):
    """A block in the list: its name, and how many rows it has, with and without features."""

    name: str
    rows: int
    unreadable: int


@dataclass(frozen=True)
class FeaturesRecord:
    """What features.json says.

    Parameters
    ----------
    network : mapping
        "context", the digest of all that features depend on; "backbone", "weights" and "preprocess", from
        which `load_backbone` makes it again.
    levels : list of (str, int)
        Name and width of each feature level.
    dtype : str
        "float16" or "float32".
    styles : list of str
        Names of the camera views.
    source : str
        Where the photos came from.
    blocks : tuple of BlockEntry
        In the source's order.
    """

    network: Mapping[str, Any]
    levels: Sequence[tuple[str, int]]
    dtype: str
    styles: Sequence[str]
    source: str
    blocks: tuple[BlockEntry, ...] = ()

    @property
    def width(self) -> int:
        """D, the number of features."""
        return sum(width for _, width in self.levels)

    @property
    def rows(self) -> int:
        """Photos, those without features too."""
        return sum(block.rows for block in self.blocks)

    @property
    def unreadable(self) -> int:
        """Photos without features."""
        return sum(block.unreadable for block in self.blocks)

    @property
    def digest(self) -> str:
        """Sha256 of the content, in hex: of the names of the blocks, in order."""
        return hashlib.sha256("".join(block.name for block in self.blocks).encode()).hexdigest()

    @property
    def settings(self) -> dict[str, Any]:
        """What all blocks of a folder have in common."""
        return {
            "format": FORMAT,
            "context": self.network["context"],
            "dtype": self.dtype,
            "styles": list(self.styles),
        }

    def name_of(self, rows: Sequence[Sequence[str]]) -> str:
        """Name of the block of rows (id, class, split, group, sha256 of the file or "")."""
        return digest_of({**self.settings, "rows": [list(row) for row in rows]})


def is_feature_folder(path: Path) -> bool:
    """Whether a folder holds features, or those of an extraction that was not finished."""
    return (path / _RECORD).is_file() or (path / _SETTINGS).is_file()


class FeatureFolder:
    """Reads and writes a folder of features.

    Parameters
    ----------
    path : Path
    record : FeaturesRecord
    """

    def __init__(self, path: Path, record: FeaturesRecord) -> None:
        self.path, self.record = path, record

    @classmethod
    def open(cls, path: Path) -> FeatureFolder:
        """A finished folder; DataError where it is none."""
        try:
            about = json.loads((path / _RECORD).read_text("utf-8"))
            blocks = tuple(BlockEntry(*entry) for entry in about.pop("blocks"))
            if (found := about.pop("format")) != FORMAT:
                raise DataError(f"{path / _RECORD}: has format {found}, this rehead reads {FORMAT}")
            about.pop("digest")
            levels = [(str(name), int(width)) for name, width in about.pop("levels")]
            return cls(path, FeaturesRecord(blocks=blocks, levels=levels, **about))
        except FileNotFoundError as error:
            unfinished = (path / _SETTINGS).is_file()
            what = "the extraction was not finished; give it again" if unfinished else "holds no features"
            raise DataError(f"{path}: {what}") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{path / _RECORD}: cannot be read ({error}); extract the features again"
            ) from error

    def prepare(self) -> None:
        """Make the folder, or go on in it; OutputError where it holds anything else."""
        with atomic.output_errors(self.path):
            other = self.path.is_dir() and any(self.path.iterdir()) and not is_feature_folder(self.path)
        if other or (self.path.exists() and not self.path.is_dir()):
            raise OutputError(
                f"{self.path}: something else is there; choose an empty or a new folder for --to"
            )
        settings = json.dumps(self.record.settings, indent=2, sort_keys=True)
        with contextlib.suppress(OSError):
            if (self.path / _SETTINGS).read_text("utf-8") != settings:
                raise OutputError(
                    f"{self.path}: holds features of another network, or in another --dtype; choose another "
                    "folder for --to"
                )
            return
        atomic.write_text(self.path / _SETTINGS, settings)

    def place(self, name: str) -> Path:
        """Where a block lies."""
        return self.path / "blocks" / name[:2] / f"{name}.npz"

    def __contains__(self, name: str) -> bool:
        return self.place(name).is_file()

    def write(self, name: str, block: Block) -> None:
        """Write a block, whole or not at all; of two that write the same, either."""
        atomic.write_bytes(self.place(name), block.to_bytes(), sync=False)

    def read(self, name: str, *, features: bool = True) -> Block:
        """A block, with `features` or without; DataError where it is missing or damaged."""
        return Block.read(self.place(name), features=features)

    def arrays(self, name: str, *wanted: str) -> dict[str, NDArray[Any]]:
        """Some arrays of a block; DataError where it is missing or damaged."""
        return _arrays(self.place(name), wanted)

    def blocks(self, *, features: bool = True) -> Iterator[Block]:
        """The blocks in order."""
        return (self.read(entry.name, features=features) for entry in self.record.blocks)

    def part_blocks(self, name: str, version: str) -> list[BlockEntry] | None:
        """The blocks that a part of a source came to; None where that is not known or one is missing."""
        if not version:
            return None
        try:
            entries = json.loads(self._part(name, version).read_text("utf-8"))
            found = [BlockEntry(*entry) for entry in entries]
        except (OSError, ValueError, TypeError):
            return None
        return found if all(entry.name in self for entry in found) else None

    def write_part(self, name: str, version: str, blocks: Sequence[BlockEntry]) -> None:
        """Note which blocks a part came to."""
        if version:
            atomic.write_bytes(self._part(name, version), json.dumps(blocks).encode(), sync=False)

    def _part(self, name: str, version: str) -> Path:
        return self.path / "parts" / f"{digest_of({'name': name, 'version': version})}.json"

    def finish(self, blocks: Sequence[BlockEntry]) -> FeatureFolder:
        """Write features.json and unreadable.csv, and remove blocks of photos that are gone."""
        record = replace(self.record, blocks=tuple(blocks))
        done = FeatureFolder(self.path, record)
        with atomic.replacing(self.path / "unreadable.csv") as beside:
            done._write_unreadable(beside)
        listed = {entry.name for entry in blocks}
        for path in self.path.glob("blocks/*/*.npz"):
            if path.stem not in listed:
                path.unlink(missing_ok=True)
        about = {**vars(record), "format": FORMAT, "digest": record.digest}
        atomic.write_text(self.path / _RECORD, json.dumps(about, ensure_ascii=False) + "\n")
        return done

    def _write_unreadable(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file:
            writer = CsvWriter(file)
            writer.writerow(["path", "reason"])
            for name, problem in self.unreadable():
                writer.writerow([name, problem])

    def unreadable(self) -> Iterator[tuple[str, str]]:
        """Id and reason of each photo without features."""
        for entry in self.record.blocks:
            if entry.unreadable:
                block = self.read(entry.name, features=False)
                yield from ((i, p) for i, p in zip(block.ids, block.problems, strict=True) if p)
