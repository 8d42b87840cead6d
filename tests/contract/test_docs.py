"""The documentation is true: its commands run, its generated pages are fresh, its links lead somewhere.

Of the README and the pages in docs/, fenced blocks marked `sh` or `python` are run, each page's in one
folder, in order. The folder has photos/CLASS, more-photos/CLASS, photo.jpg and model.onnx; faces/ and
more-faces/ with points.csv, face.png, and keypoints.onnx.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from rehead.core.model_file import read_model_file
from rehead.exporting.script import snippet
from rehead.workflows.recipes import EVERY

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/adr/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class DrawnFaces(Protocol):
    def __call__(self, folder: Path, people: int, *, seed: int = 0) -> Path: ...


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text("utf-8"))


def run(command: list[str], folder: Path) -> str:
    """Output of a command that must succeed, with this environment's `rehead` first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "160", "NO_COLOR": "1"}
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def write_digits(folder: Path, rows: slice) -> None:
    digits = load_digits()
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for row in np.flatnonzero(digits.target == label)[rows]:
            pixels = (255 - digits.images[row] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(folder / str(label) / f"{row}.png")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, drawn_faces: DrawnFaces) -> Path:
    """What a reader of the documentation has."""
    folder = tmp_path_factory.mktemp("world")
    write_digits(folder / "photos", slice(0, 15))
    write_digits(folder / "more-photos", slice(-5, None))
    Image.open(next((folder / "more-photos/2").iterdir())).save(folder / "photo.jpg")
    run(["rehead", "train", "photos", "--out", "run", "--quiet"], folder)
    (folder / "run/model.onnx").rename(folder / "model.onnx")
    shutil.rmtree(folder / "run")
    drawn_faces(folder / "faces", 12)
    shutil.copy(drawn_faces(folder / "more-faces", 5, seed=1).parent / "ünä 00_0.png", folder / "face.png")
    run(["rehead", "keypoints", "train", "faces/points.csv", "--out", "run", "--quiet"], folder)
    (folder / "run/model.onnx").rename(folder / "keypoints.onnx")
    shutil.rmtree(folder / "run")
    return folder


RUNNABLE = [page for page in PAGES if any(kind in ("sh", "python") for kind, _ in blocks_of(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_blocks_run(page: Path, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    for kind, text in blocks_of(page):
        if kind == "sh":
            run(["bash", "-euo", "pipefail", "-c", text], tmp_path)
        elif kind == "python":
            run([sys.executable, "-W", "error", "-c", text], tmp_path)
        else:
            assert kind in ("console", "text"), f"{kind} blocks are neither run nor only shown"


def test_readme_without_rehead_agrees_with_rehead(world: Path) -> None:
    (alone,) = [
        text for kind, text in blocks_of(ROOT / "README.md") if kind == "python" and "onnxruntime" in text
    ]
    rehead = "import rehead; print(rehead.load_model('model.onnx').predict('photo.jpg')[0].label)"
    assert "import rehead" not in alone
    _, label, _ = run([sys.executable, "-c", alone], world).split("\t")
    assert label == run([sys.executable, "-c", rehead], world).strip()


def test_readme_has_the_script_that_is_exported(world: Path) -> None:
    """Where it has not: write into it what `snippet` gives."""
    rule = read_model_file(world / "model.onnx").manifest["preprocess"]
    assert ("python", snippet(rule)) in blocks_of(ROOT / "README.md")


def test_keypoints_without_rehead_agree_with_rehead(world: Path) -> None:
    page = ROOT / "docs/keypoints.md"
    (alone,) = [text for kind, text in blocks_of(page) if kind == "python" and "onnxruntime" in text]
    rehead = "print(rehead.load_keypoints('keypoints.onnx').predict('face.png')[0].points[0].round(2))"
    assert "import rehead" not in alone
    assert run([sys.executable, "-c", alone], world) == run(
        [sys.executable, "-c", f"import rehead; {rehead}"], world
    )


def test_readme_begins_with_the_two_commands_and_a_picture() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.index("make demo") < text.index("make test") < text.index("![") < text.index("\n## ")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_picture_is_small() -> None:
    for picture in ROOT.glob("docs/*.png"):
        assert picture.stat().st_size < 200_000, picture


@pytest.mark.parametrize("page", ["cli", "recipes"])
def test_generated_pages_are_fresh(page: str) -> None:
    written = (ROOT / f"docs/{page}.md").read_text("utf-8")
    assert written == runpy.run_path(str(ROOT / "docs/generate.py"))[f"{page}_page"](), "run `make docs`"


def test_every_recipe_was_measured_or_it_is_said_why_not() -> None:
    record = json.loads((ROOT / "docs/recipes.json").read_text("utf-8"))
    measured = {row["recipe"] for row in record["measured"]}
    assert measured.isdisjoint(record["not_measured"])
    assert measured | set(record["not_measured"]) == {recipe.name for recipe in EVERY}


def test_cli_page_knows_every_option() -> None:
    """The generator reads signatures; what the command line prints is the judge."""
    page = (ROOT / "docs/cli.md").read_text("utf-8")
    for section in page.split("\n## ")[1:]:
        command = section.splitlines()[0]
        words = run([*command.split(), "--help"], ROOT)
        shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", words)) - {"--help"}
        assert shown == set(
            re.findall(r"--[a-z][a-z-]+", "".join(re.findall(r"^\| `.*?`", section, re.M)))
        ), command


def test_design_draws_the_layers_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    drawn = "\n".join(f"    {layer}" for layer in layers)
    assert f"\n\n{drawn}\n\n" in (ROOT / "docs/design.md").read_text("utf-8")


def test_design_draws_the_rooms_that_are_there() -> None:
    text = (ROOT / "docs/design.md").read_text("utf-8")
    tree = text[text.index("    src/rehead/\n") : text.index("    tests/  ")]
    drawn = re.findall(r"^      (\w+(?:\.py|/))", tree, re.MULTILINE)
    package = ROOT / "src/rehead"
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert sorted(drawn) == sorted(folders | {path.name for path in package.glob("*.py")})
    for folder in folders - {"cli/"}:
        (line,) = [line for line in tree.splitlines() if line.strip().startswith(folder)]
        files = {path.name for path in (package / folder).glob("*.py")} - {"__init__.py"}
        assert set(re.findall(r"\w+\.py", line)) == files, folder


def test_makefile_has_the_targets_that_the_pages_name() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        t
        for page in PAGES
        for t in re.findall(r"(?:`|^    )make (?:\w+=\S+ )?([a-z-]+)", page.read_text("utf-8"), re.M)
    }
    assert {"demo", "test"} <= named <= targets


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text("utf-8").splitlines()[-1]


@pytest.mark.parametrize("count", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_demo(count: int, tmp_path: Path) -> None:
    demo = [sys.executable, str(ROOT / "examples/demo.py"), "--photos", str(count), "--folder", "demo"]
    shown = run(demo, tmp_path)
    assert (tmp_path / "demo/run/report.html").is_file()
    assert str(tmp_path / "demo/run/report.html") in shown
    commands = re.findall(r"^  \$ rehead (\w+)", shown, re.MULTILINE)
    assert commands == ["train", "evaluate", "predict"]
    assert re.search(r"flower\.jpg +unknown", shown)
    assert len(re.findall(r"(?:0|2|7)/\d+\.png +\d", shown)) >= 2
