"""What is imported when: rehead costs nothing until it is used, and torch never comes in."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

import rehead
from rehead import ImageClassifier

HEAVY = {
    *("numpy", "scipy", "sklearn", "PIL", "onnx", "onnxruntime", "torch", "torchvision"),
    *("huggingface_hub", "jinja2", "platformdirs"),
}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(rehead.__path__, "rehead.")
    if module.name != "rehead.__main__"  # importing it runs the program
    and not module.name.startswith("rehead.finetune")  # loads torch and Lightning, whose doings are theirs
)
COMMAND = """
sys.argv = ["rehead", *sys.argv[1:]]
from rehead.cli import main
try:
    main()
except SystemExit as end:
    result = end.code
"""


class PhotoFolder(Protocol):
    def __call__(self, folder: Path, counts: dict[str, int]) -> Path: ...


def loaded_after(code: str, *arguments: object, cwd: Path | None = None) -> tuple[set[str], Any]:
    """Top-level modules loaded by `code` in a fresh interpreter, and what it assigned to `result`."""
    program = f"import json, sys\nresult = None\n{code}\n"
    program += "print(json.dumps([sorted({name.partition('.')[0] for name in sys.modules}), result]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    loaded, result = json.loads(done.stdout.splitlines()[-1])
    return set(loaded), result


def test_importing_rehead_loads_nothing() -> None:
    loaded, names = loaded_after("import rehead\nresult = dir(rehead)")
    assert not loaded & {*HEAVY, "typer", "rich"}
    assert set(names) == set(rehead.__all__)


def test_every_public_name_is_there() -> None:
    names = loaded_after("import rehead\nresult = [bool(getattr(rehead, n)) for n in rehead.__all__]")[1]
    assert names == [True] * len(rehead.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = rehead.nothing


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["predict", "--help"], ["--version"]], ids=" ".join
)
def test_help_loads_no_engine(arguments: list[str]) -> None:
    loaded, code_ = loaded_after(COMMAND, *arguments)
    assert code_ in (0, None)
    assert not loaded & HEAVY


def test_predicting_loads_only_what_it_needs(
    tmp_path: Path, tiny_onnx: Path, photo_folder: PhotoFolder
) -> None:
    photos = photo_folder(tmp_path / "photos", {"blå": 6, "red fish": 6})
    ImageClassifier(tiny_onnx).fit(photos).save(tmp_path / "model.onnx")
    loaded, label = loaded_after(
        "import rehead\nresult = rehead.load_model(sys.argv[1]).predict(sys.argv[2])[0].nearest",
        tmp_path / "model.onnx",
        photos / "blå" / "0000.jpg",
    )
    assert label == "blå"
    assert {"numpy", "PIL", "onnxruntime"} <= loaded
    assert not loaded & {"sklearn", "scipy", "onnx", "jinja2", "huggingface_hub", "torch", "typer"}


def test_training_loads_neither_torch_nor_sklearn(
    tmp_path: Path, tiny_onnx: Path, photo_folder: PhotoFolder
) -> None:
    photos = photo_folder(tmp_path / "photos", {"blå": 12, "red fish": 12})
    loaded, report = loaded_after(
        """
import rehead
run = rehead.train(sys.argv[1], sys.argv[2], classifier=rehead.ImageClassifier(sys.argv[3]))
result = (run.folder / "report.html").is_file()
""",
        photos,
        tmp_path / "run",
        tiny_onnx,
    )
    assert report
    assert {"onnxruntime", "onnx"} <= loaded
    assert not loaded & {"sklearn", "torch", "torchvision", "timm", "lightning", "typer", "huggingface_hub"}


def test_the_command_train_loads_neither_torch_nor_sklearn(
    tmp_path: Path, tiny_onnx: Path, photo_folder: PhotoFolder
) -> None:
    photos = photo_folder(tmp_path / "photos", {"blå": 12, "red fish": 12})
    arguments = ["train", photos, "--out", tmp_path / "run", "--backbone", tiny_onnx]
    loaded, code = loaded_after(COMMAND, *arguments)
    assert code in (0, None)
    assert (tmp_path / "run" / "report.html").is_file()
    assert not loaded & {"sklearn", "torch"}


def test_named_weights_need_no_torch() -> None:
    loaded, width = loaded_after(
        "from rehead.backbones.backbone import load_backbone\n"
        "result = load_backbone('efficientnet_lite0').levels[-1].width"
    )
    assert width == 1280
    assert not loaded & {"torch", "torchvision", "huggingface_hub", "efficientnet_lite_pytorch"}


def test_every_module_is_known() -> None:
    assert {"rehead.cli", "rehead.heads.ridge", "rehead.backbones.weights.torch_checkpoint"} <= set(MODULES)


def test_importing_every_module_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    # what rehead stands on is loaded first: what numpy or sklearn do when imported is not ours
    code = f"""
import importlib, locale, logging, os, random, signal, threading, warnings
import jinja2, numpy, onnx, onnx.utils, PIL.Image, platformdirs, scipy.optimize
import sklearn.base, sklearn.utils.validation, threadpoolctl, typer
def state():
    return [
        dict(os.environ), [str(entry) for entry in warnings.filters], os.getcwd(), sys.path[:],
        len(logging.getLogger().handlers), logging.getLogger().level, repr(numpy.geterr()),
        threading.active_count(), random.getstate()[1][:3], int(numpy.random.get_state()[1][0]),
        str(signal.getsignal(signal.SIGINT)), locale.setlocale(locale.LC_ALL),
        PIL.Image.MAX_IMAGE_PIXELS,
    ]
before = state()
for name in {MODULES!r}:
    importlib.import_module(name)
result = [json.loads(json.dumps(before)), json.loads(json.dumps(state()))]
"""
    work = tmp_path / "work"
    work.mkdir()
    loaded, (before, after) = loaded_after(code, cwd=work)
    assert after == before
    assert not loaded & {"torch", "torchvision", "timm", "lightning"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["home", "work"]
