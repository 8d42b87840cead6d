"""`rehead faces`: one file a verb."""

from __future__ import annotations

from ..lazy_group import lazy_group

__all__ = ["app"]

app = lazy_group(
    __name__,
    {
        "detect": "Find faces, and cut them out.",
        "capture": "Collect a person's face from a camera, a video or photos.",
        "train": "Train a classifier of people on their faces, and test it.",
        "enroll": "Enrol people into a gallery.",
        "identify": 'Say who is in photos, or "unknown" and why.',
        "verify": "Say whether two photos show one person.",
        "cluster": "Group the faces of people whom nobody has named.",
        "evaluate": "Test recognition on pairs or on people.",
        "gallery": "See and change who is in a gallery; check and export it.",
    },
)
