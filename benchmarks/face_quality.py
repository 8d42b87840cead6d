"""What the limits of `detection.quality` rest on: recognition of faces that are small, blurred or turned.

    python benchmarks/face_quality.py LFW [--pairs 300]

LFW has a pairs.txt. One photo of every pair is made worse: shrunk until the shorter side of the face has so
many pixels, or blurred (Gaussian; the sharpness is the median measured afterwards). Detection is left out:
the points are those of the photo as it was. "missed" are pairs of one person below the threshold that is most
often right where no photo was changed; "false" are pairs of two people above it. Turned faces cannot be made,
so the photos are taken as they are: the angles' percentiles, and the pairs of one person by the larger angle.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from rehead.faces import Face, FaceDetector, FaceEmbedder, QualityLimits, select_faces
from rehead.faces.detection.quality import measure_quality
from rehead.faces.evaluation.lfw import PairList, read_pairs
from rehead.images import read_image

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]

SIDES = (96, 64, 48, 40, 32, 24, 20, 16, 12)
RADII = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # pixels of LFW's photos, whose faces are some 90 wide
ANGLES = (0, 10, 20, 30, 40, 50)


def shrunk(side: float) -> Callable[[Pixels, Face], tuple[Pixels, float]]:
    def change(pixels: Pixels, face: Face) -> tuple[Pixels, float]:
        scale = min(1.0, side / face.quality.side)
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX)), scale

    return change


def blurred(radius: float) -> Callable[[Pixels, Face], tuple[Pixels, float]]:
    def change(pixels: Pixels, _face: Face) -> tuple[Pixels, float]:
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius))), 1.0

    return change


class Photos:
    """The photos of the pairs, each with its selected face."""

    def __init__(self, listed: PairList, rows: NDArray[np.intp]) -> None:
        detector = FaceDetector(threads=1)
        self.embedder = FaceEmbedder(threads=1)
        self.pixels: dict[int, Pixels] = {}
        self.faces: dict[int, Face] = {}
        for row in np.unique(rows).tolist():
            pixels = read_image(listed.photos[row])
            faces = select_faces(detector.detect(pixels), "centre", (pixels.shape[1], pixels.shape[0]))
            if faces:
                self.pixels[row], self.faces[row] = pixels, faces[0]

    def embedded(
        self, rows: NDArray[np.intp], change: Callable[[Pixels, Face], tuple[Pixels, float]] | None = None
    ) -> tuple[NDArray[np.float64], list[float]]:
        """Embeddings of the photos `rows`, and the sharpness of the faces."""
        known: dict[int, NDArray[np.float32]] = {}
        sharpness = []
        for row in np.unique(rows).tolist():
            pixels, face = self.pixels[row], self.faces[row]
            if change is not None:
                pixels, scale = change(pixels, face)
                points, box = face.points * scale, face.box * scale
                face = Face(box, points, face.score, measure_quality(pixels, box, points))
            known[row] = self.embedder.embed(pixels, [face])[0]
            sharpness.append(face.quality.sharpness)
        return np.stack([known[row] for row in rows.tolist()]).astype(np.float64), sharpness


def threshold_of(score: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """The score at which most pairs are judged rightly."""
    edges = np.sort(score)
    right = [((score >= edge) == same).mean() for edge in edges]
    return float(edges[int(np.argmax(right))])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", metavar="LFW")
    parser.add_argument("--pairs", type=int, default=300)
    arguments = parser.parse_args()
    if arguments.folder is None or not (arguments.folder / "pairs.txt").is_file():
        print("face_quality: skipped, no folder of LFW with its pairs.txt was given")
        return
    listed = read_pairs(arguments.folder / "pairs.txt", arguments.folder)
    every = np.arange(len(listed.first))
    chosen = np.sort(np.random.default_rng(0).permutation(every)[: arguments.pairs])
    photos = Photos(listed, np.concatenate([listed.first[chosen], listed.second[chosen]]))
    there = [n for n in chosen.tolist() if {listed.first[n], listed.second[n]} <= photos.faces.keys()]
    first, second = listed.first[there], listed.second[there]
    same = listed.people[first] == listed.people[second]
    others, _ = photos.embedded(second)
    plain = (photos.embedded(first)[0] * others).sum(axis=1)
    threshold = threshold_of(plain, same)
    print(f"{len(same)} pairs, {same.sum()} of one person; threshold {threshold:.3f}; {QualityLimits()}")

    def row(name: str, change: Callable[[Pixels, Face], tuple[Pixels, float]] | None) -> None:
        vectors, sharpness = photos.embedded(first, change)
        score = (vectors * others).sum(axis=1)
        missed, false = (score[same] < threshold).mean(), (score[~same] >= threshold).mean()
        print(f"{name:22}{missed:9.1%}{false:9.1%}{np.median(sharpness):12.1f}", flush=True)

    print(f"\n{'':22}{'missed':>9}{'false':>9}{'sharpness':>12}")
    row("as they are", None)
    for side in SIDES:
        row(f"shorter side {side}", shrunk(side))
    for radius in RADII:
        row(f"blurred by {radius}", blurred(radius))
    turned(photos, first, second, plain, same, threshold)


def turned(
    photos: Photos,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    score: NDArray[np.float64],
    same: NDArray[np.bool_],
    threshold: float,
) -> None:
    quality = {row: face.quality for row, face in photos.faces.items()}
    for name in ("yaw", "pitch"):
        angle = np.abs([getattr(q, name) for q in quality.values()])
        marks = np.percentile(angle, (50, 90, 95, 99, 100)).round().astype(int).tolist()
        print(f"\n{name}: 50, 90, 95, 99 and 100 % of the faces are within {marks} degrees")
        larger = np.array(
            [
                max(abs(getattr(quality[a], name)), abs(getattr(quality[b], name)))
                for a, b in zip(first.tolist(), second.tolist(), strict=True)
            ]
        )
        for low, high in zip(ANGLES, (*ANGLES[1:], 180), strict=True):
            rows = same & (larger >= low) & (larger < high)
            if rows.any():
                print(
                    f"  {low:2d} to {high:3d}: {(score[rows] < threshold).mean():6.1%} of {rows.sum()} missed"
                )
    sharp = np.array([q.sharpness for q in quality.values()])
    print(
        f"\nsharpness: the least 1, 5 and 50 % are below {np.percentile(sharp, (1, 5, 50)).round(1).tolist()}"
    )


if __name__ == "__main__":
    main()
