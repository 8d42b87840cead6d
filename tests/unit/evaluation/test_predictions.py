from __future__ import annotations

from pathlib import Path

import pytest

from rehead.errors import OutputError
from rehead.evaluation import PhotoAnswer, write_predictions


def test_a_line_for_each_photo(tmp_path: Path) -> None:
    answers = [
        PhotoAnswer("=a/ä,1.jpg", "a", "a", 0.98765432, -0.25, ""),
        PhotoAnswer("x.jpg", "unknown", "a", 1.0, 0.5, "unlike the training photos"),
    ]
    write_predictions(tmp_path / "predictions.csv", answers)
    assert (tmp_path / "predictions.csv").read_text("utf-8") == (
        "path,true,answer,probability,outlier_score,unknown,reason\n"
        '"\'=a/ä,1.jpg",a,a,0.987654,-0.25,no,\n'
        "x.jpg,unknown,a,1.0,0.5,yes,unlike the training photos\n"
    )


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="cannot be written"):
        write_predictions(tmp_path / "file" / "predictions.csv", [])
