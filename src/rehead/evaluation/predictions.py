"""The answer for each test photo, as a CSV beside the report."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.atomic import write_text
from ..core.csv_cells import CsvWriter

__all__ = ["PhotoAnswer", "write_predictions"]

_COLUMNS = ("path", "true", "answer", "probability", "outlier_score", "unknown", "reason")


@dataclass(frozen=True)
class PhotoAnswer:
    """What a model says of a test photo.

    Parameters
    ----------
    path : str
        As the dataset names it.
    true : str
        Its class; "unknown" for a photo of no class.
    answer : str
        The most probable class, also where the model would answer "unknown".
    probability : float
        Of that class, 0..1.
    outlier_score : float
    reason : str
        Why the model would answer "unknown"; "" where it names the class.
    """

    path: str
    true: str
    answer: str
    probability: float
    outlier_score: float
    reason: str


def write_predictions(path: str | os.PathLike[str], answers: Iterable[PhotoAnswer]) -> None:
    """Write a CSV of path,true,answer,probability,outlier_score,unknown (yes or no),reason.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = CsvWriter(text)
    writer.writerow(_COLUMNS)
    for one in answers:
        numbers = round(one.probability, 6), round(one.outlier_score, 6)
        writer.writerow([one.path, one.true, one.answer, *numbers, "yes" if one.reason else "no", one.reason])
    write_text(path, text.getvalue())
