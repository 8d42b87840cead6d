"""rehead on photos that are at hand: handwritten digits, which scikit-learn brings.

    python examples/demo.py [--folder demo] [--photos 60]

Writes the digits as photos in class folders, then runs the commands that a user would type, and
shows each before it runs.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

_NEW = 15  # photos of each class that training never sees
_SIDE = 128  # pixels; the digits themselves have 8


def main() -> None:
    """Write the photos, then train, evaluate and predict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--photos", type=int, default=60, help="to train on, of each digit (at most 150)")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    write_photos(folder, arguments.photos)

    say(
        f"{10 * arguments.photos} photos of handwritten digits lie in {folder / 'digits'}.\n"
        "Train on them. rehead holds a fifth back, and tests the model on that."
    )
    rehead("train", folder / "digits", "--out", folder / "run", "--overwrite")

    say(f"{10 * _NEW} more digits lie in {folder / 'new'}; the model has seen none of them. Does it hold?")
    rehead("evaluate", folder / "run/model.onnx", folder / "new")

    say(
        "Now single photos: three digits, and a flower, which is no digit.\n"
        'The flower should come out as "unknown", however sure the head is of itself.'
    )
    digits = [sorted((folder / "new" / name).iterdir())[0] for name in "027"]
    rehead("predict", folder / "run/model.onnx", *digits, folder / "flower.jpg")

    say(
        f"The model is one file:        {folder / 'run/model.onnx'}\n"
        f"How good it is, for people:   {(folder / 'run/report.html').resolve()}\n"
        "Open that in a browser, then do the same with photos of yours."
    )


def write_photos(folder: Path, count: int) -> None:
    """Write `count` digits of each class to digits/, others to new/, and a photo that is no digit."""
    digits = load_digits()
    for part in ("digits", "new"):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in range(10):
        rows = np.flatnonzero(digits.target == name)
        for part, chosen in (("digits", rows[:count]), ("new", rows[-_NEW:])):
            place = folder / part / str(name)
            place.mkdir(parents=True)
            for row in chosen:
                ink = 255 - digits.images[row] * (255 / 16)
                photo = Image.fromarray(ink.astype(np.uint8)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
                photo.save(place / f"{row:04d}.png")
    Image.fromarray(load_sample_image("flower.jpg")).save(folder / "flower.jpg")


def say(text: str) -> None:
    """Print an explanation, set off from what the commands print."""
    print(f"\n{text}", flush=True)


def rehead(*words: str | Path) -> None:
    """Show a command as a user types it, and run it."""
    command = [str(word) for word in words]
    print(f"\n  $ rehead {shlex.join(command)}\n", flush=True)
    result = subprocess.run([sys.executable, "-m", "rehead", *command], check=False)
    if result.returncode:
        raise SystemExit(result.returncode)


if __name__ == "__main__":
    main()
