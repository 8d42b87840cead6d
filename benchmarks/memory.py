"""Memory and time of a whole `rehead train` on many photos.

    python benchmarks/memory.py FOLDER [FOLDER ...] [--photos 10000] [--classes 10] [--keep WORK]
                                [--coordinates]

The photos are made from those of the folders: each is a random part of one, turned, mirrored or not,
saved as a JPEG of 256 to 448 pixels; a class is a shift of hue, so that there is something to learn,
and parts of one photo differ enough not to count as copies of each other (the report says how many
did). `rehead train` then runs in a process of its own on an empty cache, and again on the full one.
Memory is the largest resident set of the process as the kernel counts it (ru_maxrss), which includes
the interpreter, libraries and the weights. The target is 800 MB (800 x 10^6 bytes).

With --coordinates a further table says what it costs to fit on fewer coordinates than there are (see
`rehead.heads.pca`): log loss of held-out photos, nats, and processor time, by the number kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import extract
from rehead.data import list_photos, near_duplicates, read_dataset
from rehead.heads import pca
from rehead.heads.logistic import fit_logistic
from rehead.heads.ridge import ridge_path
from rehead.heads.temperature import fit_temperature, log_loss

TARGET = 800e6


def make_photo(source: Path, target: Path, classes: int, number: int) -> None:
    rng = np.random.default_rng(number)
    with Image.open(source) as file:
        photo = file.convert("RGB").rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
    wide, high = (side * rng.uniform(0.3, 0.8) for side in photo.size)
    left, top = rng.uniform(0, photo.width - wide), rng.uniform(0, photo.height - high)
    size = tuple(int(side) for side in rng.integers(256, 449, 2))
    part = photo.resize((size[0], size[1]), Image.Resampling.BILINEAR, (left, top, left + wide, top + high))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    hue, saturation, value = part.convert("HSV").split()
    shift, gain = number % classes * 256 // classes, rng.uniform(0.5, 1.2)
    hue = hue.point(lambda level: (level + shift) % 256)
    value = value.point(lambda level: min(255, level * gain))
    part = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    folder = target / f"class {number % classes:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    part.save(folder / f"{number:06d}.jpg", quality=85)


def make_photos(folders: Sequence[Path], target: Path, count: int, classes: int) -> None:
    sources = [path for folder in folders for path in list_photos(folder)]
    order = np.random.default_rng(0).permutation(count) % len(sources)
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(make_photo, sources[order[n]], target, classes, n) for n in range(count)]
        for job in jobs:
            job.result()


def train(photos: Path, out: Path, cache: Path) -> tuple[float, float, float]:
    """Wall-clock seconds, processor seconds and largest resident set in bytes of a run's process."""
    command = [
        sys.executable,
        "-m",
        "rehead",
        "train",
        str(photos),
        "--out",
        str(out),
        "--overwrite",
        "--quiet",
    ]
    start = time.perf_counter()
    pid = os.posix_spawn(sys.executable, command, {**os.environ, "REHEAD_CACHE": str(cache)})
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"rehead train failed ({os.waitstatus_to_exitcode(status)})")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024.0


def measure(folders: Sequence[Path], work: Path, count: int, classes: int) -> None:
    photos, out, cache = work / f"{count} photos", work / "run", work / "cache"
    if not photos.is_dir():
        make_photos(folders, photos, count, classes)
    print(f"{count} photos, {classes} classes")
    print(f"{'rehead train':16}{'seconds':>9}{'processor':>11}{'MB':>8}{'of target':>11}")
    for name in ("cold cache", "warm cache"):
        wall, busy, peak = train(photos, out, cache)
        print(f"{name:16}{wall:9.1f}{busy:11.1f}{peak / 1e6:8.0f}{peak / TARGET:11.2f}")
    run = json.loads((out / "run.json").read_text("utf-8"))
    print("seconds of each step, warm: " + ", ".join(f"{k} {v:.1f}" for k, v in run["seconds"].items()))
    test = json.loads((out / "metrics.json").read_text("utf-8"))["test"]
    print(
        f"accuracy {test['accuracy']['value']:.3f}" if "value" in test["accuracy"] else str(test["accuracy"])
    )

    backbone = load_backbone("efficientnet_lite0")
    features = extract(list_photos(photos), backbone, cache_root=cache)
    start = time.perf_counter()
    groups = near_duplicates(features.digests, features.hashes, features.plain[:, backbone.blocks[-1]])
    seconds = time.perf_counter() - start
    joined = len(groups) - groups.max() - 1
    print(f"near-duplicate search alone {seconds:.1f} s; {joined} photos joined to another")


def coordinates(photos: Path, cache: Path) -> None:
    """What it costs to fit on the coordinates that vary most: one held-out fold, all depths."""
    backbone, dataset = load_backbone("efficientnet_lite0"), read_dataset(photos)
    X = extract(dataset.paths, backbone, cache_root=cache).plain
    y = np.unique(dataset.labels, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(len(y)) % 5
    shown, out = fold != 0, fold == 0
    with mock.patch.object(pca, "_MOST", X.shape[1]):
        whole = pca.fit_pca(X, backbone.blocks).z
    energy = np.cumsum((whole**2).sum(axis=0))
    print(f"{'coordinates':>12}{'energy':>8}{'logistic':>10}{'seconds':>9}{'ridge':>8}{'seconds':>9}")
    for most in (512, 1024, 1536, 2048, whole.shape[1]):
        z, ones = np.ascontiguousarray(whole[:, :most]), np.ones(len(y))
        start = time.process_time()
        theta = fit_logistic(z[shown], y[shown], ones[shown], int(y.max()) + 1, 10**-5.5)
        logits = z[out] @ theta[:-1] + theta[-1]
        loss = log_loss(logits / fit_temperature(logits, y[out]), y[out])
        logistic, start = time.process_time() - start, time.process_time()
        held = dict(ridge_path(z, y, fold, ones, [10**-4.5, 10**-3.5, 10**-2.5], photos=len(y)))
        least, ridge = min(each.loss for each in held.values()), time.process_time() - start
        row = f"{most:12d}{energy[most - 1] / energy[-1]:8.4f}"
        print(f"{row}{loss:10.4f}{logistic:9.1f}{least:8.4f}{ridge:9.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument(
        "--keep", type=Path, metavar="WORK", help="folder for photos and cache, kept afterwards"
    )
    parser.add_argument("--coordinates", action="store_true", help="also: how many are worth fitting on")
    arguments = parser.parse_args()
    if not arguments.folders:
        print("memory: skipped, no folder of photos was given")
        return
    with contextlib.ExitStack() as stack:
        work = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        measure(arguments.folders, work, arguments.photos, arguments.classes)
        if arguments.coordinates:
            coordinates(work / f"{arguments.photos} photos", work / "cache")


if __name__ == "__main__":
    main()
