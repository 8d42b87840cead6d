"""What a recipe gets on photos, noted in docs/recipes.json, from which docs/recipes.md is made.

    python benchmarks/recipes.py FOLDER RECIPE [--out RUN] [--note TEXT] [-- OPTIONS OF rehead train]

`rehead train FOLDER --recipe RECIPE` as a process of its own; the accuracy on its test photos with its
interval, and the seconds of its epochs, are noted with the options. With --out, a run that was killed is
continued, and one that is finished there is noted as it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[1] / "docs" / "recipes.json"


def carried_out(folder: Path, recipe: str, run: Path, options: list[str]) -> dict[str, Any]:
    """The row of a run, which is begun, continued or only read."""
    if not (run / "run.json").is_file():
        place = "--resume" if run.with_name(run.name + ".work").is_dir() else "--out"
        command = [sys.executable, "-m", "rehead", "train", str(folder), "--recipe", recipe]
        subprocess.run([*command, place, str(run), "--quiet", *options], check=True)
    test = json.loads((run / "metrics.json").read_text("utf-8"))["test"]
    record = json.loads((run / "run.json").read_text("utf-8"))
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
        "weights": record["backbone"]["name"]
        if record["backbone"]["sha256"] != "random"
        else "random numbers",
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
        row = carried_out(arguments.folder, arguments.recipe, run, words[cut + 1 :])
    row["note"] = arguments.note
    rows = json.loads(RECORD.read_text("utf-8"))
    key = ("recipe", "folder", "options")
    rows["measured"] = [r for r in rows["measured"] if any(r[k] != row[k] for k in key)] + [row]
    RECORD.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
