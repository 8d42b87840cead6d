"""Folders for inference servers: Triton, KServe, OpenVINO Model Server.

The servers run the graph; what is around it, the photo before and "unknown" after, is the caller's, and
README.md in the folder says how.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core import atomic
from ..errors import ModelFileError
from .graph import Source, of_squares
from .templates import render

__all__ = ["write_kserve", "write_ovms", "write_triton"]

_TRITON_TYPES = {"UINT8": "TYPE_UINT8", "FLOAT": "TYPE_FP32"}  # model_config.proto
_BATCH = 4  # Triton's own default for ONNX Runtime, default-max-batch-size


def write_triton(folder: Path, source: Source) -> None:
    """A model repository of Triton: NAME/config.pbtxt, NAME/labels.txt, NAME/1/model.onnx, README.md."""
    _write_repository(folder, source)
    _write_readme(folder, source, "triton")


def write_kserve(folder: Path, source: Source) -> None:
    """The same, and inference-service.yaml."""
    _write_repository(folder / "models", source)
    service = render("inference-service.yaml", name=source.name)
    atomic.write_text(folder / "inference-service.yaml", service)
    _write_readme(folder, source, "kserve")


def write_ovms(folder: Path, source: Source) -> None:
    """A model repository of OpenVINO Model Server: config.json, NAME/1/model.onnx, README.md.

    Its graph takes squares: OpenVINO leaves out the antialiasing of a resize.
    """
    source = of_squares(source)
    _write_graph(folder / source.name, source)
    models = [{"config": {"name": source.name, "base_path": f"/models/{source.name}"}}]
    atomic.write_text(folder / "config.json", json.dumps({"model_config_list": models}, indent=2) + "\n")
    _write_readme(folder, source, "ovms")


def _write_graph(folder: Path, source: Source) -> None:
    (folder / "1").mkdir(parents=True)
    atomic.write_bytes(folder / "1/model.onnx", source.file.graph)


def _write_repository(folder: Path, source: Source) -> None:
    home = folder / source.name
    _write_graph(home, source)
    labels = source.file.manifest.get("labels") or []
    if labels:
        if bad := next((label for label in labels if len(label.splitlines()) != 1), None):
            raise ModelFileError(f"{source.file.path}: its class {bad!r} does not fit a line of labels.txt")
        atomic.write_text(home / "labels.txt", "".join(f"{label}\n" for label in labels))
    image, *outputs = (_as_triton(tensor) for tensor in (source.graph.image, *source.graph.outputs))
    config = render(
        "config.pbtxt", name=source.name, batch=_BATCH, image=image, outputs=outputs, labels=bool(labels)
    )
    atomic.write_text(home / "config.pbtxt", config)


def _as_triton(tensor: Any) -> dict[str, Any]:
    """A tensor as config.pbtxt has it, which knows no axis of the photos and asks for one other axis."""
    return {
        "name": tensor.name,
        "type": _TRITON_TYPES[tensor.dtype],
        "dims": ", ".join(map(str, tensor.shape)) or "1",
        "scalar": not tensor.shape,
    }


def _write_readme(folder: Path, source: Source, target: str) -> None:
    manifest = source.file.manifest
    text = render(
        "server.md",
        target=target,
        name=source.name,
        kind=manifest["kind"],
        faces=manifest["kind"] == "face-classifier" or bool(manifest.get("faces")),
        labels=manifest.get("labels") or [],
        limits=manifest["operating_point"],
        unmeasured=manifest.get("unmeasured", ""),
        rule=manifest["preprocess"],
        image=source.graph.image,
        outputs=source.graph.outputs,
        side=source.graph.side,
    )
    atomic.write_text(folder / "README.md", text)
