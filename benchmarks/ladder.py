"""rehead as whole processes beside what people write by hand: each as a ratio, in one interleaved run.

    python benchmarks/ladder.py PHOTOS [--rounds 7]

PHOTOS is a folder of class folders. Every round runs each command once, one after the other:

    script        benchmarks/plain_script.py, on the same network in ONNX Runtime
    first         `rehead train` with an empty cache: weights are read and the graph is built
    cold          `rehead train` with a cache that holds nothing but the graph
    warm          `rehead train` again
    openvino      `rehead train --engine openvino`, cold, where OpenVINO is installed
    bare          one photo in six lines of ONNX Runtime and Pillow
    predict       `rehead predict` of that photo
    help          `rehead --help`

Seconds are medians over the rounds. A round in which other processes took more than a twentieth of the
processors (Linux: /proc/stat) is not quiet; where three rounds were quiet, the medians are of those.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import onnx

from rehead.backbones import graphs
from rehead.backbones.backbone import load_backbone
from rehead.core.runtime import cpu_count
from rehead.data import list_photos

NETWORK = "efficientnet_lite0"
QUIET = 0.05
BARE = """
import sys, numpy, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
side = int(sys.argv[3])
photo = Image.open(sys.argv[2]).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
print(session.run(["probabilities"], {"image": numpy.asarray(photo)[None]})[0])
"""


@dataclass(frozen=True)
class Took:
    """What a process took, seconds, and what others took of the processors meanwhile, as a share."""

    wall: float
    busy: float
    others: float


def busy_everywhere() -> float:
    """Processor seconds of all processes since the start of the machine; NaN where nothing tells."""
    try:
        words = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()
    except OSError:
        return float("nan")
    user, nice, system, _, _, interrupts, soft, stolen = map(int, words[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def took(command: list[str], cache: Path) -> Took:
    """Run a command in a process of its own, with its modules compiled, as those of an installed package."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"REHEAD_CACHE": str(cache), "PYTHONPYCACHEPREFIX": str(cache.parent / "compiled")}
    before, everywhere, start = os.times(), busy_everywhere(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall, after = time.perf_counter() - start, os.times()
    own = sum(after[:4]) - sum(before[:4])
    others = busy_everywhere() - everywhere - own
    return Took(wall, own, max(others, 0.0) / (wall * cpu_count()))


def without_features(cache: Path) -> None:
    shutil.rmtree(cache / "features", ignore_errors=True)


def without_anything(cache: Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)


def rounds(photos: Path, work: Path, count: int) -> dict[str, list[Took]]:
    network, model, run = work / "network.onnx", work / "run" / "model.onnx", work / "run"
    backbone = load_backbone(NETWORK)
    last = graphs.pooled_levels(onnx.load_from_string(backbone.trunk), [backbone.levels[-1].name])
    network.write_bytes(last.SerializeToString())
    photo = str(list_photos(photos)[0])
    rehead = [sys.executable, "-m", "rehead"]
    train = [*rehead, "train", str(photos), "--out", str(run), "--overwrite", "--quiet"]
    script = str(Path(__file__).with_name("plain_script.py"))
    kept = work / "cache"
    commands: dict[str, tuple[list[str], Callable[[Path], None] | None]] = {
        "script": ([sys.executable, script, str(network), str(photos), str(work / "script.joblib")], None),
        "first": (train, without_anything),
        "cold": (train, without_features),
        "warm": (train, None),
        "bare": ([sys.executable, "-c", BARE, str(model), photo, str(backbone.preprocess.size)], None),
        "predict": ([*rehead, "predict", str(model), photo], None),
        "help": ([*rehead, "--help"], None),
    }
    if importlib.util.find_spec("openvino"):
        commands["openvino"] = ([*train, "--engine", "openvino"], without_features)
    found: dict[str, list[Took]] = {}
    for number in range(count + 1):
        for name, (command, prepare) in commands.items():
            if prepare is not None:
                prepare(kept)
            one = took(command, kept)
            if number:  # the first fills the disk's cache and compiles the modules
                found.setdefault(name, []).append(one)
        print(f"round {number} of {count}", file=sys.stderr)
    return found


def chosen(found: list[Took]) -> tuple[list[Took], str]:
    """The quiet rounds, where there are three, and how many those are."""
    quiet = [one for one in found if one.others <= QUIET]
    return (quiet if len(quiet) >= 3 else found), f"{len(quiet)} of {len(found)}"


def report(found: dict[str, list[Took]]) -> None:
    wall = {name: median(one.wall for one in chosen(each)[0]) for name, each in found.items()}
    print(f"{'':10}{'seconds':>9}{'processor':>11}{'quiet':>10}")
    for name, each in found.items():
        some, quiet = chosen(each)
        print(f"{name:10}{wall[name]:9.3f}{median(one.busy for one in some):11.3f}{quiet:>10}")
    rows = [
        ("cold / script", wall["cold"] / wall["script"], 1.05),
        ("warm / script", wall["warm"] / wall["script"], 0.5),
        ("predict / bare", wall["predict"] / wall["bare"], 1.25),
        ("first - cold, s", wall["first"] - wall["cold"], 2.0),
        ("help, s", wall["help"], 0.09),
    ]
    if "openvino" in wall:
        rows.append(("openvino / script", wall["openvino"] / wall["script"], 1.0))
    print(f"\n{'':20}{'measured':>9}{'target':>8}")
    for name, value, target in rows:
        print(f"{name:20}{value:9.3f}{target:8.2f}{'' if value <= target else '   missed'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.photos is None:
        print("ladder: skipped, no folder of photos was given")
        return
    with tempfile.TemporaryDirectory() as work:
        report(rounds(arguments.photos, Path(work), arguments.rounds))


if __name__ == "__main__":
    main()
