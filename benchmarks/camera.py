"""Whether photos of another camera are answered, and strangers are not let in with them.

    python benchmarks/camera.py FOLDER [FOLDER ...] [--unknown FOLDER ...] [--seeds 0 1] [--photos 400]

Each FOLDER has a folder for each class, or train and val folders of them. A quarter of its photos is kept for
testing, seed by seed; head, temperature, outlier model and limits come from the other three quarters as
`rehead train` sets them, once without styles (before) and once with them (after). Test photos are changed at
their own size, before they are read; the views that are learned from are made of training photos at the size
that the network gets (`rehead.images.views`). Noise, fog and tint are changes that no view has.

    refused    of test photos whose class is right, those called "unknown": by both limits, and (odd) by the
               outlier score alone
    noted      of all test photos, those answered and said to be of another kind, and the commonest kind
    AUROC      chance that a stranger scores higher than a known photo; strangers are all photos of the other
               FOLDERs and of those given as unknown, and are changed as the known ones are
    let in     share of the strangers that are answered

"class left out" has photos of a class in turn as strangers, where a FOLDER has more than two.

A second table has other ways to learn from the same views:

    pooled     one outlier model of photos and views
    projected  what the shifts span is taken out of all features
    shift      as after, without allowances

Tables print means over seeds and folders. Features are kept in rehead's cache and in --features.
"""

from __future__ import annotations

import argparse
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from sklearn.metrics import roc_auc_score

from rehead.backbones.backbone import Backbone, load_backbone
from rehead.backbones.encoder import PhotoEncoder
from rehead.backbones.features import extract
from rehead.classification.options import ClassifierOptions
from rehead.classification.training_data import style_views
from rehead.core.parallel import map_in_order
from rehead.core.rejection import OperatingPoint, choose_operating_point, outlier_rate
from rehead.core.runtime import open_session
from rehead.data import cv_folds, list_photos, read_dataset
from rehead.heads import FittedHead, select_head
from rehead.heads.held_out import fit_held_out
from rehead.heads.mahalanobis import RelativeMahalanobis, StyleViews, fit_distance
from rehead.heads.pca import fit_scaling
from rehead.heads.temperature import fit_temperature, softmax
from rehead.images import read_image

X32 = NDArray[np.float32]


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=10)
    return Image.open(buffer).convert("RGB")


def pixels(change: Callable[[NDArray[np.float32]], NDArray[Any]]) -> Callable[[Image.Image], Image.Image]:
    return lambda image: Image.fromarray(change(np.asarray(image, np.float32)).clip(0, 255).astype(np.uint8))


def noise(deviation: float) -> Callable[[Image.Image], Image.Image]:
    return pixels(lambda a: a + np.random.default_rng(0).normal(0, deviation, a.shape))


def grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def blurred(image: Image.Image, share: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) * share))


def shrunk(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))


CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "grey": grey,
    "blurred (side / 200)": lambda image: blurred(image, 1 / 200),
    "blurred (side / 80)": lambda image: blurred(image, 1 / 80),
    "a quarter of the size": lambda image: shrunk(image, 1 / 4),
    "48 px": lambda image: shrunk(image, 48 / min(image.size)),
    "JPEG, quality 10": jpeg,
    "dark (0.4)": lambda image: ImageEnhance.Brightness(image).enhance(0.4),
    "bright (1.7)": lambda image: ImageEnhance.Brightness(image).enhance(1.7),
    "grey, a quarter": lambda image: shrunk(grey(image), 1 / 4),
    "grey, dark, noise 8": lambda image: noise(8)(ImageEnhance.Brightness(grey(image)).enhance(0.5)),
    "fog": pixels(lambda a: a.mean() + (a - a.mean()) * 0.4 + 20),
    "tint": pixels(lambda a: a * np.array([1.2, 1.0, 0.7])),
    "noise 20": noise(20),
}


def changed_features(paths: Sequence[Path], network: Backbone, kept: Path | None) -> dict[str, X32]:
    """Features of every change of every photo."""
    if kept is not None and kept.is_file():
        return dict(np.load(kept))
    session = open_session(network.features_graph(), threads=1)
    side = (network.preprocess.size, network.preprocess.size)

    def one(path: Path) -> list[X32]:
        whole = Image.fromarray(read_image(path))
        images = [change(whole).resize(side, Image.Resampling.BILINEAR) for change in CHANGES.values()]
        return [session.run(None, {"image": np.asarray(image)[None]})[0][0] for image in images]

    rows = [np.stack(row) for row in map_in_order(one, paths)]
    found = {name: np.stack([row[n] for row in rows]) for n, name in enumerate(CHANGES)}
    if kept is not None:
        np.savez(kept, **cast("dict[str, Any]", found))
    return found


class Model:
    """What `fit_classifier` does, from features."""

    def __init__(self, X: X32, y: NDArray[np.intp], blocks: Sequence[slice], seed: int) -> None:
        self.X, self.y, self.blocks = X, y, blocks
        self.fold = cv_folds(y, np.arange(len(y)), count=5, seed=seed)
        self.head: FittedHead = select_head(X, y, self.fold, blocks)
        self.temperature = fit_temperature(self.head.held_out, y, smooth=True)
        self.point: OperatingPoint
        self.outlier: RelativeMahalanobis

    def limits(self, views: StyleViews | None) -> None:
        """Fit the outlier model, and set the limits."""
        self.outlier, scores = fit_held_out(self.X, self.y, self.blocks, self.fold, views, outlier_rate(0.95))
        self.point = choose_operating_point(softmax(self.head.held_out / self.temperature), scores)

    def limits_of(self, way: Callable[..., Scores], views: StyleViews) -> None:
        """The same with another outlier model."""
        scores = np.empty(len(self.X), np.float32)
        for number in range(5):
            out = self.fold == number
            fitted = way(self.X[~out], self.y[~out], self.blocks, views.take(~out))
            scores[out] = fitted(self.X[out])
        self.point = choose_operating_point(softmax(self.head.held_out / self.temperature), scores)
        fitted = way(self.X, self.y, self.blocks, views)
        self.outlier = cast(RelativeMahalanobis, SimpleNamespace(scores=fitted, styles=None))

    def probabilities(self, X: X32) -> NDArray[np.float64]:
        """Calibrated."""
        used = X[:, X.shape[1] - len(self.head.weight) :]
        return softmax((used @ self.head.weight + self.head.bias) / self.temperature)


Scores = Callable[[X32], X32]


def pooled(X: X32, y: NDArray[np.intp], blocks: Sequence[slice], views: StyleViews) -> Scores:
    rows, classes = np.concatenate([X, views.rows]), np.concatenate([y, y[views.photo]])
    return fit_distance(rows, classes, blocks).scores


def projected(X: X32, y: NDArray[np.intp], blocks: Sequence[slice], views: StyleViews) -> Scores:
    scale = fit_scaling(X, blocks)[1]
    span = np.linalg.svd(views.shifts * scale, full_matrices=False)[2].astype(np.float32)

    def rest(rows: X32) -> X32:
        scaled = rows * scale
        return np.asarray(scaled - (scaled @ span.T) @ span, np.float32)

    model = fit_distance(rest(X), y, blocks)
    return lambda rows: model.scores(rest(rows))


def shift(X: X32, y: NDArray[np.intp], blocks: Sequence[slice], views: StyleViews) -> Scores:
    fold = cv_folds(y, np.arange(len(y)), count=5, seed=0)
    model, _ = fit_held_out(X, y, blocks, fold, views, outlier_rate(0.95))
    return replace(model, allowances=np.zeros_like(model.allowances)).scores


OTHER_WAYS = {"pooled": pooled, "projected": projected, "shift": shift}


def auroc(known: X32, strange: X32) -> float:
    truth = np.arange(len(known) + len(strange)) >= len(known)
    return float(roc_auc_score(truth, np.concatenate([known, strange])))


Line = dict[str, list[float]]
Table = dict[str, Line]


def known_photos(
    model: Model,
    rows: X32,
    y: NDArray[np.intp],
    strange: X32,
    line: dict[str, list[float]],
    kinds: Counter[str],
) -> None:
    """Add what becomes of test photos, and of strangers beside them."""
    p, scores, theirs = model.probabilities(rows), model.outlier.scores(rows), model.outlier.scores(strange)
    right = p.argmax(axis=1) == y
    accepted = model.point.accept(p, scores)
    line["right"].append(right.mean())
    line["refused"].append((~accepted)[right].mean())
    line["odd"].append((scores > model.point.outlier_score)[right].mean())
    if len(strange):
        line["AUROC"].append(auroc(scores, theirs))
        line["let in"].append(model.point.accept(model.probabilities(strange), theirs).mean())
    if (styles := model.outlier.styles) is not None:
        noted = np.where(accepted, styles.of(rows), -1)
        kinds.update(styles.names[n] for n in noted[noted >= 0])
        line["noted"].append(float((noted >= 0).mean()))


def measure(
    folders: Mapping[str, SimpleNamespace], unknown: Sequence[X32], network: Backbone, seeds: Sequence[int]
) -> Iterator[tuple[str, Table, dict[str, Counter[str]]]]:
    for name, f in folders.items():
        strange = {c: [g.changed[c] for other, g in folders.items() if other != name] for c in f.changed}
        strange["as they are"] = [g.plain for other, g in folders.items() if other != name] + [*unknown]
        empty = np.zeros((0, f.plain.shape[1]), np.float32)
        for seed in seeds:
            target = np.unique(f.labels, return_inverse=True)[1]
            part = cv_folds(target, np.arange(len(target)), count=4, seed=seed)
            left_out = [None, *np.unique(target)] if len(np.unique(target)) > 2 else [None]
            for left in left_out:
                train = np.flatnonzero((part != 0) & (target != left))
                test = np.flatnonzero((part == 0) & (target != left))
                y = np.searchsorted(np.unique(target[train]), target)
                model = Model(f.plain[train], y[train], network.blocks, seed)
                paths, digests = ([values[n] for n in train] for values in (f.paths, f.digests))
                options = ClassifierOptions(random_state=seed)
                views = style_views(PhotoEncoder(network), paths, digests, model.X, options)
                for when in ("before", "after", *OTHER_WAYS):
                    table: Table = defaultdict(lambda: defaultdict(list))
                    kinds: dict[str, Counter[str]] = defaultdict(Counter)
                    if when in OTHER_WAYS:
                        assert views is not None
                        model.limits_of(OTHER_WAYS[when], views)
                    else:
                        model.limits(None if when == "before" else views)
                    if left is not None:
                        away = f.plain[target == left]
                        known_photos(model, f.plain[test], y[test], away, table["class left out"], Counter())
                        yield when, table, kinds
                        continue
                    for change in ("as they are", *f.changed):
                        rows = f.plain if change == "as they are" else f.changed[change]
                        others = np.concatenate(strange[change]) if strange[change] else empty
                        known_photos(model, rows[test], y[test], others, table[change], kinds[change])
                    table[f"as they are: {name}"] = table["as they are"]
                    yield when, table, kinds


def show(found: Iterator[tuple[str, Table, dict[str, Counter[str]]]]) -> None:
    tables: dict[str, Table] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for when, table, noted in found:
        for change, line in table.items():
            for column, values in line.items():
                tables[when][change][column] += values
        for change, counts in noted.items() if when == "after" else ():
            kinds[change].update(counts)
    columns = ("refused", "odd", "AUROC", "let in")
    print(f"{'':28}{'right':>7}" + "".join(f"{column:>16}" for column in columns) + f"{'noted':>8}")
    print(f"{'':35}" + "   before  after" * len(columns))
    for change, line in tables["after"].items():
        before = tables["before"][change]
        cells = "".join(
            f"{np.mean(t[c]):9.3f}" if t is before else f"{np.mean(t[c]):7.3f}"
            for c in columns
            for t in (before, line)
        )
        most = ", ".join(f"{kind} {count}" for kind, count in kinds[change].most_common(2))
        print(f"{change:28}{np.mean(line['right']):7.3f}{cells}{np.mean(line['noted']):8.3f}  {most}")
    print(f"\n{'odd; AUROC, let in':28}" + "".join(f"{when:>11}" for when in tables))
    for change in tables["after"]:
        print(f"{change:28}" + "".join(f"{np.mean(t[change]['odd']):11.3f}" for t in tables.values()))
    for change in ("as they are", "class left out"):
        for column in ("AUROC", "let in"):
            values = [float(np.mean(t[change][column])) for t in tables.values() if change in t]
            print(f"{f'{change}, {column}':28}" + "".join(f"{value:11.3f}" for value in values))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--unknown", type=Path, nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--photos", type=int, default=400, help="at most, of each FOLDER")
    parser.add_argument("--features", type=Path, help="keep features of changed photos in this folder")
    parser.add_argument("--as-they-are", action="store_true", help="change no photos")
    arguments = parser.parse_args()
    if not arguments.folders:
        print("camera: skipped, no folder of photos was given")
        return
    network = load_backbone(arguments.backbone)
    folders = {}
    for folder in arguments.folders:
        dataset = read_dataset(folder)
        some = np.sort(np.random.default_rng(0).permutation(len(dataset))[: arguments.photos])
        paths = [Path(os.fspath(dataset.paths[n])) for n in some]
        features = extract(paths, network)
        kept = arguments.features and arguments.features / f"{folder.name}.npz"
        changed = {} if arguments.as_they_are else changed_features(paths, network, kept)
        folders[folder.name] = SimpleNamespace(
            paths=paths,
            digests=features.digests,
            labels=dataset.labels[some],
            plain=features.plain,
            changed=changed,
        )
    unknown = [extract(list_photos(folder), network).plain for folder in arguments.unknown]
    show(measure(folders, unknown, network, arguments.seeds))


if __name__ == "__main__":
    main()
