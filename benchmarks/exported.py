"""Are the answers of an exported script and page those of `rehead predict`, and how long do they take?

    python benchmarks/exported.py DATA [--model MODEL] [--photos 500] [--runtime-files PACKAGE]

DATA is a folder of photos/CLASS. Each photo is written as a file of another kind in turn: large, turned,
progressive, CMYK, grey of 8 and 16 bits, transparent, palette, WebP. The model is trained on DATA unless it
is given; it may well have seen the photos, which does not matter here. Needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from rehead import ImageClassifier, load_model
from rehead.classification.predictor import Prediction
from rehead.exporting import export_model

KINDS = (
    "as it is", "large.jpg", "turned.jpg", "progressive.jpg", "cmyk.jpg", "grey.jpg", "grey16.png",
    "plain.png", "transparent.png", "palette.png", "photo.webp",
)  # fmt: skip
ROUNDS = 5  # of loading
Answer = tuple[str, float]


def written(photo: Path, kind: str, folder: Path) -> Path:
    """The photo as a file of this kind."""
    if kind == "as it is":
        return photo
    picture = Image.open(photo).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 1 + sum(photo.name.encode()) % 8
    large = picture.resize((picture.width * 4 + 3, picture.height * 4 + 1), Image.Resampling.BICUBIC)
    levels = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(picture.size))
    pictures: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "large.jpg": (large, {"quality": 90}),
        "turned.jpg": (large, {"quality": 90, "exif": exif}),
        "progressive.jpg": (large, {"quality": 85, "progressive": True, "subsampling": 0}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "grey.jpg": (picture.convert("L"), {}),
        "grey16.png": (Image.fromarray(levels), {}),
        "plain.png": (picture, {}),
        "transparent.png": (alpha, {}),
        "palette.png": (picture.quantize(64), {}),
        "photo.webp": (picture, {}),
    }
    one, options = pictures[kind]
    path = folder / f"{photo.stem}_{kind}"
    one.save(path, **options)
    return path


def of_script(folder: Path, photos: list[Path]) -> list[Answer]:
    command = [sys.executable, str(folder / "predict.py"), *map(str, photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [(label, float(probability)) for _, label, probability in lines]


def of_page(folder: Path, photos: list[Path], times: dict[str, list[float]]) -> Iterator[Answer]:
    """The page's answers; milliseconds of loading, of each photo and of the network alone go to `times`."""
    from playwright.sync_api import sync_playwright

    class Server(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = browser.new_context().new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for_selector("body[data-state=ready]", timeout=120_000)
            times.setdefault("loading", []).append(page.evaluate("Number(document.body.dataset.loaded)"))
        for photo in photos:
            found = page.evaluate(
                """async (text) => {
                  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                  return ask({ photo: new Blob([bytes]) });
                }""",
                base64_of(photo),
            )
            spent = found["milliseconds"]
            times.setdefault("photo", []).append(spent["photo"] + spent["network"])
            times.setdefault("network", []).append(spent["network"])
            yield found["label"], found["probabilities"][found["best"]]
        browser.close()
    server.shutdown()


def base64_of(photo: Path) -> str:
    return base64.b64encode(photo.read_bytes()).decode()


def compare(name: str, kinds: list[str], found: list[Answer], expected: list[Prediction]) -> None:
    same = np.array([label == answer.label for (label, _), answer in zip(found, expected, strict=True)])
    apart = np.array([abs(p - answer.probability) for (_, p), answer in zip(found, expected, strict=True)])
    print(f"\n{name:24}{'photos':>8}{'same answer':>13}{'median':>10}{'largest':>10}")
    for kind in ("all", *dict.fromkeys(kinds)):
        rows = np.array([kind in ("all", one) for one in kinds])
        print(
            f"{kind:24}{rows.sum():8}{100 * same[rows].mean():12.1f}%{median(apart[rows]):10.1e}"
            f"{apart[rows].max():10.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--runtime-files", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None or which("chromium") is None:
        print("needs a folder of photos, and Chromium")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = arguments.model or folder / "model.onnx"
        if arguments.model is None:
            ImageClassifier().fit(arguments.data).save(model)
        files = sorted(arguments.data.rglob("*.jpg"))
        (folder / "files").mkdir()
        kinds = [KINDS[n % len(KINDS)] for n in range(arguments.photos)]
        photos = [
            written(files[n % len(files)], kind, folder / "files") for n, kind in enumerate(kinds)
        ]  # a photo comes again as another kind, as the number of kinds divides few numbers of photos
        expected = load_model(model).predict(photos)
        script = export_model(model, folder / "script", "python").folder
        compare("script", kinds, of_script(script, photos), expected)
        page = export_model(model, folder / "page", "web", runtime_files=arguments.runtime_files).folder
        times: dict[str, list[float]] = {}
        compare("page", kinds, list(of_page(page, photos, times)), expected)
        print()
        for what, spent in times.items():
            low, high = min(spent), max(spent)
            print(f"page, {what}: {median(spent):.0f} ms in the median ({low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
