"""What a service is asked to do about faces; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..core.options import Opt, check_options
from ..errors import DataError
from ..faces.gallery.place import PostgresPlace, gallery_place
from ..faces.options import CalibrationFile, TargetFmr

__all__ = ["ServeFaceOptions"]


@dataclass(frozen=True, kw_only=True)
class ServeFaceOptions:
    """What a service does about faces, and who may change whom it names."""

    gallery: Annotated[
        Path | PostgresPlace | None,
        Opt(
            help="Gallery of people to name at /identify: a file, or postgresql://...",
            flag="--gallery -g",
            parse=gallery_place,
        ),
    ] = None
    key_file: Annotated[Path | None, Opt(help="File with the gallery's key; else REHEAD_GALLERY_KEY.")] = None
    enrol_token_file: Annotated[
        Path | None,
        Opt(help="File with a second token, with which people are enrolled and removed; nobody is without."),
    ] = None
    verify: Annotated[
        bool, Opt(help="Compare two photos at /verify without a gallery too.", flag="--verify")
    ] = False
    target_fmr: TargetFmr = None
    calibration: CalibrationFile = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.gallery is None and self.enrol_token_file is not None:
            raise DataError("--enrol-token-file is for a gallery; give --gallery too")

    @property
    def wanted(self) -> bool:
        """Whether faces are served at all."""
        return self.gallery is not None or self.verify
