"""The report of a run: its mistakes with their maps and neighbours, what was taken out, how it was made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.neighbours import nearest
from ..classification.drawing import overlay_map
from ..classification.saliency import Explainer
from ..core.parallel import map_in_order
from ..data.dataset import class_sentence
from ..errors import ReheadError
from ..evaluation import AuditSummary, Evaluation, Exclusion, Mistake, NearPhoto, write_report
from ..images import read_image
from ..images.contact_sheet import fitted
from ..images.writing import jpeg

__all__ = ["NEAR_TEST", "run_report", "with_maps", "with_neighbours"]

NEAR_TEST = (
    "Left out of training, because a near-duplicate or a photo of the same burst or group is tested on"
)
"""Why a photo was neither trained nor tested on."""

_NEAR = 3  # training photos beside a mistake: a row under it
_SIDE, _QUALITY = 200, 75  # px; as the photo beside it in evaluation.report


def with_neighbours(
    mistakes: Sequence[Mistake],
    tested: NDArray[np.float32],
    trained: NDArray[np.float32],
    blocks: Sequence[slice],
    paths: Sequence[Path],
    labels: Sequence[str],
) -> list[Mistake]:
    """Add to each mistake the training photos that look most like it.

    Parameters
    ----------
    mistakes : sequence of Mistake
    tested : float32 ndarray (m, D)
        Features of the test photos, which the mistakes' `row` counts; nothing is like rows of NaN.
    trained : float32 ndarray (n, D)
        Features of the training photos; rows of NaN are passed over.
    blocks : sequence of slice
        Columns of each level.
    paths, labels : sequence of Path, of str
        (n,) The training photos.
    """
    known = np.flatnonzero(~np.isnan(trained[:, -1]))
    seen = [mistake for mistake in mistakes if not np.isnan(tested[mistake.row, -1])]
    if not seen or not len(known):
        return list(mistakes)
    compared = trained if len(known) == len(trained) else trained[known]
    order, distance = nearest(tested[[m.row for m in seen]], compared, blocks, _NEAR)
    found = [
        replace(
            mistake,
            nearest=tuple(
                NearPhoto(paths[known[n]], labels[known[n]], float(d)) for n, d in zip(rows, ds, strict=True)
            ),
        )
        for mistake, rows, ds in zip(seen, order.tolist(), distance, strict=True)
    ]
    beside = {mistake.row: mistake for mistake in found}
    return [beside.get(mistake.row, mistake) for mistake in mistakes]


def with_maps(
    mistakes: Sequence[Mistake], model: str | os.PathLike[str], *, threads: int | None = None
) -> list[Mistake]:
    """Add to each mistake the class activation map of its answer, where the model has them."""
    if not mistakes:
        return []
    try:
        explainer = Explainer(model, method="cam", threads=1)
    except ReheadError:  # a head of several layers, or a user's network without maps
        return list(mistakes)

    def mapped(mistake: Mistake) -> Mistake:
        with contextlib.suppress(ReheadError):  # a photo that is gone
            (found,) = explainer.explain(mistake.path, classes=[mistake.predicted]).maps
            photo = fitted(read_image(mistake.path, at_least=(_SIDE, _SIDE)), _SIDE)
            low, high = float(found.values.min()), float(found.values.max())
            pixels = overlay_map(photo, found.values, low, high, explainer.preprocess)
            return replace(mistake, heat=jpeg(pixels, quality=_QUALITY))
        return mistake

    return list(map_in_order(mapped, mistakes, threads=threads))


def run_report(
    path: Path,
    *,
    title: str,
    record: Mapping[str, Any],
    evaluation: Evaluation,
    mistakes: Sequence[Mistake],
    head: Mapping[str, Any],
    operating_point: Mapping[str, Any],
    facts: Mapping[str, str | int],
    notes: Sequence[str],
    left_out: Mapping[str, Sequence[str]],
) -> None:
    """Write the report of a run, whole or not at all.

    Parameters
    ----------
    path : Path
        Of the HTML file.
    record : mapping
        What run.json holds.
    head : mapping
        As in metrics.json.
    left_out : mapping of str to sequence of str
        Names of photos by the reason for which they were taken out, besides those that the record has.
    title, evaluation, mistakes, operating_point, facts, notes
        As in `evaluation.write_report`.
    """
    training, audit = record.get("training") or {}, record.get("audit")
    write_report(
        path,
        title=title,
        evaluation=evaluation,
        run=record,
        mistakes=mistakes,
        head=head,
        curves=training.get("curves", ()),
        curves_sentence=training.get("sentence"),
        operating_point=operating_point,
        unreadable=[(entry["photo"], entry["reason"]) for entry in record.get("unreadable") or ()],
        exclusions=[
            *(Exclusion(why, [(name, "") for name in names]) for why, names in left_out.items()),
            Exclusion(
                "Rows whose column keep says no", [(name, "") for name in record.get("left_out") or ()]
            ),
            Exclusion(
                "Files that are no photos, or lie outside of the class folders",
                [(name, "") for name in record.get("skipped") or ()],
            ),
        ],
        audit=AuditSummary(audit["summary"], audit["command"]) if audit else None,
        methods=_made(record),
        facts=facts,
        notes=[*([class_sentence(record["classes"])] if "classes" in record else []), *notes],
    )


def _made(record: Mapping[str, Any]) -> list[str]:
    """How the numbers were made, in sentences."""
    photos, seed, changed = record["photos"], record["seed"], "change" in record
    parts = f"{photos.get('train', 0):,} photos were trained on and {photos.get('test', 0):,} tested on."
    if changed:
        parts = (
            f"{photos.get('test', 0):,} photos were tested on; {photos.get('train', 0):,} beside them were "
            "learnt."
        )
    if record.get("test_photos") == "drawn":
        parts += (
            f" Those to test on were drawn at random within each class (seed {seed}); near-duplicates"
            f"{', photos of one burst' if record.get('keeps_bursts') else ''} and photos of one group stay "
            "on one side."
        )
    elif record.get("test_photos") == "given":
        parts += " Those to test on were given as such."
    elif record.get("test_photos") == "unseen":
        parts += " Those to test on are all that are no training photos and no near-duplicates of one."
    if changed:
        chosen = (
            "The head is solved from sums over the features of all photos that were learnt; levels, "
            "strength, temperature and limits are those of the first training, or of the last `--check`."
        )
    elif record["folds"]:
        chosen = (
            f"The head was chosen by {record['folds']}-fold cross-validation on the training photos, "
            f"near-duplicates together (seed {seed}); the same held-out predictions set the temperature of "
            "the probabilities and the limits for 'unknown'."
        )
    else:
        chosen = (
            "The network itself was trained; validation photos, held out of the training photos, chose the "
            "epoch and set the temperature of the probabilities and the limits for 'unknown'."
        )
    backbone, versions = record["backbone"], record["versions"]
    used = ", ".join(
        f"{name} {versions[name]}" for name in ("rehead", "onnxruntime", "python") if name in versions
    )
    return [
        parts,
        chosen if changed else f"{chosen} Test photos had no part in it.",
        f"Network: {backbone['name']}, weights {backbone['sha256'][:12]}. Split: {record['split'][:12]}; "
        "where this digest is the same, the same photos were trained and tested on.",
        f"Made with {used}.",
    ]
