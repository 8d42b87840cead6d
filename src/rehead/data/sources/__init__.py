"""Photos that are read as a stream, in four forms, from disks and from object stores.

shards-{000..009}.tar                WebDataset, `webdataset`
data/*.parquet                       a column of images, `parquet`
photos.csv                           path,label[,split][,group], `listing`
s3://bucket/photos                   CLASS/*.jpg, `listing`
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from ...core.options import arguments_of
from ...errors import DatasetError
from ..options import TableOptions
from .files import as_given, expand, is_address, is_folder, list_folder
from .listing import PhotoFolder, PhotoTable
from .parquet import ParquetFiles
from .source import Part, Sample, Source, read_ahead, read_photo, samples_of
from .spool import spooled
from .webdataset import WebDataset

__all__ = [
    "Part",
    "Sample",
    "Source",
    "find_source",
    "open_source",
    "read_ahead",
    "read_photo",
    "samples_of",
    "spooled",
]

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_TABLES = (".csv", ".tsv")


def find_source(given: str | os.PathLike[str], table: TableOptions | None = None) -> Source | None:
    """The source that a name stands for; None for photos, and local folders and CSVs of them."""
    place = as_given(given)
    if is_address(place) or "{" in place or "*" in place or place.lower().endswith((*_TAR, ".parquet")):
        return None if os.path.isdir(place) else open_source(place, table)  # noqa: PTH112
    if os.path.isdir(place) and (files := _files_of(place)):  # noqa: PTH112
        return _of_files(place, tuple(files), table or TableOptions())
    return None


def open_source(given: str | os.PathLike[str], table: TableOptions | None = None) -> Source:
    """The source that a path or address stands for.

    Parameters
    ----------
    given : path
        Tar or Parquet files, with {000..009} or * for several; a CSV; a folder of such files, or of classes.
        Each a path, or an address that fsspec knows: s3://, gs://, hf://.
    table : TableOptions, optional
        How a CSV is read, and what columns are called in the other forms.

    Raises
    ------
    DatasetError
        There is nothing there, no right to read it, or another form.
    """
    name, table = as_given(given), table or TableOptions()
    places = expand(name)
    if len(places) == 1 and is_folder(places[0]):
        places = _files_of(places[0]) or places
        if places == [name] or is_folder(places[0]):
            if table != TableOptions():
                raise DatasetError(
                    f"{name}: this is a folder; {', '.join(arguments_of(table)[::2])} need a CSV"
                )
            return PhotoFolder(name)
    return _of_files(name, tuple(places), table)


def _of_files(name: str, places: tuple[str, ...], table: TableOptions) -> Source:
    endings = [place.lower() for place in places]
    if all(ending.endswith(_TAR) for ending in endings):
        return WebDataset(name, places, table)
    if all(ending.endswith(".parquet") for ending in endings):
        return ParquetFiles(name, places, table)
    if len(places) == 1 and endings[0].endswith(_TABLES):
        return PhotoTable(places[0], table)
    raise DatasetError(
        f"{name}: expected tar or Parquet files, all of one kind, a CSV, or a folder; found "
        f"{PurePosixPath(places[0]).name!r}"
    )


def _files_of(folder: str) -> list[str]:
    """The Parquet or tar files that a folder holds instead of folders of classes, those of data/ too."""
    here = list(list_folder(folder))
    found = [place for place, is_dir in here if not is_dir]
    folders = [place for place, is_dir in here if is_dir and not PurePosixPath(place).name.startswith(".")]
    if [PurePosixPath(place).name for place in folders] == ["data"]:
        found = [place for place, is_dir in list_folder(folders[0]) if not is_dir]
    elif folders:
        return []
    tables = [place for place in found if place.lower().endswith(".parquet")]
    return tables or [place for place in found if place.lower().endswith(_TAR)]
