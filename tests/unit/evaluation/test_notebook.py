"""Results as a notebook shows them: all names escaped, all style in one class, nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead.evaluation import (
    Comparison,
    Cost,
    Evaluation,
    Interval,
    Mistake,
    Mistakes,
    compare_answers,
    evaluate,
)
from rehead.evaluation.notebook import Card, cards_html, search_figure, training_figure

HOSTILE = "<script>alert(1)</script>\u202e & 'x'"
CLASSES = [HOSTILE, "b", "c"]


def answers(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 60)
    p = rng.dirichlet([0.5] * 3, 60)
    p[np.arange(60), y] += 1
    return y, p / p.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    y, p = answers()
    return evaluate(y, p, CLASSES, accepted=p.max(axis=1) > 0.6)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    y, p = answers()
    cost = Cost(1.0, False, 10, 10, 2, Interval(0.1, 0.1, 0.2))
    names = [(HOSTILE, "a", HOSTILE), ("b", "b", "")]
    return compare_answers(y, [p, answers(1)[1]], names, [cost, cost], CLASSES)


def pictures(folder: Path) -> Mistakes:
    path = folder / "photo.jpg"
    Image.new("RGB", (90, 60), "red").save(path)
    return Mistakes(
        [
            Mistake(path, HOSTILE, HOSTILE, "b", 0.9, False),
            Mistake(folder / "gone.jpg", "gone", "b", "c", 0.8),
        ]
    )


def checked(html: str) -> str:
    """The HTML without its style, after checks that hold for all."""
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert html.strip().startswith('<div class="rehead">') and html.strip().endswith("</div>")
    assert html.count("<div") == html.count("</div>")
    assert "<script" not in html and "\u202e" not in html
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\((?!#)|@import|https?:", html)
    outer = re.sub(r"\{[^{}]*\}", "", re.sub(r"\{[^{}]*\}", "", style))  # rules, then what they are nested in
    for selector in filter(None, (part.strip() for part in outer.splitlines())):
        assert selector.endswith(".rehead") or selector.startswith("@media screen"), selector
    return html.replace(style, "")


def test_an_evaluation_shows_its_sentence_and_its_tables(evaluation: Evaluation) -> None:
    body = checked(evaluation._repr_html_())
    for said in ("of 60 test photos", "Confusion matrix", "Balanced accuracy", "<svg", "unknown"):
        assert said in body


def test_warnings_are_shown() -> None:
    y, p = answers()
    few = evaluate(y[:6], p[:6], CLASSES)
    assert few.warnings
    assert 'class="warnings"' in checked(few._repr_html_())


def test_a_comparison_shows_its_table_and_charts(comparison: Comparison) -> None:
    body = checked(comparison._repr_html_())
    assert body.count("<svg viewBox") == 2 and "Difference" in body


def test_mistakes_show_photos_where_they_are_there(tmp_path: Path) -> None:
    mistakes = pictures(tmp_path)
    body = checked(mistakes._repr_html_())
    assert body.count("<img") == 1 and body.count("no picture") == 1
    assert "no picture" not in checked(mistakes[:1]._repr_html_())
    assert "None: every test photo" in Mistakes()._repr_html_()


def test_what_is_not_shown_is_counted() -> None:
    def card(name: str) -> Card:
        return Card("a", "", None, name)

    body = checked(cards_html([HOSTILE] * 53, card))
    assert "and 29 more photos" in body and body.count("<figure") == 24
    assert "more photo" not in cards_html([""], card)


def test_figures_are_shown_and_named() -> None:
    path = [
        {"candidate": HOSTILE, "l2": 10.0**n, "log_loss": 0.4 + n / 10, "chosen": n == 0} for n in range(3)
    ]
    found = search_figure(path)
    assert "<svg" in checked(found._repr_html_())
    assert repr(found) == "<Figure: model selection>"
    assert HOSTILE not in training_figure(["<svg></svg>"], HOSTILE)._repr_html_()
