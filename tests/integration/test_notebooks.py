"""The notebooks of examples/ run, and results show themselves in a notebook as IPython asks them to.

A notebook is executed in a kernel of its own with photos that packages ship; a cell that fails fails the
test.
"""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rehead
from browser import Launch
from rehead.errors import DataError
from rehead.faces import Face, Faces, Quality
from rehead.faces.gallery.identification import Identification, Identifications
from rehead.keypoints import evaluate_keypoints
from rehead.keypoints.predictor import KeypointPrediction, KeypointPredictions
from rehead.workflows.keypoints import KeypointRun

nbformat = pytest.importorskip("nbformat", reason="needs pip install nbformat")

PhotoFolder = Callable[..., Path]
FOLDER = Path(__file__).parents[2] / "examples/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUICK = "five_celebrities"


def test_there_is_one_for_each_kind_of_tutorial() -> None:
    assert {path.stem for path in NOTEBOOKS} == {
        "alpacas_with_augmentation",
        "cats_and_dogs",
        "five_celebrities",
        "gender_layers_keypoints",
        "own_face_and_monkeys",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_committed(path: Path) -> None:
    """Where it is: `jupyter nbconvert --clear-output --inplace examples/notebooks/*.ipynb`."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook.metadata == {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert notebook.cells[0].source.startswith("# ")


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem != QUICK else []) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs pip install nbclient ipykernel")
    for name in ("PHOTOS", "PEOPLE", "POINTS", "IMAGES", "FACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EPOCHS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    work = tmp_path / "work"
    work.mkdir()
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    asyncio.run(client.async_execute())
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output.text for output in shown if output.get("name") == "stderr"]
    assert any("text/html" in output.get("data", {}) for output in shown)
    assert {entry.name for entry in work.iterdir()} <= {"runs"}


# what a cell shows


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo_folder: PhotoFolder) -> Path:
    folder = photo_folder(tmp_path_factory.mktemp("notebook") / "photos", {"blå <b>": 14, "red": 14})
    for n, file in enumerate(
        sorted((folder / "red").iterdir())[:4]
    ):  # wrong labels, so that there are mistakes
        file.rename(folder / "blå <b>" / f"wrong{n}.jpg")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tiny_onnx: Path) -> rehead.Run:
    classifier = rehead.ImageClassifier(tiny_onnx, cache=False)
    return rehead.train(photos, photos.parent / "run", classifier=classifier)


def shown(result: object) -> dict[str, Any]:
    """What IPython makes of a result, by MIME type."""
    formatters = pytest.importorskip("IPython.core.formatters", reason="needs pip install ipykernel")
    data, _ = formatters.DisplayFormatter().format(result)
    return dict(data)


def test_a_run_shows_itself(run: rehead.Run) -> None:
    html = shown(run)["text/html"]
    assert run.evaluation is not None
    assert str(run.evaluation.photos) in html and "report.html" in html
    assert "<b>" not in html.split("</style>")[1].replace("<b><bdi>", "")
    assert repr(run).startswith(f"<Run {run.folder}: ") and len(repr(run)) < 400
    assert "text/html" in shown(run.evaluation)


def test_a_run_has_mistakes_and_curves(run: rehead.Run) -> None:
    mistakes = run.mistakes()
    assert isinstance(mistakes, list) and mistakes, "labels were changed so that there are some"
    assert all(one.true != one.predicted for one in mistakes)
    html = shown(mistakes)["text/html"]
    assert html.count("data:image/jpeg") >= 2 * len(mistakes), "each with its map"
    assert str(len(mistakes)) and len(repr(mistakes)) < 2000 * len(mistakes), "no picture in the text"
    assert "<svg" in shown(run.curves())["text/html"]


def test_a_trained_network_has_curves_by_epoch(run: rehead.Run) -> None:
    epoch = dict.fromkeys(("train_loss", "val_loss", "train_accuracy", "val_accuracy"), 0.5)
    training = {"curves": [{"epoch": n, **epoch} for n in (1, 2)], "sentence": "It ended <b>."}
    trained: Any = SimpleNamespace(training_=training)
    html = shown(replace(run, classifier=trained).curves())["text/html"]
    assert "epoch" in html and "It ended &lt;b&gt;." in html and "held out" in html


def test_keypoints_that_were_learned_show_their_metrics() -> None:
    truth = np.random.default_rng(0).uniform(0, 60, (12, 5, 2))
    sizes, groups = np.full((12, 2), 64), np.arange(12) // 2
    evaluation = evaluate_keypoints(truth + 1, truth, sizes, groups)
    run = KeypointRun(Path("a <i>"), evaluation, ["Thin."], [], [], {})
    for result in (evaluation, run):
        html = shown(result)["text/html"]
        assert evaluation.sentence.split(",")[0] in html and "NME" in html and "<i>" not in html
    assert "Thin." in shown(run)["text/html"] and evaluation.sentence in repr(run)
    with pytest.raises(DataError, match="no network was trained"):
        run.curves()
    epoch = dict.fromkeys(("train_error", "val_error", "train_loss", "val_loss"), 0.1)
    training = {"options": {"loss": "l1"}, "curves": [{"epoch": 1, **epoch}]}
    assert "<svg" in shown(replace(run, training=training).curves())["text/html"]


def test_predictions_are_a_list_that_shows_itself(run: rehead.Run, photos: Path, tmp_path: Path) -> None:
    model = rehead.load_model(run.folder / "model.onnx")
    files = sorted(photos.glob("*/*"))
    found = model.predict([*files[:2], files[2].read_bytes()])
    assert isinstance(found, list) and [answer.photo for answer in found[:2]] == [str(f) for f in files[:2]]
    assert found == model.predict([*files[:2], files[2].read_bytes()])
    html = shown(found)["text/html"]
    assert html.count("data:image/jpeg") == 2 and html.count("no picture") == 1
    assert shown(found[0])["text/html"].count("data:image/jpeg") == 1
    assert shown(found[:1])["text/html"] == shown(found[0])["text/html"]
    assert "more photos" in shown(type(found)(list(found) * 20))["text/html"]
    gone = Path(shutil.copy(files[0], tmp_path / "gone.jpg"))
    answer = model.predict(gone)
    gone.unlink()
    assert "no picture" in shown(answer)["text/html"]


def test_an_evaluation_of_a_file_shows_its_warnings(run: rehead.Run, photos: Path) -> None:
    result = rehead.evaluate_model(rehead.load_model(run.folder / "model.onnx"), photos)
    assert "were trained on" in shown(result)["text/html"]


def test_maps_neighbours_and_explanations_are_pictures(
    run: rehead.Run, photos: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    photo = Path(shutil.copy(next(photos.glob("*/*")), tmp_path / "one.jpg"))
    results = [
        rehead.layer_maps(photo, backbone=tiny_onnx, layer="first"),
        rehead.similar(photos, photo, backbone=tiny_onnx, cache=False),
        rehead.explain(run.folder / "model.onnx", photo),
    ]
    for result in results:
        data = shown(result)
        assert data["image/jpeg"] and "text/html" not in data
        image = result.to_image()
        assert isinstance(image, Image.Image) and np.array_equal(np.asarray(image), result.draw())
    photo.unlink()
    for result in results:
        assert set(shown(result)) == {"text/plain"}


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face <i>.png")
    return tmp_path / "face <i>.png"


def test_faces_and_names_are_drawn_into_the_photo(portrait: Path) -> None:
    quality = Quality(30.0, 12.0, 0.0, 0.0, 0.0)
    face = Face(np.array([10.0, 10, 40, 50]), np.zeros((5, 2)), 0.99, quality)
    faces = Faces([face, face], str(portrait))
    assert faces[:1].photo == faces.photo and isinstance(faces, list)
    who = Identification(face, "Ann <i>", "Ann <i>", 0.9, 0.1, 0.99, 0.5, "", ("blurred",))
    for result in (faces, Identifications([who], str(portrait))):
        html = shown(result)["text/html"]
        assert "data:image/jpeg" in html and "<i>" not in html
    assert "blurred" in html
    assert "data:image" not in shown(Faces([face]))["text/html"], "the photo came as bytes"
    assert copy.copy(faces).photo == faces.photo
    assert "No face was found" in shown(Faces([], str(portrait)))["text/html"]


def test_points_are_drawn_into_the_photo(portrait: Path) -> None:
    points = np.array([[20.0, 20], [50, 30]])
    one = KeypointPrediction(str(portrait), (90, 60), points, np.stack([np.eye(2)] * 2), 0.9, 0.1, "")
    html = shown(KeypointPredictions([one]))["text/html"]
    assert "data:image/jpeg" in html and "2 points" in html
    assert shown(one)["text/html"] == html


# beside other things on the page


@pytest.fixture(scope="module")
def chromium(launch: Launch) -> Any:
    return launch()


_STYLES = """() => [...document.querySelectorAll('#around *')].map(e => {
    const s = getComputedStyle(e);
    return [s.color, s.backgroundColor, s.font, s.margin, s.padding, s.display, s.borderTopWidth].join()
})"""
_AROUND = """<div id="around"><h2>H</h2><p class="lede">P</p>
<table class="scores"><tr><th>a</th><td>b</td></tr></table><figure><img alt=""></figure>
<details><summary>S</summary></details><svg><text class="name">t</text></svg></div>"""


@pytest.mark.parametrize(("theme", "scheme"), [("true", "dark"), ("false", "light"), (None, "dark")])
def test_style_stays_inside_and_follows_the_notebook(
    chromium: Any, run: rehead.Run, theme: str | None, scheme: str
) -> None:
    page = chromium.new_page(color_scheme=scheme)
    body = f'<body data-jp-theme-light="{theme}">' if theme else "<body>"
    page.set_content(body + _AROUND)
    before = page.evaluate(_STYLES)
    page.set_content(body + _AROUND + run._repr_html_() + run.mistakes()._repr_html_())
    assert page.evaluate(_STYLES) == before
    paper = page.evaluate("getComputedStyle(document.querySelector('.rehead')).backgroundColor")
    dark = theme == "false" or (theme is None and scheme == "dark")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    page.close()
