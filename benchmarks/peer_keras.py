"""The recipe alpaca-mobilenetv2 against the same recipe in Keras, on the same photos and split.

    python benchmarks/peer_keras.py FOLDER --python VENV/bin/python [--epochs 20] [--seed 0]

FOLDER has a folder for each class. VENV is an environment with Keras and TensorFlow (`pip install
tensorflow-cpu`). Both train a head on a frozen MobileNetV2 at 160 px, of photos that are flipped and rotated,
with dropout of 0.2 and Adam, in batches of 32, for the same number of epochs: Keras as the tutorial writes
it, which runs the network in every epoch, rehead as `rehead train --recipe alpaca-mobilenetv2`, which runs it
for five views of each photo. Keras trains on the photos that rehead's splits.csv calls "train" and validates
on those for testing; rehead holds a fifth of the former out for validation.

Only time is compared: Keras' network starts from random numbers, because its ImageNet weights come over the
network, which does not change what a step costs. "Fitting" is Keras' `fit` alone, and in rehead the fitting
of the frozen head that it starts from, decoding, the frozen network and all epochs; "whole" are processes.
Target: rehead's fitting takes less than half of Keras'.
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

from peer_fastai import Row, process

SIZE, BATCH, RATE, DROPOUT = 160, 32, 1e-3, 0.2  # of the recipe; a turn of 0.2 is the tutorial's
_TURN = 0.2


def fit_with_keras(folder: str, splits: str, epochs: int) -> None:
    """Run by Keras' interpreter: prints one line of JSON."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    with Path(splits).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in ("train", "test")]
    labels = sorted({row["label"] for row in rows})

    def photo(path: object, label: object) -> tuple[object, object]:
        pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(pixels, (SIZE, SIZE)), label

    def data(side: str) -> object:
        chosen = [row for row in rows if row["split"] == side]
        paths = [str(Path(folder) / row["path"]) for row in chosen]
        truth = [labels.index(row["label"]) for row in chosen]
        found = tf.data.Dataset.from_tensor_slices((paths, truth))
        found = found.shuffle(len(chosen), seed=0) if side == "train" else found
        return found.map(photo, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    base = keras.applications.MobileNetV2(input_shape=(SIZE, SIZE, 3), include_top=False, weights=None)
    base.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.RandomRotation(_TURN)(x)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    outputs = keras.layers.Dense(len(labels))(keras.layers.Dropout(DROPOUT)(x))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss=loss, metrics=["accuracy"])
    train, test = data("train"), data("test")
    start = time.perf_counter()
    model.fit(train, validation_data=test, epochs=epochs, verbose=0)
    print(json.dumps({"fitting": time.perf_counter() - start}))


def compare(arguments: argparse.Namespace, work: Path) -> dict[str, Row]:
    run = work / "run"
    command = [sys.executable, "-m", "rehead", "train", str(arguments.folder), "--out", str(run)]
    command += ["--recipe", "alpaca-mobilenetv2", "--epochs", str(arguments.epochs)]
    command += ["--seed", str(arguments.seed), "--quiet"]
    cache = {"REHEAD_CACHE": str(work / "cache"), "REHEAD_WEIGHTS": str(_weights(work))}
    rows: dict[str, Row] = {}
    rows["rehead"], _ = process(command, cache)
    training = json.loads((run / "run.json").read_text("utf-8"))["training"]
    rows["rehead"]["fitting"] = training["seconds"]
    child = [str(arguments.python), __file__, "--fit-with-keras", str(arguments.folder)]
    child += [str(run / "splits.csv"), str(arguments.epochs)]
    rows["Keras"], line = process(child, {"TF_CPP_MIN_LOG_LEVEL": "3"})
    rows["Keras"] |= json.loads(line)
    return rows


def _weights(work: Path) -> Path:
    """A folder with MobileNetV2's file, so that fetching it is not timed."""
    from rehead.backbones.weights import locate, registry

    folder = work / "weights"
    folder.mkdir()
    spec = registry.get("mobilenet_v2")
    (folder / spec.filename).symlink_to(locate.locate(spec).resolve())
    return folder


def main() -> None:
    if sys.argv[1:2] == ["--fit-with-keras"]:
        fit_with_keras(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--python", type=Path, help="interpreter of an environment with Keras")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.folder is None or arguments.python is None:
        print("peer_keras: skipped, it needs a folder of photos and --python")
        return
    there = "import importlib.util as u; assert u.find_spec('keras') and u.find_spec('tensorflow')"
    if subprocess.run([str(arguments.python), "-c", there], capture_output=True, check=False).returncode:
        print(f"peer_keras: skipped, {arguments.python} has no Keras; pip install tensorflow-cpu there")
        return
    with tempfile.TemporaryDirectory() as work:
        rows = compare(arguments, Path(work))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{arguments.folder.name}, {arguments.epochs} epochs; load of the machine at the end {load}")
    print(f"{'':8}{'fitting':>9}{'whole':>8}{'processor':>11}")
    for name, row in rows.items():
        print(f"{name:8}{row['fitting']:9.1f}{row['whole']:8.1f}{row['processor']:11.1f}")
    for what, target in (("fitting", " (target: below 0.5)"), ("whole", ""), ("processor", "")):
        print(f"rehead / Keras, {what}: {rows['rehead'][what] / rows['Keras'][what]:.2f}{target}")


if __name__ == "__main__":
    main()
