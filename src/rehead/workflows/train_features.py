"""A training run from a folder of features, or from a source that is read as a stream.

The run directory is that of `workflows.train`; reports show no photos, which are not at hand any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..backbones.extraction import backbone_of
from ..backbones.feature_folder import FeatureFolder, is_feature_folder
from ..classification.estimator import ImageClassifier
from ..classification.feature_rows import Division, FeatureRows, divide, names_of
from ..classification.feature_training import check_streamed, fit_features, fold_sums
from ..classification.options import ClassifierOptions
from ..core.csv_cells import CsvWriter
from ..core.locking import locked
from ..core.options import option_values, options_record
from ..core.progress import Progress
from ..core.run_dir import NewRun, failed_photos, work_folder
from ..core.runtime import trim_memory
from ..core.text import count
from ..data.dataset import class_sentence
from ..data.options import SplitOptions, TableOptions
from ..errors import DataError
from ..evaluation import Evaluation
from ..heads.statistics import Statistics
from ..heads.streamed import SomeRows
from .extract import extract_source
from .ray_cluster import Cluster
from .run_files import Tested, write_model
from .run_report import run_report
from .train_record import head_record

__all__ = ["FeatureRun", "train_features"]

_PROBABILITIES = 2**24  # numbers of test probabilities in memory, 128 MB: 16,777 photos of 1,000 classes


@dataclass(frozen=True)
class FeatureRun:
    """What a training run from features left; the attributes are those of `workflows.train.Run`."""

    folder: Path
    classifier: ImageClassifier
    evaluation: Evaluation | None
    warnings: list[str]
    unreadable: list[tuple[str, str]]
    seconds: dict[str, float]
    summary: list[str]


def train_features(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    classifier: ClassifierOptions | None = None,
    split: SplitOptions | None = None,
    table: TableOptions | None = None,
    on: str | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> FeatureRun:
    """Split, fit, evaluate and write the run directory, with memory that does not grow with the photos' size.

    Parameters
    ----------
    source : path
        A folder of features; or what `data.sources.open_source` reads, whose features are then taken into a
        folder beside `out` that is removed at the end. A killed run goes on where it was.
    out : path
        The run directory to write.
    on : str, optional
        As in `extract_source`: features are taken and summed there.
    classifier, split, table, overwrite, command, progress
        As in `workflows.train.train` and `TrainConfig`.

    Raises
    ------
    DataError, OutputError
    """
    options, split = classifier or ClassifierOptions(), split or SplitOptions()
    check_streamed(options)
    with locked(out):
        run = NewRun(out, overwrite=overwrite, command=command)
        if is_feature_folder(Path(source)):
            folder, work = FeatureFolder.open(Path(source)), None
            options = _of_the_folder(options, folder)
        else:
            work = work_folder(Path(out))
            folder = extract_source(
                source, work / "features", classifier=options, table=table, on=on, progress=progress
            )
        run.timer.mark("features")
        done = _Training(run, folder, options, split, on).run()
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        return done


def _of_the_folder(options: ClassifierOptions, folder: FeatureFolder) -> ClassifierOptions:
    """The options with the folder's network; DataError where they ask for another."""
    name = str(folder.record.network["backbone"])
    if os.fspath(options.backbone) not in (ClassifierOptions().backbone, name):
        raise DataError(
            f"{folder.path}: the features are {name}'s; leave out --backbone, or extract those of "
            f"{os.fspath(options.backbone)}"
        )
    return replace(options, backbone=name, weights=folder.record.network["weights"])


@dataclass
class _Training:
    """One run."""

    new: NewRun
    folder: FeatureFolder
    options: ClassifierOptions
    split: SplitOptions
    on: str | None

    def run(self) -> FeatureRun:
        """Divide, fit, test and write."""
        new, options = self.new, self.options
        backbone = backbone_of(self.folder)
        photos = FeatureRows.of(self.folder)
        group = photos.groups(backbone.blocks[-1])
        division = divide(
            photos, group, test_share=self.split.test_share, folds=options.cv, seed=options.random_state
        )
        new.timer.mark("split")
        model = ImageClassifier(**option_values(options))
        model.fitted_ = fit_features(photos, division, backbone, options, self._sums(photos, division))
        trim_memory()
        new.timer.mark("head")
        test = self._test(photos, division, model)
        evaluation = test.evaluation if test else None
        new.timer.mark("evaluation")
        unreadable = list(model.fitted_.trained_on.unreadable)
        notes = [*division.notes, *self._about_test(division, test), *model.warnings_]
        about_test = evaluation.warnings if evaluation else ["No photo could be held out for testing."]
        warnings = [*about_test, *notes]
        record = new.record(self._facts(photos, division, model, unreadable, warnings))
        with new.writing(record) as beside:
            record["split"] = _write_splits(beside / "splits.csv", photos, division)
            write_model(beside, model, evaluation, warnings, {"split": record["split"]})
            new.timer.mark("model file")
            if test:
                names = names_of(photos, test.rows)
                test.write(beside / "predictions.csv", model, [names[row] for row in test.rows.tolist()])
                self._report(beside, division, model, test, record, notes)
            new.timer.mark("report")
        summary = [class_sentence(photos.class_counts)]
        return FeatureRun(new.folder, model, evaluation, warnings, unreadable, new.timer.seconds, summary)

    def _sums(self, photos: FeatureRows, division: Division) -> list[Statistics]:
        if self.on is None:
            return fold_sums(photos, division, self.options.cv)
        return Cluster(self.on, self.options.threads).fold_sums(photos, division, self.options.cv)

    def _test(self, photos: FeatureRows, division: Division, model: ImageClassifier) -> Tested | None:
        rows = np.flatnonzero(division.is_in("test"))
        most = max(1, _PROBABILITIES // len(photos.classes))
        if len(rows) > most:
            rows = np.sort(rows[np.argpartition(division.order[rows], most)[:most]])
        if not len(rows):
            return None
        wanted = np.zeros(len(photos), bool)
        wanted[rows] = True
        probabilities, outliers = model.fitted_.decide(SomeRows.read(photos.read, wanted).X)
        accepted = model.operating_point_.accept(probabilities, outliers)
        truth, groups = photos.target[rows], division.group[rows]
        return Tested.of(model, rows, truth, probabilities, outliers, accepted, groups)

    def _about_test(self, division: Division, test: Tested | None) -> list[str]:
        held, tested = int(division.is_in("test").sum()), 0 if test is None else len(test.rows)
        if held <= tested:
            return []
        return [f"Tested on {count(tested, 'photo')}, drawn at random from the {held:,} that are held out."]

    def _facts(
        self,
        photos: FeatureRows,
        division: Division,
        model: ImageClassifier,
        unreadable: list[tuple[str, str]],
        warnings: list[str],
    ) -> dict[str, Any]:
        """What run.json says of the photos, the split and the model."""
        parts = {part: int(division.is_in(part).sum()) for part in Division.PARTS}
        record, fitted = self.folder.record, model.fitted_
        return {
            "photos": {"folder": record.source, **{part: n for part, n in parts.items() if n}},
            "features": {"digest": record.digest, "dtype": record.dtype, "rows": record.rows},
            "classes": photos.class_counts,
            "groups_kept_together": int((np.bincount(division.group) > 1).sum()),
            "keeps_bursts": False,
            "test_photos": "given" if (photos.split > 0).any() else "drawn",
            "split": "",
            "seed": self.options.random_state,
            "folds": self.options.cv,
            "backbone": fitted.weights_record,
            "engine": dict(fitted.trained_on.engine),
            "options": {**options_record(self.options), **options_record(self.split)},
            "parameters": fitted.parameters,
            "unreadable": failed_photos(unreadable),
            "skipped": [],
            "left_out": [],
            "warnings": warnings,
        }

    def _report(
        self,
        folder: Path,
        division: Division,
        model: ImageClassifier,
        test: Tested,
        record: dict[str, Any],
        notes: list[str],
    ) -> None:
        run_report(
            folder / "report.html",
            title=Path(self.folder.record.source).name or "photos",
            record=record,
            evaluation=test.evaluation,
            mistakes=[],
            head=head_record(model),
            operating_point=model.operating_point_.to_dict(),
            facts={
                "Photos": self.folder.record.rows,
                "Classes": len(model.classes_),
                "Trained on": int(division.is_in("train").sum()),
                "Tested on": len(test.rows),
                "Groups kept together": record["groups_kept_together"],
                "Unreadable": self.folder.record.unreadable,
            },
            notes=notes,
            left_out={},
        )


def _write_splits(path: Path, photos: FeatureRows, division: Division) -> str:
    """Write splits.csv, and return the split's digest: the sum of those of its rows, in whatever order."""
    total = 0
    with path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file:
        writer = CsvWriter(file)
        writer.writerow(("path", "label", "split", "group"))
        for start, block in photos.blocks():
            for n, (name, label) in enumerate(zip(block.ids, block.labels, strict=True), start):
                part = Division.PARTS[division.assignment[n]]
                writer.writerow((name, label, part, int(division.group[n])))
                row = json.dumps([name, label, part], separators=(",", ":")).encode("ascii")
                total += int.from_bytes(hashlib.sha256(row).digest(), "big")
    return f"{total % 2**256:064x}"
