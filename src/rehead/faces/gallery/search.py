"""What a face is compared with: all templates, in memory, or those that an index of the database proposes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .database import GalleryDatabase
from .people import PeopleTable
from .records import GallerySize, Templates, today

__all__ = ["GallerySearch"]


class GallerySearch:
    """The templates of a gallery, read again when it or the day has changed.

    Parameters
    ----------
    file : GalleryDatabase
    people : PeopleTable
    """

    def __init__(self, file: GalleryDatabase, people: PeopleTable) -> None:
        self._file, self._people = file, people
        self._held: tuple[object, Templates] | None = None
        self._sized: tuple[object, GallerySize] | None = None

    def templates(self) -> Templates:
        """Templates of all people who have not expired; kept until the gallery changes."""
        state = self._state()
        if self._held is None or self._held[0] != state:
            with self._file.reading():
                self._held = (state, self._people.searched(self._width))
        return self._held[1]

    def size(self) -> GallerySize:
        """How much is searched; the same object until the gallery changes."""
        state = self._state()
        if self._sized is None or self._sized[0] != state:
            if self._file.index is None:
                held = self.templates()
                size = GallerySize(len(held), len(held.names), held.expired)
            else:
                with self._file.reading():
                    size = self._people.size()
            self._sized = (state, size)
        return self._sized[1]

    def candidates(self, probes: NDArray[np.float32]) -> Templates:
        """Templates that probes (m, D) are to be compared with.

        All of people who have not expired; where the database searches, those that its index proposes,
        which may lack the nearest.
        """
        if self._file.index is None:
            return self.templates()
        size = self.size()
        with self._file.reading():
            found = self._people.proposed(self._file.index.nearest(probes), self._width)
        return replace(found, expired=size.expired, unseen=max(size.people - len(found.names), 0))

    def _state(self) -> object:
        return self._file.version, today()

    @property
    def _width(self) -> int:
        return int(self._file.embedding_spec.get("dimensions", 0))
