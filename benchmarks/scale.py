"""Seconds and memory of training on many rows of features, and photos a second of extraction.

    python benchmarks/scale.py [--rows 10000 100000 1000000] [--classes 1000] [--width 1280] [--work FOLDER]
    python benchmarks/scale.py --photos FOLDER [--workers 1 2] [--rounds 3] [--repeat 2] [--work FOLDER]

The first form writes a folder of features of a mixture of normal distributions, one a class, whose best
possible answer is known: the class of the nearest mean. `rehead train` then runs on it as a process of its
own, whose largest resident set is what the system counted. A million rows of 1,280 take 3 GB of disk.

The second form takes features of a folder's photos, written as shards of 32 photos, by plain extraction and
on Ray with so many workers, one thread each, in turn, without their start. Both forms remove what they wrote.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rehead.backbones.backbone import load_backbone
from rehead.backbones.extraction import features_record
from rehead.backbones.feature_folder import BLOCK, Block, BlockEntry, FeatureFolder
from rehead.classification.options import ClassifierOptions
from rehead.workflows.extract import extract_source

SHARD = 32  # photos
APART = 7.4  # distance of two means, in standard deviations: the best answer is right for some 90 %


def network(folder: Path, width: int) -> Path:
    """An ONNX file whose features are that many; it never sees a photo here."""
    import onnx

    from rehead.backbones.graphs import builder as op

    rng = np.random.default_rng(0)
    image = op.argument(np.float32, ("N", 3, 32, 32))
    mean = op.reduce_mean(image, axes=[2, 3], keepdims=0)
    features = op.matmul(mean, op.const(rng.normal(size=(3, width)).astype(np.float32)))
    path = folder / "net.onnx"
    onnx.save(op.build({"image": image}, {"last": features}), path)
    record = {"size": 32, "mean": [127.5] * 3, "std": [127.5] * 3}
    path.with_suffix(".json").write_text(json.dumps(record), "utf-8")
    return path


def write_features(folder: Path, rows: int, classes: int, width: int) -> tuple[Path, float]:
    """A folder of features of a mixture, and how often the best possible answer is right."""
    net = network(folder, width)
    record = features_record(
        load_backbone(net), name=str(net), weights=None, dtype="float16", source=f"{rows} rows"
    )
    features = FeatureFolder(folder / "features", record)
    features.prepare()
    rng = np.random.default_rng(1)
    means = (APART / np.sqrt(2 * width)) * rng.standard_normal((classes, width), np.float32)
    blocks, right, asked = [], 0, 0
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        y = rng.integers(classes, size=n)
        X = means[y] + rng.standard_normal((n, width), np.float32)
        if asked < 10_000:
            right += int((best(X, means) == y).sum())
            asked += n
        name = hashlib.sha256(f"{rows} {start}".encode()).hexdigest()
        features.write(name, block(start, y, X, rng))
        blocks.append(BlockEntry(name, n, 0))
    features.finish(blocks)
    return features.path, right / asked


def best(X: NDArray[np.float32], means: NDArray[np.float32]) -> NDArray[np.intp]:
    """The nearest mean."""
    found: NDArray[np.intp] = (X @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    return found


def block(start: int, y: NDArray[np.intp], X: NDArray[np.float32], rng: np.random.Generator) -> Block:
    n = len(y)
    nothing = [""] * n
    digests = rng.integers(256, size=(n, 32), dtype=np.uint8)
    hashes = rng.integers(1, 2**63, size=n, dtype=np.uint64) << np.uint64(1)
    ids, labels = [f"{start + k:09d}.jpg" for k in range(n)], [f"class {c:04d}" for c in y.tolist()]
    return Block(ids, labels, nothing, nothing, nothing, digests, hashes, X.astype(np.float16))


def run(*arguments: object) -> tuple[float, float]:
    """Wall-clock seconds, and the largest resident set in MB, of a command."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "rehead", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def measure_rows(work: Path, rows: int, classes: int, width: int) -> None:
    """A line of the table."""
    folder = work / f"rows-{rows}"
    folder.mkdir(parents=True)
    try:
        features, bayes = write_features(folder, rows, classes, width)
        seconds, memory = run("train", features, "--out", folder / "run", "--quiet")
        record = json.loads((folder / "run" / "run.json").read_text("utf-8"))
        metrics = json.loads((folder / "run" / "metrics.json").read_text("utf-8"))
        steps = record["seconds"]
        loss = next(point for point in metrics["head"]["path"] if point["chosen"])
        print(
            f"{rows:>9,} {classes:>5,} {seconds:>7.0f} s {steps['split']:>6.0f} {steps['head']:>6.0f} "
            f"{steps['evaluation']:>6.0f} {memory:>7.0f} MB   {metrics['test']['accuracy']['value']:.3f} "
            f"{bayes:.3f}   {loss['candidate']}, l2 {loss['l2']:.0e}",
            flush=True,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_photos(work: Path, photos: Path, workers: Sequence[int], rounds: int, repeat: int) -> None:
    """Photos a second, plain and on Ray, in turn, from the first part that is done to the last."""
    shards = work / "shards"
    shards.mkdir(parents=True)
    paths = sorted(photos.rglob("*.jpg")) * repeat
    for n in range(0, len(paths), SHARD):
        with tarfile.open(shards / f"{n // SHARD:04d}.tar", "w") as tar:
            for k, path in enumerate(paths[n : n + SHARD], n):
                for ending, data in (("jpg", path.read_bytes()), ("cls", path.parent.name.encode())):
                    info = tarfile.TarInfo(f"{k:06d}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    # as plain extraction; it is 15 by default, which tells where other work is on the machine
    os.environ.update({"RAY_worker_niceness": "0"})
    for count in workers:
        rates: dict[str | None, list[float]] = {None: [], "ray": []}
        for _ in range(rounds):
            for on, found in rates.items():
                found.append(photos_per_second(shards, work / "features", on, count))
        plain, on_ray = (float(np.median(found)) for found in rates.values())
        ratios = [b / a for a, b in zip(*rates.values(), strict=True)]
        print(
            f"{count} workers: plain {plain:.1f} photos/s, Ray {on_ray:.1f}, ratio "
            f"{float(np.median(ratios)):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
            flush=True,
        )


def photos_per_second(shards: Path, to: Path, on: str | None, workers: int) -> float:
    """Of one extraction, without its start: of workers, network and the first part of each."""
    marks: list[tuple[float, int]] = []
    options = ClassifierOptions(threads=workers)

    def mark(done: int, total: int) -> None:  # noqa: ARG001 - the total is not known before
        marks.append((time.perf_counter(), done))

    try:
        extract_source(shards, to, classifier=options, on=on, progress=mark)
    finally:
        shutil.rmtree(to, ignore_errors=True)
    (first, some), (last, every) = marks[workers - 1 if on else 0], marks[-1]
    return (every - some) / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="?", type=Path, help="for `make bench`; as --photos")
    parser.add_argument("--photos", dest="folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=2, help="how often each photo is in the shards")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="rehead-scale-"))
    try:
        if photos := arguments.folder or arguments.photos:
            measure_photos(work, photos, arguments.workers, arguments.rounds, arguments.repeat)
            return
        print("     rows   classes  whole  split   head   test   memory   accuracy, best   head")
        for rows in arguments.rows:
            measure_rows(work, rows, min(arguments.classes, rows // 100), arguments.width)
    finally:
        if not arguments.work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
