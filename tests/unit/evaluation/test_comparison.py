from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.core.run_dir import run_record
from rehead.core.text import duration, file_size, latency, points, points_range, thousands
from rehead.errors import DataError
from rehead.evaluation import Comparison, Cost, Interval, compare_answers, write_comparison
from rehead.evaluation.charts import cost_chart
from rehead.evaluation.intervals import paired_difference, wilson

COST = Cost(7.0, False, 13_500_000, 3_353_274, 2_562, Interval(0.012, 0.011, 0.014))


def answers(right: NDArray[np.bool_], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Probabilities of two classes that are right where they should be."""
    p = np.full((len(y), 2), 0.1)
    p[np.arange(len(y)), np.where(right, y, 1 - y)] = 0.9
    return p


def comparison(*right: NDArray[np.bool_], **more: Any) -> Comparison:
    y = np.arange(len(right[0])) % 2
    names = [(f"model{n}", f"model{n}", "") for n in range(len(right))]
    return compare_answers(
        y, [answers(r, y) for r in right], names, [COST] * len(right), ["cat", "dog"], **more
    )


def wrong(n: int, *rows: int) -> NDArray[np.bool_]:
    right = np.ones(n, bool)
    right[list(rows)] = False
    return right


# the interval


def test_the_difference_is_that_of_bonett_and_price() -> None:
    # 100 photos, 8 on which only the first is right and 2 on which only the second is
    a, b = wrong(100, 0, 1), wrong(100, *range(10, 18))
    p, q = 9 / 102, 3 / 102
    half = 1.959963985 * math.sqrt((p + q - (p - q) ** 2) / 102)
    got = paired_difference(a, b)
    assert (got.value, got.low, got.high) == pytest.approx((0.06, p - q - half, p - q + half))
    back = paired_difference(b, a)
    assert (back.value, back.low, back.high) == pytest.approx((-got.value, -got.high, -got.low))


def test_no_disagreement_is_no_certainty() -> None:
    same = paired_difference(wrong(65, 1, 2), wrong(65, 1, 2))
    assert same.value == 0
    assert -0.06 < same.low < -0.02
    assert same.high == -same.low


@pytest.mark.parametrize("n", [1, 3, 20])
def test_the_value_lies_inside_and_the_ends_are_differences_of_shares(n: int) -> None:
    for a, b in ((np.ones(n, bool), np.zeros(n, bool)), (np.zeros(n, bool), np.ones(n, bool))):
        got = paired_difference(a, b)
        assert -1 <= got.low <= got.value <= got.high <= 1
    assert math.isnan(paired_difference([], []).value)


def test_several_together_are_wider_and_copies_add_nothing() -> None:
    a, b = wrong(60, 0, 1), wrong(60, *range(8))
    one, four = paired_difference(a, b), paired_difference(a, b, among=4)
    assert four.low < one.low < one.high < four.high
    copies = paired_difference(np.repeat(a, 3), np.repeat(b, 3), np.repeat(np.arange(60), 3))
    assert (copies.low, copies.high) == pytest.approx((one.low, one.high), abs=2e-3)


@pytest.mark.parametrize(("groups", "size", "among"), [(65, 1, 1), (200, 1, 1), (40, 4, 1), (65, 1, 3)])
def test_the_difference_is_covered(groups: int, size: int, among: int) -> None:
    rng, trials, codes = np.random.default_rng(5), 600, np.repeat(np.arange(groups), size)
    covered = 0
    for _ in range(trials):
        intervals = []
        hard = rng.random(groups)  # what is hard for one model is hard for the other
        first = hard + rng.normal(scale=0.1, size=groups) < 0.93
        for _ in range(among):
            other = hard + rng.normal(scale=0.1, size=groups) < 0.85
            intervals.append(paired_difference(other[codes], first[codes], codes, among=among))
        covered += all(i.low <= TRUTH <= i.high for i in intervals)
    assert 0.93 <= covered / trials <= 0.995


def _truth() -> float:
    rng = np.random.default_rng(0)
    hard = rng.random(2_000_000)
    noise = rng.normal(scale=0.1, size=(2, len(hard)))
    return float((hard + noise[0] < 0.85).mean() - (hard + noise[1] < 0.93).mean())


TRUTH = _truth()


# what is said


def test_a_small_difference_is_not_claimed() -> None:
    told = comparison(wrong(65, 1, 2, 3), wrong(65, 1, 2))
    assert "'model1' scored 1.5 points above 'model0' on the 65 test photos" in told.sentence
    assert told.sentence.endswith("too close to tell.")
    assert not told.models[1].significant
    assert told.models[0].accuracy == wilson(62, 65)


def test_a_clear_difference_is_claimed_and_no_difference_is_named() -> None:
    told = comparison(wrong(100, *range(30)), wrong(100))
    assert "'model1' is 30.0 points better than 'model0' on the 100 test photos" in told.sentence
    assert "too close" not in told.sentence
    worse = comparison(wrong(100), wrong(100, *range(30)))
    assert "30.0 points worse" in worse.sentence
    assert "named as many of the 20 test photos correctly" in comparison(wrong(20), wrong(20)).sentence


def test_of_several_those_that_are_significant_come_first() -> None:
    told = comparison(wrong(100, *range(30)), wrong(100, *range(29)), wrong(100), wrong(100, *range(32)))
    assert told.sentence.index("model2") < told.sentence.index("Too close to 'model0'")
    assert "'model1' and 'model3'; the largest difference is that of 'model3', −2.0 points" in told.sentence
    assert "95\N{NARROW NO-BREAK SPACE}% interval for all differences together" in told.sentence
    assert "all 3 together" in told.method


def test_one_model_is_compared_with_nothing() -> None:
    assert "nothing to compare it with" in comparison(wrong(20, 1)).sentence
    with pytest.raises(DataError, match="no model"):
        compare_answers([0, 1], [], [], [], ["a", "b"])


def test_groups_are_told_and_widen_the_difference() -> None:
    a, b = wrong(60, *range(12)), wrong(60)
    grouped, single = comparison(a, b, groups=np.arange(60) // 6), comparison(a, b)
    assert grouped.groups == 10
    assert "10 groups" in grouped.method
    wide, narrow = (c.models[1].difference for c in (grouped, single))
    assert wide is not None and narrow is not None
    assert wide.high - wide.low > narrow.high - narrow.low


# what is written


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_holds_everything_and_loads_nothing(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    names = [("net, <b>frozen", "a", ""), ("net | top:4", "b", "A note & more.")]
    costs = [COST, Cost(190.0, True, 9_000, 93_893, 93_893, Interval(0.3, 0.2, 0.4))]
    given = [answers(wrong(40, 1), y), answers(wrong(40, 2, 3), y)]
    told = compare_answers(y, given, names, costs, ["cat", "dog"], notes=["One & two."])
    write_comparison(
        tmp_path / "x.html",
        title="my <photos>",
        comparison=told,
        run=run_record(["rehead", "compare"], {"source": "photos"}),
    )
    html = (tmp_path / "x.html").read_text("utf-8")
    page = Page()
    page.feed(html)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == 2
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert "<b>frozen" not in html and "&lt;photos&gt;" in html and "A note &amp; more." in html
    markdown = told.to_markdown("photos")
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert "net \\| top:4" in rows[3] and "at least 3\N{NARROW NO-BREAK SPACE}min 10" in rows[3]
    record = json.loads(json.dumps(told.to_dict(), allow_nan=False))
    assert [model["parameters"] for model in record["models"]] == [3_353_274, 93_893]
    assert record["models"][0]["difference"] is None


def test_costs_far_apart_are_drawn_on_a_logarithmic_axis() -> None:
    near = cost_chart([("a", wilson(9, 10), 10.0), ("b", wilson(8, 10), 11.0)], "time", "ms", 0.5)
    far = cost_chart([("a", wilson(9, 10), 5.0), ("b", wilson(8, 10), 500.0)], "time", "s", 0.5)
    assert ">0\N{NARROW NO-BREAK SPACE}ms<" in near
    assert ">0\N{NARROW NO-BREAK SPACE}s<" not in far and ">100\N{NARROW NO-BREAK SPACE}s<" in far
    for chart in (near, far):
        places = [float(x) for x in re.findall(r'<circle class="dot" cx="([\d.]+)"', chart)]
        assert len(places) == 2 and places[0] < places[1] <= 408


def test_numbers_read_well() -> None:
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert [duration(s) for s in (7.04, 173, 11_100)] == [
        f"7.0{thin}s",
        f"2{thin}min 53{thin}s",
        f"3{thin}h 5{thin}min",
    ]
    assert (file_size(370_000), file_size(14_305_380)) == (f"370{thin}kB", f"14.3{thin}MB")
    assert (thousands(93_893), thousands(3_353_274)) == ("93,893", "3.4 million")
    assert (points(0.0154, sign=True), points(-0.0004)) == ("+1.5 points", "0 points")
    assert points_range(Interval(0, -0.021, 0.053)) == "−2.1 to 5.3"
    assert latency(0.0083) == f"8.3{thin}ms"
