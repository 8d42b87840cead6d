"""Content-addressed cache of array rows on disk.

The context is everything but the photo that a row depends on: view, preprocess, weights, layers, dtype and
format version. Its digest names a folder of shards; a shard holds rows and the sha256 of their photos'
bytes. Shards are written atomically and never changed, so a killed run loses at most the rows since its
last shard, two processes may write at once, and moving the photos costs nothing. Damaged shards are
detected by checksums and removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from . import atomic
from .leftovers import PARTS, sweep

__all__ = ["FORMAT_VERSION", "RowCache", "cache_root", "cached_graph", "digest_of", "drop_rows"]

FORMAT_VERSION = 1
"""Raised when the meaning of rows changes, so that old ones are not returned."""

_KEY = 64  # bytes of a sha256 in hex
_HEAD = struct.Struct("<III")  # how many rows, crc32 of the keys, crc32 of the rows; then keys, then rows


def cache_root() -> Path:
    """The cache folder: `REHEAD_CACHE`, or the user's cache folder."""
    if named := os.environ.get("REHEAD_CACHE"):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("rehead"))


def digest_of(record: Mapping[str, Any]) -> str:
    """Sha256 of a JSON-able record, in hex; the order of its keys does not matter."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def cached_graph(record: Mapping[str, Any], build: Callable[[], bytes]) -> bytes:
    """A graph that is built once and cached under the digest of `record` (JSON-able), all it depends on."""
    kept = cache_root() / "graphs" / f"{digest_of(record)}.onnx"
    digest = kept.with_suffix(".sha256")
    if kept.is_file() and digest.is_file():
        graph = kept.read_bytes()
        if hashlib.sha256(graph).hexdigest().encode() == digest.read_bytes():
            return graph
    graph = build()
    with contextlib.suppress(OutputError):  # then it is built again the next time
        atomic.write_bytes(kept, graph, sync=False)  # it has a digest: a power failure only costs time
        atomic.write_text(digest, hashlib.sha256(graph).hexdigest())
    return graph


def drop_rows(photos: Iterable[str], root: Path | None = None) -> int:
    """Take all rows of photos (sha256 in hex) out of the cache, whatever their context; how many there were.

    Raises OutputError where a shard cannot be written anew.
    """
    unwanted, dropped = set(photos), 0
    for path in sorted(((root or cache_root()) / "features").glob("*/*.rows")):
        try:
            data = path.read_bytes()
            count, of_keys, of_rows = _HEAD.unpack(data[: _HEAD.size])
        except (OSError, struct.error):
            continue
        start = _HEAD.size + count * _KEY
        keys = [data[at : at + _KEY].decode("ascii", "replace") for at in range(_HEAD.size, start, _KEY)]
        kept = [n for n, key in enumerate(keys) if key not in unwanted]
        if len(kept) == count:
            continue
        dropped += count - len(kept)
        whole = zlib.crc32(data[_HEAD.size : start]) == of_keys and zlib.crc32(data[start:]) == of_rows
        if kept and whole:
            size = (len(data) - start) // count
            names = "".join(keys[n] for n in kept).encode("ascii")
            rows = b"".join(data[start + n * size : start + (n + 1) * size] for n in kept)
            head = _HEAD.pack(len(kept), zlib.crc32(names), zlib.crc32(rows))
            atomic.write_bytes(path, head + names + rows)
        else:
            with atomic.output_errors(path):
                path.unlink(missing_ok=True)
    return dropped


class _Shard(NamedTuple):
    path: Path
    start: int  # of the rows, bytes
    checksum: int  # of the rows


class RowCache:
    """Rows of one context, by the sha256 (hex) of the photo.

    Parameters
    ----------
    context : mapping
        JSON-able record of all that a row depends on besides the photo's bytes.
    row : dtype
        What a row is: a structured type, its byte order stated.
    root : path, optional
        Folder of the cache, `cache_root()` by default. Nothing is made until the first `put`.
    """

    def __init__(self, context: Mapping[str, Any], row: np.dtype[Any], root: Path | None = None) -> None:
        self.row = row
        self._record = {**context, "dtype": str(np.lib.format.dtype_to_descr(row)), "format": FORMAT_VERSION}
        self.folder = (root or cache_root()) / "features" / digest_of(self._record)
        self._places: dict[str, tuple[_Shard, int]] = {}
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*.rows")):
                self._open(path)

    def _open(self, path: Path) -> None:
        with contextlib.suppress(OSError), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            count, of_keys, of_rows = _HEAD.unpack(file.read(_HEAD.size).ljust(_HEAD.size, b"\0"))
            whole = size == _HEAD.size + count * (_KEY + self.row.itemsize)
            keys = file.read(count * _KEY) if whole else b""
            if not whole or zlib.crc32(keys) != of_keys:
                return self._forget(path)
            shard = _Shard(path, file.tell(), of_rows)
            names = (keys[at : at + _KEY].decode("ascii") for at in range(0, len(keys), _KEY))
            self._places.update((name, (shard, n)) for n, name in enumerate(names))
        return None

    def _forget(self, path: Path) -> None:
        """Remove a damaged shard; its rows are computed again."""
        self._places = {key: place for key, place in self._places.items() if place[0].path != path}
        with contextlib.suppress(OSError):
            path.unlink()

    def __contains__(self, photo: str) -> bool:
        return photo in self._places

    def __len__(self) -> int:
        return len(self._places)

    def fetch(self, photos: Sequence[str], out: NDArray[Any]) -> NDArray[np.bool_]:
        """Fill `out` (n, of dtype `row`) where a row is known; return which rows are, bool (n,)."""
        found = np.zeros(len(photos), dtype=bool)
        wanted: dict[_Shard, list[tuple[int, int]]] = {}
        for n, photo in enumerate(photos):
            if place := self._places.get(photo):
                wanted.setdefault(place[0], []).append((n, place[1]))
        for shard, pairs in wanted.items():
            data = b""
            with contextlib.suppress(OSError), shard.path.open("rb") as file:
                file.seek(shard.start)
                data = file.read()
            if not data or zlib.crc32(data) != shard.checksum:
                self._forget(shard.path)
                continue
            here, there = (np.array(side) for side in zip(*pairs, strict=True))
            out[here] = np.frombuffer(data, self.row)[there]
            found[here] = True
        return found

    def put(self, photos: Sequence[str], rows: NDArray[Any]) -> None:
        """Write `rows` of `photos` (sha256 in hex) as one shard."""
        if not photos:
            return
        if not self._places:
            sweep(self.folder, PARTS)
            note = json.dumps(self._record, indent=2, sort_keys=True)
            atomic.write_text(self.folder / "context.json", note)
        name = hashlib.sha256("".join(photos).encode()).hexdigest()[:32]
        path = self.folder / f"{name}.rows"
        keys, data = "".join(photos).encode("ascii"), np.asarray(rows, dtype=self.row).tobytes()
        head = _HEAD.pack(len(photos), zlib.crc32(keys), zlib.crc32(data))
        atomic.write_bytes(path, head + keys + data, sync=False)
        self._open(path)
