"""The photos of a source as files for a while, for what looks at photos more than once."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ...core.atomic import output_errors
from ...core.leftovers import temporary_folder
from ...errors import DatasetError
from ..csv_table import Row
from ..dataset import Dataset, as_dataset
from .source import Source, read_ahead, samples_of

__all__ = ["spooled"]


@contextlib.contextmanager
def spooled(source: Source, *, test_only: bool = True) -> Iterator[Dataset]:
    """The photos of a source, copied into a temporary folder, which is gone afterwards.

    Ids, classes, splits and groups are the source's. With `test_only` the photos of other splits than "test"
    are not copied where the source has splits. DatasetError where a photo has no class.
    """
    rows: list[Row] = []
    with temporary_folder() as folder, output_errors(folder):
        samples = samples_of(source)
        if test_only:
            samples = (sample for sample in samples if sample.split in ("", "test"))
        for number, (sample, data) in enumerate(read_ahead(samples)):
            if not sample.label:
                raise DatasetError(f"{source.name}: {sample.id} has no class; give every photo one")
            place = folder / f"{number:09d}{PurePosixPath(sample.id).suffix}"
            if isinstance(data, bytes):  # else reading it says that it is not there
                place.write_bytes(data)
            name = unicodedata.normalize("NFC", sample.id)
            rows.append(Row(name, place, sample.label, sample.split, sample.group))
        if not rows:
            raise DatasetError(f"{source.name}: no photo is there to test on")
        yield as_dataset(Path(source.name), rows)
