"""`rehead faces capture`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ...core.options import EstimatorOptions, Opt
from ...faces.options import FaceOptions
from ..command import Only, command
from ..console import say, say_over
from .detect import counted

if TYPE_CHECKING:
    from ...faces.capture import Capture, CapturedFrame

__all__ = ["capture"]


@command
def capture(
    source: Annotated[
        str, Opt(help="webcam, webcam:1 (the second), a video file or a folder.", flag="--from")
    ],
    person: Annotated[str, Opt(help="Whose face it is: the folder's name.")],
    out: Annotated[Path, Opt(help="Folder of the people.", flag="--out -o")],
    count: Annotated[int, Opt(help="Faces to keep.", ge=1, default=100)],
    val: Annotated[
        float,
        Opt(help="Share for validation: OUT/train/PERSON and OUT/val/PERSON.", ge=0, le=0.9, default=0.0),
    ],
    every: Annotated[int, Opt(help="Look at every so many-th frame.", ge=1, default=1)],
    smallest: Annotated[float, Opt(help="Least side of a face to keep, pixels.", ge=4, default=64.0)],
    size: Annotated[int, Opt(help="Side of the pictures written, pixels.", ge=16, default=224)],
    faces: Annotated[FaceOptions, Only("detector")],
    preview: Annotated[bool, Opt(help="Show a window, where there is a screen.", default=True)],
    machine: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Collect a person's face from a camera, a video or photos; Enter or Ctrl-C ends, nothing is lost."""
    from ...errors import DataError
    from ...faces import FaceDetector, QualityLimits
    from ...faces.capture import capture as collect
    from ...faces.crops import CropPlan
    from .preview import open_preview

    finder = FaceDetector(str(faces.detector), retry=False, threads=machine.threads)
    entered = _enter_pressed()
    with open_preview(f"{person} - Enter ends", wanted=preview) as window:

        def on_frame(captured: CapturedFrame) -> bool:
            _count(captured, count)
            return (window is None or window.show(captured)) and not entered.is_set()

        done = collect(
            source,
            person,
            out,
            detector=finder,
            count=count,
            val=val,
            every=every,
            limits=QualityLimits(side=smallest),
            crops=CropPlan(size, 0.5),
            on_frame=on_frame,
        )
    if sys.stderr.isatty():
        say("", err=True)
    for path, reason in done.unreadable:
        say(f"unreadable: {path}: {reason}")
    if not done.train and not done.val:
        why = f"left out: {_reasons(done)}" if done.rejected else "none could be read"
        raise DataError(f"{source}: no face was kept of {counted(done.frames, 'frame')}; {why}")
    say(_summary(done, out, person))


def _enter_pressed() -> threading.Event:
    """An event that is set once Enter is pressed in the terminal."""
    event = threading.Event()
    if sys.stdin is not None and sys.stdin.isatty():

        def wait() -> None:
            sys.stdin.readline()
            event.set()

        threading.Thread(target=wait, daemon=True).start()
    return event


def _count(captured: CapturedFrame, count: int) -> None:
    """A line that counts on the error output of a terminal."""
    if sys.stderr.isatty():
        say_over(f"{captured.kept} of {count}  {captured.note:<40}")


def _summary(done: Capture, out: Path, person: str) -> str:
    kept = len(done.train) + len(done.val)
    if done.val:
        where = f"{len(done.train)} in {out / 'train' / person}, {len(done.val)} in {out / 'val' / person}"
    else:
        where = f"in {out / person}"
    reasons = _reasons(done)
    said = f"kept {counted(kept, 'face')} of {counted(done.frames, 'frame')}, {where}"
    return said + (f"; left out: {reasons}" if reasons else "")


def _reasons(done: Capture) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in done.rejected.most_common())
