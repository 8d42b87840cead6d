"""The report's charts as SVG, coloured by CSS classes for light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ..core.text import count, percent, printable
from .intervals import Interval, wilson
from .metrics import CoverageCurve, Reliability

__all__ = [
    "cost_chart",
    "coverage_chart",
    "curves_chart",
    "det_chart",
    "reliability_chart",
    "search_chart",
]

_WIDTH, _HEIGHT = 420, 310
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 408, 28, 268
_CURVE_POINTS = 200
_CLIPPED = 4.0  # log losses above this many times the best would press the rest flat

_DECADES_FROM = 8.0  # a cost that many times the least asks for a logarithmic axis

Scale = Callable[[float], float]


def reliability_chart(bars: Reliability, classes: int) -> str:
    """Reliability diagram: accuracy against confidence, with the number of photos in each bin.

    A bin is a point with Wilson's interval, its photos taken as independent.
    """
    start = 0.5 if classes == 2 else 0.0  # the larger of two probabilities is never below a half
    bottom, strip = 196, 34
    x, y = _linear(start, 1, _LEFT, _RIGHT), _linear(0, 1, bottom, _TOP)
    parts = [
        *_y_axis(y, [0, 0.25, 0.5, 0.75, 1], _whole_percent, "accuracy"),
        *_x_axis(x, np.linspace(start, 1, 6), _whole_percent, "confidence"),
        f'<path class="ideal" d="M{x(start):.1f} {y(start):.1f}L{x(1):.1f} {y(1):.1f}"/>',
    ]
    tallest = int(bars.count.max())
    for low, high, n, confidence, accuracy in zip(
        bars.edges[:-1], bars.edges[1:], bars.count.tolist(), bars.confidence, bars.accuracy, strict=True
    ):
        if n == 0:
            continue
        left, right = x(max(low, start)) + 1, x(high) - 1
        height = max(strip * n / tallest, 1)
        interval, middle = wilson(accuracy * n, n), (left + right) / 2
        tooltip = f"{count(n, 'photo')}: mean confidence {percent(confidence)}, accuracy {percent(accuracy)}"
        parts.append(
            f"<g><title>{tooltip}</title>"
            f'<rect class="count" x="{left:.1f}" y="{_BOTTOM - height:.1f}" width="{right - left:.1f}" '
            f'height="{height:.1f}"/>'
            f'<text class="small" x="{middle:.1f}" y="{_BOTTOM - height - 4:.1f}">{_short(n)}</text>'
            f'<path class="whisker" d="M{x(confidence):.1f} {y(interval.low):.1f}V{y(interval.high):.1f}"/>'
            f'<circle class="dot" cx="{x(confidence):.1f}" cy="{y(accuracy):.1f}" r="4"/></g>'
        )
    return _svg("Accuracy against confidence", parts)


def coverage_chart(curve: CoverageCurve, coverage: Interval | None, accuracy: Interval | None) -> str:
    """Accuracy against coverage, the operating point marked when given; it is a point of the curve."""
    keep = np.linspace(0, len(curve.coverage) - 1, _CURVE_POINTS).round().astype(int)
    if coverage is not None:
        keep = np.append(keep, np.abs(curve.coverage - coverage.value).argmin())
    keep = np.unique(keep)
    xs, ys = curve.coverage[keep].tolist(), curve.accuracy[keep].tolist()
    marked = coverage is not None and accuracy is not None and not math.isnan(accuracy.value)
    floor = _accuracy_floor(min([*ys, accuracy.value] if accuracy and marked else ys))
    x, y = _linear(0, 1, _LEFT, _RIGHT), _linear(floor, 1, _BOTTOM, _TOP)
    parts = [
        *_y_axis(y, _ticks(floor, 1), _whole_percent, "accuracy"),
        *_x_axis(x, [0, 0.25, 0.5, 0.75, 1], _whole_percent, "coverage"),
        f'<path class="line" d="{_polyline(zip(map(x, xs), map(y, ys), strict=True))}"/>',
    ]
    if coverage and accuracy and marked:
        cx, cy = x(coverage.value), y(accuracy.value)
        tooltip = f"operating point: coverage {percent(coverage.value)}, accuracy {percent(accuracy.value)}"
        below = 22 if cy < (_TOP + _BOTTOM) / 2 else -14
        left = max(min(cx + 8, _RIGHT), _LEFT + 100)  # room for the words, which end here
        words = f'<text class="strong end" x="{left:.1f}" y="{cy + below:.1f}">operating point</text>'
        parts.append(_mark(tooltip, cx, cy, words))
    return _svg("Accuracy against coverage", parts)


def search_chart(
    path: Sequence[Mapping[str, Any]], *, score: str = "log loss"
) -> tuple[str, list[tuple[str, str]]]:
    """Cross-validated score against l2, one line for each candidate, and the legend [(CSS class, candidate)].

    `path` holds mappings with "candidate", "l2" > 0, "chosen", and the score under its name
    with "_" for " ", such as "log_loss"; lower is better.
    """
    key = score.replace(" ", "_")
    chosen = min(path, key=lambda point: (not point["chosen"], point[key]))
    names = [chosen["candidate"], *sorted({p["candidate"] for p in path} - {chosen["candidate"]})]
    losses = [point[key] for point in path]
    top = max(1.04 * min(max(losses), _CLIPPED * min(losses)), 1e-6)
    floor = 0.9 * min(losses) if top < 2 * min(losses) else 0.0
    exponents = [math.log10(point["l2"]) for point in path]
    first = math.floor(min(exponents))
    last = max(math.ceil(max(exponents)), first + 1)
    x, y = _linear(first, last, _LEFT, _RIGHT), _linear(floor, top, _BOTTOM, _TOP)
    parts = [
        *_y_axis(y, _ticks(floor, top), lambda value: f"{value:.3g}", f"{score}, cross-validated"),
        _clip("plot"),
        *_x_axis(x, range(first, last + 1, math.ceil((last - first) / 7)), _power, "strength of the penalty"),
    ]
    legend = [(f"c{min(i, 4)}", name) for i, name in enumerate(names)]
    for css, name in reversed(legend):
        points = sorted((x(math.log10(p["l2"])), y(p[key])) for p in path if p["candidate"] == name)
        line = f'd="{_polyline(points)}"><title>{_escaped(name)}</title></path>'
        parts.append(f'<path class="line clipped {css}" {line}')
        parts += _points(css, [(cx, cy) for cx, cy in points if cy >= _TOP])
    tooltip = f"chosen: {_escaped(names[0])}, {score} {chosen[key]:.3f}"
    parts.append(_mark(tooltip, x(math.log10(chosen["l2"])), y(chosen[key])))
    return _svg(f"Cross-validated {score} against strength", parts), legend


def curves_chart(curves: Sequence[Mapping[str, Any]], quantity: str) -> str:
    """A network's "loss", "error" or "accuracy" by epoch, on the photos trained on and on those held out.

    `curves` holds mappings with "epoch" from 1, and "train_" and "val_" before both names; the epoch of
    the least "val_calibrated" is marked, or "val_loss" where that is not given.
    """
    lines = {side: [float(epoch[f"{side}_{quantity}"]) for epoch in curves] for side in ("val", "train")}
    values = [value for line in lines.values() for value in line]
    if quantity == "accuracy":
        low, high = _accuracy_floor(min(values)), 1.0
        text: Callable[[float], str] = _whole_percent
    else:
        low, high = 0.0, max(1.04 * min(max(values), _CLIPPED * values[0]), 1e-6)
        text = "{:.3g}".format
    x = _linear(1, max(len(curves), 2), _LEFT + 8, _RIGHT - 8)
    y = _linear(low, high, _BOTTOM, _TOP)
    step = max(1, math.ceil(len(curves) / 10))
    parts = [
        *_y_axis(y, _ticks(low, high), text, quantity),
        *_x_axis(x, range(1, len(curves) + 1, step), "{:.0f}".format, "epoch"),
    ]
    for css, line, what in (("c1", lines["train"], "trained on"), ("c0", lines["val"], "held out")):
        points = [(x(n), y(min(value, high))) for n, value in enumerate(line, 1)]
        parts.append(f'<path class="line {css}" d="{_polyline(points)}"><title>{what}</title></path>')
        parts += _points(css, points)
    best = min(range(len(curves)), key=lambda n: curves[n].get("val_calibrated", curves[n]["val_loss"]))
    value = lines["val"][best]
    parts.append(_mark(f"kept: epoch {best + 1}, {quantity} {text(value)}", x(best + 1), y(min(value, high))))
    return _svg(f"{quantity.capitalize()} of each epoch", parts)


def cost_chart(models: Sequence[tuple[str, Interval, float]], name: str, unit: str, baseline: float) -> str:
    """Accuracy of models, with its interval, against what they cost; each bears its number, from 1.

    `models` holds (name, accuracy, cost > 0, in `unit`); `name` says what the cost is. The accuracy
    `baseline` is drawn as a line where it is not far below.
    """

    def text(cost: float) -> str:
        return f"{cost:.3g}\N{NARROW NO-BREAK SPACE}{unit}"

    costs = [cost for _, _, cost in models]
    low = _accuracy_floor(min(accuracy.low for _, accuracy, _ in models))
    y = _linear(low, 1, _BOTTOM, _TOP)
    x, ticks = _cost_scale(min(costs), max(costs))
    parts = [
        *_y_axis(y, _ticks(low, 1), _whole_percent, "accuracy"),
        *_x_axis(x, ticks, text, name),
    ]
    if baseline >= low:
        tooltip = f"<title>always the most frequent class: {percent(baseline)}</title>"
        parts.append(f'<path class="ideal" d="M{_LEFT} {y(baseline):.1f}H{_RIGHT}">{tooltip}</path>')
    for place, (model, accuracy, cost) in enumerate(models, 1):
        cx = x(cost)
        tooltip = f"{_escaped(model)}: {percent(accuracy.value)}, {text(cost)}"
        low_end = y(accuracy.low)
        # numbers of models that cost the same stand one below the other
        under = 11 * sum(abs(x(other) - cx) < 12 for _, _, other in models[: place - 1])
        parts.append(
            f"<g><title>{tooltip}</title>"
            f'<path class="whisker" d="M{cx:.1f} {low_end:.1f}V{y(accuracy.high):.1f}"/>'
            f'<circle class="dot" cx="{cx:.1f}" cy="{y(accuracy.value):.1f}" r="4"/>'
            f'<text class="strong middle" x="{cx:.1f}" y="{low_end + 13 + under:.1f}">{place}</text></g>'
        )
    return _svg(f"Accuracy of the models against {name}", parts)


def _cost_scale(least: float, most: float) -> tuple[Scale, list[float]]:
    """From 0, or logarithmic where costs lie far apart."""
    left, right = _LEFT + 12, _RIGHT - 12
    if most < _DECADES_FROM * least:
        return _linear(0, 1.05 * most, _LEFT, right), _ticks(0, 1.05 * most)[:-1] or [0.0, most]
    scale = _linear(math.log10(least), math.log10(most), left, right)
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    ticks = [m * 10.0**e for e in range(first, last + 1) for m in (1, 3)]
    return lambda cost: scale(math.log10(cost)), [t for t in ticks if least <= t <= most]


def _escaped(name: str) -> str:
    """A name of others for HTML, as `printable` has it."""
    return escape(printable(name))


def _svg(title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_escaped(title)}">'
        f"<title>{_escaped(title)}</title>{''.join(parts)}</svg>"
    )


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _y_axis(y: Scale, ticks: Iterable[float], text: Callable[[float], str], name: str) -> list[str]:
    lines = [
        f'<path class="grid" d="M{_LEFT} {y(v):.1f}H{_RIGHT}"/>'
        f'<text class="end" x="{_LEFT - 7}" y="{y(v) + 4:.1f}">{text(v)}</text>'
        for v in ticks
    ]
    return [*lines, f'<text class="name" x="0" y="10">{name}</text>']


def _x_axis(x: Scale, ticks: Iterable[float], text: Callable[[float], str], name: str) -> list[str]:
    y, middle = _BOTTOM, (_LEFT + _RIGHT) / 2
    return [
        f'<path class="axis" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>',
        *(f'<text class="middle" x="{x(v):.1f}" y="{y + 17:.1f}">{text(v)}</text>' for v in ticks),
        f'<text class="middle name" x="{middle:.1f}" y="{y + 36:.1f}">{name}</text>',
    ]


def _polyline(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{cx:.1f} {cy:.1f}" for cx, cy in points)


def _points(css: str, points: Iterable[tuple[float, float]]) -> list[str]:
    return [f'<circle class="point {css}" cx="{cx:.1f}" cy="{cy:.1f}" r="2.6"/>' for cx, cy in points]


def _mark(tooltip: str, cx: float, cy: float, words: str = "") -> str:
    ring = f'<circle class="mark" cx="{cx:.1f}" cy="{cy:.1f}" r="6"/>'
    return f"<g><title>{tooltip}</title>{ring}{words}</g>"


def _clip(name: str) -> str:
    return f'<clipPath id="{name}"><path d="M{_LEFT} {_TOP}H{_RIGHT}V{_BOTTOM}H{_LEFT}Z"/></clipPath>'


def _accuracy_floor(least: float) -> float:
    """Where an axis of accuracies begins: a tenth, with room below the least of them."""
    return min(max(math.floor(least * 10 - 0.5) / 10, 0.0), 0.9)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, four to eight of them."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _whole_percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}\N{NARROW NO-BREAK SPACE}%"


def _power(exponent: float) -> str:
    sign = "\N{MINUS SIGN}" if exponent < 0 else ""
    return f'10<tspan class="small" dy="-5">{sign}{abs(exponent):.0f}</tspan>'


def _short(n: int) -> str:
    return f"{n}" if n < 1000 else f"{n / 1000:.1f}k"


def det_chart(
    curve: Sequence[tuple[float, float]], least: float, marks: Sequence[tuple[float, float]], accuracy: float
) -> str:
    """DET curve: false non-match rate against false match rate, the latter on a logarithmic axis.

    `curve` holds (FMR, FNMR), strictest threshold first; `least` is the lowest FMR that the pairs can show,
    0..1; `marks` are drawn as points.
    """
    first = min(math.floor(math.log10(least)), -1)
    shown = [(max(a, 10.0**first), b) for a, b in curve]
    top = max([b for a, b in shown if a <= 10.0**first] or [1 - accuracy])
    top = min(1.0, max(1.15 * min(top, max(4 * (1 - accuracy), 0.02)), 0.02))
    x, y = _linear(first, 0, _LEFT, _RIGHT), _linear(0, top, _BOTTOM, _TOP)
    points = [(x(math.log10(a)), y(min(b, 2 * top))) for a, b in shown]
    # a step holds its rate of misses until the next pair of different people matches
    line = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(
        f"V{cy:.1f}H{cx:.1f}" for cx, cy in _steps(points)
    )
    parts = [
        *_y_axis(y, _ticks(0, top), _percent_tick, "false non-match rate (FNMR)"),
        _clip("trade"),
        *_x_axis(x, range(first, 1), _power, "false match rate (FMR)"),
        f'<path class="line" style="clip-path:url(#trade)" d="{line}"/>',
    ]
    for a, b in marks:
        cx, cy = x(math.log10(max(a, 10.0**first))), y(min(b, top))
        parts.append(_mark(f"FMR {percent(a)}, FNMR {percent(b)}", cx, cy))
    return _svg("False non-match rate against false match rate", parts)


def _steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lowest point at each place, and where the next begins."""
    lowest: dict[float, float] = {}
    for cx, cy in points:
        lowest[cx] = max(lowest.get(cx, cy), cy)
    places = list(lowest.items())
    ends = [*(cx for cx, _ in places[1:]), float(_RIGHT)]
    return [(end, cy) for (_, cy), end in zip(places, ends, strict=True)]


def _percent_tick(fraction: float) -> str:
    return f"{100 * fraction:.3g}\N{NARROW NO-BREAK SPACE}%"
