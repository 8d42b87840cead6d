"""How close feature extraction comes to its floor, and how ONNX Runtime is fed best.

    python benchmarks/extraction.py FOLDER [--backbone efficientnet_lite0] [--rounds 5]

The floor is the processor time that cannot be saved on this machine with this engine: that of decoding
all photos, plus that of running the network on all of them, divided by the number of processors. Both
are measured alone, in the same rounds as `rehead.backbones.features.extract` on the same photos, without a
cache, without mirrored photos. What `extract` does beyond (hashing files, perceptual hashes, handing over,
building the graph and opening the session) is what stands above 1. The floor is taken twice: with one
thread working at a time, and with one on every processor, as in `extract`, where processors share
memory, caches and sometimes a core. The target is 1.1. Where other work disturbs the machine, the ratio
of processor times is the one to trust; it leaves out only the moments in which a processor waits.

The other tables are what `extract` rests on: photos a second of ONNX Runtime alone by batch size, with
one thread on each processor or with the threads of one session working on a batch together; and what
it saves to decode a few photos before the network runs on them, rather than to alternate. The last one is
what cheaper ways to the square would save, and what the features lose by them: a JPEG decoded at a smaller
scale, and Pillow's `reducing_gap`.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rehead.backbones.backbone import Backbone, load_backbone
from rehead.backbones.features import extract
from rehead.core.runtime import cpu_count, open_session
from rehead.data import list_photos
from rehead.images import load_image

Pixels = NDArray[np.uint8]


def processor_seconds(work: Callable[[Any], object], items: Sequence[Any], threads: int) -> float:
    """Processor time of all threads."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.process_time()
        list(pool.map(work, items))
        return time.process_time() - start


def against_floor(files: Sequence[Path], backbone: Backbone, pixels: Pixels, rounds: int) -> None:
    cores = cpu_count()
    session = open_session(backbone.features_graph(), threads=1)
    rows: dict[str, list[float]] = {}

    def keep(name: str, seconds: float) -> None:
        rows.setdefault(name, []).append(seconds)

    def decode(file: Path) -> None:
        load_image(file, backbone.preprocess)

    def network(image: Pixels) -> None:
        session.run(None, {"image": image[None]})

    for _ in range(rounds):
        for name, threads in (("one at a time", 1), ("all processors", cores)):
            decoding = processor_seconds(decode, files, threads)
            running = processor_seconds(network, list(pixels), threads)
            keep(f"decoding alone, {name}", decoding)
            keep(f"network alone, {name}", running)
            keep(f"floor, {name}", (decoding + running) / cores)
        started = time.perf_counter()
        open_session(backbone.features_graph(), threads=1)
        keep("opening the session", time.perf_counter() - started)
        started, busy = time.perf_counter(), time.process_time()
        extract(files, backbone, cache=False)
        keep("extract, processor time", time.process_time() - busy)
        keep("extract", time.perf_counter() - started)
        for name in ("one at a time", "all processors"):
            floor = rows[f"floor, {name}"][-1]
            keep(f"ratio to the floor, {name}", rows["extract"][-1] / floor)
            keep(f"ratio of processor time, {name}", rows["extract, processor time"][-1] / cores / floor)
    print(f"{len(files)} photos, {backbone.name} at {backbone.preprocess.size} px, {cores} processors")
    print(f"{'':36}{'median':>8}{'least':>8}{'most':>8}")
    for name in sorted(rows, key=lambda name: name.startswith("ratio")):
        values, unit = rows[name], "" if name.startswith("ratio") else " s"
        print(f"{name:36}{median(values):8.2f}{min(values):8.2f}{max(values):8.2f}{unit}")


def throughput(backbone: Backbone, pixels: Pixels, rounds: int) -> None:
    cores = cpu_count()
    graph = backbone.features_graph()
    found: dict[tuple[int, str], list[float]] = {}
    sessions = {
        "a thread each": open_session(graph, threads=1),
        "one session": open_session(graph, threads=cores),
    }
    for _ in range(rounds):
        for batch in (1, 4, 8, 16):
            batches = [pixels[i : i + batch] for i in range(0, len(pixels) - batch + 1, batch)]
            for name, session in sessions.items():
                with ThreadPoolExecutor(cores if name == "a thread each" else 1) as pool:
                    start = time.perf_counter()
                    list(pool.map(lambda b, s=session: s.run(None, {"image": b}), batches))
                    seconds = time.perf_counter() - start
                found.setdefault((batch, name), []).append(len(batches) * batch / seconds)
    print(f"\n{'photos a second, batch of':36}{'1':>8}{'4':>8}{'8':>8}{'16':>8}")
    for name in sessions:
        rates = "".join(f"{median(found[batch, name]):8.0f}" for batch in (1, 4, 8, 16))
        print(f"{name + f', {cores} threads':36}{rates}")


def in_turns(files: Sequence[Path], backbone: Backbone, rounds: int) -> None:
    """Processor time where a worker decodes a few photos and then runs the network on them."""
    session = open_session(backbone.features_graph(), threads=1)

    def turn(few: Sequence[Path]) -> None:
        for image in [load_image(file, backbone.preprocess) for file in few]:
            session.run(None, {"image": image[None]})

    found: dict[int, list[float]] = {}
    for _ in range(rounds):
        for count in (1, 4, 8, 16):
            turns = [files[i : i + count] for i in range(0, len(files), count)]
            found.setdefault(count, []).append(processor_seconds(turn, turns, cpu_count()))
    print(f"\n{'decode n, then run n: n':36}{'1':>8}{'4':>8}{'8':>8}{'16':>8}")
    rates = "".join(f"{median(found[count]) / len(files) * 1e3:8.2f}" for count in found)
    print(f"{'processor time of a photo':36}{rates} ms")


def square(data: bytes, side: int, least: float = 1.0, gap: float | None = None) -> Pixels:
    """A JPEG as the square that the network sees, decoded at `least` sides or more."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (round(least * side),) * 2)
        upright = image.convert("RGB")
    return np.asarray(upright.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=gap))


def cheaper(files: Sequence[Path], backbone: Backbone, rounds: int) -> None:
    """Processor time of ways to the square, and the cosine of the features with those of today's."""
    photos = [file.read_bytes() for file in files if file.suffix.lower() in (".jpg", ".jpeg")][:100]
    session = open_session(backbone.features_graph(), threads=1)
    ways: dict[str, dict[str, Any]] = {"today": {}, "reducing_gap 1": {"gap": 1.0}}
    ways |= {f"at {least:.0%} of the side": {"least": least} for least in (0.9, 0.75, 0.5)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    features = {}
    for number in range(rounds):
        for name, how in ways.items():
            start = time.process_time()
            pixels = [square(photo, backbone.preprocess.size, **how) for photo in photos]
            times[name].append((time.process_time() - start) / len(photos))
            if not number:
                features[name] = np.concatenate(
                    [session.run(None, {"image": one[None]})[0] for one in pixels]
                )
    print(f"{'':20}{'ms a photo':>12}{'cosine, least':>15}{'median':>9}")
    today = features["today"]
    for name, found in features.items():
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(today, axis=1)
        cosine = (found * today).sum(axis=1) / lengths
        row = f"{name:20}{1e3 * median(times[name]):12.2f}"
        print(f"{row}{cosine.min():15.5f}{np.median(cosine):9.5f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="photos, at any depth")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.folder is None:
        print("extraction: skipped, no folder of photos was given")
        return
    files = list_photos(arguments.folder)
    backbone = load_backbone(arguments.backbone)
    pixels = np.stack([load_image(file, backbone.preprocess) for file in files])
    against_floor(files, backbone, pixels, arguments.rounds)
    throughput(backbone, pixels[:256], arguments.rounds)
    in_turns(files, backbone, arguments.rounds)
    cheaper(files, backbone, arguments.rounds)


if __name__ == "__main__":
    main()
