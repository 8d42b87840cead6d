"""`rehead faces cluster`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ...core.options import EstimatorOptions, Opt
from ...faces.options import CalibrationFile, FaceOptions
from .. import options
from ..command import Only, Without, command
from ..console import photo_progress, say
from ..photos import list_given
from .options import load_pipeline, read_calibration_file

__all__ = ["cluster"]

_SHOWN = 3  # photos of a group in the table


@command
def cluster(
    photos: options.PhotoList,
    out: Annotated[Path | None, Opt(help="JSON file to write.", flag="--out -o", default=None)],
    target_fmr: Annotated[
        float | None,
        Opt(
            help="Share of pairs of different people that may match; the threshold follows from it.",
            flag="--false-matches",
            shown="0.01 divided by the number of faces, or as low as is supported",
            default=None,
        ),
    ],
    calibration: CalibrationFile,
    faces: Annotated[FaceOptions, Without("selection")],
    machine: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Group the faces of people whom nobody has named."""
    from ...core.run_dir import failed_photos, write_json
    from ...core.text import count
    from ...faces.clustering import cluster_photos

    files = list_given(photos)
    pipeline = load_pipeline(faces, machine.threads)
    with photo_progress("Looking at photos") as progress:
        found = cluster_photos(
            files,
            pipeline,
            target_fmr=target_fmr,
            calibration=read_calibration_file(calibration),
            progress=progress,
        )
    if out is not None:
        record = {
            "groups": [[{"photo": path, **face.to_dict()} for path, face in group] for group in found.groups],
            "without_a_face": found.without,
            "unreadable": failed_photos(found.unreadable),
            "threshold": found.threshold,
            "false_matches": found.fmr,
        }
        write_json(out, record)
    found_faces = sum(len(group) for group in found.groups)
    shared = [group for group in found.groups if len(group) > 1]
    for number, group in enumerate(shared, 1):
        names = ", ".join(Path(path).name for path, _ in group[:_SHOWN])
        more = f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        say(f"group {number}: {len(group)} faces: {names}{more}")
    alone = len(found.groups) - len(shared)
    say(
        f"{count(found_faces, 'face')} in {count(len(files), 'photo')}: {count(len(shared), 'group')}, and "
        f"{count(alone, 'face')} alone"
    )
    say(
        f"Threshold {found.threshold:.3f}: of pairs of different people at most {100 * found.fmr:.2g} % match"
    )
    if found.without:
        say(f"{count(len(found.without), 'photo')} without a face")
    for path, reason in found.unreadable:
        say(f"  unreadable: {path}: {reason}")
    if out is not None:
        say(f"wrote {out}")
