"""A folder with a script that needs no rehead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..classification.self_test import OUTLIER, PROBABILITY
from ..core import atomic
from ..core.preprocess import PreprocessSpec
from .graph import Source
from .templates import render

__all__ = ["predict_script", "snippet", "write"]

# Pillow's has_transparency_data came with 10.1; ONNX Runtime 1.15 is the oldest that was compared
# (benchmarks/same_everywhere.py)
_REQUIREMENTS = "numpy>=1.26\nonnxruntime>=1.15\npillow>=10.1\n"


def write(folder: Path, source: Source) -> None:
    """predict.py, model.onnx, requirements.txt, README.md; check.py where the file has golden pictures."""
    atomic.write_bytes(folder / "model.onnx", source.file.graph)
    manifest = source.file.manifest
    atomic.write_text(folder / "predict.py", predict_script(manifest["preprocess"]))
    atomic.write_text(folder / "requirements.txt", _REQUIREMENTS)
    if checked := bool(manifest.get("golden")) and manifest["preprocess"]["resize"] != "crop":
        atomic.write_text(folder / "check.py", _check(source))
    readme = render(
        "script.md", labels=manifest["labels"], checked=checked, unmeasured=manifest.get("unmeasured", "")
    )
    atomic.write_text(folder / "README.md", readme)


def _check(source: Source) -> str:
    return render(
        "check.py",
        rule=source.file.manifest["preprocess"],
        takes_any=source.graph.side is None,
        probability=PROBABILITY,
        outlier_score=OUTLIER,
    )


def predict_script(rule: Mapping[str, Any]) -> str:
    """The script, Python, for photos prepared by `rule`, a record of PreprocessSpec.

    It resizes them itself, with Pillow as in training: a graph that takes any photo lets squares pass.
    """
    return _script("predict.py", rule, model='Path(__file__).with_name("model.onnx")', photos="sys.argv[1:]")


def snippet(rule: Mapping[str, Any]) -> str:
    """The same for the README of rehead: `model.onnx` and `photo.jpg` in the working directory."""
    return _script("snippet.py", rule, model='"model.onnx"', photos='["photo.jpg"]')


def _script(template: str, rule: Mapping[str, Any], **values: str) -> str:
    spec = PreprocessSpec.from_dict(rule)
    least = math.ceil(spec.size / spec.crop_fraction) if spec.resize == "crop" else spec.size
    return render(template, rule=rule, least=least, **values)
