"""Which copies of a photo `near_duplicates` finds, and which different photos it takes for copies.

    python benchmarks/near_duplicates.py FOLDER [--features MODULE:FUNCTION] [--copies 60] [--seed 0]

Copies of some photos are planted beside all photos of the folder, one kind at a time. The table has
a row for each setting: the share of copies of each kind that end in their original's group, and how
many of the folder's own photos are joined to another one (true duplicates among them: they are
listed at the end, to be looked at). FUNCTION takes uint8 (n, 224, 224, 3) RGB and returns float32
(n, d), the pooled features that training uses; without it only the hash is measured.

MAX_BITS, MAX_BITS_ALONE, MIN_COSINE and the relief of 0.2 were chosen by it with the mean of
EfficientNet-Lite0's last map, 60 copies a kind, on 327 photos of the Open Images, 1,000 aligned face
crops of UTKFace, 807 photos of LFW and 450 video frames of YouTube Faces. Of the copies saved again,
halved, trimmed by 5 %, mirrored, brightened or darkened, 1,436 of 1,440 are found; of those trimmed by
10 %, 70 to 100 %. Joined without being planted: 2 pairs of Open Images and 2 of LFW, all true; 4 pairs
of the aligned faces, 2 of them true; 149 video frames, all with frames of their own video. The hash
alone, with 4 bits, finds 100 % of the first kinds but for trimmed (17 to 50 %) and brightened (85 to
95 %) ones, and with 6 bits begins to join faces at random.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from rehead.data import MAX_BITS, MIN_COSINE, list_photos, near_duplicates, perceptual_hash
from rehead.images import PreprocessSpec, load_image, read_image

Pixels = NDArray[np.uint8]
Features = Callable[[Pixels], NDArray[np.float32]]

SPEC = PreprocessSpec(size=224, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
SETTINGS = [(bits, cosine) for bits in (8, 12, MAX_BITS, 20) for cosine in (0.7, MIN_COSINE, 0.9)]
SETTINGS_ALONE = [(bits, MIN_COSINE) for bits in (0, 2, 4, 6, 8, 12)]


def trimmed(photo: Image.Image, share: float) -> Image.Image:
    x, y = round(photo.width * share / 2), round(photo.height * share / 2)
    return photo.crop((x, y, photo.width - x, photo.height - y))


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "quality 60": lambda photo: photo,
    "half size": lambda photo: photo.resize((max(1, photo.width // 2), max(1, photo.height // 2))),
    "trim 5 %": lambda photo: trimmed(photo, 0.05),
    "trim 10 %": lambda photo: trimmed(photo, 0.10),
    "mirrored": lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "x 1.3": lambda photo: ImageEnhance.Brightness(photo).enhance(1.3),
    "x 0.6": lambda photo: ImageEnhance.Brightness(photo).enhance(0.6),
    "grey": lambda photo: photo.convert("L").convert("RGB"),
}


def copies(paths: list[Path], kind: str) -> Pixels:
    """(n, S, S, 3) Copies of one kind, through a JPEG file as real ones are."""
    made = []
    for path in paths:
        buffer = io.BytesIO()
        KINDS[kind](Image.fromarray(read_image(path))).save(
            buffer, "JPEG", quality=60 if kind == "quality 60" else 90
        )
        made.append(load_image(buffer.getvalue(), SPEC))
    return np.stack(made)


def measure(folder: Path, features: Features | None, *, count: int, seed: int) -> None:
    """Print the table of a folder."""
    paths = list_photos(folder)
    photos = np.stack([load_image(path, SPEC) for path in paths])
    chosen = np.random.default_rng(seed).choice(len(paths), min(count, len(paths)), replace=False)
    planted = {kind: copies([paths[row] for row in chosen], kind) for kind in KINDS}
    vectors = {"": None if features is None else features(photos)}
    vectors |= {kind: None if features is None else features(made) for kind, made in planted.items()}
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    hashes = [perceptual_hash(photo) for photo in photos]

    print(f"{folder}: {len(paths)} photos, {len(chosen)} copies a kind")
    print("bits cosine " + "".join(f"{kind:>11}" for kind in KINDS) + "     joined")
    for bits, cosine in SETTINGS_ALONE if features is None else SETTINGS:
        line = f"{bits:4d} {'-' if features is None else cosine:>6} "
        for kind, made in planted.items():
            x, more = vectors[""], vectors[kind]
            groups = near_duplicates(
                [*digests, *(f"copy {row}" for row in chosen)],
                [*hashes, *(perceptual_hash(copy) for copy in made)],
                None if x is None or more is None else np.concatenate([x, more]),
                max_bits=bits,
                min_cosine=cosine,
            )
            line += f"{np.mean(groups[chosen] == groups[len(paths) :]):11.1%}"
        groups = near_duplicates(digests, hashes, vectors[""], max_bits=bits, min_cosine=cosine)
        print(f"{line} {len(paths) - groups.max() - 1:10d}")
    groups = near_duplicates(digests, hashes, vectors[""])
    print("Joined by the defaults:")
    for group in np.flatnonzero(np.bincount(groups) > 1):
        print(
            "  " + ", ".join(str(paths[row].relative_to(folder)) for row in np.flatnonzero(groups == group))
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--features", metavar="MODULE:FUNCTION")
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    features: Features | None = None
    if arguments.features:
        module, _, name = arguments.features.partition(":")
        features = getattr(importlib.import_module(module), name)
    measure(arguments.folder, features, count=arguments.copies, seed=arguments.seed)


if __name__ == "__main__":
    main()
