"""How long a gallery takes: to enrol, open, read and search.

    python benchmarks/gallery.py [--templates 100000] [--dimensions 128] [--people 1000]

Embeddings are random; the file is made in a temporary folder and removed. The target is a search of
100,000 templates of 128 numbers within 10 ms, warm.
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

from rehead.faces.gallery.records import NewTemplate
from rehead.faces.gallery.store import GalleryStore

TARGET = 0.010  # seconds


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="not used; `make bench` gives it to every script")
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=51)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(arguments.templates, arguments.dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    spec = {"name": "random", "sha256": "0", "dimensions": arguments.dimensions, "distance": "cosine"}
    each = arguments.templates // arguments.people
    for key in (secrets.token_bytes(32), None):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "people.db"
            print("encrypted" if key else "not encrypted")
            with GalleryStore(path, embedding_spec=spec, key=key, create=True) as store:

                def enrol(person: int, store: GalleryStore = store) -> None:
                    rows = range(person * each, (person + 1) * each)
                    new = [NewTemplate(f"{row:064x}", f"{row}.jpg", vectors[row], {}) for row in rows]
                    store.enroll(f"person {person}", new)

                seconds = [timed(lambda person=person: enrol(person)) for person in range(arguments.people)]  # type: ignore[misc]
                print(f"  enrol a person of {each} photos   {1000 * median(seconds):9.1f} ms")
            print(f"  file                         {path.stat().st_size / 1e6:9.1f} MB")
            opened = GalleryStore(path, key=key)
            print(f"  open, read and decrypt       {1000 * timed(opened.templates):9.1f} ms")
            templates = opened.templates()
            for probes in (1, 4):
                asked = vectors[:probes]
                search = [timed(lambda: templates.best_scores(asked)) for _ in range(arguments.rounds)]  # noqa: B023
                verdict = "ok" if median(search) <= TARGET else "MISSED"
                what = f"search for {probes} faces at once" if probes > 1 else "search for one face"
                print(f"  {what:28} {1000 * median(search):9.2f} ms{f'  {verdict}' if probes == 1 else ''}")
            removal = 1000 * timed(lambda: opened.remove(["person 1"]))  # noqa: B023
            print(f"  remove a person              {removal:9.1f} ms")
            opened.close()


if __name__ == "__main__":
    main()
