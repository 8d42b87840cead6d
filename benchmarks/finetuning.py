"""What fine-tuning gains over the frozen network with a linear head, on the same splits.

    python benchmarks/finetuning.py FOLDER [--backbone mobilenet_v2] [--train top:6] [--folds 0 1 2 3 4]
        [--size N] [--epochs N] [--augment PRESET] [--lr X] [--no-refit] [--no-interpolate] ...

FOLDER has a folder for each class. Each of five folds is held out for testing once; near-duplicates stay
together. All classifiers get the other photos. "last" is the frozen network with a new head on its last
layer, what is usually meant by a frozen network; "frozen" the best that `ImageClassifier` finds, several
depths among it; "trained" the network as `FineTunedClassifier` trains it; "kept" what it would have kept of
the two.
Intervals are of the pooled test photos.

Targets: 0.97 for the alpacas of Open Images; two points above the frozen network for the faces of UTKFace.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rehead import ImageClassifier
from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import duplicate_groups, extract
from rehead.classification.estimator import FittedMixin
from rehead.core.options import options_of
from rehead.data import Dataset, cv_folds, read_dataset
from rehead.evaluation.intervals import paired_difference, proportion
from rehead.finetune.classifier import FineTunedClassifier
from rehead.finetune.config import FineTuneConfig


def hits(model: FittedMixin, dataset: Dataset, tested: NDArray[np.bool_]) -> NDArray[np.bool_]:
    test = dataset.take(tested)
    right: NDArray[np.bool_] = model.predict([str(path) for path in test.paths]) == test.labels
    return right


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--size", type=int)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    defaults = FineTuneConfig(train="top:6", keep="always")
    for name, option in options_of(FineTuneConfig).items():
        value = getattr(defaults, name)
        how: Any = {"type": float if name == "lr" else type(value)}
        if option.is_flag:
            how = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(option.flag, default=value, **how)
    given = vars(parser.parse_args())
    folder, backbone, size, tested = (given.pop(name) for name in ("folder", "backbone", "size", "folds"))
    if folder is None:
        print("finetuning: skipped, no folder of photos was given")
        return
    measure(folder, backbone, size, tested, FineTuneConfig(**given))


def measure(
    folder: Path,
    backbone: str,
    size: int | None,
    numbers: list[int],
    config: FineTuneConfig,
) -> None:
    dataset = read_dataset(folder)
    default = load_backbone("efficientnet_lite0")
    group = duplicate_groups(extract(dataset.paths, default), default)
    fold = cv_folds(np.unique(dataset.labels, return_inverse=True)[1], group, count=5, seed=0)
    plain = FineTuneConfig().to_dict()
    given = {name: value for name, value in config.to_dict().items() if value != plain[name]}
    print(f"{folder.name}, {len(dataset)} photos, {backbone}, {given}")
    print(
        "fold     last   frozen  trained    kept  (validation: frozen, trained)  frozen s  trained s  epochs"
    )
    rows: list[dict[str, Any]] = []
    for number in numbers:
        tested = fold == number
        train, groups = dataset.take(~tested), group[~tested]
        last = ImageClassifier(backbone, n_levels=1).fit_split(train, groups)
        began = time.perf_counter()
        frozen = ImageClassifier(backbone).fit_split(train, groups)
        middle = time.perf_counter()
        tuned = FineTunedClassifier(ImageClassifier(backbone, size=size), config)
        tuned.fit_split(train, groups)
        ended = time.perf_counter()
        told = tuned.training_ or {}
        models = {"last": last, "frozen": frozen, "trained": tuned}
        row = {name: hits(model, dataset, tested) for name, model in models.items()}
        row["kept"] = row["trained" if told["validation"]["difference"]["better"] else "frozen"]
        rows.append(row)
        losses = [told["validation"][which]["log_loss"] for which in ("probe", "network")]
        shares = "  ".join(f"{right.mean():7.4f}" for right in row.values())
        print(
            f"{number:4}  {shares}  ({losses[0]:.3f}, {losses[1]:.3f})                {middle - began:8.1f}"
            f"  {ended - middle:9.1f}  {told['best_epoch']} of {len(told['curves'])}, {told['share']}",
            flush=True,
        )
    pooled = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    for name, right in pooled.items():
        score = proportion(right)
        print(f"{name:8}{score.value:.4f} ({score.low:.4f} to {score.high:.4f})")
    for name, other in product(("trained", "kept"), ("last", "frozen")):
        change = paired_difference(pooled[name], pooled[other])
        print(f"{name} less {other} {change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f})")


if __name__ == "__main__":
    main()
