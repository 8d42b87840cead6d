"""`rehead keypoints`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..keypoints import KeypointPredictor, KeypointRun, Placement

__all__ = ["app"]

app = typer.Typer(help="Place points on photos: train, evaluate, predict.", no_args_is_help=True)

_GROUP = (
    "Which photos show the same person: auto (the CSV's column group; else names that differ only in the "
    "number at their end), none, or a regular expression whose first group names the person."
)
_POINTS = "A CSV: name,x0,y0,x1,y1,... in pixels; a COCO keypoints JSON; or a folder of .pts files."
_IMAGES = "Folder of the photos; that of the annotations by default."


class Format(StrEnum):
    """How points are printed."""

    table = "table"
    json = "json"
    csv = "csv"


@app.command("train", short_help="Learn points from annotated photos.")
def train(
    points: Annotated[Path, typer.Argument(help=_POINTS, show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run directory to write.", show_default=False)],
    images: Annotated[Path | None, typer.Option(help=_IMAGES, show_default=False)] = None,
    group: Annotated[str, typer.Option(help=_GROUP)] = "auto",
    backbone: Annotated[
        str, typer.Option(help="A name of `rehead weights list`, or an ONNX file.")
    ] = "efficientnet_lite0",
    size: Annotated[
        int | None,
        typer.Option(
            min=32, help="Side of the square that photos are brought to, pixels.", show_default="224"
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weight file of the named backbone.", show_default=False)
    ] = None,
    cascade: Annotated[
        str, typer.Option(help="Look again at the square around the points: auto (if it helps), yes or no.")
    ] = "auto",
    mirror: Annotated[
        str,
        typer.Option(
            help="Learn from mirrored photos: auto, no, or the partner of each point from 0, such as 1,0,2."
        ),
    ] = "auto",
    shakes: Annotated[
        int,
        typer.Option(min=0, max=8, help="More views of each photo, turned, scaled and shifted at random."),
    ] = 1,
    cv: Annotated[int, typer.Option("--folds", min=2, help="Folds of the cross-validation.")] = 5,
    coverage: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of training photos that are not called outliers.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds and the views.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unreadable photos instead of leaving them out.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Learn where points are from annotated photos, on a frozen network, in closed form.

    Every photo is trained on; how good the result is, is measured on folds that had not seen the person.
    """
    from ..keypoints import KeypointRegressor, train_keypoints
    from .progress import photo_progress

    with photo_progress("Looking at photos", quiet=quiet) as progress:
        regressor = KeypointRegressor(
            backbone,
            size=size,
            weights=weights,
            cascade=_choice("cascade", cascade),
            mirror=_mirror(mirror),
            shakes=shakes,
            cv=cv,
            coverage=coverage,
            random_state=seed,
            threads=threads,
            progress=progress,
        )
        run = train_keypoints(
            points,
            out,
            images=images,
            regressor=regressor,
            group=group,
            strict=strict,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
        )
    if not quiet:
        _show(run)
        _say(f"{sum(run.seconds.values()):.1f} s; wrote {out / 'model.onnx'} and {out / 'report.html'}")


@app.command("evaluate")
def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file.", show_default=False)],
    points: Annotated[Path, typer.Argument(help=_POINTS, show_default=False)],
    images: Annotated[Path | None, typer.Option(help=_IMAGES, show_default=False)] = None,
    group: Annotated[str, typer.Option(help=_GROUP)] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for metrics.json, predictions.csv and report.html.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unreadable photos instead of leaving them out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
) -> None:
    """Test a model file on photos whose points are known."""
    from ..keypoints import assess_keypoints, load_keypoints
    from .progress import photo_progress

    with photo_progress("Looking at photos") as progress:
        run = assess_keypoints(
            load_keypoints(model, threads=threads),
            points,
            images=images,
            group=group,
            out=out,
            strict=strict,
            progress=progress,
            command=["rehead", *sys.argv[1:]],
        )
    if as_json:
        import json

        typer.echo(json.dumps(run.to_dict(), indent=2, ensure_ascii=False))
        return
    _show(run)
    if out is not None:
        _say(f"wrote {out / 'metrics.json'} and {out / 'report.html'}")


@app.command("predict", short_help="Place points on photos.")
def predict(
    model: Annotated[Path, typer.Argument(help="Model file.", show_default=False)],
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos, and folders that are searched at any depth.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="PNG to draw the points of one photo into, with their 95 % ellipses; for several a folder.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print the points.")] = Format.table,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
) -> None:
    """Place points on photos: pixels, the centre of the upper left one being (0, 0)."""
    from ..datasets import list_photos
    from ..errors import DataError, ImageError
    from ..keypoints import load_keypoints

    loaded = load_keypoints(model, threads=threads)
    files = [file for photo in photos for file in list_photos(photo)]
    answers = list(zip(files, loaded.predict_each(files), strict=True))
    if out is not None:
        _draw(out, [answer for _, answer in answers if not isinstance(answer, ImageError)])
    {Format.table: _table, Format.json: _json, Format.csv: _csv}[form](answers, loaded)
    failed = [answer for _, answer in answers if isinstance(answer, ImageError)]
    if len(failed) == len(files):
        raise (
            failed[0]
            if len(failed) == 1
            else DataError(f"none of the {len(files)} photos can be read; {failed[0]}")
        )
    if failed and form is Format.table:
        print(f"rehead: {len(failed)} of {len(files)} photos could not be read", file=sys.stderr)


Answers = Sequence[tuple[Path, Any]]


def _choice(name: str, text: str) -> Any:
    choices = {"auto": "auto", "yes": True, "no": False}
    if text not in choices:
        raise typer.BadParameter(f"{text!r}; expected auto, yes or no", param_hint=f"--{name}")
    return choices[text]


def _mirror(text: str) -> Any:
    if text in ("auto", "no"):
        return "auto" if text == "auto" else False
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(
            f"{text!r}; expected auto, no, or numbers such as 1,0,2", param_hint="--mirror"
        )
    return [int(part) for part in parts]


def _show(run: KeypointRun) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{run.account.photos} photos")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for score in run.account.scores:
        factor, unit = (100, " %") if score.share else (1, " px")
        i = score.interval
        ends = "–" if i.low != i.low else f"{factor * i.low:.2f} to {factor * i.high:.2f}{unit}"
        table.add_row(score.name, f"{factor * i.value:.2f}{unit}", ends)
    console.print(table)
    console.print(run.account.sentence, highlight=False, markup=False)
    for caution in [*run.cautions, *run.account.cautions, *run.notes]:
        console.print("[yellow]![/yellow]", Text(caution), highlight=False)
    for name, reason in run.unreadable[:10]:
        console.print(f"  unreadable: {name}: {reason}", highlight=False, markup=False)
    if len(run.unreadable) > 10:
        console.print(f"  and {len(run.unreadable) - 10} more", highlight=False, markup=False)


def _say(text: str) -> None:
    from rich.console import Console

    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def _draw(out: Path, answers: Sequence[Placement]) -> None:
    from ..images import read_image, write_png
    from ..keypoints.drawing import drawn

    for number, answer in enumerate(answers):
        name = f"{number:04d}_{Path(answer.photo).stem}.png"
        place = out if len(answers) == 1 and out.suffix.lower() == ".png" else out / name
        write_png(place, drawn(read_image(answer.photo), answer.points, answer.spread))


def _record(file: Path, answer: Any, names: Sequence[str]) -> dict[str, Any]:
    from ..errors import ImageError

    if isinstance(answer, ImageError):
        return {"photo": str(file), "error": answer.reason}
    points = [
        {
            **({"name": names[k]} if names else {}),
            "x": round(float(x), 3),
            "y": round(float(y), 3),
            "covariance": [[round(float(v), 4) for v in row] for row in answer.spread[k]],
        }
        for k, (x, y) in enumerate(answer.points)
    ]
    return {
        "photo": str(file),
        "width": answer.size[0],
        "height": answer.size[1],
        "confidence": round(answer.confidence, 6),
        "outlier_score": round(answer.outlier_score, 6),
        "reason": answer.reason,
        "points": points,
    }


def _table(answers: Answers, model: KeypointPredictor) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("photo", overflow="fold")
    table.add_column("points", overflow="fold")
    table.add_column("confidence", justify="right")
    table.add_column("note")
    for file, answer in answers:
        record = _record(file, answer, model.names)
        if "error" in record:
            table.add_row(Text(str(file)), Text("unreadable", "red"), "", Text(record["error"]))
            continue
        shown = " ".join(f"{p['x']:.1f},{p['y']:.1f}" for p in record["points"][:5])
        more = f" and {model.n_points - 5} more" if model.n_points > 5 else ""
        confidence = f"{record['confidence']:.2f}"
        table.add_row(Text(str(file)), Text(shown + more), confidence, Text(record["reason"], "yellow"))
    Console().print(table)


def _json(answers: Answers, model: KeypointPredictor) -> None:
    import json

    print(json.dumps([_record(*pair, model.names) for pair in answers], indent=2, ensure_ascii=False))


def _csv(answers: Answers, model: KeypointPredictor) -> None:
    """The columns that training takes, and what should be known of each photo behind them."""
    import csv

    names = model.names
    columns = (
        [f"{name}_{axis}" for name in names for axis in "xy"]
        if names
        else [f"{axis}{k}" for k in range(model.n_points) for axis in "xy"]
    )
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", *columns, "confidence", "outlier_score", "reason"])
    for file, answer in answers:
        record = _record(file, answer, names)
        if "error" in record:
            writer.writerow([str(file), *[""] * len(columns), "", "", record["error"]])
            continue
        places = [p[axis] for p in record["points"] for axis in "xy"]
        about = [record[name] for name in ("confidence", "outlier_score", "reason")]
        writer.writerow([str(file), *places, *about])
