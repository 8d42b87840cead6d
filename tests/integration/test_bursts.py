"""Photos of one burst stay on one side of a run's split."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, SplitOptions, train

SCENES, SHOTS = 12, 3


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of SCENES scenes, SHOTS photos of each in its colour, numbered in their order."""
    root = tmp_path_factory.mktemp("bursts") / "photos"
    for number, label in enumerate(("left", "right")):
        (root / label).mkdir(parents=True)
        for scene in range(SCENES):
            rng = np.random.default_rng([number, scene])
            colour = rng.uniform(60, 200, 3) * ((1.2, 1, 0.5) if number else (0.5, 1, 1.2))
            for shot in range(SHOTS):
                coarse = Image.fromarray(rng.integers(0, 25, (6, 6), dtype=np.uint8))
                light = np.asarray(coarse.resize((72, 56), Image.Resampling.BICUBIC), dtype=np.float64)
                photo = (light[:, :, None] + colour).clip(0, 255).astype(np.uint8)
                Image.fromarray(photo).save(root / label / f"IMG_{SHOTS * scene + shot:03d}.jpg", quality=92)
    return root


def sides_of_bursts(run: Path) -> list[set[str]]:
    with (run / "splits.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: row["split"] for row in csv.DictReader(file)}
    return [
        {rows[f"{label}/IMG_{SHOTS * scene + shot:03d}.jpg"] for shot in range(SHOTS)}
        for label in ("left", "right")
        for scene in range(SCENES)
    ]


def test_a_burst_stays_on_one_side(bursts: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    kept = train(bursts, tmp_path / "kept", classifier=ImageClassifier(tiny_onnx))
    assert all(len(sides) == 1 for sides in sides_of_bursts(kept.folder))
    record = json.loads((kept.folder / "run.json").read_text("utf-8"))
    assert record["keeps_bursts"]
    assert "photos of one burst" in (kept.folder / "report.html").read_text("utf-8")

    torn = train(
        bursts,
        tmp_path / "torn",
        classifier=ImageClassifier(tiny_onnx),
        split=SplitOptions(keep_bursts=False),
    )
    assert any(len(sides) == 2 for sides in sides_of_bursts(torn.folder))
    assert any("on both sides of the split, as was asked" in warning for warning in torn.warnings)


def test_photos_in_any_order_are_no_bursts(bursts: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in sorted(bursts.iterdir()):
        (tmp_path / "photos" / folder.name).mkdir(parents=True)
        photos = sorted(folder.iterdir())[::SHOTS]
        for number, n in enumerate(rng.permutation(len(photos))):
            (tmp_path / "photos" / folder.name / f"{number:03d}.jpg").write_bytes(photos[n].read_bytes())
    run = train(tmp_path / "photos", tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    assert run.audit.of("burst") == []
