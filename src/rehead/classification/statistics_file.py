"""statistics.npz: what a classifier keeps to learn and forget, as arrays; nothing in it is executed.

Every array is stored as it is, uncompressed, so that the file is never larger in memory than on the disk.
docs/statistics.md lists them.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import atomic, records
from ..core.rejection import OperatingPoint
from ..errors import DataError
from ..heads import SearchPoint
from ..heads.statistics import STEP, Statistics
from .statistics import Learnt, PhotoStatistics

__all__ = ["SavedStatistics", "read_statistics", "statistics_beside", "write_statistics"]

_NAME = "statistics.npz"

_FORMAT = 1
"""Raised when an earlier rehead could not use the file."""

_DIGEST = "sha256"
_HEAD = {"n_levels": records.count, "mirrored": records.flag, "balanced": records.flag, "l2": records.number}
_ABOUT: records.Entries = {
    "format": (records.count, "a number"),
    "step": (records.number, "a number"),
    "context": (records.record(), "what features depend on"),
    "widths": (records.list_of(records.count), "a number of features for each level"),
    "classes": (records.names, "names of classes, each once"),
    "head": (records.record(**_HEAD), "levels, mirroring, balance and strength of the head"),
    "temperature": (records.number, "a number"),
    "operating_point": (records.values(records.number), "finite numbers"),
    "styles": (records.list_of(records.text), "names of styles"),
    "style_limit": (records.number, "a number"),
    "changes": (records.values(records.count), "counts of photos"),
}


@dataclass(frozen=True, eq=False)
class SavedStatistics:
    """What the file holds.

    Parameters
    ----------
    photos : PhotoStatistics
    temperature : float
    operating_point : OperatingPoint
    style_limit : float
    allowances : float32 ndarray (S,)
        With `style_limit`, what the outlier score makes of styles.
    changes : mapping of str to int
        What happened since temperature, limits and test results were measured: photos "added", "forgotten"
        and "merged".
    """

    photos: PhotoStatistics
    temperature: float
    operating_point: OperatingPoint
    style_limit: float
    allowances: NDArray[np.float32]
    changes: Mapping[str, int]


def statistics_beside(model: str | os.PathLike[str]) -> Path:
    """The file of a model file: statistics.npz beside model.onnx, name.statistics.npz beside name.onnx."""
    file = Path(model)
    return file.with_name(_NAME if file.stem == "model" else f"{file.stem}.{_NAME}")


def write_statistics(path: str | os.PathLike[str], saved: SavedStatistics) -> str:
    """Write the file, whole or not at all; its digest, sha256 in hex. OutputError where that cannot be."""
    photos = saved.photos
    about = {
        "format": _FORMAT,
        "step": STEP,
        "context": photos.context,
        "widths": list(photos.widths),
        "classes": [str(name) for name in photos.classes],
        "head": {
            "n_levels": photos.point.n_levels,
            "mirrored": photos.point.mirrored,
            "balanced": photos.balanced,
            "l2": photos.point.l2,
        },
        "temperature": saved.temperature,
        "operating_point": saved.operating_point.to_dict(),
        "styles": list(photos.styles),
        "style_limit": saved.style_limit,
        "changes": dict(saved.changes),
    }
    digests = bytes.fromhex("".join(photos.learnt.digests))
    arrays: dict[str, NDArray[Any]] = {
        "about": np.frombuffer(json.dumps(about, sort_keys=True).encode("utf-8"), np.uint8),
        "photos": np.frombuffer(digests, np.uint8).reshape(-1, 32),
        "target": photos.learnt.target.astype(np.int32),
        "squares": photos.learnt.squares,
        "shifts": photos.shifts,
        "allowances": saved.allowances,
        **{f"plain.{name}": array for name, array in photos.plain.to_arrays().items()},
        **({f"own.{name}": array for name, array in photos.own.to_arrays().items()} if photos.own else {}),
    }
    digest = _digest(arrays)
    arrays[_DIGEST] = np.frombuffer(bytes.fromhex(digest), np.uint8)
    with (
        atomic.replacing(path) as beside,
        atomic.output_errors(path),
        zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED, allowZip64=True) as file,
    ):
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(
                f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)
            )  # the same bytes each time
            with file.open(entry, "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.ascontiguousarray(array), allow_pickle=False)
    return digest


def read_statistics(path: str | os.PathLike[str]) -> tuple[SavedStatistics, str]:
    """Read and check the file; what it holds, and its digest. DataError where it cannot be used."""
    file = Path(path)
    try:
        arrays = _arrays(file)
        digest = _unaltered(arrays)
        return _understood(arrays), digest
    except OSError as error:
        raise DataError(f"{file}: the statistics cannot be read ({error.strerror or error})") from error
    except (DataError, KeyError, ValueError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{file}: no statistics that can be used: {reason}") from error


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(file) as whole:
            entries = whole.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise DataError("it is compressed, which rehead's are not")
            found = {}
            for entry in entries:
                with whole.open(entry) as part:
                    found[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(
                        part, allow_pickle=False
                    )
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"not an .npz file, or one cut short ({error})") from error
    return found


def _unaltered(arrays: dict[str, NDArray[Any]]) -> str:
    digest = _digest(arrays)
    if arrays.pop(_DIGEST).tobytes().hex() != digest:
        raise DataError("changed or damaged after it was written; copy it again from where it came")
    return digest


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Sha256 of names, types, shapes and bytes of all arrays but the digest itself, in hex."""
    whole = hashlib.sha256()
    for name in sorted(arrays.keys() - {_DIGEST}):
        array = np.ascontiguousarray(arrays[name])
        whole.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        whole.update(array.data.cast("B") if array.size else b"")
    return whole.hexdigest()


def _understood(arrays: Mapping[str, NDArray[Any]]) -> SavedStatistics:
    about = json.loads(_checked(arrays, "about", np.uint8, (None,)).tobytes())
    if not isinstance(about, dict):
        raise DataError("its record is none")
    if isinstance(about.get("format"), int) and about["format"] > _FORMAT:
        raise DataError(
            f"of format {about['format']}, this rehead reads up to {_FORMAT}; run "
            "`pip install --upgrade rehead`"
        )
    records.check_entries(about, _ABOUT, needed=True)
    if about["step"] != STEP:
        raise DataError(f"its features were rounded to multiples of {about['step']}, this rehead's to {STEP}")
    classes, widths, head = np.array(about["classes"]), tuple(about["widths"]), about["head"]
    k, d, styles = len(classes), sum(widths), len(about["styles"])
    if not 1 <= head["n_levels"] <= len(widths) or head["l2"] <= 0 or about["temperature"] <= 0:
        raise DataError("levels, strength or temperature of its head are out of range")
    digests = _checked(arrays, "photos", np.uint8, (None, 32))
    n = len(digests)
    target = _checked(arrays, "target", np.int32, (n,)).astype(np.intp)
    plain = _sums(arrays, "plain", k, d)
    if (target < 0).any() or not np.array_equal(np.bincount(target, minlength=k), plain.counts):
        raise DataError("its photos are not those of its sums")
    names = tuple(bytes(row).hex() for row in digests)
    if list(names) != sorted(set(names)):
        raise DataError("its photos are not in order, or one is in it twice")
    own = None
    if any(name.startswith("own.") for name in arrays):
        own = _sums(arrays, "own", k, sum(widths[-head["n_levels"] :]))
    photos = PhotoStatistics(
        about["context"],
        widths,
        classes,
        Learnt(names, target, _checked(arrays, "squares", np.float64, (n,))),
        plain,
        own,
        SearchPoint(head["n_levels"], head["mirrored"], "ridge", head["l2"], float("nan")),
        head["balanced"],
        tuple(about["styles"]),
        _checked(arrays, "shifts", np.float32, (styles, d)),
    )
    if photos.needs_own != (own is not None):
        raise DataError("the sums of its head are not there, or not needed")
    point = OperatingPoint.from_dict(about["operating_point"])
    allowances = _checked(arrays, "allowances", np.float32, (styles,))
    return SavedStatistics(
        photos, about["temperature"], point, about["style_limit"], allowances, about["changes"]
    )


def _sums(arrays: Mapping[str, NDArray[Any]], name: str, k: int, d: int) -> Statistics:
    found = Statistics.from_arrays({part: arrays[f"{name}.{part}"] for part in ("counts", "sums", "gram")})
    if found.sums.shape != (k, d):
        raise DataError(f"{name} has sums {found.sums.shape}, expected {(k, d)}")
    return found


def _checked(
    arrays: Mapping[str, NDArray[Any]], name: str, kind: type, shape: tuple[int | None, ...]
) -> NDArray[Any]:
    array = arrays[name]
    fits = len(array.shape) == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if array.dtype != kind or not fits:
        raise DataError(f"{name} is {array.dtype} {array.shape}, expected {np.dtype(kind)} {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{name} has numbers that are not finite")
    return array
