"""`rehead studio` in Chromium: from an empty folder to a model that answers on the camera, by clicks alone.

Needs Chromium (`apt-get install chromium`); skipped where it is not there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from PIL import Image

from browser import LONG, Launch, write_film
from rehead import load_model
from rehead.data import read_dataset

PhotoFolder = Callable[..., Path]


class Studio:
    """A server on a folder, and how it is ended."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        command = [sys.executable, "-m", "rehead", "studio", str(folder), "--no-browser", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> str:
        self.process.terminate()
        return self.process.communicate()[1]


class Start(Protocol):
    def __call__(self, folder: Path, *options: str) -> Studio: ...


@pytest.fixture
def start(tiny_onnx: Path) -> Iterator[Start]:
    """Start a studio, with a tiny network unless options say otherwise."""
    started = []

    def start(folder: Path, *options: str) -> Studio:
        started.append(Studio(folder, options or ("--backbone", str(tiny_onnx))))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is before the camera, from when it is opened."""
    return tmp_path_factory.mktemp("film") / "camera.y4m"


@pytest.fixture(scope="module")
def browser(film: Path, launch: Launch) -> Any:
    return launch(film)


@contextlib.contextmanager
def opened(browser: Any, address: str, *, problems: bool = False, **options: Any) -> Iterator[Any]:
    """The page; what it logs, or asks of elsewhere, is a failure unless `problems` are expected."""
    view = browser.new_page(**options)
    view.set_default_timeout(LONG)
    said: list[str] = []
    asked: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: asked.append(request.url))
    view.goto(address)
    view.wait_for_selector("body[data-state=ready]")
    yield view
    assert problems or said == []
    origin = address.partition("?")[0]
    assert [url for url in asked if not url.startswith((origin, "blob:", "data:"))] == []
    view.close()


def card(name: str) -> str:
    return f".card[data-class='{name}']"


def add_class(view: Any, name: str) -> None:
    view.fill("#new-name", name)
    view.click("#new button")
    view.wait_for_selector(card(name))


def hold(view: Any, photos: int) -> None:
    """Hold the button before the camera for as many photos."""
    place = view.locator(".hold").bounding_box()
    view.mouse.move(place["x"] + 10, place["y"] + 10)
    before = view.text_content(".taken")
    view.mouse.down()
    view.wait_for_function(
        "([n, before]) => (parseInt(document.querySelector('.taken').textContent) || 0) >= n "
        "&& document.querySelector('.taken').textContent !== before",
        arg=[photos, before],
    )
    view.mouse.up()
    view.wait_for_selector(".hold:not(.held)")


def take_photos(view: Any, name: str, *, holds: int, each: int) -> None:
    view.click(f"{card(name)} .camera")
    view.wait_for_selector(f"{card(name)} .hold:enabled")
    for _ in range(holds):
        hold(view, each)
    view.click(".capture .close")
    view.wait_for_selector(f"{card(name)} .photo:nth-child({holds * each})")


def train(view: Any) -> None:
    view.click("#train:enabled")
    view.wait_for_selector("#model:not([hidden])", timeout=LONG)


def from_an_empty_folder(
    browser: Any, film: Path, studio: Studio, folder: Path, shown: dict[str, list[Path]], each: int
) -> None:
    with opened(browser, studio.address) as view:
        for name, photos in shown.items():
            add_class(view, name)
            write_film(film, photos, frames=3)
            take_photos(view, name, holds=5, each=each)
        train(view)
        assert re.match(r".+% of \d+ test photos? w.+ \(95.%\sinterval .+\)", view.text_content("#sentence"))
        view.click("#try")
        view.wait_for_selector("#answer:not(:empty)", timeout=LONG)
        assert view.text_content("#answer") in (*shown, "unknown")
        assert view.locator("#bars li").count() == len(shown)
        view.click("#try")
        with view.expect_download(timeout=LONG) as download:
            view.click("[data-form=model]")
        assert download.value.suggested_filename == "run-1.onnx"
        model = load_model(download.value.path())
        assert model.labels == tuple(sorted(shown))
        with view.context.expect_page() as page:
            view.click("#report")
        page.value.wait_for_load_state()
        assert page.value.locator("h1").count() == 1
    counts = read_dataset(folder).counts  # what `rehead train` would see
    assert {name: count >= 5 * each for name, count in counts.items()} == dict.fromkeys(shown, True)
    assert studio.stop() == ""


def test_from_an_empty_folder_with_the_camera_alone(
    browser: Any, film: Path, start: Start, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    things = photo_folder(tmp_path / "things", {"blå": 20, "red fish": 20})
    shown = {name: sorted((things / name).iterdir()) for name in ("blå", "red fish")}
    folder = tmp_path / "my photos"
    from_an_empty_folder(browser, film, start(folder), folder, shown, each=2)


@pytest.mark.slow
def test_the_same_with_the_default_network(
    browser: Any, film: Path, start: Start, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    things = photo_folder(tmp_path / "things", {"one": 30, "two": 30}, size=(320, 240))
    shown = {name: sorted((things / name).iterdir()) for name in ("one", "two")}
    studio = start(tmp_path / "photos", "--threads", "2")
    from_an_empty_folder(browser, film, studio, tmp_path / "photos", shown, each=4)


@pytest.fixture
def folder(photo_folder: PhotoFolder, tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "photos", {"cat": 12, "dog": 12})


def test_a_server_that_is_killed_in_the_middle_of_training(browser: Any, start: Start, folder: Path) -> None:
    first = start(folder)
    with opened(browser, first.address, problems=True) as view:
        view.click("#train:enabled")
        view.wait_for_selector("#cancel:visible")
        first.kill()
        view.wait_for_selector("#problem-box:visible")
        assert "does not answer" in view.text_content("#problem-text")
    with opened(browser, start(folder).address) as view:
        view.wait_for_selector("#model:not([hidden])", timeout=LONG)
        assert "test photos" in view.text_content("#sentence")
    assert [path.name for path in (folder / "runs").iterdir() if path.name[0] != "."] == ["run-1"]


def test_photos_are_moved_renamed_removed_and_come_back(browser: Any, start: Start, folder: Path) -> None:
    def counts() -> dict[str, int]:
        return read_dataset(folder).counts

    with opened(browser, start(folder).address) as view:
        view.drag_and_drop(f"{card('cat')} .photo:nth-child(2)", f"{card('dog')} h3")
        view.wait_for_selector(f"{card('dog')} .photo:nth-child(13)")
        assert counts() == {"cat": 11, "dog": 13}
        view.focus(f"{card('cat')} .photo[tabindex='0']")  # by keyboard alone, from here on
        for key in ("ArrowRight", "Space", "m"):
            view.keyboard.press(key)
        view.keyboard.type("dog")
        view.keyboard.press("Tab")
        view.keyboard.press("Enter")
        view.wait_for_selector(f"{card('dog')} .photo:nth-child(14)")
        view.focus(f"{card('cat')} .photo[tabindex='0']")
        view.keyboard.press("Delete")
        view.wait_for_selector("#removed:visible")
        assert counts() == {"cat": 9, "dog": 14}
        view.click(f"{card('cat')} .change")
        view.keyboard.type("big cat")
        view.keyboard.press("Enter")
        view.wait_for_selector(card("big cat"))
        view.click(f"{card('dog')} .remove")
        view.wait_for_selector(card("dog"), state="detached")
        for _ in range(5):
            with view.expect_response("**/api/undo"):
                view.click("#undo:enabled")
        view.wait_for_selector(f"{card('cat')} .photo:nth-child(12)")
        assert view.is_hidden("#removed")
        assert view.is_disabled("#undo")
    assert counts() == {"cat": 12, "dog": 12}


def test_what_the_audit_finds_is_mended(browser: Any, start: Start, folder: Path) -> None:
    shutil.copy(folder / "cat" / "0000.jpg", folder / "cat" / "copy.jpg")
    with opened(browser, start(folder).address) as view:
        view.wait_for_selector("#findings li", timeout=LONG)
        assert "The same picture again" in view.text_content("#findings")
        view.click("text=Remove the copies")
        view.wait_for_selector("#removed:visible")
        assert len(list((folder / "cat").iterdir())) == 12
        assert [path.name for path in (folder / "removed" / "cat").iterdir()] != []


def test_files_and_folders_are_added_and_what_is_none_is_said(
    browser: Any, start: Start, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    things = photo_folder(tmp_path / "things", {"cat": 3, "con": 2})
    (things / "cat" / "notes.txt").write_text("no photo")
    folder = tmp_path / "photos"
    with opened(browser, start(folder).address, problems=True) as view:
        view.set_input_files("#folder", things)
        view.wait_for_selector("#problem-box:visible")
        assert "1 file was not taken: “notes.txt” is no photo" in view.text_content("#problem-text")
        view.click("#problem-close")
        view.wait_for_selector(f"{card('cat')} .photo:nth-child(3)")
        assert view.is_visible(card("class con"))
        view.set_input_files(f"{card('cat')} input[type=file]", sorted((things / "cat").glob("*.jpg")))
        view.wait_for_selector("text=0 photos added, 3 were there already.")
        add_class(view, "Dog")
        view.fill("#new-name", "dog")
        view.click("#new button")
        view.wait_for_selector("text=There is a class “Dog” already.")


def focused(view: Any) -> str:
    text: str = view.evaluate("document.activeElement.id || document.activeElement.className")
    return text


def test_a_camera_that_is_not_allowed_or_goes_away_is_said(
    browser: Any, film: Path, start: Start, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    write_film(film, sorted(photo_folder(tmp_path / "things", {"cup": 2}).rglob("*.jpg")), frames=3)
    with opened(browser, start(tmp_path / "photos").address) as view:
        add_class(view, "cup")
        view.evaluate(
            """() => {
              const real = navigator.mediaDevices.getUserMedia;
              navigator.mediaDevices.getUserMedia = async (wish) => {
                navigator.mediaDevices.getUserMedia = real;
                throw new DOMException("no", "NotAllowedError");
              };
            }"""
        )
        view.click(f"{card('cup')} .camera")
        view.wait_for_selector("text=The camera cannot be used (it was not allowed)")
        view.click("#problem-close")
        view.focus(f"{card('cup')} .camera")
        view.keyboard.press("Enter")
        view.wait_for_selector(f"{card('cup')} .hold:enabled:focus")
        view.evaluate(
            """() => {
              const [track] = document.querySelector(".capture video").srcObject.getVideoTracks();
              track.stop();
              track.dispatchEvent(new Event("ended")); // as where it is unplugged
            }"""
        )
        view.wait_for_selector("text=The camera went away")
        assert "camera" in focused(view)


def test_the_keyboard_goes_on_where_it_was(browser: Any, start: Start, folder: Path) -> None:
    for name in ("copy.jpg", "another.jpg"):
        shutil.copy(folder / "cat" / "0000.jpg", folder / "cat" / name)
    with opened(browser, start(folder).address) as view:
        view.wait_for_selector("#findings li", timeout=LONG)
        view.focus("text=Remove the copies")
        view.keyboard.press("Enter")
        view.wait_for_selector("#removed:visible")
        view.wait_for_selector("#findings-title:focus")
        view.focus(f"{card('dog')} .remove")
        view.keyboard.press("Enter")
        view.wait_for_selector(card("dog"), state="detached")
        assert focused(view) == "classes-title"
        view.focus("#undo")
        view.keyboard.press("Enter")
        view.wait_for_selector(card("dog"))
        view.focus("#train")
        view.keyboard.press("Enter")
        view.wait_for_selector("#cancel:focus")
        view.keyboard.press("Enter")
        view.wait_for_selector("#train:focus")


def test_a_photo_that_the_browser_cannot_show_is_answered(
    browser: Any, start: Start, folder: Path, tmp_path: Path
) -> None:
    Image.open(folder / "cat" / "0000.jpg").save(tmp_path / "photo.tif")
    (tmp_path / "cut.jpg").write_bytes((folder / "cat" / "0000.jpg").read_bytes()[:200])
    with opened(browser, start(folder).address, problems=True) as view:
        train(view)
        view.set_input_files("#try-file", tmp_path / "cut.jpg")
        view.wait_for_selector("text=“cut.jpg” cannot be taken as a photo: ")
        view.set_input_files("#try-file", tmp_path / "photo.tif")
        view.wait_for_selector("#try-unseen:visible")
        assert view.text_content("#answer") in ("cat", "dog", "unknown")
        assert view.is_hidden("#try-photo")
        assert view.is_hidden("#problem-box")


def test_without_the_token_the_page_says_what_to_open(browser: Any, start: Start, folder: Path) -> None:
    origin = start(folder).address.partition("?")[0]
    view = browser.new_page()
    view.goto(origin)
    view.wait_for_selector("#problem-box:visible")
    assert "Open the one that rehead studio printed last" in view.text_content("#problem-text")
    assert "cat" not in view.text_content("main")
    view.close()


def test_another_studio_on_the_folder_says_so(start: Start, folder: Path) -> None:
    first = start(folder)
    second = start(folder)
    assert "another `rehead studio` has this folder open" in second.process.communicate()[1]
    assert second.process.returncode == 2
    first.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_screens_and_is_read_aloud(scheme: str, browser: Any, start: Start, folder: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    with opened(browser, start(folder).address, color_scheme=scheme, bypass_csp=True) as view:
        view.wait_for_selector(f"{card('dog')} .photo")
        view.click(f"{card('cat')} .photo:nth-child(2)")
        for width in (375, 1400):
            view.set_viewport_size({"width": width, "height": 800})
            assert view.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(view).response["violations"]
        assert [one["id"] for one in found] == []
