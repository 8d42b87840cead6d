"""How long one waits for the small things: help, one answer, one more answer.

    python benchmarks/startup.py MODEL PHOTO [--rounds 11]

MODEL is a model.onnx of `rehead train`. Whole processes are started in turn, so that all see the same
load, beside the floor, an interpreter of the same environment that does nothing. Wall-clock time is
what one waits; processor time is what other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import rehead
from rehead.core.model_file import read_model_file
from rehead.core.runtime import cpu_count, open_session
from rehead.images import PreprocessSpec, load_image

TARGETS = {"rehead --help": 0.09, "rehead predict": 1.0, "Predictor.predict, warm": 0.010}


def process(command: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a process."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, busy


def spinning(model: Path, photo: Path, times: dict[str, list[tuple[float, float]]]) -> None:
    """The network alone, its threads looking for more work before they sleep; in turns."""
    file = read_model_file(model)
    preprocess = PreprocessSpec.from_dict(file.manifest["preprocess"])
    sessions = {spin: open_session(file.graph, threads=cpu_count(), spin=spin) for spin in (0, 20, 100, 1000)}
    for _ in range(120):
        for spin, session in sessions.items():
            image = {"image": load_image(photo, preprocess)[None]}
            start, busy = time.perf_counter(), time.process_time()
            session.run(["probabilities"], image)
            wall = time.perf_counter() - start
            times.setdefault(f"network, spinning {spin} us", []).append((wall, time.process_time() - busy))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("photo", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    python = [sys.executable]
    commands = {
        "python -c pass": [*python, "-c", "pass"],
        "import rehead": [*python, "-c", "import rehead"],
        "rehead --help": [*python, "-m", "rehead", "--help"],
    }
    if arguments.photo is not None:
        files = [str(arguments.model), str(arguments.photo)]
        commands["import numpy, onnxruntime"] = [*python, "-c", "import numpy, onnxruntime"]
        commands["rehead predict"] = [*python, "-m", "rehead", "predict", *files]
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(arguments.rounds + 1):
        for name, command in commands.items():
            times.setdefault(name, []).append(process(command))
    times = {name: found[1:] for name, found in times.items()}  # the first fills the disk's cache
    if arguments.photo is None:
        print("startup: rehead predict was skipped, no model and photo were given")
    else:
        model = rehead.load_model(arguments.model)
        for _ in range(10):
            model.predict(arguments.photo)
        for _ in range(20 * arguments.rounds):
            start, busy = time.perf_counter(), time.process_time()
            model.predict(arguments.photo)
            wall = time.perf_counter() - start
            times.setdefault("Predictor.predict, warm", []).append((wall, time.process_time() - busy))
        spinning(arguments.model, arguments.photo, times)
    print(f"{'milliseconds':28}{'median':>9}{'least':>9}{'processor':>11}{'target':>9}{'ratio':>8}")
    for name, found in times.items():
        wall, busy = median(w for w, _ in found), median(b for _, b in found)
        row = f"{name:28}{wall * 1e3:9.1f}{min(found)[0] * 1e3:9.1f}{busy * 1e3:11.1f}"
        target = TARGETS.get(name)
        print(row + (f"{target * 1e3:9.0f}{wall / target:8.2f}" if target else ""))


if __name__ == "__main__":
    main()
