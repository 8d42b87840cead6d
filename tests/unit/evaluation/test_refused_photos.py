"""Photos that an operating point refuses, and photos of no class, in numbers, charts and the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.evaluation import Evaluation, Mistake, UnknownPhotos, evaluate, write_report
from rehead.evaluation.charts import coverage_chart
from rehead.evaluation.intervals import wilson
from rehead.evaluation.metrics import coverage_accuracy


def made(n: int, k: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Photos with probabilities, and which are answered: sure enough, and no outlier."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    p = rng.dirichlet(np.full(k, 0.3), n)
    p[np.arange(n), y] += rng.uniform(0, 1, n)
    p /= p.sum(axis=1, keepdims=True)
    return y, p, (p.max(axis=1) > 0.4) & (rng.uniform(0, 1, n) > 0.3)


def test_refused_photos_come_last_on_the_curve() -> None:
    y = np.array([0, 0, 1, 1])
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    curve = coverage_accuracy(y, p, np.array([False, True, True, True]))
    assert curve.threshold.tolist() == [0.8, 0.7, 0.6, 0.9]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.accuracy == pytest.approx([0, 1 / 2, 2 / 3, 3 / 4])
    assert coverage_accuracy(y, p).threshold.tolist() == [0.9, 0.8, 0.7, 0.6]


@pytest.mark.parametrize(("n", "k"), [(30, 3), (900, 101), (5000, 2)])
def test_the_operating_point_is_a_point_of_the_curve(n: int, k: int) -> None:
    y, p, accepted = made(n, k)
    found = evaluate(y, p, [f"class {i}" for i in range(k)], accepted=accepted)
    assert found.coverage is not None
    assert found.accepted_accuracy is not None
    place = np.flatnonzero(found.curve.coverage == found.coverage.value)
    assert found.curve.accuracy[place] == pytest.approx([found.accepted_accuracy.value])
    chart = coverage_chart(found.curve, found.coverage, found.accepted_accuracy)
    circle = re.search(r'class="mark" cx="([\d.]+)" cy="([\d.]+)"', chart)
    line = re.search(r'class="line" d="([^"]+)"', chart)
    assert circle
    assert line
    assert f"{circle[1]} {circle[2]}" in line[1]


def with_unknown(k: int = 3) -> tuple[Evaluation, NDArray[np.bool_]]:
    y, p, accepted = made(60, k)
    unknown = UnknownPhotos(np.array([0, 1, 1, 0, 2]), np.array([False, True, False, False, True]))
    names = [f"class {i}" for i in range(k)]
    return evaluate(y, p, names, accepted=accepted, unknown=unknown), accepted


def test_photos_of_no_class_are_counted_apart() -> None:
    found, accepted = with_unknown()
    y, p, _ = made(60, 3)
    without = evaluate(y, p, found.classes, accepted=accepted)
    assert found.refused == wilson(3, 5)
    assert found.unknown_photos == 5
    assert {k: v for k, v in found.to_dict().items() if k not in ("sentence", "unknown", "answers")} == {
        k: v for k, v in without.to_dict().items() if k not in ("sentence", "unknown", "answers")
    }
    assert found.sentence.replace("\u202f", " ").endswith(
        " Of 5 photos of no class 60.0 % were answered 'unknown' (95 % interval 23.1 to 88.2 %)."
    )
    assert ("'unknown' for photos of no class", found.refused, True) in found.named_scores()
    assert found.to_dict()["unknown"] == {"photos": 5, "refused": found.refused.to_dict()}
    assert without.refused is None
    assert without.to_dict()["unknown"] is None


def test_the_answers_count_each_photo_once() -> None:
    found, accepted = with_unknown()
    assert found.answers is not None
    assert found.answers.shape == (4, 4)
    assert found.answers[:3].sum(axis=1).tolist() == found.confusion.sum(axis=1).tolist()
    assert found.answers[:3, 3].sum() == (~accepted).sum()
    assert found.answers[3].tolist() == [0, 1, 1, 3]
    cells = found.to_dict()["answers"]
    assert {"true": "unknown", "answer": "unknown", "photos": 3} in cells
    assert sum(cell["photos"] for cell in cells) == 65
    y, p, _ = made(60, 3)
    assert evaluate(y, p, found.classes).answers is None


def test_the_report_has_a_column_for_unknown(tmp_path: Path) -> None:
    found, _ = with_unknown()
    write_report(tmp_path / "r.html", title="t", evaluation=found, run={})
    html = (tmp_path / "r.html").read_text("utf-8")
    matrix = html[html.index('class="matrix') : html.index("</table>", html.index('class="matrix'))]
    assert re.findall(r'<th scope="col" title="([^"]*)"', matrix) == [*found.classes, "unknown"]
    assert re.findall(r'<th scope="row" title="([^"]*)"', matrix) == [*found.classes, "of no class"]
    assert 'title="of no class answered as unknown: 3"' in matrix
    assert 'td class="right" style="--v:0.600" title="of no class answered as unknown' in matrix


def test_the_pairs_of_many_classes_have_unknown_too(tmp_path: Path) -> None:
    found, _ = with_unknown(40)
    write_report(tmp_path / "r.html", title="t", evaluation=found, run={})
    html = (tmp_path / "r.html").read_text("utf-8")
    table = html[html.index('class="pairs"') : html.index("</table>", html.index('class="pairs"'))]
    assert "<bdi>unknown</bdi></td>" in table


def test_the_report_reads_well(tmp_path: Path) -> None:
    found, _ = with_unknown()
    run: dict[str, Any] = {"date": "2026-11-27T23:32:05+00:00"}
    mistake = Mistake(tmp_path / "gone.jpg", "gone\u202egpj.jpg", "daisy\x1b", "rose", 0.9)
    write_report(tmp_path / "r.html", title="t", evaluation=found, run=run, mistakes=[mistake])
    html = (tmp_path / "r.html").read_text("utf-8")
    assert "· 27 November 2026, 23:32 UTC</p>" in html
    assert "true class: <bdi>daisy\\x1b</bdi>" in html
    assert not re.search(r">is <bdi>", html)
    assert not set(html) & {"\x1b", "\u202e"}
