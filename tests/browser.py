"""Chromium with a camera that shows photos, for the tests of pages."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from PIL import Image

SIZE = (320, 240)  # of the camera
LONG = 120_000  # ms, on a busy machine

_BRING = """([kind, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
  const event = kind === "drop"
    ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
  document.body.dispatchEvent(event);
}"""


class Launch(Protocol):
    def __call__(self, film: Path | None = None, *, cameras: int = 1) -> Any: ...


def chromium() -> Iterator[Launch]:
    """What starts Chromium, with a camera that shows a film; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    if (path := shutil.which("chromium")) is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:

        def launch(film: Path | None = None, *, cameras: int = 1) -> Any:
            arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream"]
            arguments.append(f"--use-fake-device-for-media-stream=device-count={cameras}")
            if film is not None:
                arguments.append(f"--use-file-for-fake-video-capture={film}")
            return started.chromium.launch(executable_path=path, args=arguments)

        yield launch


def write_film(path: Path, photos: Iterable[Path], *, frames: int = 1) -> None:
    """Photos as YUV4MPEG2, one after the other, each for so many fifteenths of a second."""
    (width, height), half = SIZE, (SIZE[0] // 2, SIZE[1] // 2)
    film = [f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode()]
    for photo in photos:
        light, *colours = Image.open(photo).convert("RGB").resize(SIZE).convert("YCbCr").split()
        shown = b"".join(colour.resize(half).tobytes() for colour in colours)
        film += frames * [b"FRAME\n" + light.tobytes() + shown]
    path.write_bytes(b"".join(film))


class AnswerPage:
    """A page that answers, as a visitor has it."""

    view: Any  # Playwright's page

    def answer(self, photo: Path) -> dict[str, Any]:
        """The answer for a photo that is chosen."""
        self.view.set_input_files("#file", photo)
        return self.found(photo.name)

    def found(self, name: str) -> dict[str, Any]:
        """The answer for what is called so, once it is there."""
        done = """name => document.body.dataset.state === "answered"
          && document.getElementById("name").textContent === name"""
        self.view.wait_for_function(done, arg=name)
        text = "document.getElementById('answer')"
        answer: dict[str, Any] = self.view.evaluate(f"({{label: {text}.textContent, ...{text}.dataset}})")
        return answer

    def bring(self, kind: str, photo: Path, name: str) -> None:
        """Drop ("drop") or paste ("paste") a photo, as a file of this name."""
        self.view.evaluate(_BRING, [kind, name, base64.b64encode(photo.read_bytes()).decode()])

    def choose_other_camera(self) -> str:
        """Of two cameras, choose the one that is not on; its id."""
        cameras = self.view.eval_on_selector_all("#cameras option", "all => all.map((one) => one.value)")
        (other,) = set(cameras) - {self.view.input_value("#cameras")}
        self.view.select_option("#cameras", other)
        return str(other)
