"""What a service is asked to do about faces; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..core.options import Opt, check_options
from ..errors import DataError
from ..faces.gallery.place import PostgresPlace, gallery_place

__all__ = ["ServeFaceOptions"]


@dataclass(frozen=True, kw_only=True)
class ServeFaceOptions:
    """Whom a service names, and who may change that."""

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
    fpir: Annotated[
        float,
        Opt(
            help="Share of strangers who may be taken for somebody; the threshold follows from it.",
            ge=1e-9,
            le=0.999,
            flag="--strangers",
        ),
    ] = 0.01
    accept_unsupported: Annotated[
        bool,
        Opt(
            help="Name people although so low a share of strangers is not supported.",
            flag="--accept-unsupported",
        ),
    ] = False
    refuse_poor: Annotated[
        bool, Opt(help="Leave out faces that are small, blurred or turned away.", flag="--refuse-poor")
    ] = False
    target_fmr: Annotated[
        float | None,
        Opt(
            help="Share of pairs of different people that may match at /verify.",
            ge=1e-9,
            le=0.999,
            flag="--false-matches",
            shown="0.001, or as low as is supported",
        ),
    ] = None
    calibration: Annotated[
        Path | None,
        Opt(help="What scores mean, as `rehead faces evaluate` saves it; the embedder's own by default."),
    ] = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.gallery is None and self.enrol_token_file is not None:
            raise DataError("--enrol-token-file is for a gallery; give --gallery too")

    @property
    def wanted(self) -> bool:
        """Whether faces are served at all."""
        return self.gallery is not None or self.verify
