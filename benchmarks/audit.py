"""Whether `rehead audit` finds faults that were planted, and how much it finds besides.

    python benchmarks/audit.py FOLDER [FOLDER ...] [--each 60] [--cleanlab PYTHON]
    python benchmarks/audit.py --time FOLDER

Faults of each kind are made of photos of the folder and listed beside all others in a CSV, no photo
twice; spoilt ones take the place of the photo they are made of. Copies saved again at quality 60,
halved, trimmed by 5 %, mirrored; copies under another class; the same file, and one saved again, on
both sides of a random split; photos darkened to 0.2 of their light, blurred at 1 and at 2 % of their
side, shrunk to 24 pixels, cut to a strip, of one colour with a little noise; truncated files; bursts of
three overlapping parts a second apart by their EXIF, and unrelated photos a second apart that are none;
photos of another folder in some class.

Recall is the share of planted faults that an issue of their kind names, together with their original
where they have one. Precision is the share of issues of the kind that name a planted photo of the
kind; issues that do not are printed, to be checked: photos have faults of their own.

Then 5 % of the labels are changed at random, three times, and the list is ranked by label quality. With
--cleanlab, the interpreter of an environment with cleanlab, its issues and its ranking from the same
probabilities stand beside. At last, limits are measured on the folder as it is: the extremes of light,
contrast and blur, and the cosines of neighbours by name.

With --time a folder is audited in a process of its own, twice; the second finds the cache full. Memory
is the largest resident set as the kernel counts it (ru_maxrss).

With --train a classifier is trained, and the share of the short audit in it printed.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from rehead import ImageClassifier, train
from rehead.audit import Issue, audit_photos, image_stats
from rehead.audit.label_issues import find_label_issues, held_out_probabilities, label_quality
from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import extract
from rehead.data import Dataset, cv_folds, near_duplicates, read_dataset, split
from rehead.data.bursts import _by_name, _follows, _Likeness, burst_groups
from rehead.heads.pca import fit_pca, last_levels
from rehead.workflows import train as run

Change = Callable[[Image.Image], Image.Image]

COPIES: dict[str, tuple[Change, int]] = {  # and the quality of the JPEG
    "copy, quality 60": (lambda photo: photo, 60),
    "copy, half size": (lambda photo: photo.resize((photo.width // 2, photo.height // 2)), 90),
    "copy, trimmed 5 %": (lambda photo: trimmed(photo, 0.05), 90),
    "copy, mirrored": (lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90),
}
FAULTS: dict[str, tuple[str, Change]] = {
    "dark, 0.2": ("dark", lambda photo: ImageEnhance.Brightness(photo).enhance(0.2)),
    "blurred, 1 %": ("blurred", lambda photo: blurred(photo, 0.01)),
    "blurred, 2 %": ("blurred", lambda photo: blurred(photo, 0.02)),
    "tiny, 24 px": ("tiny", lambda photo: photo.resize((24, 24))),
    "strip, 1 : 4": ("shape", lambda photo: photo.crop((0, 0, photo.width, max(1, photo.width // 4)))),
    "blank": ("blank", lambda photo: blank(photo)),
}
SAME = ("copy", "contradiction", "leak")  # a copy of a photo that has others is named with them
GROUPS = len(COPIES) + len(FAULTS) + 6


def trimmed(photo: Image.Image, share: float) -> Image.Image:
    x, y = round(photo.width * share / 2), round(photo.height * share / 2)
    return photo.crop((x, y, photo.width - x, photo.height - y))


def blurred(photo: Image.Image, share: float) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(share * max(photo.size)))


def blank(photo: Image.Image) -> Image.Image:
    """One colour, the photo's mean, with the noise of a sensor."""
    pixels = np.asarray(photo).astype(np.float64)
    noise = np.random.default_rng(int(pixels.sum())).normal(scale=1, size=pixels.shape)
    return Image.fromarray((pixels.mean(axis=(0, 1)) + noise).clip(0, 255).astype(np.uint8))


def opened(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return file.convert("RGB")


def exif_of(second: int, camera: str) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0110] = camera
    when = time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(1_600_000_000 + second))
    exif.get_ifd(0x8769)[0x9003] = when
    return exif


def frames(photo: Image.Image) -> Iterator[Image.Image]:
    """Three overlapping parts of a photo, as of a camera that moves."""
    for step in range(3):
        left, top = round(photo.width * 0.1 * step), round(photo.height * 0.05 * step)
        box = (left, top, left + round(0.75 * photo.width), top + round(0.75 * photo.height))
        yield ImageEnhance.Brightness(photo.crop(box)).enhance(1 + 0.1 * step)


class Garden:
    """Photos, and what is planted among them, until it is written as a CSV."""

    def __init__(self, dataset: Dataset, folder: Path, each: int) -> None:
        rng = np.random.default_rng(0)
        self.folder, self.each = folder, min(each, len(dataset) // GROUPS)
        split = np.where(rng.random(len(dataset)) < 0.25, "test", "train").tolist()
        labels = dataset.labels.tolist()
        self.rows = {path: (labels[n], split[n]) for n, path in enumerate(dataset.paths)}
        self.faults: dict[str, list[tuple[tuple[str, ...], set[str]]]] = {}
        self._order = iter(rng.permutation(len(dataset)).tolist())
        self._paths = dataset.paths

    def drawn(self, *, leave: bool) -> Iterator[tuple[Image.Image, Path, str, str]]:
        """Photos that were not drawn yet; they stay in the list only if `leave`."""
        for _ in range(self.each):
            path = self._paths[next(self._order)]
            label, side = self.rows[path] if leave else self.rows.pop(path)
            yield opened(path), path, label, side

    def put(self, photo: Image.Image, label: str, side: str, quality: int = 90, **options: Any) -> Path:
        """Save a photo under a name that tells nothing."""
        path = self.folder / f"{os.urandom(6).hex()}x.jpg"
        photo.save(path, "JPEG", quality=quality, **options)
        self.rows[path] = (label, side)
        return path

    def note(self, name: str, kinds: str | tuple[str, ...], *paths: Path) -> None:
        """Remember what was planted: the kinds it may be found as, and the photos that belong together."""
        ids = {p.name if p.is_relative_to(self.folder) else str(p) for p in paths}
        wanted = (kinds,) if isinstance(kinds, str) else kinds
        self.faults.setdefault(name, []).append((wanted, ids))

    def written(self) -> Path:
        """The CSV of all rows."""
        place = self.folder / "photos.csv"
        with place.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label", "split"))
            writer.writerows((str(path), *row) for path, row in self.rows.items())
        return place


def plant(garden: Garden, classes: Sequence[str], strangers: Dataset) -> None:
    for name, (change, quality) in COPIES.items():
        for photo, path, label, side in garden.drawn(leave=True):
            garden.note(name, SAME, garden.put(change(photo), label, side, quality), path)
    for photo, path, label, side in garden.drawn(leave=True):
        other = classes[(classes.index(label) + 1) % len(classes)]
        garden.note("under another class", "contradiction", garden.put(photo, other, side, 60), path)
    for name in ("leak, same file", "leak, quality 60"):
        for photo, path, label, side in garden.drawn(leave=True):
            copy = garden.put(photo, label, {"train": "test", "test": "train"}[side], 60)
            if name == "leak, same file":
                copy.write_bytes(path.read_bytes())
            garden.note(name, "leak", copy, path)
    for name, (kind, alter) in FAULTS.items():
        for photo, _, label, side in garden.drawn(leave=False):
            garden.note(name, kind, garden.put(alter(photo), label, side))
    for photo, _, label, side in garden.drawn(leave=False):
        path = garden.put(photo, label, side)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        garden.note("truncated", "unreadable", path)
    for n, (photo, _, label, side) in enumerate(garden.drawn(leave=False)):
        shots = [
            garden.put(part, label, side, exif=exif_of(100 * n + step, "one"))
            for step, part in enumerate(frames(photo))
        ]
        garden.note("burst, EXIF", ("burst", *SAME), *shots)
    for n, (photo, _, label, side) in enumerate(garden.drawn(leave=False)):
        garden.put(photo, label, side, exif=exif_of(n, "two"))
    rng = np.random.default_rng(1)
    for n in rng.choice(len(strangers), max(2, len(garden.rows) // 100), replace=False):
        label = classes[int(rng.integers(len(classes)))]
        garden.note("stranger", "outlier", garden.put(opened(strangers.paths[n]), label, "train"))


def audit_copies(dataset: Dataset) -> list[Issue]:
    """Copies that are in the folder before anything is planted; printed, to be looked at."""
    own = audit_photos(dataset.root)
    found = [issue for kind in SAME for issue in own.of(kind)]
    for issue in found:
        print(f"there before: {', '.join(issue.photos)}: {issue.detail}")
    return found


def report_planted(dataset: Dataset, strangers: Dataset, each: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        garden = Garden(dataset, Path(work), each)
        plant(garden, dataset.classes, strangers)
        found = audit_photos(garden.written())
    there = [set(map(str, (dataset.root / name for name in f.photos))) for f in audit_copies(dataset)]
    print(f"\n{dataset.root}: {len(garden.rows)} photos, planted ones among them")
    print(f"{'planted':20} {'n':>4} {'recall':>8}")
    for name, cases in garden.faults.items():
        hits = [any(ids <= set(f.photos) for kind in kinds for f in found.of(kind)) for kinds, ids in cases]
        print(f"{name:20} {len(hits):4d} {np.mean(hits):8.1%}")
    print(f"{'found':20} {'n':>4} {'precision':>9}")
    for kind, number in found.counts.items():
        wanted = {i for cases in garden.faults.values() for k, ids in cases if kind in k for i in ids}
        others = [f for f in found.of(kind) if not wanted & set(f.photos)]
        if wanted:
            known = [f for f in others if any(set(f.photos) <= copies for copies in there)]
            others = [f for f in others if f not in known]
            before = f", {len(known)} there before" if known else ""
            print(f"{kind:20} {number:4d} {1 - len(others) / number:9.1%}{before}")
            for issue in others[:12]:
                print(f"    not planted: {', '.join(issue.photos[:3])}: {issue.detail}")


# labels


def report_labels(dataset: Dataset, cleanlab: str | None) -> None:
    network = load_backbone("efficientnet_lite0")
    features = extract(dataset.paths, network)
    truth = np.unique(dataset.labels, return_inverse=True)[1]
    group = near_duplicates(features.digests, features.hashes, features.plain[:, network.blocks[-1]])
    n, K = len(truth), int(truth.max()) + 1
    print(f"\n{dataset.root}: 5 % of {n} labels changed")
    print("seed depths  first 10 %  found, recall, precision    s   cleanlab: the same, and its ranking")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        changed = rng.choice(n, round(0.05 * n), replace=False)
        y = truth.copy()
        y[changed] = (y[changed] + rng.integers(1, K, len(changed))) % K
        fold = cv_folds(y, group, count=5)
        for n_levels in (1, 2, len(network.levels)):
            start = time.perf_counter()
            z = fit_pca(*last_levels(features.plain, network.blocks, n_levels)).z
            p = held_out_probabilities(z, y, fold)
            found = np.array([doubt.row for doubt in find_label_issues(p, y)], dtype=np.intp)
            taken = time.perf_counter() - start
            quality = label_quality(p, y)
            first = _first(quality, changed)
            line = f"{seed:4d} {n_levels:6d} {first:11.1%} {_scores(found, changed)} {taken:4.2f}"
            if cleanlab:
                line += f"  {_compare(cleanlab, p, y, quality, changed)}"
            print(line)


def _first(quality: NDArray[np.float64], changed: NDArray[np.intp]) -> float:
    first = np.argsort(quality, kind="stable")[: round(0.1 * len(quality))]
    return float(np.isin(changed, first).mean())


def _scores(found: NDArray[np.intp], changed: NDArray[np.intp]) -> str:
    hits = np.isin(found, changed).sum()
    return f"{len(found):6d} {hits / len(changed):7.1%} {hits / max(len(found), 1):9.1%}"


_CLEANLAB = """
import json, sys, numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
data = np.load(sys.argv[1]); y, p = data["y"], data["p"]
issues = find_label_issues(y, p, filter_by="confident_learning", n_jobs=1)
quality = get_label_quality_scores(y, p, method="normalized_margin", adjust_pred_probs=False)
print(json.dumps([np.flatnonzero(issues).tolist(), quality.tolist()]))
"""


def _compare(
    python: str,
    p: NDArray[np.float64],
    y: NDArray[np.intp],
    quality: NDArray[np.float64],
    changed: NDArray[np.intp],
) -> str:
    judged = np.flatnonzero(~np.isnan(p[:, 0]))
    with tempfile.TemporaryDirectory() as work:
        np.savez(Path(work) / "p.npz", y=y[judged], p=p[judged])
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [python, "-c", _CLEANLAB, str(Path(work) / "p.npz")],
            capture_output=True,
            check=True,
            env=environment,
        )
    issues, theirs = json.loads(done.stdout)
    whole = np.ones(len(y))
    whole[judged] = theirs
    ours = np.nan_to_num(quality, nan=1.0)
    same = np.allclose(ours[judged], whole[judged])
    ranking = "the same" if same else "another"
    return f"{_first(whole, changed):.1%} {_scores(judged[issues], changed)} {ranking} ranking"


# limits


def report_limits(dataset: Dataset) -> None:
    network = load_backbone("efficientnet_lite0")
    features = extract(dataset.paths, network)
    seen = image_stats.compute_image_stats(dataset.paths, features.digests)
    print(f"\n{dataset.root}: least, 1 %, median, 99 %, largest")
    for column in ("light", "contrast", "blur"):
        values = np.percentile(seen[column], (0, 1, 50, 99, 100))
        print(f"{column:10}" + "".join(f"{value:9.3f}" for value in values))
    last = features.plain[:, network.blocks[-1]]
    report_bursts(dataset, last, features.readable)


def report_bursts(dataset: Dataset, last: NDArray[np.float32], readable: NDArray[np.bool_]) -> None:
    """Likeness of neighbours by name, and the photos in bursts: as named, and numbered at random."""
    rng = np.random.default_rng(0)
    likeness = _Likeness(last, readable, dataset.labels)
    at_random = renumbered(dataset, rng)
    drawn = rng.integers(0, len(last), (20000, 2))
    print_above("random pairs", likeness.of(drawn[drawn[:, 0] != drawn[:, 1]]))
    for name, named in (("as named", dataset), ("numbered at random", at_random)):
        series = _by_name(named.ids, readable)
        pairs = [one.neighbours for one in series]
        if sum(map(len, pairs)):
            print_above(f"neighbours, {name}", likeness.of(np.vstack(pairs)))
            counts = np.unique(burst_groups(named, last), return_counts=True)[1]
            follows = _follows(series, pairs, likeness, rng)
            in_bursts = int(counts[counts > 1].sum())
            print(
                f"{name}: numbers follow the scenes: {follows}; {in_bursts} of {len(last)} photos in bursts"
            )


def renumbered(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    """The photos of each class under numbers in random order."""
    place = rng.permutation(len(dataset)).tolist()
    ids = tuple(f"{label}/{n:05d}.jpg" for label, n in zip(dataset.labels.tolist(), place, strict=True))
    return replace(dataset, ids=ids)


def print_above(name: str, cosines: NDArray[np.float64]) -> None:
    above = ", ".join(f"{np.mean(cosines >= least):.1%} from {least}" for least in (0.4, 0.5, 0.6, 0.7, 0.8))
    print(f"{name}: {len(cosines)}, {above}")


# time and memory


def report_time(folder: Path) -> None:
    code = (
        "import resource, sys, time; start = time.perf_counter()\n"
        "import rehead; found = rehead.audit_photos(sys.argv[1])\n"
        "memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3\n"
        "seconds = time.perf_counter() - start\n"
        "print(f'{len(found.dataset)} photos: {seconds:.1f} s, {memory:.0f} MB', found.counts)"
    )
    for which in ("first", "warm"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
        )
        print(f"{which}: {done.stdout.strip()}")


def report_train(folder: Path) -> None:
    """The share of `train` that its audit takes: processor time, features in the cache and not."""
    with tempfile.TemporaryDirectory() as work:
        for cache in ("empty", "warm"):
            spent: dict[str, float] = {}
            with (
                timed(spent, run, "brief"),
                timed(spent, split, "burst_groups"),
                timed(spent, split, "clocks"),
            ):
                start = time.process_time()
                classifier = ImageClassifier(cache=Path(work) / "cache")
                train(folder, Path(work) / cache, classifier=classifier)
                whole = time.process_time() - start
            parts = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in spent.items())
            share = sum(spent.values()) / whole
            print(f"{folder}, cache {cache}: {share:.1%} of {whole:.2f} s of processor time ({parts})")


@contextmanager
def timed(spent: dict[str, float], module: ModuleType, name: str) -> Iterator[None]:
    """Add up the processor time of a function of a module."""
    plain = getattr(module, name)

    def watched(*arguments: Any, **options: Any) -> Any:
        start = time.process_time()
        try:
            return plain(*arguments, **options)
        finally:
            spent[name] = spent.get(name, 0.0) + time.process_time() - start

    setattr(module, name, watched)
    try:
        yield
    finally:
        setattr(module, name, plain)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--each", type=int, default=60, help="faults of each kind, at most")
    parser.add_argument("--cleanlab", metavar="PYTHON")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--train", action="store_true")
    arguments = parser.parse_args()
    if arguments.train:
        for folder in arguments.folders:
            report_train(folder)
        return
    if arguments.time:
        for folder in arguments.folders:
            report_time(folder)
        return
    datasets = [read_dataset(folder) for folder in arguments.folders]
    for n, dataset in enumerate(datasets):
        if len(datasets) > 1:
            report_planted(dataset, datasets[n - 1], arguments.each)
        report_labels(dataset, arguments.cleanlab)
        report_limits(dataset)


if __name__ == "__main__":
    main()
