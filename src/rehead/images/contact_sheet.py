"""Pictures of results: numbers as colours, and sheets of small pictures with words under them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Bar", "Tile", "draw_boxes", "draw_sheet", "fitted", "overlay", "viridis"]

Pixels = NDArray[np.uint8]

# matplotlib's viridis (S. van der Walt and N. Smith 2015, CC0), every eighth of its 256 colours; linear
# between them it is within 2 of 255 of it.
_VIRIDIS = np.frombuffer(
    bytes.fromhex(
        "440154470d6048186a482374472d7b4537814240863e49893b528b375b8d33638d2f6b8e2c728e297a8e26828e23898e2191"
        "8c1f978b1f9f8821a68527ad8131b57b3dbc744cc26c5cc8636ece5881d34d95d840aadc32c0df25d5e21aeae51afde725"
    ),
    dtype=np.uint8,
).reshape(-1, 3)

_INK, _SOFT, _PAPER = (26, 29, 33), (89, 97, 107), (255, 255, 255)  # those of evaluation/page.css
_FRAME = (255, 210, 63)  # the yellow of keypoints' dots
_GAP, _MARGIN = 14, 20  # px
_TITLE, _WORDS = 20, 15  # px, heights of letters
_BAR, _LEAST_BAR, _MOST_BAR = 18, 160, 300  # px: width, and heights with its words
_FONTS = (  # where the default font lacks a letter; the first that is installed and has them all
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "PingFang.ttc",
    "msyh.ttc",
)
_STRENGTH = 0.6  # of the colours over a photo; the rest is the photo in grey


@dataclass(frozen=True)
class Tile:
    """A small picture, uint8 (h, w, 3), and the lines under it; the first is set in ink, others softly."""

    pixels: Pixels
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bar:
    """A bar of the colours from `low` to `high`, and what they measure."""

    low: float
    high: float
    name: str


def viridis(values: NDArray[Any], low: float, high: float) -> Pixels:
    """Colours of numbers, uint8 (..., 3) RGB: dark at `low` and below, yellow at `high` and above.

    Numbers that are not finite are white.
    """
    extent = high - low if high > low else 1.0
    at = np.nan_to_num((np.asarray(values, np.float64) - low) / extent).clip(0, 1) * (len(_VIRIDIS) - 1)
    stops = np.arange(len(_VIRIDIS))
    colours = np.stack([np.interp(at, stops, _VIRIDIS[:, c]) for c in range(3)], axis=-1)
    colours[~np.isfinite(values)] = 255
    return np.asarray(np.rint(colours), np.uint8)


def fitted(pixels: Pixels, side: int, *, aspect: float | None = None, smooth: bool = True) -> Pixels:
    """The picture with its longer side at `side` pixels, larger or smaller than it was.

    `aspect`, width to height, is the picture's own unless given. Without `smooth` its pixels stay squares.
    """
    ratio = aspect or pixels.shape[1] / pixels.shape[0]
    width, height = (side, side / ratio) if ratio >= 1 else (side * ratio, side)
    size = max(1, round(width)), max(1, round(height))
    how = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize(size, how))


def overlay(photo: Pixels, colours: Pixels, box: tuple[float, float, float, float]) -> Pixels:
    """Colours over the photo in grey.

    Parameters
    ----------
    photo : uint8 ndarray (H, W, 3)
    colours : uint8 ndarray (h, w, 3)
        Stretched smoothly over the box.
    box : four floats
        Left, top, right and bottom of what the colours are of, in pixels of the photo.

    Returns
    -------
    uint8 ndarray (H, W, 3)
        Outside of the box the photo is paler, and grey.
    """
    picture = Image.fromarray(photo)
    grey = picture.convert("L").convert("RGB")
    left, top, right, bottom = (round(edge) for edge in box)
    inside = max(1, right - left), max(1, bottom - top)
    heat = Image.fromarray(colours).resize(inside, Image.Resampling.BICUBIC)
    page = Image.blend(grey, Image.new("RGB", picture.size, _PAPER), _STRENGTH)
    under = grey.crop((left, top, left + inside[0], top + inside[1]))
    page.paste(Image.blend(under, heat, _STRENGTH), (left, top))
    return np.asarray(page)


def draw_boxes(pixels: Pixels, boxes: NDArray[np.float64], words: Sequence[str]) -> Pixels:
    """A copy of a photo with boxes, each with its words above it, or inside where it reaches the upper edge.

    Parameters
    ----------
    pixels : uint8 ndarray (H, W, 3)
    boxes : float64 ndarray (n, 4)
        x0, y0, x1, y1, in pixels.
    words : sequence of str
        One for each box; "" for none.
    """
    page = Image.fromarray(pixels)
    pen = ImageDraw.Draw(page)
    line = max(1, round(max(page.size) / 400))
    size = max(11, round(max(page.size) / 45))
    for box, text in zip(boxes.round().astype(int).tolist(), words, strict=True):
        left, top, right, bottom = box
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=_FRAME, width=line)
        if text:
            text = _clipped(text, size, page.width - 2 * line)
            wide, high = _width(text, size) + 2 * line, _line_height(size)
            left = max(0, min(left, page.width - wide))
            top = top - high if top >= high else top
            pen.rectangle((left, top, left + wide, top + high), fill=_FRAME)
            _write(pen, (left + line, top), text, size, _INK)
    return np.asarray(page)


def draw_sheet(
    tiles: Sequence[Tile],
    *,
    columns: int,
    lead: Tile | None = None,
    title: str = "",
    note: str = "",
    bar: Bar | None = None,
) -> Pixels:
    """Tiles in rows, on white: a title above, a note below, a bar of colours to the right.

    Parameters
    ----------
    tiles : sequence of Tile
        At least one.
    columns : int
        Tiles in a row; fewer where there are fewer.
    lead : Tile, optional
        Stands to the left of the rows.

    Returns
    -------
    uint8 ndarray (height, width, 3)
    """
    sheet = _Sheet(tiles, min(columns, len(tiles)), lead, bar)
    width = max(sheet.width, min(_width(title, _TITLE), 900)) + 2 * _MARGIN
    above = _wrapped(title, _TITLE, width - 2 * _MARGIN)
    below = _wrapped(note, _WORDS, width - 2 * _MARGIN)
    top = _MARGIN + len(above) * _line_height(_TITLE) + (8 if above else 0)
    foot = top + sheet.height + 8
    page = Image.new("RGB", (width, foot + len(below) * _line_height(_WORDS) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(page)
    for n, text in enumerate(above):
        _write(pen, (_MARGIN, _MARGIN + n * _line_height(_TITLE)), text, _TITLE, _INK)
    sheet.draw(page, pen, (_MARGIN, top))
    for n, text in enumerate(below):
        _write(pen, (_MARGIN, foot + n * _line_height(_WORDS)), text, _WORDS, _SOFT)
    return np.asarray(page)


@dataclass(frozen=True)
class _Sheet:
    """Where everything between title and note stands."""

    tiles: Sequence[Tile]
    columns: int
    lead: Tile | None
    bar: Bar | None

    @property
    def cell(self) -> int:
        return max(int(tile.pixels.shape[1]) for tile in self.tiles)

    @property
    def rows(self) -> list[Sequence[Tile]]:
        return [self.tiles[at : at + self.columns] for at in range(0, len(self.tiles), self.columns)]

    @property
    def heights(self) -> list[int]:
        return [max(map(_tile_height, row)) for row in self.rows]

    @property
    def lead_width(self) -> int:
        return self.lead.pixels.shape[1] + 2 * _GAP if self.lead else 0

    @property
    def bar_left(self) -> int:
        return self.lead_width + self.columns * (self.cell + _GAP) + _GAP

    @property
    def width(self) -> int:
        if not self.bar:
            return self.bar_left - 2 * _GAP
        ticks = _BAR + 8 + max(_width(text, _WORDS) for _, text in _ticks(self.bar))
        return self.bar_left + max(ticks, _width(self.bar.name, _WORDS))

    @property
    def height(self) -> int:
        rows = sum(self.heights) + (len(self.heights) - 1) * _GAP
        return max(rows, _tile_height(self.lead) if self.lead else 0, _LEAST_BAR if self.bar else 0)

    def draw(self, page: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
        left, top = at
        if self.lead:
            _draw_tile(page, pen, self.lead, at, self.lead.pixels.shape[1])
        y = top
        for row, height in zip(self.rows, self.heights, strict=True):
            for n, tile in enumerate(row):
                place = left + self.lead_width + n * (self.cell + _GAP), y
                _draw_tile(page, pen, tile, place, self.cell)
            y += height + _GAP
        if self.bar:
            _draw_bar(page, pen, self.bar, (left + self.bar_left, top), min(self.height, _MOST_BAR))


def _tile_height(tile: Tile) -> int:
    return int(tile.pixels.shape[0]) + 4 + _line_height(_WORDS) * len(tile.lines)


def _draw_tile(
    page: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], cell: int
) -> None:
    x, y = at
    page.paste(Image.fromarray(tile.pixels), (x, y))
    y += tile.pixels.shape[0] + 4
    for n, text in enumerate(tile.lines):
        _write(pen, (x, y), _clipped(text, _WORDS, cell), _WORDS, _SOFT if n else _INK)
        y += _line_height(_WORDS)


def _draw_bar(page: Image.Image, pen: ImageDraw.ImageDraw, bar: Bar, at: tuple[int, int], tall: int) -> None:
    """The bar beneath its name, the ticks to its right."""
    x, y = at
    _write(pen, (x, y), bar.name, _WORDS, _INK)
    y += _line_height(_WORDS) + 6
    tall -= _line_height(_WORDS) + 6 + _WORDS
    colours = viridis(np.linspace(1, 0, tall)[:, None].repeat(_BAR, axis=1), 0, 1)
    page.paste(Image.fromarray(colours), (x, y))
    for fraction, text in _ticks(bar):
        level = y + round((1 - fraction) * (tall - 1))
        pen.line((x + _BAR, level, x + _BAR + 4, level), fill=_SOFT)
        _write(pen, (x + _BAR + 8, level - _line_height(_WORDS) // 2), text, _WORDS, _SOFT)


def _ticks(bar: Bar) -> list[tuple[float, str]]:
    """Round numbers between the ends, as fraction of the bar and as text; at least one."""
    extent = bar.high - bar.low
    if not extent > 0:
        return [(0.5, f"{bar.low:.3g}")]
    rough = extent / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    steps = range(math.ceil(bar.low / step - 1e-9), math.floor(bar.high / step + 1e-9) + 1)
    return [((n * step - bar.low) / extent, f"{n * step:.6g}".replace("-", "\N{EN DASH}")) for n in steps]


# words


@cache
def _font(size: int, name: str = "") -> Any:
    """The font that comes with Pillow (Aileron, CC0), or one of the system; None where it is not there."""
    if not name:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@cache
def _has(letter: str, name: str) -> bool:
    font = _font(_WORDS, name)
    if font is None:
        return False
    mask, missing = font.getmask(letter), font.getmask("\uffff")
    return bool(letter.isspace() or mask.size != missing.size or bytes(mask) != bytes(missing))


@cache
def _readable(text: str) -> tuple[str, str]:
    """A font's name and the text in letters it has: accents are left out where no font knows them."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    for name in ("", *_FONTS):
        if all(_has(letter, name) for letter in text):
            return name, text
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return "", "".join(letter if _has(letter, "") else "?" for letter in plain)


def _width(text: str, size: int) -> int:
    name, letters = _readable(text)
    return math.ceil(float(_font(size, name).getlength(letters)))


def _line_height(size: int) -> int:
    return round(1.3 * size)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: tuple[int, int, int]
) -> None:
    name, letters = _readable(text)
    # from the baseline, which fonts share, so that words in two of them stand level
    pen.text((at[0], at[1] + size), letters, fill=colour, font=_font(size, name), anchor="ls")


def _clipped(text: str, size: int, width: int) -> str:
    """The text, its middle left out where it is too wide."""
    if _width(text, size) <= width:
        return text
    kept = range(len(text) - 1, 0, -1)
    shorter = (f"{text[: (n + 1) // 2]}...{text[len(text) - n // 2 :]}" for n in kept)
    return next((short for short in shorter if _width(short, size) <= width), "")


def _wrapped(text: str, size: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_clipped(word, size, width))
    return lines
