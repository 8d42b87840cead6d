"""Whether two versions of rehead give the same answers: metrics, splits, and outputs of the model files.

    python benchmarks/same_answers.py DATA COMMIT [--only NAME ...]

Trains on DATA/alpaca, five_celebrities, gender and keypoints with the code of COMMIT and with the code that
stands here, each command a process of its own with an empty feature cache, and compares what is left: the
numbers below "test" in metrics.json, splits.csv to the letter, outputs of model.onnx on the same pixels, and
the answers of `rehead predict`. Prints the largest absolute difference of each, among the entries that both
versions write; exits with 1 above 1e-6.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

BOUND = 1e-6
RENAMED = {"cautions": "warnings"}
PHOTOS = 100  # on which the model files are compared

RUNS: dict[str, list[str]] = {
    "alpaca": ["train", "alpaca"],
    "five_celebrities": ["train", "five_celebrities"],
    "five_celebrities, faces": ["faces", "train", "five_celebrities"],
    "five_celebrities, top:1": [
        "train",
        "five_celebrities",
        "--train",
        "top:1",
        "--epochs",
        "2",
        "--keep",
        "always",
    ],
    "gender": ["train", "gender"],
    "keypoints": ["keypoints", "train", "keypoints/train.csv", "--images", "keypoints/train"],
}


def rehead(source: Path, data: Path, cache: Path, *arguments: str) -> str:
    """Run the command of one version, in the data folder; its standard output."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "REHEAD_CACHE": str(cache)}
    command = [sys.executable, "-m", "rehead", *arguments]
    done = subprocess.run(command, cwd=data, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} in {source} ended with {done.returncode}")
    return done.stdout


def numbers(record: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON record with its place, by today's names."""
    if isinstance(record, dict):
        for key, value in record.items():
            yield from numbers(value, f"{where}.{RENAMED.get(key, key)}")
    elif isinstance(record, list):
        for place, value in enumerate(record):
            yield from numbers(value, f"{where}[{place}]")
    else:
        yield where, record


def difference(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Largest difference of what two flat records share; infinite where that is nothing or a text differs."""
    if only := sorted(before.keys() ^ after.keys()):
        print(f"   only before or after: {len(only)} of {len(before)}, such as", *only[:3])
    common = before.keys() & after.keys()
    largest = 0.0 if common else float("inf")
    for key in common:
        old = before[key]
        new = after[key]
        if isinstance(old, int | float) and isinstance(new, int | float):
            largest = max(largest, abs(old - new))
        elif old != new:
            print(f"   {key}: {old!r} became {new!r}")
            return float("inf")
    return largest


def outputs(model: Path, photos: list[Path]) -> dict[str, Any]:
    """Every number that the model file gives for the photos, in plain ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(model))
    given = session.get_inputs()[0]
    height, width = given.shape[1:3]
    found: dict[str, Any] = {}
    for photo in photos:
        pixels = np.asarray(Image.open(photo).convert("RGB").resize((width, height)))
        for output, values in zip(
            session.get_outputs(), session.run(None, {given.name: pixels[None]}), strict=True
        ):
            for place, value in enumerate(values.ravel().tolist()):
                found[f"{photo.name} {output.name} {place}"] = value
    return found


def answers(printed: str) -> dict[str, Any]:
    """Every cell of a CSV, by row and column, as a number where it is one."""
    found: dict[str, Any] = {}
    for row, cells in enumerate(csv.DictReader(io.StringIO(printed))):
        for column, cell in cells.items():
            try:
                found[f"{row},{column}"] = float(cell)
            except ValueError:
                found[f"{row},{column}"] = cell
    return found


def run(name: str, source: Path, data: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Train and predict with one version; what is compared."""
    cache, verbs = folder / "cache", RUNS[name]
    rehead(source, data, cache, *verbs, "--out", str(folder / "run"), "--quiet")
    places = ("*.jpg", "*/*.jpg", "*/*/*.jpg")
    folder_of_photos = next(
        data / word.split("/")[0]
        for word in verbs
        if (data / word).exists() and word not in ("train", "faces", "keypoints")
    )
    photos = sorted(found for place in places for found in folder_of_photos.glob(place))
    photos = photos[:: max(1, len(photos) // PHOTOS)][:PHOTOS]
    model, kind = folder / "run" / "model.onnx", ["keypoints"] if verbs[0] == "keypoints" else []
    metrics = json.loads((folder / "run" / "metrics.json").read_text("utf-8"))
    printed = rehead(source, data, cache, *kind, "predict", str(model), *map(str, photos), "--format", "csv")
    return {
        "metrics": dict(numbers(metrics.get("test", metrics))),
        "split": answers((folder / "run" / "splits.csv").read_text("utf-8")),
        "model": outputs(model, photos),
        "answers": answers(printed),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("commit")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), default=list(RUNS))
    arguments = parser.parse_args()
    here, data, worst = Path(__file__).parents[1], arguments.data.resolve(), 0.0
    with tempfile.TemporaryDirectory(prefix="same-answers-") as temporary:
        before = Path(temporary) / "before"
        subprocess.run(
            ["git", "-C", str(here), "worktree", "add", "--detach", str(before), arguments.commit],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            print(
                "| run | "
                + " | ".join(
                    f"{part}: values, largest difference" for part in ("metrics", "split", "model", "answers")
                )
                + " |\n|"
                + " --- |" * 5
            )
            for number, name in enumerate(arguments.only):
                two = [
                    run(name, source, data, Path(temporary) / f"{number}-{side}")
                    for side, source in (("before", before), ("after", here))
                ]
                row = []
                for part in two[0]:
                    found = difference(two[0][part], two[1][part])
                    worst = max(worst, found)
                    row.append(f"{len(two[0][part])}, {found:.1e}")
                print(f"| {name} | " + " | ".join(row) + " |", flush=True)
        finally:
            subprocess.run(["git", "-C", str(here), "worktree", "remove", "--force", str(before)], check=True)
    return worst > BOUND


if __name__ == "__main__":
    sys.exit(main())
