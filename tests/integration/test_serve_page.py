"""The page of `rehead serve` in Chromium: its answers are those of `predict`, from files and from a camera.

Needs Chromium (`apt-get install chromium`); skipped where it is not there.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import LONG, SIZE, AnswerPage, Launch, write_film
from rehead import ImageClassifier, explain, load_model
from rehead.classification.predictor import Prediction, Predictor

PhotoFolder = Callable[..., Path]
ANSWERED = "body[data-state=answered]"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo_folder: PhotoFolder) -> Path:
    return photo_folder(tmp_path_factory.mktemp("serve") / "photos", {"blå": 12, "red fish": 12, "third": 12})


@pytest.fixture(scope="module")
def model(photos: Path, tiny_onnx: Path) -> Predictor:
    path = photos.parent / "model.onnx"
    ImageClassifier(tiny_onnx).fit(photos).save(path)
    return load_model(path)


@contextlib.contextmanager
def served(
    model: Predictor, place: Path, *, token: str | None = None, models: Any = None, **options: Any
) -> Iterator[str]:
    """Serve the model under two names, or these `models`; the address."""
    pytest.importorskip("uvicorn", reason="needs pip install 'rehead[serve]'")
    from rehead.serving.app import create_app
    from rehead.serving.models import ModelSet
    from rehead.serving.options import ServeOptions
    from served_app import served_app

    file = place / "model.onnx"
    models = models or ModelSet([file, f"other={file}"])
    app = create_app(models, ServeOptions(**options), token=token)
    with served_app(app) as (host, port):
        yield f"http://{host}:{port}/"


@pytest.fixture(scope="module")
def kept(photos: Path) -> Path:
    return photos.parent / "kept"


@pytest.fixture(scope="module")
def address(model: Predictor, photos: Path, kept: Path) -> Iterator[str]:
    with served(model, photos.parent, collect=kept, max_megabytes=1) as address:
        yield address


@pytest.fixture(scope="module")
def browser(photos: Path, launch: Launch) -> Any:
    """One whose camera shows a photo of each class in turn."""
    film = photos.parent / "camera.y4m"
    write_film(film, [next(folder.iterdir()) for folder in sorted(photos.iterdir())])
    return launch(film)


class Page(AnswerPage):
    """The page as a visitor has it; what it logs or asks of elsewhere is a failure."""

    def __init__(self, browser: Any, address: str, *, mistakes: bool = False, **options: Any) -> None:
        self.address, self.said, self.mistakes = address, list[str](), mistakes
        self.asked = list[Any]()
        self.flying, self.most_flying = 0, 0
        self.view = browser.new_page(**options)
        self.view.set_default_timeout(LONG)
        self.view.on("console", lambda message: self.said.append(message.text))
        self.view.on("pageerror", lambda error: self.said.append(f"ERROR {error}"))
        self.view.on("request", self._began)
        for event in ("requestfinished", "requestfailed"):
            self.view.on(event, self._ended)
        self.view.goto(address)

    def _began(self, request: Any) -> None:
        self.asked.append(request)
        self.flying += request.method == "POST"
        self.most_flying = max(self.flying, self.most_flying)

    def _ended(self, request: Any) -> None:
        self.flying -= request.method == "POST"

    def __enter__(self) -> Page:
        self.view.wait_for_selector("body[data-state=ready], body[data-state=token]")
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            assert [word for word in self.said if not (self.mistakes and "Failed to load" in word)] == []
            own = (self.address, "blob:", "data:")
            assert [one.url for one in self.asked if not one.url.startswith(own)] == []
        self.view.close()

    def says(self, problem: str) -> None:
        self.view.wait_for_selector("#problem:not(:empty)")
        assert re.fullmatch(problem, self.view.text_content("#problem"))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    with Page(browser, address, permissions=["camera"]) as page:
        yield page


def assert_same(found: dict[str, Any], expected: Prediction) -> None:
    assert found["label"] == expected.label
    assert float(found["probability"]) == pytest.approx(expected.probability, abs=1e-6)
    assert found["reason"] == expected.reason


def noise(folder: Path) -> Path:
    path = folder / "noise.png"
    pixels = np.random.default_rng(5).integers(0, 2, (24, 24, 3), dtype=np.uint8) * 255
    Image.fromarray(pixels).save(path)
    return path


def test_its_answers_are_those_of_predict(page: Page, model: Predictor, photos: Path, tmp_path: Path) -> None:
    some = [*sorted(photos.rglob("*.jpg"))[::7], noise(tmp_path)]
    labels = set()
    for photo, expected in zip(some, model.predict(some), strict=True):
        assert_same(page.answer(photo), expected)
        labels.add(expected.label)
        rows = page.view.eval_on_selector_all(".bar", "all => all.map((one) => ({...one.dataset}))")
        shown = {row["class"]: float(row["probability"]) for row in rows}
        assert shown == pytest.approx(dict(zip(model.labels, expected.probabilities, strict=True)), abs=1e-6)
    assert len(labels) >= 3
    # the last one is unknown, and why is said without figures first
    nearest, sure = expected.nearest, f"{100 * expected.probability:.1f} %"
    assert page.view.text_content("#reason").endswith(f". The nearest class is {nearest}, {sure}.")
    assert page.view.text_content("#reason").startswith("It does not look like the photos")
    assert page.view.text_content("#exact").lower() == expected.reason.lower()


def test_the_camera_is_answered_live(page: Page, model: Predictor, kept: Path) -> None:
    page.view.click("#camera")
    page.view.wait_for_selector(f"{ANSWERED}[data-source=camera]")
    page.view.wait_for_function("() => performance.getEntriesByType('resource').length > 25")
    assert page.most_flying == 1
    assert page.view.text_content("#camera") == "Stop the camera"
    mirrored = "getComputedStyle(document.getElementById('video')).transform"
    assert page.view.evaluate(mirrored) == "matrix(-1, 0, 0, 1, 0, 0)"
    assert page.view.is_hidden("#cameras")  # there is but one
    # the frame stays with its answer, and is what is kept; a click would wait for the button to rest
    page.view.press("#wrong", "Enter")
    page.view.wait_for_selector(f"{ANSWERED}[data-source=photo]")
    assert page.view.evaluate("document.getElementById('video').srcObject") is None
    page.view.select_option("#class", label="Another class…")
    page.view.fill("#class-name", "frame")
    page.view.click("#right .first")
    page.view.wait_for_selector("#kept:not(:empty)")
    (frame,) = (kept / "frame").iterdir()
    with Image.open(frame) as picture:
        assert picture.size == SIZE
    assert_same(page.found(""), model.predict([frame])[0])


def test_one_of_two_cameras_is_chosen(address: str, launch: Launch) -> None:
    browser = launch(cameras=2)
    with Page(browser, address, permissions=["camera"]) as page:
        page.view.click("#camera")
        page.view.wait_for_selector(f"{ANSWERED}[data-source=camera]")
        other = page.choose_other_camera()
        used = "document.getElementById('video').srcObject?.getVideoTracks()[0].getSettings().deviceId"
        page.view.wait_for_function(f"id => {used} === id", arg=other)
    browser.close()


def test_a_photo_is_dropped_or_pasted(page: Page, model: Predictor, photos: Path) -> None:
    photo = next((photos / "blå").iterdir())
    for kind in ("drop", "paste"):
        page.bring(kind, photo, f"{kind}.jpg")
        assert_same(page.found(f"{kind}.jpg"), model.predict(photo)[0])


def test_what_cannot_be_answered_is_said_and_the_page_goes_on(
    page: Page, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    page.view.set_input_files("#file", tmp_path / "broken.jpg")
    page.says(r"broken\.jpg: damaged or truncated.*")
    page.answer(next((photos / "third").iterdir()))
    assert page.view.text_content("#problem") == ""
    (tmp_path / "large.jpg").write_bytes(bytes(1_000_001))
    page.view.set_input_files("#file", tmp_path / "large.jpg")
    page.says(r"large\.jpg: larger than the 1 MB that this server takes")
    # a kind of photo that the server reads and the browser does not
    Image.open(next((photos / "third").iterdir())).save(tmp_path / "photo.tif")
    page.answer(tmp_path / "photo.tif")
    page.view.wait_for_selector("#unseen:visible")


def test_the_map_is_that_of_explain(page: Page, model: Predictor, photos: Path) -> None:
    photo = next((photos / "red fish").iterdir())
    records = []

    def watch(route: Any) -> None:
        answer = route.fetch()
        records.append(answer.json())
        route.fulfill(response=answer)

    page.view.route("**/predict*", watch)
    page.answer(photo)
    found = np.array(records[0]["answers"][0]["map"])
    (expected,) = explain(photos.parent / "model.onnx", photo, classes=[model.predict(photo)[0].nearest]).maps
    np.testing.assert_allclose(found, expected.values, atol=1e-3 * np.abs(expected.values).max())
    page.view.check("#explain")
    drawn = "(() => { const one = document.getElementById('map'); return [one.height, one.width]; })()"
    assert page.view.evaluate(drawn) == list(found.shape)
    assert page.view.is_visible("#map")
    assert expected.label in page.view.text_content("#of")


def test_another_model_is_chosen(page: Page, photos: Path) -> None:
    photo = next((photos / "third").iterdir())
    page.answer(photo)
    with page.view.expect_request("**/predict?model=other&*"):
        page.view.select_option("#model", "other")
    page.found(photo.name)


def test_what_was_wrong_is_kept_with_its_class(page: Page, kept: Path, photos: Path) -> None:
    photo = next((photos / "third").iterdir())
    page.answer(photo)
    page.view.click("#wrong")
    page.view.select_option("#class", "blå")
    page.view.click("#right .first")
    page.view.wait_for_selector("#kept:not(:empty)")
    assert page.view.text_content("#kept") == "Kept as blå."
    (file,) = (kept / "blå").iterdir()
    assert file.read_bytes() == photo.read_bytes()


def test_a_class_that_cannot_be_is_refused(browser: Any, address: str, kept: Path, photos: Path) -> None:
    with Page(browser, address, mistakes=True) as page:
        page.answer(next((photos / "third").iterdir()))
        page.view.click("#wrong")
        page.view.select_option("#class", label="Another class…")
        for name, problem in (("../x", ".*cannot have '/' in its name.*"), ("Third", ".*a class 'third'.*")):
            page.view.fill("#class-name", name)
            page.view.click("#right .first")
            page.view.wait_for_selector(f"#problem:has-text({json.dumps(name)})")
            page.says(problem)
    assert not (kept.parent / "x").exists()
    assert not (kept / "Third").exists()


def test_nothing_is_kept_where_no_folder_was_named(model: Predictor, photos: Path) -> None:
    httpx = pytest.importorskip("httpx")
    with served(model, photos.parent) as address:
        assert 'id="wrong"' not in httpx.get(address).text
        photo = next((photos / "third").iterdir()).read_bytes()
        assert httpx.post(f"{address}collect?class=third", content=photo).status_code == 404


def test_a_page_of_another_host_keeps_nothing(address: str, kept: Path, photos: Path) -> None:
    httpx = pytest.importorskip("httpx")
    before = sorted(kept.rglob("*"))
    photo = next((photos / "red fish").iterdir()).read_bytes()
    headers = {"origin": "https://elsewhere.example", "content-type": "text/plain"}
    answer = httpx.post(f"{address}collect?class=third", content=photo, headers=headers)
    assert answer.status_code == 403
    assert sorted(kept.rglob("*")) == before


def test_the_token_is_asked_for_once(browser: Any, model: Predictor, photos: Path) -> None:
    with (
        served(model, photos.parent, token="s3cret") as address,
        Page(browser, address, mistakes=True) as page,
    ):
        page.view.wait_for_selector("#token:visible")
        page.view.fill("#token-text", "guess")
        page.view.keyboard.press("Enter")
        page.says("That is not the token of this server.")
        page.view.fill("#token-text", "s3cret")
        page.view.keyboard.press("Enter")
        page.view.wait_for_selector("body[data-state=ready]")
        assert page.view.is_hidden("#token")
        page.answer(next((photos / "third").iterdir()))
        (cookie,) = page.view.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.view.reload()
        page.view.wait_for_selector("body[data-state=ready]")
        # as does the address that the server prints; a wrong one still opens the page, which asks
        httpx = pytest.importorskip("httpx")
        opened = httpx.get(f"{address}?token=s3cret")
        assert opened.status_code == 303
        assert "HttpOnly" in opened.headers["set-cookie"]
        assert httpx.get(f"{address}?token=guess").status_code == 200
        assert httpx.post(f"{address}collect?class=third", content=b"").status_code == 401


def test_a_token_that_holds_no_more_is_asked_for_again_and_all_stays(
    browser: Any, model: Predictor, photos: Path, tmp_path: Path
) -> None:
    """The photo with its answer, the model that was chosen, and what was about to be kept."""
    with (
        served(model, photos.parent, token="s3cret", collect=tmp_path) as address,
        Page(browser, address, mistakes=True) as page,
    ):
        page.view.fill("#token-text", "s3cret")
        page.view.keyboard.press("Enter")
        page.view.wait_for_selector("body[data-state=ready]")
        page.view.select_option("#model", "other")
        page.answer(next((photos / "third").iterdir()))
        page.view.click("#wrong")
        page.view.context.clear_cookies()
        page.view.click("#right .first")
        page.view.wait_for_selector("#token:visible")
        assert page.view.text_content("#problem") == ""
        page.view.fill("#token-text", "s3cret")
        page.view.keyboard.press("Enter")
        page.view.wait_for_selector(ANSWERED)
        assert page.view.input_value("#model") == "other"
        page.view.click("#right .first")
        page.view.wait_for_selector("#kept:not(:empty)")
    assert len(list(tmp_path.rglob("*.jpg"))) == 1


def test_a_model_that_is_replaced_is_the_one_that_the_page_speaks_of(
    browser: Any, model: Predictor, photos: Path, photo_folder: PhotoFolder, tiny_onnx: Path, tmp_path: Path
) -> None:
    from rehead.serving.models import ModelSet

    file = tmp_path / "model.onnx"
    shutil.copy(photos.parent / "model.onnx", file)
    models = ModelSet([file])
    with (
        served(model, tmp_path, models=models, collect=tmp_path / "kept") as address,
        Page(browser, address, permissions=["camera"]) as page,
    ):
        page.view.click("#camera")
        page.view.wait_for_selector(f"{ANSWERED}[data-source=camera]")
        assert "tells 3 classes apart" in page.view.text_content("#lede")
        things = photo_folder(tmp_path / "things", {"cup": 12, "glass": 12})
        ImageClassifier(tiny_onnx).fit(things).save(file)
        assert models.reload("model")
        page.view.wait_for_selector("#lede:has-text('tells 2 classes apart')")
        page.view.press("#wrong", "Enter")
        page.view.wait_for_selector("#right:visible")
        asked = page.view.locator("#class option").all_text_contents()
        said = page.view.text_content("#answer")
        assert {*asked, said} - {"unknown"} == {"cup", "glass", "Another class…"}


def test_a_server_that_is_gone_is_said(browser: Any, model: Predictor, photos: Path) -> None:
    with served(model, photos.parent) as address, Page(browser, address, mistakes=True) as page:
        page.view.context.set_offline(True)
        page.view.set_input_files("#file", next((photos / "third").iterdir()))
        page.says("The server does not answer.*")


def test_a_server_that_is_gone_when_a_photo_is_to_be_kept_is_said_where_it_is_seen(
    browser: Any, model: Predictor, photos: Path, tmp_path: Path
) -> None:
    with (
        served(model, photos.parent, collect=tmp_path) as address,
        Page(browser, address, mistakes=True, viewport={"width": 375, "height": 500}) as page,
    ):
        page.answer(next((photos / "third").iterdir()))
        page.view.click("#wrong")
        page.view.context.set_offline(True)
        page.view.click("#right .first")
        page.says("The server does not answer.*")
        top = page.view.evaluate("document.getElementById('problem').getBoundingClientRect().top")
        assert 0 <= top < 500


def test_faces_are_named_in_boxes_and_points_are_drawn(browser: Any, address: str, photos: Path) -> None:
    """With answers as `/identify` and a model of keypoints give them."""
    face = {"box": [2, 3, 20, 24], "points": [], "score": 1}
    named = {"name": "Ada", "nearest": "Ada", "probability": 0.97, "reason": "", "face": face}
    strange = named | {"name": "unknown", "reason": "too far", "face": face | {"box": [30, 3, 50, 24]}}
    points = [{"x": 10, "y": 12, "name": "left eye"}, {"x": 20, "y": 12, "name": "right eye"}]
    answers: dict[str, dict[str, Any]] = {
        "identify": {"faces": [strange, named]},
        "predict": {"points": points, "width": 64, "height": 48, "confidence": 0.9, "reason": ""},
    }

    def fulfil(answer: dict[str, Any], route: Any) -> None:
        route.fulfill(json={"answers": [answer]})

    with Page(browser, address) as page:
        page.view.route(
            "**/models",
            lambda route: route.fulfill(
                json=[{"name": "eyes", "kind": "keypoints", "labels": [], "points": 2}]
            ),
        )
        page.view.route(
            address,
            lambda route: route.fulfill(
                response=(got := route.fetch()),
                body=got.text().replace('"gallery": false', '"gallery": true'),
            ),
        )
        for path, answer in answers.items():
            page.view.route(f"**/{path}*", partial(fulfil, answer))
        page.view.reload()
        page.view.wait_for_selector("body[data-state=ready]")
        assert page.answer(next((photos / "third").iterdir()))["label"] == "2 points"
        page.view.wait_for_selector("#marks circle")
        assert page.view.locator("#marks circle.over").count() == 2
        page.view.select_option("#model", label="People in the gallery")
        page.view.wait_for_selector("#marks rect")
        assert page.view.text_content("#answer") == "Ada, unknown"
        assert page.view.locator("#marks text").all_text_contents() == ["Ada", "unknown"]
        # legible, however small the photo is
        assert page.view.locator("#marks text").first.bounding_box()["height"] >= 12
        assert page.view.locator("#faces li").all_text_contents() == [
            "Ada97.0 % likely",
            "unknownToo far. The nearest person is Ada.",
        ]
        assert page.view.is_hidden("#wrong")


def test_all_is_done_by_keyboard(page: Page, kept: Path, photos: Path) -> None:
    def focused() -> str:
        text: str = page.view.evaluate("document.activeElement.id || document.activeElement.className")
        return text

    press = page.view.keyboard.press
    order = []
    for _ in range(3):
        press("Tab")
        order.append(focused())
    assert order == ["model", "file", "camera"]
    page.view.focus("#camera")
    press("Enter")
    page.view.wait_for_selector(f"{ANSWERED}[data-source=camera]")
    press("Enter")
    page.view.wait_for_selector("body[data-state=ready]")
    page.answer(next((photos / "third").iterdir()))
    page.view.focus("#camera")
    for place in ("bar", "explain", "wrong"):
        press("Tab")
        assert focused() == place
    press("Enter")
    assert focused() == "class"
    press("Escape")
    assert focused() == "wrong"
    press("Enter")
    press("Tab")
    press("Enter")
    page.view.wait_for_selector("#kept:not(:empty)")
    assert focused() == "wrong"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1400])
def test_it_fits_screens_and_axe_finds_nothing(
    width: int, scheme: str, browser: Any, address: str, photos: Path, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

    def check(page: Page) -> None:
        assert page.view.evaluate("document.documentElement.scrollWidth") <= width
        assert [one["id"] for one in axe.Axe().run(page.view).response["violations"]] == []

    with Page(browser, address, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        check(page)
        page.answer(next((photos / "third").iterdir()))
        page.view.check("#explain")
        page.view.click("#wrong")
        page.view.click("summary")
        check(page)
        page.answer(noise(tmp_path))
        check(page)
        paper = page.view.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")


def test_a_page_without_scripts_of_its_own_text(address: str) -> None:
    """The policy holds without exceptions: there is neither script nor style in the page itself."""
    httpx = pytest.importorskip("httpx")
    answer = httpx.get(address)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert re.findall(r"<script(?![^>]*(?: src=|application/json))|<style| style=| on\w+=", answer.text) == []
