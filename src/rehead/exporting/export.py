"""A model file written as what another program takes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core import atomic, records
from ..core.leftovers import sweep_beside
from ..core.model_file import KINDS, ModelFile, read_model_file
from ..core.run_dir import write_json
from ..errors import DataError, ModelFileError, OutputError, UnknownNameError
from . import page, script, servers
from .graph import Source, read_graph

__all__ = ["TARGETS", "Exported", "Target", "export_model"]

_RECORD = "export.json"
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1035, which Kubernetes asks for


@dataclass(frozen=True)
class Target:
    """What a model file can become.

    Parameters
    ----------
    summary : str
        A phrase.
    write : callable
        Writes it into an empty folder: (folder, source).
    kinds : tuple of str
        Of the model files that it can hold.
    """

    summary: str
    write: Callable[[Path, Source], None]
    kinds: tuple[str, ...] = ("classifier",)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    folder : Path
    files : tuple of Path
        In it, relative to it, sorted.
    size : int
        Bytes of all of them.
    unmeasured : str
        What was not measured since the model last changed, as a sentence; "" where all was.
    """

    folder: Path
    files: tuple[Path, ...]
    size: int
    unmeasured: str = ""


TARGETS = {
    "python": Target("a script with numpy, ONNX Runtime and Pillow", script.write),
    "web": Target("a web page, for any static server", page.write_folder),
    "html": Target("the same in one file, opened without a server", page.write_file),
    "triton": Target("a model repository of Triton Inference Server", servers.write_triton, tuple(KINDS)),
    "kserve": Target("the same, with an InferenceService of KServe", servers.write_kserve, tuple(KINDS)),
    "ovms": Target("a model repository of OpenVINO Model Server", servers.write_ovms, tuple(KINDS)),
}
"""Every target, by the name that `rehead export --for` takes."""


def export_model(
    model: str | os.PathLike[str],
    to: str | os.PathLike[str],
    target: str,
    *,
    name: str = "model",
    runtime_files: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model file as what another program takes.

    Parameters
    ----------
    model : path
        A model file.
    to : path
        Folder to write, whole or not at all.
    target : str
        One of `TARGETS`.
    name : str
        What a server calls the model: lower-case letters, digits and hyphens, at most 63.
    runtime_files : path, optional
        The npm package onnxruntime-web, a .tgz or an unpacked folder, for "web" and "html". By default
        rehead's cache, else the npm registry.
    overwrite : bool
        Replace an earlier export.

    Returns
    -------
    Exported

    Raises
    ------
    ModelFileError
        The file cannot be read, was altered, or is of a kind that the target cannot hold.
    UnknownNameError
        There is no such target.
    DataError
        The name is none, or "html" would be too large.
    OutputError
        The folder is in use, or cannot be written.
    WeightsNotFoundError, HashMismatchError
        onnxruntime-web is not here and cannot be fetched, or is another one.
    """
    if target not in TARGETS:
        raise UnknownNameError("target", target, TARGETS)
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{name!r} is no name for a model on a server; expected lower-case letters, digits and hyphens, "
            "at most 63, a letter first"
        )
    folder = Path(to)
    _check_place(folder, overwrite=overwrite)
    file = read_model_file(model)
    _check_kind(file, target)
    source = _source(file, name, runtime_files)
    with atomic.replacing_folder(
        folder, replaced=lambda there: overwrite and (there / _RECORD).is_file()
    ) as beside:
        with atomic.output_errors(folder):
            TARGETS[target].write(beside, source)
            write_json(beside / _RECORD, _record(file, target))
        files = tuple(sorted(path.relative_to(beside) for path in beside.rglob("*") if path.is_file()))
        size = sum((beside / path).stat().st_size for path in files)
    return Exported(folder, files, size, file.manifest.get("unmeasured", ""))


def _source(file: ModelFile, name: str, runtime_files: str | os.PathLike[str] | None) -> Source:
    import onnx

    model = onnx.load_from_string(file.graph)
    graph = read_graph(model, str(file.path))
    return Source(file, model, graph, name, Path(runtime_files) if runtime_files is not None else None)


def _record(file: ModelFile, target: str) -> dict[str, Any]:
    """What export.json says: of which file it was made, and how."""
    from importlib.metadata import version

    made = {"for": target, "rehead": version("rehead"), "created": records.now()}
    return {**made, "kind": file.manifest["kind"], "model_sha256": hashlib.sha256(file.graph).hexdigest()}


def _check_kind(file: ModelFile, target: str) -> None:
    kind = str(file.manifest["kind"])
    if kind not in TARGETS[target].kinds:
        able = [name for name, other in TARGETS.items() if kind in other.kinds]
        hint = f"it can go to {', '.join(able)}" if able else "there is no target that can"
        raise ModelFileError(f"{file.path}: a {kind} model, which {target!r} cannot hold; {hint}")


def _check_place(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot or must not be written, before the work is done and not after."""
    sweep_beside(folder)
    with atomic.output_errors(folder):
        in_use = folder.is_dir() and any(folder.iterdir())
    if in_use and not (folder / _RECORD).is_file():
        raise OutputError(f"{folder}: the folder holds other files; choose an empty or a new one for --to")
    if in_use and not overwrite:
        raise OutputError(
            f"{folder}: holds an earlier export; choose another --to, or give --overwrite to replace it"
        )
    with atomic.replacing_folder(folder, keep=False):
        pass
