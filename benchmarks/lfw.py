"""Accuracy on pairs of faces, and what a calibration on them would be.

    python benchmarks/lfw.py LFW [EMBEDDER ...] [--detector mtcnn]

LFW is a folder with pairs.txt and one folder a person; EMBEDDER is "dlib" or an ONNX file with its record.
Targets: 98.5 % with dlib and 99 % with a mobilefacenet, faces that are not found counted as errors. The
calibration is set on half of the people and tested on the others; `benchmarks/calibration.py` makes the one
that comes with rehead, of more people.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from rehead.core.text import percent, percent_range
from rehead.errors import ReheadError
from rehead.faces import FaceDetector, FaceEmbedder
from rehead.faces.embedding.spec import spec_fingerprint
from rehead.faces.evaluation.evaluate import evaluate_pair_list
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification.calibration import calibrate

TARGETS = {"dlib": 0.985, "mobilefacenet": 0.99}


def test(folder: Path, detector: str, embedder: str) -> None:
    pipeline = FacePipeline(FaceDetector(detector, threads=1), FaceEmbedder(embedder, threads=1))
    start = time.perf_counter()
    found = evaluate_pair_list(folder / "pairs.txt", folder, pipeline)
    seconds = time.perf_counter() - start
    result = found.result
    target = TARGETS.get(Path(embedder).stem)
    verdict = (
        "" if target is None else f"  {'ok' if result.accuracy.value >= target else 'MISSED'} ({target:.1%})"
    )
    print(f"{detector}, {Path(embedder).name}: {found.sentence}{verdict}")
    print(f"  {len(found.listed.photos)} photos in {seconds:.1f} s, {len(found.failed)} without a face")
    for point in result.operating:
        hint = "" if point.supported else "  (too few pairs to support it)"
        print(
            f"  at {point.target_fmr:g}: {percent(point.fmr.value, 2)} match falsely, "
            f"{percent(point.fnmr.value)} missed "
            f"({percent_range(point.fnmr)}){hint}"
        )
    there = np.isfinite(found.vectors.sum(axis=1))
    made = calibrate(
        found.vectors[there],
        found.listed.people[there],
        fingerprint=spec_fingerprint(pipeline.embedder.embedding_spec),
        source="LFW",
    )
    print(
        f"  calibration: {made.people} people, {made.genuine} and {made.impostors:,} pairs; FMR down "
        f"to {made.min_fmr:.2g}"
    )
    for target_fmr in (0.01, 0.001, made.min_fmr):
        threshold = made.at(target_fmr)
        print(
            f"    {target_fmr:.2g}: threshold {threshold.value:.3f}, {percent(threshold.fmr.value, 3)} "
            f"({percent_range(threshold.fmr, 3)}) match falsely, "
            f"{percent(threshold.fnmr.value)} missed"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("embedders", nargs="*", default=["dlib"])
    parser.add_argument("--detector", default="mtcnn")
    arguments = parser.parse_args()
    if not (arguments.data / "pairs.txt").is_file():
        raise SystemExit(f"{arguments.data}: no pairs.txt in it; give the folder of LFW")
    try:
        for embedder in arguments.embedders:
            test(arguments.data, arguments.detector, embedder)
    except ReheadError as error:
        raise SystemExit(f"lfw: {error}") from None


if __name__ == "__main__":
    main()
