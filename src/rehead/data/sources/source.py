"""Sources of photos that are read as a stream: what they all have in common.

A source is a sequence of parts, a part a sequence of samples. A part can be read by itself, in any process,
and a source gives its parts one after the other, so that no list of all photos is ever in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ...core.parallel import map_in_order
from ...errors import ImageError, ReheadError
from ...images import read_bytes
from .files import is_address, read_file

__all__ = ["Part", "Sample", "Source", "read_ahead", "read_photo", "samples_of"]

_READERS = 16  # threads: an object store takes some 50 ms to answer, and a processor 14 ms a photo


@dataclass(frozen=True)
class Sample:
    """One photo of a source.

    Parameters
    ----------
    id : str
        Its name in listings; no two of a source are alike.
    photo : bytes or str
        The bytes of the image file, or the path or address to read them from.
    label : str
        The class, "" where none is given.
    split : str
        "train", "val", "test", or "" where none is given.
    group : str
        Photos that must stay in one part of a split share a name; "" where none is given.
    problem : str
        Why there is no photo; "" where there is one.
    """

    id: str
    photo: bytes | str
    label: str = ""
    split: str = ""
    group: str = ""
    problem: str = ""


def read_photo(sample: Sample) -> bytes:
    """The bytes of a sample's image file.

    Raises
    ------
    ImageError
        There is no photo, with the sample's id.
    DatasetError
        Nothing can be read there at all, as no rights or no network.
    """
    if sample.problem:
        raise ImageError(sample.id, sample.problem)
    if isinstance(sample.photo, bytes):
        return sample.photo
    if is_address(sample.photo):
        return read_file(sample.photo)
    return read_bytes(sample.photo)


def read_ahead(samples: Iterable[Sample]) -> Iterator[tuple[Sample, bytes | ImageError]]:
    """Each sample with the bytes of its image file, or why there is none; a few are read at the same time."""

    def read(sample: Sample) -> tuple[Sample, bytes | ImageError]:
        try:
            return sample, read_photo(sample)
        except ImageError as error:
            return sample, error.bare()

    failed: list[ReheadError] = []

    def until_it_fails() -> Iterator[Sample]:
        try:
            yield from samples
        except ReheadError as error:  # raised behind the samples before it
            failed.append(error)

    yield from map_in_order(read, until_it_fails(), threads=_READERS)
    if failed:
        raise failed[0]


class Part(Protocol):
    """A piece of a source that can be read by itself: a shard, a group of rows."""

    @property
    def name(self) -> str:
        """What it is called in messages and in the ids of its samples."""

    @property
    def version(self) -> str:
        """Changes when its content does, as far as that can be told unread; "" where it cannot."""

    def samples(self) -> Iterator[Sample]:
        """Its samples, always in the same order."""


class Source(Protocol):
    """Photos, with their classes where those are known."""

    @property
    def name(self) -> str:
        """The path or address that was given."""

    def parts(self) -> Iterator[Part]:
        """Its parts, always in the same order."""

    def count(self) -> int | None:
        """How many samples there are; None where only reading them would tell."""


def samples_of(source: Source) -> Iterator[Sample]:
    """All samples of a source, in order."""
    return (sample for part in source.parts() for sample in part.samples())
