"""Do class activation maps point at the object, are they exact, and what do they cost?

    python benchmarks/saliency.py FOLDER [--photos 24] [--seed 0]

FOLDER is as `rehead train` takes it. A run is trained on it; maps are drawn for test photos.

Where the object is, nobody has drawn. So it is planted: a photo of the class is put, at a quarter of the
area, into a corner of a photo of another class, and a map has to find it there. Pointing (Zhang et al.
2018): does the map of the planted class have its largest value in that corner; by chance it has in 25 %.
Energy: the share of the map's positive part, less its median, in that corner; evenly spread it is 25 %. The
same for occlusion. Deletion asks what the network itself holds of it: the probability that is lost where
the fifth of the photo with the largest values is covered with grey, beside a random fifth.

Exactness: the largest distance between the logit by the map, mean and bias, and the logarithm of the
model file's own probability, both less their mean over classes.

Time: of a prediction and of a map in turns, in one process on one processor; medians of ratios.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import rehead
from rehead.classification.saliency import Explainer, Explanation
from rehead.data import read_dataset
from rehead.images import load_image

_SHARE = 0.2  # of the photo, covered
_CORNERS = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}


def planted(host: Path, guest: Path, corner: tuple[int, int]) -> bytes:
    """A photo in which another one fills a quarter, as PNG."""
    with Image.open(host) as file:
        whole = file.convert("RGB").resize((512, 512))
    with Image.open(guest) as file:
        whole.paste(file.convert("RGB").resize((256, 256)), (256 * corner[1], 256 * corner[0]))
    out = io.BytesIO()
    whole.save(out, "PNG")
    return out.getvalue()


def quarter(values: NDArray[np.float32], corner: tuple[int, int]) -> tuple[bool, float]:
    """Whether the map's largest value lies in the corner, and the share of its energy there."""
    fine = np.kron(values, np.ones((2, 2)))  # so that a middle row is divided
    half = [n // 2 for n in fine.shape]
    mask = np.zeros(fine.shape, dtype=bool)
    mask[
        slice(half[0], None) if corner[0] else slice(half[0]),
        slice(half[1], None) if corner[1] else slice(half[1]),
    ] = True
    energy = np.maximum(fine - np.median(fine), 0)
    return bool(mask.flat[fine.argmax()]), float(energy[mask].sum() / max(energy.sum(), 1e-12))


def planting(
    explainers: dict[str, Explainer],
    photos: Mapping[str, Sequence[Path]],
    count: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, bool, float]]:
    classes = list(photos)
    corners = list(_CORNERS.values())
    for n in range(count):
        guest, host = rng.permutation(len(classes))[:2]
        names = classes[guest], classes[host]
        picked = [photos[name][int(rng.integers(len(photos[name])))] for name in names]
        corner = corners[n % 4]
        data = planted(picked[1], picked[0], corner)
        for method, explainer in explainers.items():
            (found,) = explainer.explain(data, classes=[names[0]]).maps
            yield method, *quarter(found.values, corner)


def deletion(
    explainers: dict[str, Explainer], paths: Sequence[Path], rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """The drop of the answer's probability where a fifth of the photo is covered."""
    asked = explainers["occlusion"]
    grey = np.rint(np.clip(asked.preprocess.mean, 0, 255)).astype(np.uint8)
    for path in paths:
        pixels = load_image(path, asked.preprocess)
        side = len(pixels)
        explanations: dict[str, Explanation] = {
            method: explainer.explain(path, classes=1) for method, explainer in explainers.items()
        }
        one = explanations["cam"].maps[0]
        label = asked.labels.index(one.label)
        ways = {method: found.maps[0].values for method, found in explanations.items()}
        ways["at random"] = rng.normal(size=one.values.shape).astype(np.float32)
        for method, values in ways.items():
            fine = np.asarray(Image.fromarray(values.astype(np.float32)).resize((side, side)))
            covered = np.where((fine >= np.quantile(fine, 1 - _SHARE))[:, :, None], grey, pixels)
            yield method, one.probability - float(asked._run(covered)[0][label])


def exactness(explainer: Explainer, model: rehead.Predictor, paths: Sequence[Path]) -> list[float]:
    """The largest distance between the two logits, of each photo."""
    errors = []
    for path in paths:
        maps = explainer.explain(path, classes=list(explainer.labels)).maps
        by_map = np.array([one.values.mean(dtype=np.float64) + one.bias for one in maps])
        (answer,) = model.predict(path)
        by_file = np.log(np.maximum(answer.probabilities.astype(np.float64), 1e-30))
        sure = answer.probabilities > 1e-6  # below, single precision has few digits of a probability left
        if sure.sum() > 1:
            errors.append(
                float(np.ptp((by_map - by_file)[sure]) / 2)  # both less their mean: half the spread bounds it
            )
    return errors


def times(
    explainers: dict[str, Explainer], model: rehead.Predictor, paths: Sequence[Path]
) -> dict[str, float]:
    """Medians of seconds: of a prediction, and of the ratios of maps to it."""
    found: dict[str, list[float]] = {name: [] for name in ("prediction", *explainers)}
    for path in paths:
        start = time.perf_counter()
        model.predict(path)
        base = time.perf_counter() - start
        found["prediction"].append(base)
        for method, explainer in explainers.items():
            start = time.perf_counter()
            explainer.explain(path, classes=3)
            found[method].append((time.perf_counter() - start) / base)
    return {name: float(np.median(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    dataset = read_dataset(arguments.folder)
    with tempfile.TemporaryDirectory() as work:
        run = rehead.train(arguments.folder, Path(work) / "run")
        tested = tested_photos(Path(work) / "run" / "splits.csv")
        model = rehead.load_model(run.folder / "model.onnx", threads=1)
        explainers = {
            method: Explainer(run.folder / "model.onnx", method=method, threads=1)
            for method in ("cam", "occlusion")
        }
        by_id = dict(zip(dataset.ids, dataset.paths, strict=True))
        photos = {label: [by_id[name] for name in names] for label, names in tested.items()}
        every = [path for paths in photos.values() for path in paths]
        few = [every[n] for n in rng.permutation(len(every))[: arguments.photos]]
        print(f"{dataset.root}: {len(every)} test photos, {len(photos)} classes")
        results = list(planting(explainers, photos, 4 * arguments.photos, rng))
        for method in explainers:
            own = [(hit, energy) for name, hit, energy in results if name == method]
            hits, energies = zip(*own, strict=True)
            print(
                f"planted, {method:9}: pointing {np.mean(hits):6.1%}, energy {np.mean(energies):6.1%} "
                f"of {len(own)}; chance 25 %"
            )
        drops = list(deletion(explainers, few, rng))
        for method in (*explainers, "at random"):
            own_drops = [drop for name, drop in drops if name == method]
            print(f"a fifth covered, {method:9}: probability less by {np.mean(own_drops):.3f}")
        errors = exactness(explainers["cam"], model, every)
        print(f"logit by map, less the file's own: at most {max(errors):.1e} on {len(errors)} photos")
        seconds = times(explainers, model, few)
        print(f"one prediction {1e3 * seconds.pop('prediction'):.1f} ms; as many times as long:")
        for method, ratio in seconds.items():
            print(f"    {method}: {ratio:.2f}")


def tested_photos(splits: Path) -> dict[str, list[str]]:
    """Ids of the test photos by class."""
    import csv

    found: dict[str, list[str]] = {}
    with splits.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "test":
                found.setdefault(row["label"], []).append(row["path"])
    return found


if __name__ == "__main__":
    main()
