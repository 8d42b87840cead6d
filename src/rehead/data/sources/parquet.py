"""Parquet with a column of images, in the form of Hugging Face datasets. Only this module knows pyarrow.

The column of images is a struct {bytes, path}, or binary. Classes that are numbers get the names that the
schema's metadata have for them (`ClassLabel`).
"""

from __future__ import annotations

import contextlib
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...core.text import first_line
from ...errors import DatasetError, MissingExtraError
from ..csv_table import SPLIT_NAMES
from ..options import TableOptions
from .files import is_address, join, open_file, reading, version_of
from .source import Sample
from .webdataset import shard_names

__all__ = ["ParquetFiles", "ParquetPart"]

_BATCH = 64  # rows in memory at a time: photos of up to some MB


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files of one schema.

    Parameters
    ----------
    name : str
        As it was given.
    places : tuple of str
        Path or address of each file.
    table : TableOptions
        What the columns of class, split and group are called; a column of images is known by its type.
    """

    name: str
    places: tuple[str, ...]
    table: TableOptions

    def parts(self) -> Iterator[ParquetPart]:
        """A part a group of rows."""
        for name, place in zip(shard_names(self.places), self.places, strict=True):
            version = version_of(place)
            with _opened(place) as file:
                groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
                _columns(place, file.schema_arrow, self.table)
            first = 0
            for number, rows in enumerate(groups):
                yield ParquetPart(f"{name}:{number}", version, name, place, number, first, self.table)
                first += rows

    def count(self) -> int:
        """See `Source`."""
        rows = 0
        for place in self.places:
            with _opened(place) as file:
                rows += int(file.metadata.num_rows)
        return rows


@dataclass(frozen=True)
class ParquetPart:
    """A group of rows of one file, which begins at row `first`."""

    name: str
    version: str
    file: str
    place: str
    number: int
    first: int
    table: TableOptions

    def samples(self) -> Iterator[Sample]:
        """See `Part`."""
        with _opened(self.place) as file:
            columns = _columns(self.place, file.schema_arrow, self.table)
            row = self.first
            batches = file.iter_batches(
                _BATCH, row_groups=[self.number], columns=list(dict.fromkeys(columns.given.values()))
            )
            for batch in batches:
                for record in batch.to_pylist():
                    yield self._sample(record, columns, row)
                    row += 1

    def _sample(self, record: dict[str, Any], columns: _Columns, row: int) -> Sample:
        name = f"{self.file}:{row}"

        def cell(part: str) -> str:
            value = record.get(columns.given.get(part, ""))
            if part == "label" and columns.names and isinstance(value, int):
                value = columns.names[value] if 0 <= value < len(columns.names) else None
            return "" if value is None else unicodedata.normalize("NFC", str(value)).strip()

        image = record[columns.given["image"]]
        data: bytes | str | None = image
        if isinstance(image, dict):
            data = image.get("bytes")
            if data is None and (path := image.get("path")):
                data = path if is_address(path) else join(self.place.rpartition("/")[0] or ".", path)
        return Sample(
            name,
            data or b"",
            cell("label"),
            SPLIT_NAMES.get(cell("split").lower(), ""),
            cell("group"),
            "" if data else "the row has no image",
        )


@dataclass(frozen=True)
class _Columns:
    """The columns that are there, by what they hold, and the names of classes that are numbers."""

    given: dict[str, str]
    names: tuple[str, ...]


def _columns(place: str, schema: Any, table: TableOptions) -> _Columns:
    features = _features(schema)
    images = [field.name for field in schema if _holds_images(field, features.get(field.name))]
    if not images:
        found = ", ".join(map(repr, schema.names))
        raise DatasetError(
            f"{place}: no column holds images (found: {found}); expected a struct of bytes and path, or bytes"
        )
    if len(images) > 1 and table.path_column in images:
        images = [table.path_column]
    asked = {"label": table.label_column, "split": table.split_column, "group": table.group_column}
    default = TableOptions()
    for part, name in asked.items():
        if name not in schema.names and name != getattr(default, f"{part}_column"):
            found = ", ".join(map(repr, schema.names))
            raise DatasetError(f"{place}: no column {name!r} (found: {found}); check --{part}-column")
    given = {"image": images[0], **{part: name for part, name in asked.items() if name in schema.names}}
    if "label" not in given:  # a data set of one ClassLabel of another name
        labels = [name for name, about in features.items() if _class_names(about)]
        given |= {"label": labels[0]} if len(labels) == 1 else {}
    return _Columns(given, _class_names(features.get(given.get("label", ""), {})))


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's metadata say of each column; nothing where there are none."""
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features: Any = about.get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return features if isinstance(features, dict) else {}


def _class_names(about: Any) -> tuple[str, ...]:
    names = about.get("names") if isinstance(about, dict) and about.get("_type") == "ClassLabel" else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _holds_images(field: Any, about: Any) -> bool:
    import pyarrow as pa

    if isinstance(about, dict) and about.get("_type") == "Image":
        return True
    if pa.types.is_struct(field.type):
        return bool(field.type.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))


@contextlib.contextmanager
def _opened(place: str) -> Iterator[Any]:
    """A Parquet file; DatasetError where it is none, or ends early."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(f"{place}: Parquet needs pyarrow: pip install 'rehead[cloud]'") from error
    with open_file(place) as file, reading(place):
        try:
            with parquet.ParquetFile(file) as opened:
                yield opened
        except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
            raise DatasetError(
                f"{place}: ends early, or is no Parquet file ({first_line(error)}); fetch it again and "
                "repeat the command"
            ) from error
