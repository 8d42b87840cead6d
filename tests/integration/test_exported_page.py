"""An exported page in Chromium: its answers are those of `rehead predict`, from files and from a camera.

Needs Chromium (`apt-get install chromium`) and, once, the npm registry; skipped where one is not there.
"""

from __future__ import annotations

import base64
import functools
import http.server
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import LONG, SIZE, AnswerPage, Launch, write_film
from rehead import ImageClassifier, explain, load_model
from rehead.classification.predictor import Prediction, Predictor
from rehead.errors import WeightsNotFoundError
from rehead.exporting import export_model, onnxruntime_web

PhotoFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo_folder: PhotoFolder) -> Path:
    return photo_folder(tmp_path_factory.mktemp("page") / "photos", {"blå": 12, "red fish": 12, "third": 12})


@pytest.fixture(scope="module")
def model(photos: Path, tiny_onnx: Path) -> Predictor:
    path = photos.parent / "model.onnx"
    ImageClassifier(tiny_onnx).fit(photos).save(path)
    return load_model(path)


@pytest.fixture(scope="module")
def pages(photos: Path, model: Predictor) -> Iterator[dict[str, str]]:
    """The page as a folder on a static server, and as a file; their addresses."""
    try:
        onnxruntime_web.runtime_files()
    except WeightsNotFoundError as error:
        pytest.skip(str(error))
    place = photos.parent
    web, page = (export_model(place / "model.onnx", place / name, name).folder for name in ("web", "html"))

    class Server(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Server, directory=web)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "web": f"http://127.0.0.1:{server.server_port}/",
            "html": (page / "index.html").as_uri(),
        }
        server.shutdown()


@pytest.fixture(scope="module")
def browser(photos: Path, launch: Launch) -> Any:
    """One whose camera shows a photo."""
    film = photos.parent / "camera.y4m"
    write_film(film, [next((photos / "third").iterdir())])
    return launch(film)


class Page(AnswerPage):
    """The page as a visitor has it; what it logs or asks of elsewhere is a failure."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.view = browser.new_page(**options)
        self.view.set_default_timeout(LONG)
        self.view.on("console", lambda message: self.said.append(message.text))
        self.view.on("pageerror", lambda error: self.said.append(str(error)))
        self.view.on("request", lambda request: self.asked.append(request.url))
        self.view.goto(address)
        self.view.wait_for_selector("body[data-state=ready]")

    def close(self, origin: str) -> None:
        assert self.said == []
        elsewhere = [url for url in self.asked if not url.startswith((origin, "blob:", "data:"))]
        assert elsewhere == []
        self.view.close()


def assert_same(found: dict[str, Any], expected: Prediction) -> None:
    assert found["label"] == expected.label
    assert float(found["probability"]) == pytest.approx(expected.probability, abs=1e-3)
    assert found["reason"].partition(" (")[0] == expected.reason.partition(" (")[0]


def photos_of_all_kinds(folder: Path, photo: Path) -> Iterator[Path]:
    picture = Image.open(photo)
    tall = picture.resize((picture.width * 4 + 3, picture.height * 9 + 1), Image.Resampling.BICUBIC)
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(picture.size))
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(5).integers(0, 2, (24, 24, 3), dtype=np.uint8) * 255
    for name, one, options in (
        ("plain.png", picture, {}),
        ("tall.png", tall, {}),
        ("large.jpg", tall, {"quality": 95}),
        ("turned.jpg", tall, {"exif": exif, "quality": 95}),
        ("cmyk.jpg", picture.convert("CMYK"), {"quality": 95}),
        ("grey.jpg", picture.convert("L"), {"quality": 95}),
        ("alpha.png", alpha, {}),
        ("palette.gif", picture.quantize(64), {}),
        ("photo.webp", picture, {}),
        ("noise.png", Image.fromarray(noise), {}),
    ):
        one.save(folder / name, **options)
        yield folder / name


@pytest.mark.parametrize("kind", ["web", "html"])
def test_its_answers_are_those_of_predict(
    kind: str, pages: dict[str, str], browser: Any, model: Predictor, photos: Path, tmp_path: Path
) -> None:
    some = sorted(photos.rglob("*.jpg"))[:: 6 if kind == "web" else 18]
    some += photos_of_all_kinds(tmp_path, some[0])
    page = Page(browser, pages[kind])
    labels = set()
    for photo, expected in zip(some, model.predict(some), strict=True):
        found = page.answer(photo)
        assert_same(found, expected)
        labels.add(found["label"])
    assert "unknown" in labels
    assert len(labels) >= 3
    page.close(pages[kind])


@pytest.mark.parametrize("form", ["web", "html"])
def test_it_tests_itself_when_it_is_loaded(form: str, pages: dict[str, str], browser: Any) -> None:
    page = Page(browser, pages[form])
    page.view.wait_for_selector("body[data-tested]")
    assert page.view.get_attribute("body", "data-tested") == "same"
    said = page.view.text_content("#tested")
    assert said == "Self-test: the 5 golden pictures of the model file get the file's answers here."
    assert page.view.text_content("#problem") == ""
    page.close(pages[form])


def test_a_page_whose_network_answers_otherwise_says_so(pages: dict[str, str], browser: Any) -> None:
    def altered(route: Any) -> None:
        text = route.fetch().text()
        route.fulfill(
            body=text.replace('"tolerance": {"probability": 0.001', '"tolerance": {"probability": -1')
        )

    view = browser.new_page()
    view.set_default_timeout(LONG)
    view.route("**/", altered)
    view.goto(pages["web"])
    view.wait_for_selector("body[data-tested=other]")
    assert view.text_content("#problem").startswith("This browser does not give the model's answers")
    view.close()


def test_its_pixels_are_those_of_pillow(browser: Any) -> None:
    """To the bit, for every filter, part and shape."""
    worker = (Path(onnxruntime_web.__file__).parent / "worker.js").read_text("utf-8")
    script = """([code, model, width, height, letters, box, side]) => {
      const given = code.replace("model;", `model = ${JSON.stringify(model)};`);
      const made = new Function(`${given}; return resized`)();
      const data = Uint8Array.from(letters.split(","), Number);
      return Array.from(made({ data, width, height, channels: 4 }, box, side, side)).join();
    }"""
    rng = np.random.default_rng(8)
    view = browser.new_page()  # whose policy lets the code be made
    for width, height in ((5, 90), (41, 33), (33, 41), (200, 70), (64, 64), (30, 75)):
        pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
        letters = ",".join(map(str, pixels.ravel().tolist()))
        for name, how in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
            part = 0.875 * min(width, height)
            left, top = (width - part) / 2, (height - part) / 2
            for box in ((0, 0, width, height), (left, top, left + part, top + part)):
                found = view.evaluate(script, [worker, {"filter": name}, width, height, letters, box, 32])
                got = np.array(found.split(","), np.uint8).reshape(32, 32, 3)
                expected = Image.fromarray(pixels[:, :, :3]).resize((32, 32), how, box)
                np.testing.assert_array_equal(got, np.asarray(expected), f"{width} x {height} {name} {box}")
    view.close()


def test_the_camera_is_answered_live(
    pages: dict[str, str], browser: Any, model: Predictor, tmp_path: Path
) -> None:
    page = Page(browser, pages["web"], permissions=["camera"])
    page.view.click("#camera")
    found = page.found("camera")
    assert page.view.text_content("#camera") == "Stop the camera"
    assert page.view.evaluate("getComputedStyle(document.getElementById('video')).transform") == (
        "matrix(-1, 0, 0, 1, 0, 0)"
    )
    frame = page.view.evaluate(
        """() => {
          const video = document.getElementById("video");
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
          canvas.getContext("2d").drawImage(video, 0, 0);
          return canvas.toDataURL("image/png");
        }"""
    )
    seen = Image.open(io.BytesIO(base64.b64decode(frame.partition(",")[2])))
    assert seen.size == SIZE
    assert_same(found, model.predict(seen)[0])
    assert found["label"] in ("third", "unknown")
    assert page.view.is_hidden("#cameras")  # there is but one
    page.view.click("#camera")
    page.view.wait_for_selector("body[data-state=ready]")
    assert page.view.evaluate("document.getElementById('video').srcObject") is None
    page.close(pages["web"])


def test_one_of_two_cameras_is_chosen(pages: dict[str, str], launch: Launch) -> None:
    browser = launch(cameras=2)
    page = Page(browser, pages["web"], permissions=["camera"])
    page.view.click("#camera")
    page.found("camera")
    other = page.choose_other_camera()
    page.view.wait_for_function("other => camera.device === other", arg=other)
    page.found("camera")
    page.close(pages["web"])
    browser.close()


def test_a_photo_is_dropped_or_pasted(
    pages: dict[str, str], browser: Any, model: Predictor, photos: Path
) -> None:
    photo = next((photos / "blå").iterdir())
    page = Page(browser, pages["web"])
    for kind in ("drop", "paste"):
        page.bring(kind, photo, f"{kind}.jpg")
        assert_same(page.found(f"{kind}.jpg"), model.predict(photo)[0])
    page.close(pages["web"])


def test_the_map_is_that_of_explain(
    pages: dict[str, str], browser: Any, model: Predictor, photos: Path
) -> None:
    photo = next((photos / "red fish").iterdir())
    page = Page(browser, pages["web"])
    page.answer(photo)
    page.view.check("#explain")
    found = page.view.evaluate(
        """() => {
          const { values, height, width } = shown.maps;
          const canvas = document.getElementById("map");
          return { values: Array.from(values), height, width, canvas: [canvas.width, canvas.height] };
        }"""
    )
    maps = np.reshape(found["values"], (-1, found["height"], found["width"]))
    for one in explain(photos.parent / "model.onnx", photo, classes=model.labels).maps:
        found_map = maps[model.labels.index(one.label)]
        np.testing.assert_allclose(found_map, one.values, atol=1e-3 * np.abs(maps).max())
    assert found["canvas"] == [found["width"], found["height"]]
    page.close(pages["web"])


def test_it_is_used_by_keyboard_and_read_aloud(pages: dict[str, str], browser: Any, photos: Path) -> None:
    page = Page(browser, pages["web"])
    page.view.keyboard.press("Tab")
    assert page.view.evaluate("document.activeElement.id") == "file"
    page.view.keyboard.press("Tab")
    assert page.view.evaluate("document.activeElement.id") == "camera"
    page.answer(next((photos / "third").iterdir()))
    page.view.keyboard.press("Tab")
    page.view.keyboard.press("Enter")  # the first class: its map
    assert page.view.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert page.view.is_checked("#explain")
    unnamed = page.view.evaluate(
        """() => [...document.querySelectorAll("input, button, select, img, video")]
          .filter((one) => one.offsetParent !== null)
          .filter((one) => !(one.labels?.length || one.textContent.trim() || one.alt || one.ariaLabel))
          .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    assert page.view.get_attribute("#answer", "aria-live") == "polite"
    page.close(pages["web"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1400])
def test_it_fits_screens(width: int, scheme: str, pages: dict[str, str], browser: Any, photos: Path) -> None:
    page = Page(browser, pages["web"], viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.answer(next((photos / "third").iterdir()))
    page.view.check("#explain")
    assert page.view.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    page.close(pages["web"])


def test_what_cannot_be_read_is_said_and_the_page_goes_on(
    pages: dict[str, str], browser: Any, photos: Path, tmp_path: Path
) -> None:
    page = Page(browser, pages["web"])
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    page.view.set_input_files("#file", tmp_path / "broken.jpg")
    page.view.wait_for_selector("#problem:not(:empty)")
    assert page.view.text_content("#problem").startswith("broken.jpg: this browser cannot read it")
    page.answer(next((photos / "third").iterdir()))
    assert page.view.text_content("#problem") == ""
    page.close(pages["web"])


def test_a_folder_opened_as_a_file_says_how_to_serve_it(
    pages: dict[str, str], browser: Any, photos: Path
) -> None:
    view = browser.new_page()
    view.set_default_timeout(LONG)
    view.goto((photos.parent / "web" / "index.html").as_uri())
    view.wait_for_selector("#problem:not(:empty)")
    assert "python -m http.server" in view.text_content("#problem")
    view.close()


def test_a_part_that_is_missing_is_named(pages: dict[str, str], browser: Any) -> None:
    view = browser.new_page()
    view.set_default_timeout(LONG)
    view.route("**/model.onnx*", lambda route: route.fulfill(status=404))
    view.goto(pages["web"])
    view.wait_for_selector("#problem:not(:empty)")
    assert view.text_content("#problem") == "The model cannot be loaded: model.onnx cannot be loaded (404)"
    view.close()
