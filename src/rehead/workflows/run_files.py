"""What every training run tests and writes, of a folder of photos or of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.run_dir import write_json
from ..evaluation import Evaluation, PhotoAnswer, evaluate, write_predictions
from ..finetune.classifier import FineTunedClassifier
from .train_record import Classifier, head_record, metrics_summary, training_record

__all__ = ["Tested", "write_model"]


@dataclass(frozen=True)
class Tested:
    """The test photos, what the model says of them, and how good that is."""

    rows: NDArray[np.intp]
    truth: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    outliers: NDArray[np.float32]
    accepted: NDArray[np.bool_]
    evaluation: Evaluation

    @classmethod
    def of(
        cls,
        model: Classifier,
        rows: NDArray[np.intp],
        truth: NDArray[np.intp],
        probabilities: NDArray[np.float64],
        outliers: NDArray[np.float32],
        accepted: NDArray[np.bool_],
        groups: NDArray[np.intp],
    ) -> Tested:
        """Photos by what the model says of them, (n,) each, and the groups that belong together."""
        evaluation = evaluate(
            truth,
            probabilities,
            model.classes_.tolist(),
            groups=groups,
            accepted=accepted,
            seed=model.options.random_state,
        )
        return cls(rows, truth, probabilities, outliers, accepted, evaluation)

    def write(self, path: Path, model: Classifier, names: Sequence[str]) -> None:
        """Write predictions.csv, with these names of the photos."""
        classes = model.classes_.tolist()

        def answer(
            name: str, truth: int, row: NDArray[np.float64], outlier: float, accepted: bool
        ) -> PhotoAnswer:
            probability = float(row.max())
            reason = "" if accepted else model.operating_point_.reason(probability, outlier) or "unreadable"
            return PhotoAnswer(name, classes[truth], classes[row.argmax()], probability, outlier, reason)

        columns = self.truth.tolist(), self.probabilities, self.outliers.tolist(), self.accepted.tolist()
        write_predictions(path, [answer(*row) for row in zip(names, *columns, strict=True)])


def write_model(
    folder: Path,
    model: Classifier,
    evaluation: Evaluation | None,
    warnings: Sequence[str],
    facts: dict[str, Any],
) -> None:
    """Write metrics.json and model.onnx, with further facts in its manifest, and a network's logs."""
    metrics = evaluation.to_dict() if evaluation else None
    written = {
        "test": metrics,
        "head": head_record(model),
        **training_record(model),
        "warnings": warnings,
    }
    write_json(folder / "metrics.json", written)
    model.save(folder / "model.onnx", extra={**facts, "metrics": metrics_summary(metrics)})
    if isinstance(model, FineTunedClassifier):
        model.write_logs(folder)
