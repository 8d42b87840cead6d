"""YuNet's scores: what its threshold and the sizes at which it sees a photo rest on.

    python benchmarks/yunet.py PORTRAITS [--crops FACES] [--others PHOTOS] [--photos 100]

PORTRAITS are of one face each, as LFW's; FACES are filled by a face; PHOTOS show none, or are looked through
by hand: each that has a face is named with its score. Every row is the share of photos whose best score is
that or more, the processor's milliseconds a photo, and how many were told to be turned as they are. There is
no second look but in the last rows. One thread. YuNet's file is fetched, or is
`yunet.onnx` in the folder that REHEAD_WEIGHTS names.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rehead.data import list_photos
from rehead.faces import Face, FaceDetector
from rehead.faces.detection import yunet
from rehead.images import read_image

Pixels = NDArray[np.uint8]
SCORES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.88, 0.9)


def sized(pixels: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def small(pixels: Pixels, face: int) -> Pixels:
    """A portrait of LFW, whose face is 90 pixels wide, with one of `face` pixels on a grey page."""
    page = np.full((480, 640, 3), 110, np.uint8)
    portrait = np.asarray(Image.fromarray(pixels).resize((round(250 * face / 90),) * 2, Image.Resampling.BOX))
    page[100 : 100 + len(portrait), 200 : 200 + len(portrait)] = portrait
    return page


def best(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def row(name: str, detector: FaceDetector, photos: Sequence[Pixels]) -> NDArray[np.float64]:
    start = time.process_time()
    scores = np.array([best(detector.detect(pixels)) for pixels in photos])
    took = (time.process_time() - start) * 1e3 / len(photos)
    shares = "".join(f"{(scores >= score).mean():7.1%}" for score in SCORES)
    print(f"{name:24}{len(photos):5d}{shares}{took:8.1f}", flush=True)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description="What YuNet's threshold and sizes rest on.")
    parser.add_argument("portraits", type=Path)
    parser.add_argument("--crops", type=Path)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--photos", type=int, default=100)
    arguments = parser.parse_args()

    def some(folder: Path) -> Sequence[Path]:
        found = list_photos(folder)
        return found[:: max(1, len(found) // arguments.photos)][: arguments.photos]

    yunet._THRESHOLD = SCORES[0]
    once = FaceDetector("yunet", threads=1, retry=False)
    portraits = [*map(read_image, some(arguments.portraits))]
    print(f"{'score at least':24}{'':5}{''.join(f'{score:7}' for score in SCORES)}{'ms':>8}")
    row("portraits", once, portraits)
    row("at a tenth of the light", once, [(pixels * 0.1).astype(np.uint8) for pixels in portraits])
    for face in (12, 16, 20, 24, 32):
        row(f"faces of {face} px", once, [small(pixels, face) for pixels in portraits])
    for angle in (30, 45, 60):
        tilted = [np.asarray(Image.fromarray(pixels).rotate(angle)) for pixels in portraits]
        row(f"tilted by {angle} degrees", once, tilted)
    if arguments.crops:
        crops = [*map(read_image, some(arguments.crops)[:30])]
        for side in (640, 1280, 3000):
            row(f"crops of {side} px", once, [sized(pixels, side) for pixels in crops])
    if arguments.others:
        paths = list_photos(arguments.others)
        scores = row("others", once, [read_image(path) for path in paths])
        for n in np.argsort(-scores):
            if scores[n] >= 0.7:
                print(f"    {scores[n]:.2f} {paths[n].name}")
    yunet._THRESHOLD = 0.8
    again = FaceDetector("yunet", threads=1)
    for quarters in (1, 2, 3):
        turned = [np.ascontiguousarray(np.rot90(pixels, quarters)) for pixels in portraits]
        row(f"turned by {90 * quarters} degrees", again, turned)
        told = sum(any(face.turn == 90 * quarters for face in again.detect(pixels)) for pixels in turned)
        print(f"    told as such: {told}")


if __name__ == "__main__":
    main()
