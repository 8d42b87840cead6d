"""What a model file is made of: for people on one screen, for programs as CycloneDX."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ..core.model_file import ModelFile, signature_of
from ..core.text import count, percent

__all__ = ["bill_of_materials", "summary"]

_SPDX = ("Apache-2.0", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "MIT")  # licences of weights that rehead fetches


def summary(file: ModelFile) -> dict[str, str]:
    """All that a model file says of itself, a line each, in the order in which one asks."""
    said = file.manifest
    weights = said.get("backbone", {})
    licences = weights.get("licences", {})
    lines = {
        "kind": f"{said['kind']}, protocol {said['protocol']}, {len(file.graph) / 1e6:.1f} MB",
        "written": f"{said.get('created', 'at an unknown time')} by rehead {said.get('rehead', '?')}",
        "classes": _classes(said),
        "tested": str((said.get("metrics") or {}).get("sentence", "on no photos")),
        "not measured": str(said.get("unmeasured", "")),
        "unknown": _limits(said["operating_point"]),
        "network": f"{weights.get('name', 'not stated')}, {_preprocessing(said['preprocess'])}",
        "weights": f"sha256 {weights.get('sha256', 'not stated')}",
        **{f"licence, {of}": licence for of, licence in licences.items()},
        "head": _head(said.get("head", {})),
        "split": f"sha256 {said['split']}" if "split" in said else "",
        "trained on": count(len(str(said.get("seen", "")).split()), "photo") + ", known by their digests",
        "left out": count(len(said["unreadable"]), "unreadable photo") if said.get("unreadable") else "",
        "made with": ", ".join(f"{name} {version}" for name, version in said.get("versions", {}).items()),
        "digest": f"sha256 {file.digest}",
        "signature": "Ed25519; `rehead check --key` says whose" if signature_of(file) else "none",
    }
    return {name: line for name, line in lines.items() if line}


def _limits(point: Mapping[str, Any]) -> str:
    if not {"probability", "outlier_score", "coverage"} <= set(point):
        return ""
    return (
        f"below a probability of {point['probability']:.3f} or above an outlier score of "
        f"{point['outlier_score']:.3f}; {percent(point['coverage'])} of known photos are answered"
    )


def _head(head: Mapping[str, Any]) -> str:
    if not {"loss", "strength", "depths"} <= set(head):
        return ""
    levels = count(head["depths"], "feature level")
    return f"{head['loss']}, L2 penalty {head['strength']:.3g}, on {levels}"


def _classes(said: Mapping[str, Any]) -> str:
    if "points" in said:
        return count(said["points"]["count"], "point")
    photos = said.get("photos")
    if not isinstance(photos, dict):
        return ", ".join(said["labels"])
    return ", ".join(f"{name} ({photos.get(name, 0):,})" for name in said["labels"])


def _preprocessing(record: Mapping[str, Any]) -> str:
    rule = record.get("resize", "squash")
    part = f", the central {record['crop_fraction']:.3g}" if rule == "crop" else ""
    return f"{record['size']} pixels, {rule}{part}, {record.get('interpolation', 'bilinear')}"


def bill_of_materials(file: ModelFile) -> dict[str, Any]:
    """A CycloneDX 1.6 document (ECMA-424): the model, its weights, its training photos, and its libraries."""
    said = file.manifest
    weights, versions = said.get("backbone", {}), said.get("versions", {})
    licences = weights.get("licences", {})
    photos = {"split": said.get("split"), "photos": len(str(said.get("seen", "")).split())}
    parts = [
        {
            "type": "machine-learning-model",
            "bom-ref": "weights",
            "name": weights.get("name", "not stated"),
            "hashes": _hashes(weights.get("sha256")),
            "licenses": [
                _licence(text) for text in sorted({licences[of] for of in licences if of != "data"})
            ],
            "properties": _properties({"data": licences.get("data")}),
        },
        {
            "type": "data",
            "bom-ref": "photos",
            "name": "training photos",
            "properties": _properties(photos),
        },
        *(
            _library(name, version)
            for name, version in versions.items()
            if name not in ("python", "platform")
        ),
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, file.digest)}",
        "version": 1,
        "metadata": {
            **({"timestamp": said["created"]} if "created" in said else {}),
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": file.path.name,
                "hashes": _hashes(file.digest),
                "properties": _properties({"kind": said["kind"], "protocol": said["protocol"]}),
            },
        },
        "components": [{key: value for key, value in part.items() if value} for part in parts],
        "dependencies": [{"ref": "model", "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _library(name: str, version: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": name,
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
    }


def _hashes(sha256: str | None) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}] if sha256 else []


def _licence(text: str) -> dict[str, Any]:
    return {"license": {"id": text} if text in _SPDX else {"name": text}}


def _properties(record: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": f"rehead:{name}", "value": str(value)} for name, value in record.items() if value is not None
    ]
