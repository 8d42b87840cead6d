"""Finished runs, asked about the same photos and timed by turns."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classification.predictor import Prediction, Predictor
from ..core.progress import Progress
from ..core.text import count
from ..data.split import Split
from ..errors import ImageError
from ..evaluation import Comparison, Cost, Interval, compare_answers, uniform_wrong
from ..images import read_bytes
from .loading import open_model

__all__ = ["measure_models"]

_TIMED_PHOTOS, _ROUNDS = 5, 12  # 60 answers a model; their quartiles are recorded beside the median


def measure_models(
    runs: Sequence[tuple[str, Path]],
    split: Split,
    *,
    notes: Sequence[str],
    seed: int,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare the models of run directories on the test photos.

    Parameters
    ----------
    runs : sequence of (str, Path)
        Name and run directory; the first is the one that the others are compared with.
    split : Split
        By which all were trained.
    notes : sequence of str
        What is to be said of the comparison.
    seed : int
        Of the intervals.
    threads : int, optional
    progress : callable, optional
    """
    models = [open_model(folder / "model.onnx", threads=threads) for _, folder in runs]
    records = [json.loads((folder / "run.json").read_text("utf-8")) for _, folder in runs]
    rows = split.tested
    paths = [split.dataset.paths[row] for row in rows]
    truth = np.array([models[0].labels.index(label) for label in split.dataset.labels[rows].tolist()])
    answers, remarks = [], [_note(record) for record in records]
    for number, model in enumerate(models):
        given, failed = _answers(model, paths, truth)
        answers.append(given)
        if failed:
            remarks[number] = (
                f"{count(failed, 'test photo')} without a face that was found "
                f"{'counts' if failed == 1 else 'count'} as wrong."
            )
        if progress:
            progress((number + 1) * len(paths), len(models) * len(paths))
    latencies = _latencies(models, [read_bytes(path) for path in paths[:_TIMED_PHOTOS]])
    sizes = [(folder / "model.onnx").stat().st_size for _, folder in runs]
    return compare_answers(
        truth.tolist(),
        answers,
        [(name, folder.name, remark) for (name, folder), remark in zip(runs, remarks, strict=True)],
        [_cost(record, size, wait) for record, size, wait in zip(records, sizes, latencies, strict=True)],
        models[0].labels,
        groups=split.group[rows],
        notes=[*notes, *_about_faces(models)],
        seed=seed,
    )


def _answers(
    model: Predictor, paths: Sequence[Path], truth: NDArray[np.intp]
) -> tuple[NDArray[np.float64], int]:
    """Probabilities (m, K), and of how many photos the model can say nothing, which is wrong."""
    given = uniform_wrong(truth, len(model.labels))
    failed = 0
    for row, answer in enumerate(model.predict_each(paths)):
        if isinstance(answer, Prediction):
            given[row] = answer.probabilities
        elif model.kind == Predictor.kind:
            raise answer  # it could be read when the photos were divided
        else:
            failed += 1
    return given, failed


def _latencies(models: Sequence[Predictor], photos: Sequence[bytes]) -> list[Interval]:
    """Seconds for one photo: median and quartiles. By turns, so that other work slows all alike."""
    taken: list[list[float]] = [[] for _ in models]
    for turn in range(_ROUNDS + 1):  # the first one warms up
        for photo in photos:
            for place in np.roll(np.arange(len(models)), turn).tolist():
                start = time.perf_counter()
                with contextlib.suppress(ImageError):  # no face: to find that out takes its time, too
                    models[place].predict(photo)
                if turn:
                    taken[place].append(time.perf_counter() - start)
    quartiles = [np.quantile(seconds, [0.5, 0.25, 0.75]).tolist() for seconds in taken]
    return [Interval(*three) for three in quartiles]


def _cost(run: dict[str, Any], size: int, wait: Interval) -> Cost:
    return Cost(
        seconds=run["seconds"]["features"] + run["seconds"]["head"],
        continued=run.get("training", {}).get("epochs_resumed", 0) > 0,
        file_size=size,
        parameters=run["parameters"]["total"],
        trained=run["parameters"]["trained"],
        latency=wait,
    )


def _note(run: dict[str, Any]) -> str:
    if run.get("training", {}).get("kept") != "probe":
        return ""
    return "Trained, it was no better on validation photos, so this is the frozen one with a linear head."


def _about_faces(models: Sequence[Predictor]) -> list[str]:
    if all(model.kind == Predictor.kind for model in models):
        return []
    return ["Of faces, size and parameters are those of embedder and head; times include finding the face."]
