"""`rehead keypoints predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ...core.options import EstimatorOptions, Opt
from .. import options
from ..command import Only, command
from ..console import (
    answer_record,
    check_answered,
    csv_output,
    plain_table,
    print_json,
    print_jsonl,
    print_table,
    say,
    styled,
)
from ..photos import list_given
from .runs import Detect, DetectorAsTrained, finder, finder_name

if TYPE_CHECKING:
    from ...faces import FaceDetector
    from ...keypoints import KeypointPrediction, KeypointPredictor

__all__ = ["predict"]


@command
def predict(
    model: options.ModelFile,
    photos: options.PhotoList,
    out: Annotated[
        Path | None,
        Opt(
            help="PNG to draw the points of one photo into, with their 95 % ellipses; for several a folder.",
            flag="--out -o",
            default=None,
        ),
    ],
    form: options.AnswerFormat,
    detect: Detect,
    detector: DetectorAsTrained,
    use: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Place points on photos: pixels, the centre of the upper left one being (0, 0)."""
    from ...errors import ImageError
    from ...keypoints import load_keypoints

    loaded = load_keypoints(model, threads=use.threads)
    files = list_given(photos)
    if detect:
        answers = list(_on_faces(loaded, finder(finder_name(detector, loaded), use.threads), files))
    else:
        answers = list(zip(files, loaded.predict_each(files), strict=True))
    if out is not None:
        _draw(out, [answer for _, answer in answers if not isinstance(answer, ImageError)])
    records = [answer_record(*pair) for pair in answers]
    if form == "json":
        print_json(records)
    elif form == "jsonl":
        print_jsonl(records)
    elif form == "csv":
        _print_csv(records, loaded)
    else:
        _print_table(records, loaded.n_points)
    if not detect and "faces" in loaded.manifest and form == "table":
        say("rehead: the model learnt in squares around faces; --detect finds them first", err=True)
    failed = [answer for _, answer in answers if isinstance(answer, ImageError)]
    check_answered(files, failed, expected="can be read or shows a face" if detect else "can be read")
    if failed and form == "table":
        say(f"rehead: no points for {len(failed)} of {len(files)} photos", err=True)


def _on_faces(
    model: KeypointPredictor, detector: FaceDetector, files: Sequence[Path]
) -> Iterator[tuple[Path, Any]]:
    """An answer for each face, and an error for a photo without any."""
    from ...errors import ImageError
    from ...keypoints import predict_on_faces

    for file, found in zip(files, predict_on_faces(model, detector, files), strict=True):
        if isinstance(found, ImageError):
            yield file, found
        elif found:
            yield from ((file, answer) for answer in found)
        else:
            yield file, ImageError(file, "no face was found in it")


def _draw(out: Path, answers: Sequence[KeypointPrediction]) -> None:
    from ...images import read_image, write_png
    from ...keypoints.drawing import draw_keypoints

    photos = [list(of) for _, of in groupby(answers, key=lambda answer: answer.photo)]
    for number, of in enumerate(photos):
        name = f"{number:04d}_{Path(of[0].photo).stem}.png"
        place = out if len(photos) == 1 and out.suffix.lower() == ".png" else out / name
        pixels = read_image(of[0].photo)
        for answer in of:
            pixels = draw_keypoints(pixels, answer.points, answer.covariance)
        write_png(place, pixels, sync=False)


def _print_table(records: Sequence[dict[str, Any]], n_points: int) -> None:

    table = plain_table("photo", "points", "confidence", "note", right=["confidence"])
    more = f" and {n_points - 5} more" if n_points > 5 else ""
    for record in records:
        photo = record["photo"]
        if "error" in record:
            table.add_row(photo, styled("none", "red"), "", record["error"])
            continue
        shown = " ".join(f"{p['x']:.1f},{p['y']:.1f}" for p in record["points"][:5])
        confidence = f"{record['confidence']:.2f}"
        table.add_row(photo, shown + more, confidence, styled(record["reason"], "yellow"))
    print_table(table)


def _print_csv(records: Sequence[dict[str, Any]], model: KeypointPredictor) -> None:
    """The columns that training takes, and what should be known of each photo behind them."""
    names = model.names
    columns = (
        [f"{name}_{axis}" for name in names for axis in "xy"]
        if names
        else [f"{axis}{k}" for k in range(model.n_points) for axis in "xy"]
    )
    writer = csv_output()
    writer.writerow(["name", *columns, "confidence", "outlier_score", "reason"])
    for record in records:
        if "error" in record:
            writer.writerow([record["photo"], *[""] * len(columns), "", "", record["error"]])
            continue
        places = [p[axis] for p in record["points"] for axis in "xy"]
        about = [record[name] for name in ("confidence", "outlier_score", "reason")]
        writer.writerow([record["photo"], *places, *about])
