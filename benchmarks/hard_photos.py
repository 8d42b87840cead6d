"""Dark, turned and covered faces: what the detector's further looks find, and what `Quality.covered` notes.

    python benchmarks/hard_photos.py LFW [--others FOLDER] [--photos 150] [--start 0]

Each photo of LFW's is darkened to a tenth, turned by a quarter without EXIF, or given a mask or sunglasses,
which are drawn. "found" is the share where a face covers the middle of the photo; "noted" where the answer
says so, beside the share of unchanged photos of which it is said wrongly; "score" is with the unchanged
photo, median and lowest tenth. Targets: dark and turned photos found in 99 of 100, false notes in 2 of 100.
Then everybody with two photos, at most as many people as --photos, is enrolled with one, and the other is
identified as it is and covered, at 1 % of strangers.
Photos of --others show hardly anybody: in how many a face is found at once, at twice the size, and by the
further looks; and the processor time of these.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from rehead.core.geometry import invert, similarity, transformed
from rehead.data import list_photos
from rehead.faces import Face, FaceDetector, FaceEmbedder, select_faces
from rehead.faces.embedding.alignment import ARCFACE
from rehead.faces.gallery.threshold import GalleryThreshold
from rehead.faces.verification.calibration import shipped
from rehead.images import read_image

Pixels = NDArray[np.uint8]
# corners in the aligned square, and colours of surgical, white, black and patterned cloth
MASK = [(56, 66), (74, 71), (92, 66), (94, 90), (80, 112), (56, 122), (32, 112), (18, 90), (20, 66), (38, 71)]
CLOTH = [(120, 170, 210), (240, 240, 240), (25, 25, 28), (60, 80, 60), (150, 40, 50), (200, 200, 180)]
GLASS = [(15, 15, 18), (40, 30, 25), (30, 35, 45)]


def glasses() -> list[NDArray[np.float64]]:
    round_ = np.linspace(0, 2 * np.pi, 24)
    lenses = [np.stack([x + 17 * np.cos(round_), 54 + 12 * np.sin(round_)], axis=1) for x in (38, 74)]
    return [*lenses, np.array([[50, 50], [62, 50], [62, 53], [50, 53]], float)]


def drawn(pixels: Pixels, face: Face, shapes: list[NDArray[np.float64]], colour: tuple[int, ...]) -> Pixels:
    """The photo with shapes over the face, in the light of the photo and with some noise."""
    back = invert(similarity(face.points, ARCFACE))
    cover = Image.new("L", (2 * pixels.shape[1], 2 * pixels.shape[0]))
    pen = ImageDraw.Draw(cover)
    for shape in shapes:
        pen.polygon([tuple(2 * point) for point in transformed(shape, back)], fill=255)
    alpha = np.asarray(cover.resize((pixels.shape[1], pixels.shape[0]))) / 255
    light = np.asarray(Image.fromarray(pixels).convert("L").filter(ImageFilter.GaussianBlur(12)), float)
    light = (light / light[alpha > 0].mean()).clip(0.6, 1.4)[..., None]
    noise = np.random.default_rng(0).normal(0, 4, pixels.shape)
    cloth = np.array(colour) * light + noise
    mixed = pixels * (1 - alpha[..., None]) + cloth * alpha[..., None]
    return np.asarray(mixed.clip(0, 255), np.uint8)


def middle(faces: list[Face], pixels: Pixels) -> list[Face]:
    """The face at the middle of the photo, if there is one."""
    size = pixels.shape[1], pixels.shape[0]
    centre = np.array(size) / 2
    return [
        face
        for face in select_faces(faces, "centre", size)
        if (face.box[:2] < centre).all() and (centre < face.box[2:]).all()
    ]


def portraits(files: Sequence[Path], detector: FaceDetector, embedder: FaceEmbedder) -> None:
    changes: dict[str, tuple[Callable[[Pixels, Face, int], Pixels], Callable[[Face], bool]]] = {
        "dark, a tenth": (lambda p, _f, _n: (p * 0.1).astype(np.uint8), lambda f: f.stretched),
        "turned": (lambda p, _f, n: np.ascontiguousarray(np.rot90(p, n % 3 + 1)), lambda f: f.turn > 0),
        "mask": (
            lambda p, f, n: drawn(p, f, [np.array(MASK, float)], CLOTH[n % 6]),
            lambda f: "mouth" in f.quality.covered,
        ),
        "sunglasses": (
            lambda p, f, n: drawn(p, f, glasses(), GLASS[n % 3]),
            lambda f: "eyes" in f.quality.covered,
        ),
    }
    found, noted, false = (dict.fromkeys(changes, 0) for _ in range(3))
    scores: dict[str, list[float]] = {name: [] for name in changes}
    right_turns = photos = 0
    for number, file in enumerate(files):
        pixels = read_image(file)
        if not (plain := middle(detector.detect(pixels), pixels)):
            continue
        photos += 1
        (vector,) = embedder.embed(pixels, plain)
        for name, (change, note) in changes.items():
            changed = change(pixels, plain[0], number)
            faces = middle(detector.detect(changed), changed)
            false[name] += note(plain[0])
            found[name] += bool(faces)
            noted[name] += bool(faces) and note(faces[0])
            if faces:
                scores[name].append(float(vector @ embedder.embed(changed, faces)[0]))
                right_turns += name == "turned" and faces[0].turn == 90 * (number % 3 + 1)
    print(
        f"{photos} portraits\n{'':16}{'found':>8}{'noted':>8}{'falsely':>9}{'score':>8}{'a tenth below':>15}"
    )
    for name in changes:
        low, mid = np.quantile(scores[name], (0.1, 0.5))
        print(
            f"{name:16}{found[name] / photos:8.1%}{noted[name] / photos:8.1%}{false[name] / photos:9.1%}"
            f"{mid:8.3f}{low:15.3f}"
        )
    print(f"turned back rightly: {right_turns} of {photos}")


def gallery(files: Sequence[Path], most: int, detector: FaceDetector, embedder: FaceEmbedder) -> None:
    pairs: dict[str, list[Path]] = {}
    for file in files:
        pairs.setdefault(file.parent.name, []).append(file)
    enrolled, probes = [], []
    for number, (first, second) in enumerate([each[:2] for each in pairs.values() if len(each) > 1][:most]):
        pixels, probe = read_image(first), read_image(second)
        faces, found = middle(detector.detect(pixels), pixels), middle(detector.detect(probe), probe)
        if faces and found:
            enrolled.append(embedder.embed(pixels, faces)[0])
            mask = drawn(probe, found[0], [np.array(MASK, float)], CLOTH[number % 6])
            probes.append((probe, mask, drawn(probe, found[0], glasses(), GLASS[number % 3])))
    known = shipped(embedder.embedding_spec)
    assert known is not None
    limit = GalleryThreshold.of(known, 0.01, len(enrolled)).comparison.value
    print(f"\n{len(enrolled)} people{'':8}{'named':>8}{'wrongly':>9}{'unknown':>9}{'no face':>9}")
    for kind, name in enumerate(("as it is", "mask", "sunglasses")):
        right = wrong = unknown = 0
        for person, variants in enumerate(probes):
            faces = middle(detector.detect(variants[kind]), variants[kind])
            if faces:
                scores = np.stack(enrolled) @ embedder.embed(variants[kind], faces)[0]
                unknown += scores.max() < limit
                right += scores.max() >= limit and scores.argmax() == person
                wrong += scores.max() >= limit and scores.argmax() != person
        rates = [count / len(probes) for count in (right, wrong, unknown)]
        print(f"{name:16}" + "".join(f"{rate:9.1%}" for rate in (*rates, 1 - sum(rates))))


def others(files: Sequence[Path]) -> None:
    looks = {
        "at once": FaceDetector(threads=1, retry=False),
        "with further looks": FaceDetector(threads=1),
    }
    counts, seconds = dict.fromkeys(("at once", "at twice the size", "stretched", "turned"), 0), []
    for file in files:
        pixels = read_image(file)
        times = []
        for name, detector in looks.items():
            start = time.process_time()
            faces = detector.detect(pixels)
            times.append(time.process_time() - start)
            if name == "at once" and faces:
                counts["at once"] += 1
        if faces and (faces[0].turn or faces[0].stretched):
            counts["turned" if faces[0].turn else "stretched"] += 1
        elif faces and not looks["at once"].detect(pixels):
            counts["at twice the size"] += 1
        seconds.append(times)
    once, all_ = np.median(seconds, axis=0)
    print(f"\n{len(files)} other photos: a face {counts}")
    print(
        f"  processor: {1e3 * once:.0f} ms at once, {1e3 * all_:.0f} with further looks ({all_ / once:.1f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", metavar="LFW")
    parser.add_argument("--others", type=Path)
    parser.add_argument("--photos", type=int, default=150)
    parser.add_argument("--start", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.folder is None or not (arguments.folder / "pairs.txt").is_file():
        print("hard_photos: skipped, no folder of LFW with its pairs.txt was given")
        return
    files = list_photos(arguments.folder)[arguments.start :]
    step = max(1, len(files) // arguments.photos)
    detector, embedder = FaceDetector(threads=1), FaceEmbedder(threads=1)
    portraits(files[::step][: arguments.photos], detector, embedder)
    gallery(list_photos(arguments.folder), arguments.photos, detector, embedder)
    if arguments.others is not None:
        files = list_photos(arguments.others)
        others(files[:: max(1, len(files) // arguments.photos)][: arguments.photos])


if __name__ == "__main__":
    main()
