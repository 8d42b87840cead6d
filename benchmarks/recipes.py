"""What a recipe gets on photos, noted in docs/recipes.json, from which docs/recipes.md is made.

    python benchmarks/recipes.py FOLDER RECIPE [--out RUN] [--note TEXT] [-- OPTIONS OF rehead train]

`rehead train --recipe RECIPE` as a process of its own, on FOLDER as `rehead train FOLDER` by itself divides
it: which photos are near-duplicates, and so the draw, is seen a little differently by every network. The
accuracy on the test photos with its interval, and the seconds of the epochs, are noted with the options. With
--out, a run that was killed is continued, and one that is finished there is noted as it is. The recipe "none"
is `rehead train FOLDER` by itself, to compare with.

For a recipe of keypoints, FOLDER holds train.csv and train/, test.csv and test/, the options are those of
`rehead keypoints train`, and what is noted is the mean absolute error of the test photos as a share of their
side.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rehead.workflows.recipes import KEYPOINT_RECIPES

NONE = "none"
RECORD = Path(__file__).parents[1] / "docs" / "recipes.json"


def divided(folder: Path, temporary: Path) -> Path:
    """The photos as a CSV, on the sides where `rehead train FOLDER` by itself puts them."""
    train = [sys.executable, "-m", "rehead", "train", str(folder), "--quiet"]
    subprocess.run([*train, "--out", str(temporary / "itself")], check=True)
    with (temporary / "itself" / "splits.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in ("train", "test")]
    table = temporary / "photos.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "split", "group"])
        writer.writeheader()
        writer.writerows({**row, "path": folder.resolve() / row["path"]} for row in rows)
    return table


def carried_out(folder: Path, recipe: str, run: Path, options: list[str]) -> dict[str, Any]:
    """The row of a run, which is begun, continued or only read."""
    if not (run / "run.json").is_file():
        run.parent.mkdir(parents=True, exist_ok=True)
        photos = folder
        if recipe != NONE:
            photos = divided(folder, Path(tempfile.mkdtemp(dir=run.parent, prefix="divided-")))
        place = "--resume" if run.with_name(run.name + ".work").is_dir() else "--out"
        command = [sys.executable, "-m", "rehead", "train", str(photos)]
        command += ["--recipe", recipe] if recipe != NONE else []
        subprocess.run([*command, place, str(run), "--quiet", *options], check=True)
    test = json.loads((run / "metrics.json").read_text("utf-8"))["test"]
    record = json.loads((run / "run.json").read_text("utf-8"))
    if recipe == NONE:
        return {"folder": folder.resolve().name, "tested_on": test["photos"], "accuracy": test["accuracy"]}
    epochs = record["training"]["curves"]
    return {
        "recipe": recipe,
        "folder": folder.resolve().name,
        "options": options,
        "trained_on": record["photos"]["train"],
        "tested_on": test["photos"],
        "accuracy": test["accuracy"],
        "epochs": len(epochs),
        "seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "weights": "random weights"
        if record["backbone"]["sha256"] == "random"
        else record["backbone"]["name"],
    }


def carried_out_points(folder: Path, recipe: str, run: Path, options: list[str]) -> dict[str, Any]:
    """As `carried_out`, for a recipe of keypoints."""
    verb = [sys.executable, "-m", "rehead", "keypoints"]
    if not (run / "run.json").is_file():
        place = "--resume" if run.with_name(run.name + ".work").is_dir() else "--out"
        shown = [str(folder / "train.csv"), "--images", str(folder / "train"), "--recipe", recipe]
        subprocess.run([*verb, "train", *shown, place, str(run), "--quiet", *options], check=True)
    unseen = [str(folder / "test.csv"), "--images", str(folder / "test"), "--json"]
    told = subprocess.run(
        [*verb, "evaluate", str(run / "model.onnx"), *unseen], check=True, capture_output=True, text=True
    )
    test = json.loads(told.stdout)["test"]
    training = json.loads((run / "metrics.json").read_text("utf-8"))["training"]
    record = json.loads((run / "run.json").read_text("utf-8"))
    return {
        "recipe": recipe,
        "folder": folder.resolve().name,
        "options": options,
        "trained_on": record["photos"]["trained on"],
        "tested_on": test["photos"],
        "error": test["scores"]["MAE, share of the side"],
        "epochs": len(training["curves"]),
        "seconds": round(sum(epoch["seconds"] for epoch in training["curves"]), 1),
        "weights": training["network"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--note", default="")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:cut])
    if arguments.recipe is None:
        print("recipes: skipped, no recipe was named")
        return
    with tempfile.TemporaryDirectory() as temporary:
        run = arguments.out or Path(temporary) / "run"
        points = arguments.recipe in {recipe.name for recipe in KEYPOINT_RECIPES}
        run_training = carried_out_points if points else carried_out
        row = run_training(arguments.folder, arguments.recipe, run, words[cut + 1 :])
    rows = json.loads(RECORD.read_text("utf-8"))
    if arguments.recipe == NONE:
        rows["by_itself"] = [r for r in rows["by_itself"] if r["folder"] != row["folder"]] + [row]
    else:
        row["note"] = arguments.note
        key = ("recipe", "folder", "options")
        rows["measured"] = [r for r in rows["measured"] if any(r[k] != row[k] for k in key)] + [row]
        rows["not_measured"].pop(row["recipe"], None)
    RECORD.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
