"""Accuracy on pairs of faces, and the calibrations that come with rehead.

    python benchmarks/lfw.py LFW [EMBEDDER ...] [--detector mtcnn] [--ship src/.../calibrations.json]

LFW is a folder with pairs.txt and one folder a person; EMBEDDER is "dlib" or an ONNX file with its record.
Targets: 98.5 % with dlib and 99 % with a mobilefacenet, faces that are not found counted as errors. With
--ship what scores of the first embedder mean is written into rehead: people in two halves, thresholds set on
one and judged on the other.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from rehead.core.text import percent, percent_range
from rehead.errors import ReheadError
from rehead.faces import FaceDetector, FaceEmbedder
from rehead.faces.evaluation.evaluate import assess_pairs
from rehead.faces.gallery.records import spec_fingerprint
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification.calibration import Calibration, calibrate

TARGETS = {"dlib": 0.985, "mobilefacenet": 0.99}


def test(folder: Path, detector: str, embedder: str) -> Calibration:
    pipeline = FacePipeline(FaceDetector(detector, threads=1), FaceEmbedder(embedder, threads=1))
    start = time.perf_counter()
    found = assess_pairs(folder / "pairs.txt", folder, pipeline)
    seconds = time.perf_counter() - start
    result = found.result
    target = TARGETS.get(Path(embedder).stem)
    told = (
        "" if target is None else f"  {'ok' if result.accuracy.value >= target else 'MISSED'} ({target:.1%})"
    )
    print(f"{detector}, {Path(embedder).name}: {found.sentence}{told}")
    print(f"  {len(found.listed.photos)} photos in {seconds:.1f} s, {len(found.failed)} without a face")
    for point in result.operating:
        hint = "" if point.supported else "  (too few pairs to promise it)"
        print(
            f"  at {point.target:g}: {percent(point.false_matches.value, 2)} match falsely, "
            f"{percent(point.false_non_matches.value)} missed "
            f"({percent_range(point.false_non_matches)}){hint}"
        )
    there = np.isfinite(found.vectors.sum(axis=1))
    made = calibrate(
        found.vectors[there],
        found.listed.people[there],
        contract=spec_fingerprint(pipeline.embedder.contract),
        source="LFW",
    )
    print(
        f"  calibration: {made.people} people, {made.genuine} and {made.impostors:,} pairs; rates of false "
        f"matches down to {made.least:.2g}"
    )
    for rate in (0.01, 0.001, made.least):
        point_ = made.at(rate)
        print(
            f"    {rate:.2g}: threshold {point_.threshold:.3f}, {percent(point_.false_matches.value, 3)} "
            f"({percent_range(point_.false_matches, 3)}) match falsely, "
            f"{percent(point_.false_non_matches.value)} missed"
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("embedders", nargs="*", default=["dlib"])
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--ship", type=Path)
    arguments = parser.parse_args()
    if not (arguments.data / "pairs.txt").is_file():
        raise SystemExit(f"{arguments.data}: no pairs.txt in it; give the folder of LFW")
    try:
        made = [test(arguments.data, arguments.detector, embedder) for embedder in arguments.embedders]
    except ReheadError as error:
        raise SystemExit(f"lfw: {error}") from None
    if arguments.ship:
        arguments.ship.write_text(
            json.dumps([made[0].to_dict()], indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        print(f"wrote {arguments.ship}")


if __name__ == "__main__":
    main()
