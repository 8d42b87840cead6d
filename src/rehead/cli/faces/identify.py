"""`rehead faces identify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ...core.options import EstimatorOptions, Opt
from ...faces.options import CalibrationFile, FaceOptions, NamingOptions
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
    READABLE,
    GalleryFile,
    KeyFile,
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
    out: Annotated[
        Path | None,
        Opt(
            help="PNG to draw the faces of one photo into, with their names; for several a folder.",
            flag="--out -o",
            default=None,
        ),
    ],
    gallery: GalleryFile,
    key_file: KeyFile,
    naming: NamingOptions,
    prior: Annotated[
        float,
        Opt(
            help="Share of strangers among the faces to identify; the probability of a name follows from it.",
            ge=1e-9,
            le=0.999,
            default=0.5,
        ),
    ],
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
        fpir=naming.fpir,
        accept_unsupported=naming.accept_unsupported,
        prior=prior,
        refuse_poor=naming.refuse_poor,
    ) as opened:
        threshold, search = opened.threshold(), opened.store.search

        def answers() -> Iterator[dict[str, Any]]:
            for number, (file, result) in enumerate(zip(files, opened.identify_each(files), strict=True)):
                if isinstance(result, ImageError):
                    failed.append(result)
                elif out is not None:
                    alone = len(files) == 1 and out.suffix.lower() == ".png"
                    _draw(out if alone else out / f"{number:04d}_{file.stem}.png", file, result)
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
        if search == "pgvector":
            say(READABLE)
    if not threshold.supported:
        said = threshold.sentence if naming.accept_unsupported else f"nobody is named: {threshold.refusal}"
        say(f"rehead: {said}", err=True)
    check_answered(files, failed)
    if failed:
        say(f"rehead: {len(failed)} of {len(files)} photos could not be read", err=True)


def _draw(place: Path, file: Path, found: Sequence[Identification]) -> None:
    from ...faces.drawing import draw_faces
    from ...images import write_png

    write_png(place, draw_faces(file, [each.face for each in found], [each.name for each in found]))


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
    columns += ["prior", "strangers", "strangers_supported", "note"]
    sides = ["left", "top", "right", "bottom"]
    writer = csv_output()
    writer.writerow([*columns, *sides, "error"])
    for record in answers:
        for row in _rows(record):
            row["note"] = "; ".join([*row.get("complaints", ()), *row.get("notes", ())])
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
    reason = row["reason"]
    if row["nearest"] and reason.startswith("nobody is like it"):
        reason = f"nearest {row['nearest']}, not near enough"
    return "; ".join(filter(None, [reason, "" if reason == quality else quality, *row["notes"]]))
