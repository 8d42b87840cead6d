"""Whether a model file gives the answers of `rehead predict` elsewhere: photos as they are, other runtimes.

    python benchmarks/same_everywhere.py MODEL PHOTOS [--python PYTHON ...] [--count 500]

Each PYTHON is an interpreter of another environment with onnxruntime, numpy and Pillow, without rehead. In
it, and in this one, a script of Pillow and ONNX Runtime opens each photo, turns it upright and gives it to
the graph whole; OpenVINO, where it is installed, gets the same pixels in fp32. Printed are the share of
photos with the answer of `predict` ("unknown" included) and the differences of the probabilities and of the
outlier score. Also: processor time of the graph on squares, as `predict` gives them, with and without the
resize in front.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rehead
from rehead.backbones import graphs
from rehead.core.model_file import read_model_file
from rehead.core.rejection import OperatingPoint
from rehead.core.runtime import open_session
from rehead.data import list_photos
from rehead.images import read_image

SCRIPT = """
import json, sys
import numpy as np, onnxruntime
from PIL import Image, ImageOps
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
rows = []
for path in open(sys.argv[2], encoding="utf-8").read().split("\\n"):
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    p, o = session.run(["probabilities", "outlier_score"], {"image": np.asarray(photo)[None]})
    rows.append([p[0].tolist(), float(o[0])])
print(json.dumps([onnxruntime.__version__, rows]))
"""

Rows = list[tuple[NDArray[Any], float]]


def by_script(python: str, model: Path, photos: list[Path]) -> tuple[str, Rows]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as names:
        names.write("\n".join(map(str, photos)))
        names.flush()
        command = [python, "-c", SCRIPT, str(model), names.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={})
    version, rows = json.loads(done.stdout)
    return f"onnxruntime {version}", [(np.array(p), o) for p, o in rows]


def by_openvino(model: Path, photos: list[Path]) -> tuple[str, Rows]:
    from rehead.core.engines import _openvino_core

    core = _openvino_core()
    graph = core.read_model(read_model_file(model).graph)
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows: Rows = []
    for photo in photos:
        found = compiled({"image": read_image(photo)[None]})
        by_name = {output.get_any_name(): np.array(array) for output, array in found.items()}
        rows.append((by_name["probabilities"][0], float(by_name["outlier_score"][0])))
    return "openvino, fp32", rows


def compare(name: str, rows: Rows, expected: list[Any], point: OperatingPoint) -> None:
    same, apart, outliers = 0, [], []
    for (p, outlier), answer in zip(rows, expected, strict=True):
        best = int(p.argmax())
        label = "unknown" if point.reason(float(p[best]), outlier) else answer.labels[best]
        same += label == answer.label
        apart.append(float(np.abs(p - answer.probabilities).max()))
        outliers.append(abs(outlier - answer.outlier_score))
    worst = np.quantile(apart, 0.99)
    print(
        f"{name:24}{same / len(expected):9.2%}{median(apart):12.1e}{worst:10.4f}{max(apart):9.4f}"
        f"{median(outliers):12.1e}"
    )


def resize_cost(model: Path, rounds: int = 200) -> None:
    """The graph on squares, as the file has it and without its resize, in turns."""
    file = read_model_file(model)
    side = int(file.manifest["preprocess"]["size"])
    outputs = {name: name for name in ("probabilities", "outlier_score")}
    bare = graphs.truncated(graphs.load(file.graph), outputs, side).SerializeToString()
    sessions = {"as it is": open_session(file.graph, threads=1), "without": open_session(bare, threads=1)}
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(list(outputs), {"image": pixels})
            times[name].append(time.process_time() - start)
    whole, without = median(times["as it is"]), median(times["without"])
    print(
        f"squares: {whole * 1e3:.2f} ms, without the resize {without * 1e3:.2f}, ratio {whole / without:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("photos", type=Path, nargs="*")
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    if not arguments.photos:
        print("same_everywhere: skipped, no model file and photos were given")
        return
    every = [photo for folder in arguments.photos for photo in list_photos(folder)]
    step = max(1, len(every) // arguments.count)
    photos = every[::step][: arguments.count]
    predictor = rehead.load_model(arguments.model)
    expected = predictor.predict(photos)
    refused = sum(answer.label == "unknown" for answer in expected)
    print(f"{len(photos)} photos, {refused} of them unknown")
    print(f"{'':24}{'same':>9}{'p, median':>12}{'99 %':>10}{'most':>9}{'outlier':>12}")
    for python in [sys.executable, *arguments.python]:
        compare(*by_script(python, arguments.model, photos), expected, predictor.operating_point)
    if importlib.util.find_spec("openvino"):
        compare(*by_openvino(arguments.model, photos), expected, predictor.operating_point)
    resize_cost(arguments.model)


if __name__ == "__main__":
    main()
