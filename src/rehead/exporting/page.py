"""A web page that answers by itself: a folder for any static server, or one file.

The page computes on the visitor's machine, on one thread, with onnxruntime-web; nothing is sent anywhere.
Its graph has two outputs more than the model file: `maps`, the class activation maps, where the network has
them, and `styles`, by which the note on another kind of photo is made.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..backbones.graphs import cam
from ..classification.predictor import Predictor
from ..classification.self_test import OUTLIER, PROBABILITY
from ..core import atomic
from ..core.model_file import ModelFile, write_model_file
from ..core.rejection import REASONS, UNKNOWN, PhotoStyles
from ..core.text import file_size
from ..errors import DataError
from ..pages.source import joined_modules, map_colours
from ..pages.source import read as read_shared
from .graph import Source
from .onnxruntime_web import runtime_files
from .templates import read, render

__all__ = ["MOST_BYTES", "page_model", "write_file", "write_folder"]

MOST_BYTES = 40_000_000
"""Of a page in one file: what browsers still open within seconds."""


def _scripts() -> dict[str, str]:
    """Scripts and style, by the names that the page has them by."""
    modules = (*map(read_shared, ("answer.js", "camera.js", "files.js", "live.js")), read("app.js"))
    return {
        "app.js": '"use strict";\n' + joined_modules(*modules),
        "worker.js": read("worker.js"),
        "style.css": read_shared("base.css") + read_shared("answer.css"),
    }


def write_folder(folder: Path, source: Source) -> None:
    """index.html, its script and style, model.onnx, onnxruntime-web's files and their licence."""
    files, scripts = _files(folder, source), _scripts()
    for name, text in scripts.items():
        atomic.write_text(folder / name, text)
    for name, data in files.items():
        atomic.write_bytes(folder / name, data)
    atomic.write_text(folder / "LICENSES.txt", read("licences.txt"))
    version = hashlib.sha256(b"".join([*files.values(), *map(str.encode, scripts.values())]))
    html = _page(source, inline=None, version=version.hexdigest()[:12])
    atomic.write_text(folder / "index.html", html)


def write_file(folder: Path, source: Source) -> None:
    """index.html, with everything in it; DataError where it would be too large."""
    inline = {name: _packed(data) for name, data in _files(folder, source).items()}
    inline["worker.js"] = _packed(_scripts()["worker.js"].encode())
    html = _page(source, inline=inline, version="")
    if len(html) > MOST_BYTES:
        raise DataError(
            f"{source.file.path}: the page would be {file_size(len(html))} in one file, more than "
            f"{file_size(MOST_BYTES)}; use --for web, which makes a folder"
        )
    atomic.write_text(folder / "index.html", html)


def _files(folder: Path, source: Source) -> dict[str, bytes]:
    """What the page loads, by name."""
    model = page_model(source.file)
    place = folder / "model.onnx"
    write_model_file(place, model, source.file.manifest)
    data = place.read_bytes()
    place.unlink()
    return {"model.onnx": data, **runtime_files(source.runtime_files)}


def page_model(file: ModelFile) -> bytes:
    """The graph of a classifier with the outputs `maps` (N, K, h, w) and `styles` (N, S), where it can.

    The manifest is not in it.
    """
    import onnx
    from onnx.helper import make_node, make_tensor_value_info
    from onnx.numpy_helper import from_array

    Predictor(file)  # which checks that graph and manifest agree
    model = onnx.load_from_string(file.graph)
    del model.metadata_props[:]
    _add_maps(model)
    if (styles := _styles(file.manifest)) is not None:
        arrays = {"styles/weight": styles.weight, "styles/bias": styles.bias}
        model.graph.initializer.extend(from_array(np.array(a), name) for name, a in arrays.items())
        model.graph.node.append(make_node("Gemm", ["features", *arrays], ["styles"], name="styles"))
        model.graph.output.append(make_tensor_value_info("styles", 1, ["N", len(styles.names)]))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _add_maps(model: Any) -> bool:
    try:
        cam.add_maps(model)
    except cam.NotLinearError:  # a network with a trained head: the page has no map to show
        return False
    return True


def _styles(manifest: Mapping[str, Any]) -> PhotoStyles | None:
    record = manifest.get("styles")
    return PhotoStyles.from_dict(record) if record is not None else None


def _about(source: Source) -> dict[str, Any]:
    """What the scripts know of the model."""
    manifest, rule = source.file.manifest, source.file.manifest["preprocess"]
    styles = _styles(manifest)
    return {
        "labels": manifest["labels"],
        "unknown": UNKNOWN,
        "limits": {name: manifest["operating_point"][name] for name in ("probability", "outlier_score")},
        "reasons": REASONS,
        "styles": {"names": styles.names, "limit": styles.limit} if styles else None,
        # squares pass a graph that takes any photo, and the browser need not hold the whole photo as floats
        "side": rule["size"],
        "takesAny": source.graph.side is None,
        "crop": rule.get("crop_fraction", 1.0) if rule.get("resize") == "crop" else None,
        "filter": rule.get("interpolation", "bilinear"),
        "greyRange": rule.get("grey_range"),
        "golden": manifest.get("golden", []),
        "tolerance": {"probability": PROBABILITY, "outlier_score": OUTLIER},
        "colours": map_colours(),
    }


def _page(source: Source, *, inline: Mapping[str, str] | None, version: str) -> str:
    scripts = _scripts()
    script, style = scripts["app.js"], scripts["style.css"]
    policy = {
        "default-src": "'none'",
        "script-src": f"{_source_of(script, inline)} data: 'wasm-unsafe-eval'",
        "style-src": _source_of(style, inline),
        "worker-src": "blob:",
        "img-src": "blob: data:",
        "media-src": "blob: mediastream:",
        "connect-src": "'none'" if inline else "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    manifest = source.file.manifest
    return render(
        "page.html",
        labels=manifest["labels"],
        about={**_about(source), "version": version},
        policy="; ".join(f"{name} {sources}" for name, sources in policy.items()),
        inline=inline,
        script=script,
        style=style,
        version=version,
        backbone=manifest.get("backbone", {}).get("name", ""),
        rehead=manifest.get("rehead", ""),
        unmeasured=manifest.get("unmeasured", ""),
        licences=read("licences.txt"),
    )


def _source_of(text: str, inline: Mapping[str, str] | None) -> str:
    """What the content security policy calls a script or style: by its digest where it is in the page."""
    if inline is None:
        return "'self'"
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode("ascii")
