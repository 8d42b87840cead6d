"""Photos a second of each engine, as a ratio to ONNX Runtime, and what it costs in accuracy.

    python benchmarks/engines.py FOLDER [--backbone efficientnet_lite0] [--rounds 7] [--seeds 3]

Every engine that is here runs in turns with the others: the network alone, one photo at a time on every
processor; and `rehead.backbones.features.extract` on all photos of the folder, with decoding and without a
cache. Ratios are medians over rounds of one round's processor time, which other work on the machine disturbs
less than the wall clock; a GPU's work is not in it, so there the photos a second count. OpenVINO is also run
as `core/engines.py` does not: with one graph for any number of photos, several photos at a time, one photo
on all threads, and its threads pinned to processors.

How far an engine's features lie from ONNX Runtime's is given in standard deviations of each feature over the
photos, root mean square, averaged over the features of a level: as they are, and without their mean
difference on the `check_pictures` of the parity check, on 16 photos, which training takes off, and on 64.

Where FOLDER holds a folder for each class, `rehead.train` is run on the same splits with each engine, without
a cache: accuracy, log loss and coverage of the test photos are those of the model file, which ONNX Runtime
runs; beside them the processor time of the whole run, which takes the test photos twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rehead import ImageClassifier, train
from rehead.backbones.backbone import Backbone, load_backbone
from rehead.backbones.engines import check_pictures, feature_parity
from rehead.backbones.features import extract
from rehead.core.engines import ENGINES, Session
from rehead.core.runtime import cpu_count
from rehead.data import list_photos
from rehead.errors import ReheadError
from rehead.images import load_image

Pixels = NDArray[np.uint8]
EngineName = Literal["onnxruntime", "openvino", "cuda", "coreml", "directml"]
NAMES: tuple[EngineName, ...] = ("onnxruntime", "openvino", "cuda", "coreml", "directml")


def here() -> list[EngineName]:
    found: list[EngineName] = []
    for name in NAMES:
        if reason := ENGINES[name].missing():
            print(f"{name}: skipped, {reason}")
        else:
            found.append(name)
    return found


def in_turns(work: Mapping[str, Callable[[], Any]], photos: int, rounds: int) -> None:
    """Print photos a second, processor time of a photo, and its ratio to the first."""
    walls: dict[str, list[float]] = {name: [] for name in work}
    busy: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, run in work.items():
            start, processor = time.perf_counter(), time.process_time()
            run()
            if number:  # the first warms up
                walls[name].append(time.perf_counter() - start)
                busy[name].append(time.process_time() - processor)
    first = next(iter(work))
    print(f"{'':36}{'photos/s':>9}{'ms':>8}{'ratio':>8}{'by clock':>10}")
    for name in work:
        ratio = median(a / b for a, b in zip(busy[first], busy[name], strict=True))
        clock = median(a / b for a, b in zip(walls[first], walls[name], strict=True))
        rate, cost = photos / median(walls[name]), median(busy[name]) / photos * 1e3
        print(f"{name:36}{rate:9.0f}{cost:8.2f}{ratio:8.2f}{clock:10.2f}")


def singly_on(session: Session, images: list[Pixels], threads: int) -> Callable[[], Any]:
    return lambda: on_threads(lambda image: session.run(None, {"image": image}), images, threads)


def on_threads(run: Callable[[Pixels], Any], batches: list[Pixels], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, batches))


def network_alone(backbone: Backbone, pixels: Pixels, names: list[EngineName], rounds: int) -> None:
    graph, threads = backbone.features_graph(), cpu_count()
    singly = [image[None] for image in pixels]
    work: dict[str, Callable[[], Any]] = {}
    for name in names:
        session = ENGINES[name].open(graph, threads=threads, of=backbone.name)
        print(f"{name}: {ENGINES[name].record()}, parity {feature_parity(session, graph, backbone):.7f}")

        work[name] = singly_on(session, singly, threads)
    if "openvino" in names:
        work |= other_openvino(graph, pixels, threads)
    print("\nthe network alone")
    in_turns(work, len(pixels), rounds)


def other_openvino(graph: bytes, pixels: Pixels, threads: int) -> dict[str, Callable[[], Any]]:
    import openvino  # after `ENGINES` imported it, so that it tells nobody

    core = openvino.Core()
    common = {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    bf16 = {"INFERENCE_PRECISION_HINT": "bf16", "NUM_STREAMS": threads}

    def work(batch: int, shape: int, config: Mapping[str, Any], callers: int) -> Callable[[], Any]:
        model = core.read_model(graph)
        side = model.input("image").get_partial_shape()
        side[0] = shape
        model.reshape({"image": side})
        compiled = core.compile_model(model, "CPU", {**common, **config})
        batches = [pixels[i : i + batch] for i in range(0, len(pixels) - batch + 1, batch)]

        def run(some: Pixels) -> Any:
            return compiled.create_infer_request().infer({0: some})

        return lambda: on_threads(run, batches, callers)

    return {
        "openvino, fp32": work(1, 1, {**bf16, "INFERENCE_PRECISION_HINT": "f32"}, threads),
        "openvino, any number of photos": work(1, -1, bf16, threads),
        "openvino, 4 photos at a time": work(4, 4, bf16, threads),
        "openvino, a photo on all threads": work(1, 1, {**bf16, "NUM_STREAMS": 1}, 1),
        "openvino, pinned": work(1, 1, {**bf16, "ENABLE_CPU_PINNING": True}, threads),
    }


def with_decoding(backbone: Backbone, files: list[Path], names: list[EngineName], rounds: int) -> None:
    def work(name: EngineName) -> Callable[[], Any]:
        network = backbone.with_engine(ENGINES[name])
        return lambda: extract(files, network, cache=False)

    print("\nwhole extraction, with decoding and opening the session")
    in_turns({name: work(name) for name in names}, len(files), rounds)


def bias(backbone: Backbone, files: list[Path], names: list[EngineName]) -> None:
    ours = extract(files, backbone, cache=False).plain
    graph, pictures = backbone.features_graph(), check_pictures(backbone.preprocess.size)
    spread = ours.std(axis=0) + 1e-6
    print(f"\n{'':16}{'as it is':>12}{'- pictures':>12}{'- 16 photos':>12}{'- 64 photos':>12}")
    for name in names[1:]:
        difference = extract(files, backbone.with_engine(ENGINES[name]), cache=False).plain - ours
        first, other = (ENGINES[n].open(graph, threads=1, of=backbone.name) for n in (names[0], name))
        synthetic = [
            other.run(None, {"image": p[None]})[0][0] - first.run(None, {"image": p[None]})[0][0]
            for p in pictures
        ]
        some = [difference[:: max(1, len(files) // n)][:n].mean(axis=0) for n in (16, 64)]
        columns = []
        for mean in (0, np.mean(synthetic, axis=0), *some):
            off = np.sqrt(np.square((difference - mean) / spread).mean(axis=0))
            columns.append(np.mean([off[block].mean() for block in backbone.blocks]))
        print(f"{name:16}" + "".join(f"{column:12.4f}" for column in columns))


def accuracy(folder: Path, backbone: str, names: list[EngineName], seeds: int) -> None:
    heads = "".join(f"{name:>10}" for name in ("accuracy", "log loss", "coverage"))
    print(f"\n{'trained by':16}{'seed':>5}{heads}{'T':>8}{'processor s':>13}")
    for seed in range(seeds):
        for name in names:
            classifier = ImageClassifier(backbone, engine=name, random_state=seed, cache=False)
            start = time.process_time()
            with tempfile.TemporaryDirectory() as temporary:
                run = train(folder, Path(temporary) / "run", classifier=classifier)
            seconds = time.process_time() - start
            if run.evaluation is None:
                print("accuracy: skipped, too few photos to hold any out")
                return
            found = run.evaluation.to_dict()
            scores = "".join(
                f"{found[score]['value']:10.4f}" for score in ("accuracy", "log_loss", "coverage")
            )
            print(f"{name:16}{seed:5}{scores}{run.classifier.temperature_:8.3f}{seconds:13.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="photos, at any depth, by class")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.folder is None:
        print("engines: skipped, no folder of photos was given")
        return
    names = here()
    backbone = load_backbone(arguments.backbone)
    files = list(list_photos(arguments.folder)[:256])
    pixels = np.stack([load_image(file, backbone.preprocess) for file in files[:64]])
    network_alone(backbone, pixels, names, arguments.rounds)
    with_decoding(backbone, files, names, arguments.rounds)
    bias(backbone, files, names)
    try:
        accuracy(arguments.folder, arguments.backbone, names, arguments.seeds)
    except ReheadError as error:
        print(f"accuracy: skipped, {error}")


if __name__ == "__main__":
    main()
