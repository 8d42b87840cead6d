"""`rehead faces identify`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ...core.options import EstimatorOptions, Opt
from ...faces.options import FaceOptions
from .. import options
from ..command import Only, Without, command
from ..console import (
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
from .options import (
    CalibrationFile,
    GalleryFile,
    KeyFile,
    RefusePoor,
    gallery_key,
    load_pipeline,
    read_calibration_file,
)

if TYPE_CHECKING:
    from ...errors import ImageError
    from ...faces.gallery.identification import Identification

__all__ = ["identify"]


@command
def identify(
    photos: options.PhotoList,
    gallery: GalleryFile,
    key_file: KeyFile,
    fpir: Annotated[
        float,
        Opt(
            help="Share of strangers who may be taken for somebody; the threshold follows from it.",
            ge=1e-9,
            le=0.999,
            flag="--strangers",
            default=0.01,
        ),
    ],
    refuse_poor: RefusePoor,
    form: options.AnswerFormat,
    calibration: CalibrationFile,
    faces: Annotated[FaceOptions, Without("selection")],
    machine: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Say who is in photos, or "unknown" and why."""
    from ...errors import ImageError
    from ...faces.gallery.gallery import FaceGallery

    files = list_given(photos)
    failed: list[ImageError] = []
    with FaceGallery(
        gallery,
        load_pipeline(faces, machine.threads),
        key=gallery_key(gallery, key_file),
        calibration=read_calibration_file(calibration),
        fpir=fpir,
        refuse_poor=refuse_poor,
    ) as opened:
        threshold = opened.threshold()

        def answers() -> Iterator[dict[str, Any]]:
            for file, result in zip(files, opened.identify_each(files), strict=True):
                if isinstance(result, ImageError):
                    failed.append(result)
                yield _record(file, result)

        if form == "json":
            print_json(list(answers()))
        elif form == "jsonl":
            print_jsonl(answers())
        elif form == "csv":
            _print_csv(answers())
        else:
            _print_table(answers())
    if form == "table":
        say(f"Threshold {threshold.comparison.value:.3f}: {threshold.sentence}.")
    check_answered(files, failed)
    if failed:
        say(f"rehead: {len(failed)} of {len(files)} photos could not be read", err=True)


def _record(file: Path, result: list[Identification] | ImageError) -> dict[str, Any]:
    from ...errors import ImageError

    if isinstance(result, ImageError):
        return {"photo": str(file), "error": result.reason, "faces": []}
    return {"photo": str(file), "faces": [each.to_dict() for each in result]}


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a face, or one that says why there is none."""
    photo = {"photo": record["photo"]}
    if "error" in record:
        return [{**photo, "error": record["error"]}]
    return [{**photo, **face} for face in record["faces"]] or [photo]


def _print_csv(answers: Iterator[dict[str, Any]]) -> None:
    columns = ["photo", "name", "nearest", "score", "margin", "probability", "threshold", "reason"]
    sides = ["left", "top", "right", "bottom"]
    writer = csv_output()
    writer.writerow([*columns, *sides, "error"])
    for record in answers:
        for row in _rows(record):
            box = row["face"]["box"] if "face" in row else [""] * 4
            writer.writerow([*(row.get(name, "") for name in columns), *box, row.get("error", "")])


def _print_table(answers: Iterator[dict[str, Any]]) -> None:

    measured = ("left, top", "score", "margin")
    table = plain_table("photo", "who", *measured, "note", right=measured)
    for record in answers:
        for place, row in enumerate(_rows(record)):
            photo = "" if place else row["photo"]
            if "name" not in row:
                error = row.get("error")
                who = styled("unreadable", "red") if error else styled("nobody", "dim")
                table.add_row(photo, who, "", "", "", error or "no face was found")
                continue
            box = row["face"]["box"]
            table.add_row(
                photo,
                styled(row["name"], "yellow" if row["reason"] else ""),
                f"{box[0]:.0f}, {box[1]:.0f}",
                "" if row["score"] is None else f"{row['score']:.3f}",
                "" if row["margin"] is None else f"{row['margin']:.3f}",
                _note(row),
            )
    print_table(table)


def _note(row: dict[str, Any]) -> str:
    """The remark beside score and margin; the threshold stands below the table."""
    quality = f"of low quality: {'; '.join(row['complaints'])}" if row["complaints"] else ""
    if row["nearest"] and row["score"] < row["threshold"]:
        return "; ".join(filter(None, [f"nearest {row['nearest']}, not near enough", quality]))
    return row["reason"] or quality
