"""The model file: one ONNX that holds everything needed to use it.

The manifest, JSON, and a sha256 over graph and manifest are the last two entries of the ONNX
model's own metadata, so any ONNX runtime opens the file and any protobuf reader finds them.
rehead checks them before a runtime sees the graph, and needs neither onnx nor protobuf for it:
the file's top level is a list of fields, and those after the graph are the metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AlteredModelFileError, DataError, ModelFileError, NewerProtocolError, NotAModelFileError
from . import atomic, protobuf, records
from .onnx_contents import MAX_BYTES, check_operators

__all__ = [
    "KINDS",
    "PROTOCOL",
    "Kind",
    "ModelFile",
    "read_model_file",
    "signature_of",
    "signed",
    "trained_on",
    "write_model_file",
]

PROTOCOL = 3
"""Raised when an older rehead could not use the file; readers of all earlier protocols are kept."""

_MANIFEST, _DIGEST, _SIGNATURE = "rehead.manifest", "rehead.sha256", "rehead.ed25519"
_MARK = 12  # hex digits of a photo's sha256 that the manifest keeps
_METADATA = 14  # ModelProto.metadata_props in onnx.proto


@dataclass(frozen=True)
class Kind:
    """A kind of model file.

    Parameters
    ----------
    opened_by : str
        What takes it, for the error of what does not.
    required : tuple of str
        Entries of the manifest that must be there.
    protocol : int
        That it is written with: the earliest that knows it, so that older readers that can, do.
    """

    opened_by: str = ""
    required: tuple[str, ...] = ("preprocess",)
    protocol: int = 2


KINDS = {
    "classifier": Kind(
        "`rehead predict` and rehead.load_model take it", ("labels", "operating_point", "preprocess"), 3
    ),
    "face-classifier": Kind(
        "`rehead predict`, `rehead evaluate` and rehead.load_face_model take it",
        ("labels", "operating_point", "preprocess"),
    ),
    "keypoints": Kind(
        "use `rehead keypoints predict`, or rehead.load_keypoints",
        ("operating_point", "points", "preprocess"),
    ),
}
"""Every kind, by the name that its manifest says."""


def _points(value: object) -> bool:
    if not isinstance(value, dict) or not records.count(value.get("count")) or not value["count"]:
        return False
    named = value.get("names") or []
    return records.words(named) and len(named) in (0, value["count"]) and _frame(value.get("frame"))


def _box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(records.number, value))


_frame = records.either(None, records.record(box=_box, aspect=records.number))
_weights = records.record(
    name=records.text, sha256=records.text, licences=records.values(records.text)
)  # what a network was built from
_golden = records.record(
    png=records.text,
    answer=records.text,
    probabilities=records.list_of(records.number),
    outlier_score=records.number,
)
_ENTRIES: records.Entries = {
    "kind": (records.text, "a word"),
    "labels": (records.names, "classes, each once"),
    "depths": (records.names, "names of feature levels, each once"),
    "preprocess": (records.record(), "a record"),
    "operating_point": (records.values(records.number), "finite numbers"),
    "points": (_points, "how many points there are, and a name for each"),
    "backbone": (_weights, "name, sha256 and licences"),
    "photos": (records.either(records.count, records.values(records.count)), "counts of photos"),
    "faces": (records.record(), "a record"),
    "golden": (records.list_of(_golden), "pictures, and the answers to them"),
    "metrics": (records.either(None, records.record()), "a record"),
    "unreadable": (records.words, "names of photos"),
    "seen": (records.text, "digests"),
    "statistics": (records.text, "a digest"),
    "unmeasured": (records.text, "a sentence"),
    "split": (records.text, "a digest"),
    "versions": (records.values(records.text), "versions of packages"),
}
"""Of a manifest: a digest is no signature, so that anybody may write it."""


@dataclass(frozen=True)
class ModelFile:
    """A model that was read and checked.

    Parameters
    ----------
    path : Path
    manifest : mapping
    graph : bytes
        The whole file, as an ONNX runtime takes it.
    """

    path: Path
    manifest: Mapping[str, Any]
    graph: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """Sha256 of graph and manifest, in hex: what identifies the model, whoever signed it."""
        return _metadata(self.graph)[0][_DIGEST].decode("ascii")


def write_model_file(path: str | os.PathLike[str], graph: bytes, manifest: Mapping[str, Any]) -> None:
    """Write a serialised ONNX model and its manifest as one file, whole or not at all.

    Protocol, time and the versions of rehead and of its libraries are added to the manifest. Raises
    OutputError where the file cannot be written.
    """
    from .run_dir import versions  # brings the parser of package metadata: nothing that reading needs

    found = versions()
    added = {"rehead": found.pop("rehead"), "created": records.now(), "versions": found}
    text = json.dumps(
        {**added, **manifest, "protocol": KINDS.get(str(manifest.get("kind")), Kind()).protocol},
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode("utf-8")
    atomic.write_bytes(path, graph + _sealed(graph, text))


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model file and check that it is ours, not too new, and unchanged.

    Raises
    ------
    ModelFileError
        A missing file or folder, NotAModelFileError, NewerProtocolError, AlteredModelFileError.
    """
    file = Path(path)
    if file.is_dir():
        inside = file / "model.onnx"
        hint = f"; did you mean {inside}?" if inside.is_file() else ""
        raise NotAModelFileError(f"{file}: a folder; expected a model file such as model.onnx{hint}")
    try:
        if file.stat().st_size > MAX_BYTES:
            raise NotAModelFileError(f"{file}: larger than a model file can be, 2 GiB")
        data = file.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{file}: the model file cannot be read ({error.strerror})") from error
    manifest = _checked(file, data)
    try:
        external = check_operators(data)
    except DataError as error:
        raise ModelFileError(f"{file}: its network {error}; a model file of rehead is not so") from error
    if external:
        raise ModelFileError(
            f"{file}: its network reads other files, and a model file holds all it needs; do not trust it"
        )
    return ModelFile(file, manifest, data)


def trained_on(manifest: Mapping[str, Any], digests: Sequence[str]) -> NDArray[np.bool_]:
    """Which photos a model was trained on, bool (n,), by the sha256 (hex) of their bytes, (n,)."""
    known = set(str(manifest.get("seen", "")).split())
    return np.array([digest[:_MARK] in known for digest in digests], dtype=bool)


def _checked(file: Path, data: bytes) -> dict[str, Any]:
    entries, body = _metadata(data)
    if _MANIFEST not in entries:
        raise NotAModelFileError(
            f"{file}: not a rehead model file, or one cut short; expected one that `rehead train` "
            "or ImageClassifier.save wrote"
        )
    altered = AlteredModelFileError(
        f"{file}: changed or damaged after it was written; copy it again from where it came"
    )
    try:
        manifest: dict[str, Any] = json.loads(entries[_MANIFEST])
        protocol = int(manifest["protocol"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise altered from error
    if protocol > PROTOCOL:
        raise NewerProtocolError(
            f"{file}: written by rehead {manifest.get('rehead', '?')} with protocol {protocol}, this rehead "
            f"reads up to {PROTOCOL}; run `pip install --upgrade rehead`"
        )
    end = _sealed(data[:body], entries[_MANIFEST])
    if data[body:] not in (end, end + _entry(_SIGNATURE, entries.get(_SIGNATURE, b""))):
        raise altered
    needed = ("kind", *KINDS.get(str(manifest.get("kind")), Kind()).required)
    if lacking := [name for name in needed if name not in manifest]:
        raise ModelFileError(f"{file}: its manifest lacks {', '.join(lacking)}")
    try:
        records.check_entries(manifest, _ENTRIES)
    except DataError as error:
        raise ModelFileError(f"{file}: its manifest cannot be used: {error}") from error
    return manifest


def _sealed(graph: bytes, manifest: bytes) -> bytes:
    """The end of the file: manifest, and digest of graph and manifest."""
    digest = hashlib.sha256(hashlib.sha256(graph).digest() + manifest).hexdigest().encode()
    return _entry(_MANIFEST, manifest) + _entry(_DIGEST, digest)


def signature_of(file: ModelFile) -> str | None:
    """The signature at the end of a model file, as `core.signing` writes it; None where there is none."""
    found = _metadata(file.graph)[0].get(_SIGNATURE)
    return None if found is None else found.decode("ascii", "replace")


def signed(file: ModelFile, signature: str) -> bytes:
    """The bytes of a model file with this signature instead of what it has."""
    entries, body = _metadata(file.graph)
    whole = file.graph[:body] + _sealed(file.graph[:body], entries[_MANIFEST])
    return whole + _entry(_SIGNATURE, signature.encode("ascii"))


def _entry(key: str, value: bytes) -> bytes:
    return protobuf.field(_METADATA, protobuf.field(1, key.encode()) + protobuf.field(2, value))


def _metadata(data: bytes) -> tuple[dict[str, bytes], int]:
    """The metadata of a serialised ONNX model, and where that of ours begins; nothing where it is none."""
    entries: dict[str, bytes] = {}
    body = len(data)
    try:
        for number, start, value in protobuf.fields(memoryview(data)):
            if number != _METADATA or isinstance(value, int):
                continue
            pair = {n: v for n, _, v in protobuf.fields(value)}
            key, text = pair.get(1, b""), pair.get(2, b"")
            if not isinstance(key, int) and not isinstance(text, int):
                name = bytes(key).decode("utf-8", "replace")
                entries[name] = bytes(text)
                if name == _MANIFEST:
                    body = start
    except DataError:
        return {}, len(data)
    return entries, body
