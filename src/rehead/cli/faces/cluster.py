"""`rehead faces cluster`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .detect import DetectorChoice
from .options import (
    CalibrationFile,
    CommercialSafe,
    DetectorName,
    EmbedderName,
    Threads,
    load_pipeline,
    read_calibration_file,
)

__all__ = ["cluster"]

_SHOWN = 3  # photos of a group in the table


def cluster(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos, and folders that are searched at any depth.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON file to write.", show_default=False)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--false-matches",
            help="Share of pairs of different people that may match; lower makes more groups.",
            show_default="0.001, or as low as is supported",
        ),
    ] = None,
    calibration: CalibrationFile = None,
    detector: DetectorName = DetectorChoice.mtcnn,
    embedder: EmbedderName = "dlib",
    commercial_safe: CommercialSafe = False,
    threads: Threads = None,
) -> None:
    """Group the faces of people whom nobody has named."""
    import json

    from ...core import atomic
    from ...core.text import count
    from ...data import list_photos
    from ...faces.clustering import cluster_photos
    from ..console import photo_progress

    files = [file for photo in photos for file in list_photos(photo)]
    pipeline = load_pipeline(detector, embedder, threads, commercial_safe=commercial_safe)
    with photo_progress("Looking at photos") as progress:
        found = cluster_photos(
            files,
            pipeline,
            target_fmr=rate,
            calibration=read_calibration_file(calibration),
            progress=progress,
        )
    if out is not None:
        record = {
            "groups": [[{"photo": path, **face.to_dict()} for path, face in group] for group in found.groups],
            "without_a_face": found.without,
            "unreadable": [{"photo": path, "reason": reason} for path, reason in found.unreadable],
            "threshold": found.threshold,
        }
        atomic.write_text(out, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    faces = sum(len(group) for group in found.groups)
    shared = [group for group in found.groups if len(group) > 1]
    for number, group in enumerate(shared, 1):
        names = ", ".join(Path(path).name for path, _ in group[:_SHOWN])
        more = f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        typer.echo(f"group {number}: {len(group)} faces: {names}{more}")
    alone = len(found.groups) - len(shared)
    typer.echo(
        f"{count(faces, 'face')} in {count(len(files), 'photo')}: {count(len(shared), 'group')}, and "
        f"{count(alone, 'face')} alone"
    )
    if found.without:
        typer.echo(f"{count(len(found.without), 'photo')} without a face")
    for path, reason in found.unreadable:
        typer.echo(f"  unreadable: {path}: {reason}")
    if out is not None:
        typer.echo(f"wrote {out}")
