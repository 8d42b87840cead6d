"""Search by pgvector: embeddings in half precision, readable to the database, with an HNSW index.

The index (Malkov and Yashunin 2018) finds near neighbours and may miss some. It only proposes photos: their
scores are those of their templates as they were enrolled, so that whoever is named reaches the threshold by
the same numbers as in an exact search. Who is missed is "unknown", or the next who is like enough.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...errors import GalleryError
from .backend import Backend
from .records import today

__all__ = ["VectorIndex"]

_WIDEST = 4000  # dimensions that an index of halfvec takes
_OLDEST = (0, 8)  # pgvector with scans that go on where rows are filtered out
_PROPOSED = 40  # photos for a face, as many as pgvector's default scan gives
_EF_SEARCH = 200  # 0 of 1,000 missed, 7 at pgvector's default of 40: benchmarks/gallery_postgres.py
_EXPIRED = "SELECT photos.id FROM photos JOIN people ON people.id = person WHERE expires < ?"


class VectorIndex:
    """The vectors of a gallery in PostgreSQL, by photo.

    Parameters
    ----------
    backend : Backend

    Raises
    ------
    GalleryError
        The database lacks pgvector, or has an older one than 0.8.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        found = backend.execute(
            "SELECT quote_ident(nspname), extversion FROM pg_extension "
            "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
        )
        if not found:
            raise GalleryError(
                f"{backend.place}: the database lacks pgvector; have its owner run `CREATE EXTENSION vector` "
                "there, where the server has the package"
            )
        self._schema, version = found[0]
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
            raise GalleryError(
                f"{backend.place}: the database has pgvector {version}, 0.8 or later is needed; have its "
                "owner run `ALTER EXTENSION vector UPDATE` there"
            )

    def prepare(self, width: int, *, indexed: bool = True) -> None:
        """Have an empty table for embeddings of so many dimensions; inside a transaction.

        With `indexed` False `build` is to follow: an index over what is there is built faster.
        """
        if not 0 < width <= _WIDEST:
            raise GalleryError(
                f"{self._backend.place}: pgvector indexes up to {_WIDEST} dimensions, the embedder has "
                f"{width}"
            )
        self._backend.execute("DROP TABLE IF EXISTS vectors")
        self._backend.execute(
            "CREATE TABLE vectors (photo BIGINT PRIMARY KEY REFERENCES templates (photo) ON DELETE CASCADE, "
            f"vector {self._schema}.halfvec({width}) NOT NULL)"
        )
        if indexed:
            self.build()

    def build(self) -> None:
        """Make the index."""
        self._backend.execute(
            f"CREATE INDEX vectors_nearest ON vectors USING hnsw (vector {self._schema}.halfvec_ip_ops)"
        )

    def add(self, rows: Iterable[tuple[int, NDArray[np.float32]]]) -> None:
        """Store the embeddings (D,) of photos."""
        self._backend.execute_many(
            f"INSERT INTO vectors VALUES (?, ?::real[]::{self._schema}.halfvec)",
            ((photo, vector.tolist()) for photo, vector in rows),
        )

    def nearest(self, probes: NDArray[np.float32]) -> list[int]:
        """Photos that are near to any of the probes (m, D), of people who have not expired.

        Inside a snapshot.
        """
        self._backend.execute(
            f"SELECT set_config('hnsw.ef_search', '{_EF_SEARCH}', true), "
            "set_config('hnsw.iterative_scan', 'relaxed_order', true)"
        )
        found: set[int] = set()
        for probe in probes:
            rows = self._backend.execute(
                f"SELECT photo FROM vectors WHERE photo NOT IN ({_EXPIRED}) "
                f"ORDER BY vector OPERATOR({self._schema}.<#>) ?::real[]::{self._schema}.halfvec "
                f"LIMIT {_PROPOSED}",
                today().isoformat(),
                probe.tolist(),
            )
            found.update(photo for (photo,) in rows)
        return sorted(found)
