"""Results as notebooks show them: pieces of the reports, in a style that ends where they end.

IPython asks a result for `_repr_html_`. What is given back is one element of the class `rehead`, whose rules
are nested in that class, so that nothing else in the notebook changes. It paints its own background, in the
scheme that JupyterLab, Visual Studio Code or Colab say they have, and otherwise in the reader's.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.text import count
from ..errors import ReheadError
from .charts import search_chart
from .report import base64_thumbnail, evaluation_pieces, read_style, render, shown_mistakes

if TYPE_CHECKING:
    from .classification import Evaluation
    from .comparison import Comparison
    from .mistakes import Mistake

__all__ = [
    "Bar",
    "Card",
    "Figure",
    "cards_html",
    "comparison_html",
    "evaluation_html",
    "mistakes_html",
    "photo_data",
    "photo_pixels",
    "pixels_data",
    "result_html",
    "search_figure",
    "short_name",
    "training_figure",
]

Answer = TypeVar("Answer")

_SIDE = 200  # px, as the report's thumbnails: some 7 kB each
_QUALITY = 85  # of JPEG: letters and lines are drawn in
_MOST_CARDS = 24  # as many as the report has mistakes: 0.2 MB
_LIGHT, _DARK = (
    "[data-jp-theme-light=true], .vscode-light",
    "[data-jp-theme-light=false], .vscode-dark, .vscode-high-contrast, html[theme=dark]",
)
"""How JupyterLab, Visual Studio Code and Colab mark their scheme."""


@dataclass(frozen=True)
class Figure:
    """Charts that a notebook shows where this is the last value of a cell.

    Parameters
    ----------
    title : str
    html : str
        The charts, SVG in HTML.
    """

    title: str
    html: str

    def __repr__(self) -> str:
        return f"<Figure: {self.title}>"

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Bar:
    """A share, 0 to 1, as a bar with its name."""

    name: str
    share: float


@dataclass(frozen=True)
class Card:
    """A photo with what was said of it.

    Parameters
    ----------
    answer : str
        In bold, such as a class.
    value : str
        Beside it, such as its probability.
    data : str or None
        The picture, JPEG in base64; None where there is none.
    name : str
        Of the photo.
    tag : str
        What should be known, such as why the answer is "unknown".
    bars : sequence of Bar
    """

    answer: str
    value: str
    data: str | None
    name: str
    tag: str = ""
    bars: Sequence[Bar] = ()


def short_name(photo: str | os.PathLike[str]) -> str:
    """The last two parts of a path: folder and file."""
    return "/".join(PurePath(photo).parts[-2:])


def photo_data(photo: str | os.PathLike[str]) -> str | None:
    """The thumbnail of a card; None where the photo came as bytes or is gone."""
    return base64_thumbnail(photo, _SIDE) if photo else None


def photo_pixels(photo: str | os.PathLike[str], side: int) -> NDArray[np.uint8] | None:
    """The upright photo, its longer side at `side` pixels; None where it came as bytes or is gone."""
    from ..images import read_image
    from ..images.contact_sheet import fitted

    try:
        return fitted(read_image(photo, at_least=(side, side)), side) if photo else None
    except (ReheadError, OSError):
        return None


def pixels_data(pixels: NDArray[np.uint8]) -> str:
    """Pixels, uint8 (H, W, 3) RGB, as a JPEG in base64."""
    from ..images.writing import jpeg

    return base64.b64encode(jpeg(pixels, quality=_QUALITY)).decode("ascii")


def cards_html(answers: Sequence[Answer], card: Callable[[Answer], Card]) -> str:
    """The first photos, by the `card` of each answer, and how many more there are."""
    shown = answers[:_MOST_CARDS]
    more = len(answers) - len(shown)
    said = f"and {count(more, 'more photo')}" if more else ""
    return result_html(cards=[card(each) for each in shown], more=said)


def evaluation_html(
    evaluation: Evaluation | None,
    *,
    title: str = "",
    warnings: Sequence[str] | None = None,
    facts: Mapping[str, str | int] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """An evaluation, as the head of its report, with its tables and charts folded.

    Parameters
    ----------
    evaluation : Evaluation or None
        None where nothing could be tested.
    title : str
    warnings : sequence of str, optional
        Instead of the evaluation's own.
    facts, notes
        As in `write_report`.
    """
    pieces = evaluation_pieces(evaluation) if evaluation else {}
    own = evaluation.warnings if evaluation else []
    return result_html(
        title=title, warnings=own if warnings is None else warnings, facts=facts or {}, notes=notes, **pieces
    )


def mistakes_html(mistakes: Sequence[Mistake]) -> str:
    """Misclassified photos, with their maps and neighbours."""
    return result_html(pictures=shown_mistakes(mistakes))


def comparison_html(comparison: Comparison, charts: Sequence[str]) -> str:
    """Models compared: the result in a sentence, and the table."""
    names, rows = comparison.table()
    return result_html(
        c=comparison, names=names, model_rows=rows, notes=list(comparison.notes), comparison_charts=charts
    )


def training_figure(charts: Sequence[str], sentence: str | None) -> Figure:
    """Curves of a network's training, as `curves_chart` draws them, and how it ended."""
    return Figure("training curves", result_html(learning=charts, learning_sentence=sentence))


def search_figure(path: Sequence[Mapping[str, Any]]) -> Figure:
    """How a head on a frozen network was chosen: cross-validated loss against the penalty."""
    chart, legend = search_chart(path)
    lede = "By cross-validation on the training photos, never on the test photos: the lowest log loss wins."
    return Figure("model selection", result_html(search=chart, lede=lede, legend=legend))


def result_html(**pieces: Any) -> str:
    """Pieces of a report as one element; notebook.html.j2 says which there are."""
    return render("notebook.html.j2", css=_style(), **pieces)


@cache
def _style() -> str:
    """The report's style sheet, nested in one class."""
    light, dark = re.findall(r":root \{(.*?)\}", read_style("page.css"), re.DOTALL)
    dark = f"color-scheme: dark;{dark}"
    light = light.replace("color-scheme: light dark", "color-scheme: light")
    sheet = (
        f".rehead {{{light}}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ .rehead {{{dark}}} }}\n"
        f":is({_LIGHT}) .rehead {{{light}}}\n"
        f":is({_DARK}) .rehead {{{dark}}}\n"
        f".rehead {{\n{read_style('report.css')}\n{read_style('notebook.css')}}}\n"
    )
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"/\*.*?\*/", "", sheet))
