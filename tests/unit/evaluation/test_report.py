from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rehead.core.text import count, listed, number, number_range, percent, percent_range
from rehead.errors import DataError, OutputError
from rehead.evaluation import (
    AuditSummary,
    Evaluation,
    Exclusion,
    Mistake,
    NearPhoto,
    confident_mistakes,
    evaluate,
    write_report,
)
from rehead.evaluation.charts import coverage_chart, reliability_chart, search_chart
from rehead.evaluation.intervals import Interval

Answers = tuple[NDArray[np.int64], NDArray[np.float64]]
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Every tag, attribute and text of a page; closing tags must match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"] and data.strip():
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def count(self, tag: str, css_class: str = "") -> int:
        return sum(name == tag and css_class in (attrs.get("class") or "") for name, attrs in self.tags)


def answers(n: int, k: int, wrong: int = 0, seed: int = 0) -> Answers:
    """Probabilities of which exactly `wrong` of `n` name another class than the true one."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    called = np.where(np.arange(n) < wrong, (y + 1) % k, y)
    sure = rng.uniform(0.6, 0.99, n)
    p = np.repeat(((1 - sure) / (k - 1))[:, None], k, axis=1)
    p[np.arange(n), called] = sure
    return y, p


def account(n: int = 60, k: int = 2, wrong: int = 2, **kwargs: Any) -> Evaluation:
    y, p = answers(n, k, wrong)
    return evaluate(y, p, [f"class {i}" for i in range(k)], **kwargs)


def page(path: Path, evaluation: Evaluation, **kwargs: Any) -> Page:
    write_report(path, **{"title": "A title", "run": {}, "evaluation": evaluation, **kwargs})
    return Page(path.read_text("utf-8"))


# --- the words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.969231, "96.9"), (1.0, "100"), (0.0, "0"), (0.99996, "99.9"), (0.0001, "0.1"), (0.5, "50.0")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == f"{text}\u202f%"


def test_ranges_and_what_is_not_defined() -> None:
    assert percent_range(Interval(0.9, 0.8954, 1.0)) == "89.5 to 100\u202f%"
    assert number_range(Interval(0.1, 0.08, 0.2)) == "0.080 to 0.200"
    nothing = Interval(math.nan, math.nan, math.nan)
    assert [percent(math.nan), number(math.nan), percent_range(nothing), number_range(nothing)] == ["–"] * 4


def test_counts_and_lists() -> None:
    assert [count(1, "photo"), count(1240, "photo")] == ["1 photo", "1,240 photos"]
    assert listed(["a"]) == "'a'"
    assert listed(["a", "b", "c"]) == "'a', 'b' and 'c'"
    assert listed(list("abcd"), most=2) == "'a', 'b' and 2 more"


# --- the account


def test_the_sentence_of_the_result() -> None:
    y = np.repeat([0, 1], [28, 37])
    p = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    p[[0, 64]] = p[[0, 64], ::-1]
    account = evaluate(y, p, ["alpaca", "not_alpaca"])
    assert account.sentence.replace("\u202f", " ") == (
        "96.9 % of 65 test photos were named correctly (95 % interval 89.5 to 99.2 %); "
        "always answering 'not_alpaca' would get 56.9 %."
    )


def test_the_sentence_of_one_photo() -> None:
    assert "of 1 test photo was named" in account(n=1, wrong=0).sentence


def test_a_good_model_on_enough_photos_needs_no_caution() -> None:
    y = np.repeat([0, 1], 200)
    p = np.where(np.eye(2)[y] == 1, 0.97, 0.03)
    p[:12] = p[:12, ::-1]
    assert evaluate(y, p, ["a", "b"]).warnings == []


@pytest.mark.parametrize(
    ("n", "wrong", "says"),
    [
        (60, 30, "no better than always answering 'class 0'"),
        (60, 24, "too small to tell whether the model is better than always answering"),
        (20, 2, "too small to tell how good the model is"),
        (12, 1, "100 photos, no two alike, would tell to within 10 points"),
        (6, 1, "Fewer than 5 test photos of 'class 0' and 'class 1'"),
    ],
)
def test_warnings(n: int, wrong: int, says: str) -> None:
    assert any(says in warning for warning in account(n=n, wrong=wrong).warnings)


def test_caution_about_classes_without_photos() -> None:
    y, p = answers(60, 3, 2)
    kept = y != 1
    warnings = evaluate(y[kept], p[kept], ["a", "b", "c"]).warnings
    assert any("No test photos of 'b'" in warning for warning in warnings)


def test_caution_about_few_groups() -> None:
    assert any("only 4 groups" in c for c in account(groups=np.arange(60) % 4).warnings)
    assert not any("groups" in c for c in account(n=6).warnings)


@pytest.mark.parametrize(
    ("sure", "right", "says"), [(0.95, 140, "overconfident"), (0.6, 190, "underconfident")]
)
def test_caution_about_calibration(sure: float, right: int, says: str) -> None:
    p = np.tile([sure, 1 - sure], (200, 1))
    warnings = evaluate((np.arange(200) >= right).astype(int), p, ["a", "b"]).warnings
    assert any("poorly calibrated" in c and says in c for c in warnings)


def test_to_dict_is_json_with_null_where_not_defined() -> None:
    y, p = answers(40, 4, 3)
    kept = y < 3
    result = evaluate(y[kept], p[kept], list("abcd"), accepted=p.max(axis=1)[kept] > 0.7).to_dict()
    read = json.loads(json.dumps(result, allow_nan=False))
    assert read == result
    assert read["per_class"][3]["recall"] == {"value": None, "low": None, "high": None}
    assert sum(cell["photos"] for cell in read["confusion"]) == read["photos"] == kept.sum()
    assert read["accuracy"]["low"] <= read["accuracy"]["value"] <= read["accuracy"]["high"]
    assert 0 < read["coverage"]["value"] < 1
    assert read["coverage_accuracy"][-1]["coverage"] == 1.0
    assert len(read["reliability"]) == 15
    assert account().to_dict().keys() == result.keys()
    assert account().to_dict()["coverage"] is None


def test_accepted_photos_are_counted() -> None:
    y, p = answers(60, 2, 6)
    accepted = np.arange(60) >= 4  # four of the six mistakes are "unknown"
    result = evaluate(y, p, ["a", "b"], accepted=accepted)
    assert result.coverage is not None
    assert result.accepted_accuracy is not None
    assert result.coverage.value == pytest.approx(56 / 60)
    assert result.accepted_accuracy.value == pytest.approx(54 / 56)
    assert [name for name, _, _ in result.table()][:4] == [
        "Accuracy",
        "Always answering 'a'",
        "Answered, not 'unknown'",
        "Accuracy when answered",
    ]
    assert all(interval for name, _, interval in result.table() if not name.startswith("Always"))


@pytest.mark.parametrize(
    ("change", "says"),
    [({"classes": ["a"]}, "1 classes for 2 columns"), ({"accepted": [True]}, "one entry a photo")],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], says: str) -> None:
    y, p = answers(10, 2)
    with pytest.raises(DataError, match=says):
        evaluate(y, p, **{"classes": ["a", "b"], **change})


# --- the mistakes


def test_confident_mistakes_are_the_surest_first() -> None:
    y = np.array([0, 0, 1, 1])
    p = np.array([[0.2, 0.8], [0.9, 0.1], [0.95, 0.05], [0.6, 0.4]])
    photos = [(f"/photos/{i}.jpg", f"{i}.jpg") for i in range(4)]
    found = confident_mistakes(y, p, ["a", "b"], photos, accepted=[True, True, False, True], most=2)
    assert found == [
        Mistake("/photos/2.jpg", "2.jpg", "b", "a", 0.95, accepted=False, row=2),
        Mistake("/photos/0.jpg", "0.jpg", "a", "b", 0.8, accepted=True),
    ]


# --- the page


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (400, 300), (120, 90, 60)).save(path)
    return path


def test_the_page_says_the_result_and_loads_nothing(tmp_path: Path, photo: Path) -> None:
    evaluation = account(accepted=np.arange(60) > 2)
    mistakes = [
        Mistake(photo, "class 0/photo.jpg", "class 0", "class 1", 0.912, accepted=False),
        Mistake(tmp_path / "gone.jpg", "gone.jpg", "class 1", "class 0", 0.7),
    ]
    got = page(
        tmp_path / "report.html",
        evaluation,
        title="Alpaca or not",
        mistakes=mistakes,
        operating_point={"probability": 0.62, "outlier_score": 23.41, "coverage": 0.95},
        unreadable=[("broken.jpg", "the file is empty")],
        facts={"Photos": 1327, "Backbone": "efficientnet_lite0"},
        notes=["A plain sentence."],
        run={
            "date": "21 November 2026",
            "command": "rehead train photos/",
            "versions": {"rehead": "0.1.0"},
            "split": {"folds": 5, "sizes": [48, 12], "seed": None, "deeper": {"digest": "abc"}},
        },
    )
    assert evaluation.sentence.replace("'class 0'", "‘class 0’") in got.text
    for words in (
        "Alpaca or not",
        "1,327",
        "A plain sentence.",
        "its probability is below 62.0\u202f%",
        "outlier score above 23.4",
        "95.0\u202f% of known photos",
        "broken.jpg",
        "the file is empty",
        "91.2\u202f%",
        "would answer “unknown”",
        "no picture",
        "rehead train photos/",
        "48, 12",
        "abc",
        "Written by rehead 0.1.0",
    ):
        assert words in got.text, words
    assert got.count("img") == 1
    addresses = [v for _, attrs in got.tags for k, v in attrs.items() if k in {"src", "href", "srcset"}]
    assert [a for a in addresses if not (a or "").startswith("data:image/jpeg;base64,")] == []
    html = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"<script|@import|url\((?!#)|https?:", html)
    assert len(html) < 80_000


def test_a_perfect_model_and_nothing_else(tmp_path: Path) -> None:
    got = page(tmp_path / "report.html", account(wrong=0))
    assert got.text.count("every test photo was named correctly") == 1
    assert "could not be read" not in got.text
    assert "Model selection" not in got.text
    assert got.count("img") == 0


NASTY = '<script>alert("1")</script>'


@settings(max_examples=15, deadline=None)
@given(st.text(min_size=1, max_size=40).filter(lambda s: s.isprintable() and s.strip()))
def test_everything_is_escaped(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    name = f"{NASTY}{text}&amp;' {{{{ 7 * 7 }}}} "
    y, p = answers(60, 3, 5)
    evaluation = evaluate(y, p, [name, "b", "c" * 500])
    got = page(
        tmp_path_factory.mktemp("report") / "report.html",
        evaluation,
        title=name,
        mistakes=[Mistake("nowhere.jpg", name, name, name, 0.5)],
        head={
            "path": [{"candidate": name, "l2": 1.0, "log_loss": 0.5, "chosen": True}],
            "sentence": name,
        },
        unreadable=[(name, name)],
        facts={name: name},
        notes=[name],
        run={name: {name: [name]}, "date": name},
    )
    assert "script" not in {tag for tag, _ in got.tags}
    assert name.strip() in got.texts
    assert got.count("td", "right") == 3


@pytest.mark.parametrize(("k", "cells"), [(2, 4), (25, 625), (26, 0), (100, 0)])
def test_many_classes_become_pairs_and_folded_rows(tmp_path: Path, k: int, cells: int) -> None:
    got = page(tmp_path / "report.html", account(n=6 * k, k=k, wrong=k))
    assert sum("--v" in (attrs.get("style") or "") for _, attrs in got.tags) == cells
    assert ("confused most often" in got.text) == (k > 25)
    assert (f"The other {k - 30} classes" in got.text) == (k > 30)
    assert got.count("td", "score") == 3 * k


def test_the_weakest_of_many_classes_come_first(tmp_path: Path) -> None:
    y, p = answers(200, 40, 0)
    p[y == 17] = np.roll(p[y == 17], 1, axis=1)
    page(tmp_path / "report.html", evaluate(y, p, [f"<{i}>" for i in range(40)]))
    html = (tmp_path / "report.html").read_text("utf-8")
    rows = re.findall(r'<th scope="row"><bdi>&lt;(\d+)&gt;</bdi></th><td class="num" data', html)
    assert len(rows) == 40
    assert rows[0] == "17"


def test_a_class_without_photos_is_not_defined(tmp_path: Path) -> None:
    y, p = answers(60, 3, 0)
    kept = y != 2
    got = page(tmp_path / "report.html", evaluate(y[kept], p[kept], ["a", "b", "c"]))
    assert got.texts.count("not defined") == 3


def test_no_answer_at_all_has_no_mark(tmp_path: Path) -> None:
    got = page(tmp_path / "report.html", account(accepted=np.zeros(60, bool)))
    assert "operating point" not in got.texts
    assert "0\u202f% of the test photos were answered" in got.text


def test_a_place_that_cannot_be_written_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        page(tmp_path / "file" / "report.html", account())
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_same_account_is_the_same_file(tmp_path: Path) -> None:
    page(tmp_path / "a.html", account())
    page(tmp_path / "b.html", account())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


# --- the charts


def coordinates(svg: str) -> list[float]:
    return [float(x) for x in re.findall(r' (?:c?[xy]|x|width|height)="(-?[\d.]+)"', svg)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(2, 4), st.integers(0, 40), st.integers(0, 9))
def test_charts_stay_on_the_paper(n: int, k: int, wrong: int, seed: int) -> None:
    y, p = answers(n, k, min(wrong, n), seed)
    result = evaluate(y, p, [str(i) for i in range(k)], accepted=p.max(axis=1) > 0.8)
    reliability = reliability_chart(result.reliability, k)
    coverage = coverage_chart(result.curve, result.coverage, result.accepted_accuracy)
    assert reliability.count("<circle") == np.count_nonzero(result.reliability.count)
    for svg in (reliability, coverage):
        Page(svg)
        assert "nan" not in svg
        assert all(0 <= x <= 420 for x in coordinates(svg))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefg"), st.floats(1e-9, 1e3), st.floats(0, 50)), min_size=1, max_size=12
    )
)
def test_strength_chart_of_any_path(points: list[tuple[str, float, float]]) -> None:
    path = [{"candidate": c, "l2": s, "log_loss": loss, "chosen": False} for c, s, loss in points]
    path[-1]["chosen"] = True
    svg, legend = search_chart(path)
    Page(svg)
    assert "nan" not in svg
    assert legend[0] == ("c0", points[-1][0])
    assert sorted(name for _, name in legend) == sorted({c for c, _, _ in points})


def test_ten_thousand_photos_stay_below_five_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for n in range(24):
        paths.append(tmp_path / f"{n}.jpg")
        Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(
            paths[-1]
        )  # noise: the worst
    truth, probabilities = answers(10_000, 200, wrong=4_000)
    classes = [f"class number {k} with a name of some length" for k in range(200)]
    photos = [(paths[n % 24], f"a folder/of some depth/photo {n:05d}.jpg") for n in range(10_000)]
    heat = paths[0].read_bytes()[:30_000]
    mistakes = [
        replace(mistake, heat=heat, nearest=tuple(NearPhoto(path, "a class", 0.5) for path in paths[:3]))
        for mistake in confident_mistakes(truth, probabilities, classes, photos)
    ]
    evaluation = evaluate(truth, probabilities, classes)
    names = [(name, "") for _, name in photos]
    reasons = [(name, "truncated: the file ends before the picture does") for _, name in photos]
    write_report(
        tmp_path / "report.html",
        title="many",
        evaluation=evaluation,
        run={"unreadable": names, "skipped": names},
        mistakes=mistakes,
        unreadable=reasons,
        exclusions=[Exclusion("Left out", names), Exclusion("No photos", names)],
        audit=AuditSummary(["10,000 photos look like another class than their own."], "rehead audit many"),
    )
    text = (tmp_path / "report.html").read_text("utf-8")
    assert text.count("data:image/jpeg") == 24 * 5
    assert len(text) < 5e6
