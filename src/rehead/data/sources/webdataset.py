"""WebDataset: tar files whose members KEY.jpg and KEY.cls, or KEY.json, are one sample.

The key is the member's name up to the first dot of its last part; the members of a sample follow each other.
The class is the text of KEY.cls, else the entry "label" of KEY.json, which may have "split" and "group" too
(other names: the columns of `TableOptions`).
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO, Any, cast

from ...core.text import count, first_line
from ...errors import DatasetError
from ...images import IMAGE_SUFFIXES
from ..csv_table import SPLIT_NAMES
from ..options import TableOptions
from .files import open_file, reading, version_of
from .source import Sample

__all__ = ["TarPart", "WebDataset"]

_BLOCK = 512  # bytes: members begin at multiples, and blocks of zeros end an archive (POSIX.1-1988, ustar)
_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class WebDataset:
    """Tar shards.

    Parameters
    ----------
    name : str
        As it was given.
    places : tuple of str
        Path or address of each shard.
    table : TableOptions
        What the entries of KEY.json are called.
    """

    name: str
    places: tuple[str, ...]
    table: TableOptions

    def parts(self) -> Iterator[TarPart]:
        """A part a shard."""
        names = shard_names(self.places)
        return (TarPart(name, place, self.table) for name, place in zip(names, self.places, strict=True))

    def count(self) -> None:
        """A tar file does not say how many members it has."""


def shard_names(places: tuple[str, ...]) -> list[str]:
    """What files are called: as much of the end of each path as tells them apart."""
    split = [PurePosixPath(place.replace("\\", "/")).parts for place in places]
    depth = 1
    while len({parts[-depth:] for parts in split}) < len(set(split)):
        depth += 1
    return ["/".join(parts[-depth:]) for parts in split]


@dataclass(frozen=True)
class TarPart:
    """One shard."""

    name: str
    place: str
    table: TableOptions

    @cached_property
    def version(self) -> str:
        """See `Part`."""
        return version_of(self.place)

    def samples(self) -> Iterator[Sample]:
        """See `Part`; DatasetError where the shard ends early or is none."""
        done = 0
        with open_file(self.place) as file, reading(self.place):
            end = _End(_unpacked(self.place, file))
            try:
                with tarfile.open(fileobj=cast("IO[bytes]", end), mode="r|") as tar:
                    for key, members in _grouped(tar):
                        yield self._sample(key, members)
                        done += 1
            except _DAMAGE as error:
                raise self._early(done, first_line(error)) from error
            if not end.reached:
                raise self._early(done, "the blocks of zeros at its end are missing")
        if not done:
            raise DatasetError(f"{self.place}: no photo is in it; expected members KEY.jpg and KEY.cls")

    def _early(self, done: int, why: str) -> DatasetError:
        return DatasetError(
            f"{self.place}: the shard ends early, or is no tar file, after {count(done, 'sample')} ({why}); "
            "fetch it again and repeat the command"
        )

    def _sample(self, key: str, members: Mapping[str, bytes]) -> Sample:
        name = unicodedata.normalize("NFC", f"{self.name}/{key}")
        images = [data for ending, data in members.items() if _is_image(ending)]
        entries = self._entries(name, members.get("json"))
        label = members["cls"].decode("utf-8", "replace") if "cls" in members else entries.get("label", "")
        split = entries.get("split", "").strip().lower()
        return Sample(
            name,
            images[0] if images else b"",
            unicodedata.normalize("NFC", label.strip()),
            SPLIT_NAMES.get(split, ""),
            entries.get("group", ""),
            "" if images else "its shard has no photo of this key",
        )

    def _entries(self, name: str, data: bytes | None) -> dict[str, str]:
        """What KEY.json says of class, split and group."""
        if data is None:
            return {}
        try:
            record: Any = json.loads(data)
        except ValueError as error:
            raise DatasetError(f"{name}.json: not JSON ({error})") from error
        if not isinstance(record, dict):
            return {}
        table = self.table
        names = {"label": table.label_column, "split": table.split_column, "group": table.group_column}
        return {part: str(record[given]) for part, given in names.items() if record.get(given) is not None}


def _grouped(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and members, by ending in lower case, of each sample."""
    current, members = "", dict[str, bytes]()
    for member in tar:
        path = PurePosixPath(member.name)
        if not member.isfile() or path.name.startswith(".") or "." not in path.name:
            continue
        stem, _, ending = path.name.partition(".")
        key = str(path.with_name(stem)).removeprefix("./")
        if key != current and members:
            yield current, members
            members = {}
        current, file = key, tar.extractfile(member)
        if file is not None:
            members[ending.lower()] = file.read()
    if members:
        yield current, members


def _is_image(ending: str) -> bool:
    return f".{ending.rpartition('.')[2]}" in IMAGE_SUFFIXES


def _unpacked(place: str, file: IO[bytes]) -> IO[bytes]:
    """The archive in a file that is compressed, by its ending: tarfile overlooks where one ends early."""
    ending = place.lower().rpartition(".")[2]
    if ending in ("gz", "tgz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if ending == "bz2":
        return bz2.BZ2File(file)
    return cast("IO[bytes]", lzma.LZMAFile(file)) if ending == "xz" else file


class _End:
    """A file that is read from start to end, and knows whether zeros ended it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._last = file, b""

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._last = (self._last + data)[-_BLOCK:] if len(data) < _BLOCK else data[-_BLOCK:]
        return data

    @property
    def reached(self) -> bool:
        """Whether it ends in zeros, so far as it was read."""
        return bool(self._last) and not self._last.strip(b"\0")
