from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from rehead.cli import app
from rehead.errors import DataError, ImageError, OutputError, UnknownNameError
from rehead.finetune.augment import PRESETS, augmentation, preview
from rehead.images import PreprocessSpec, load_image, read_image, write_png

PhotoFolder = Callable[[Path, Mapping[str, int]], Path]


def photo(size: int = 48) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, size, size), dtype=np.uint8))


def views(preset: str, pixels: torch.Tensor, count: int = 40, seed: int = 0) -> list[torch.Tensor]:
    augment = augmentation(preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [augment(pixels) for _ in range(count)]


@pytest.mark.parametrize("preset", PRESETS)
def test_views_have_shape_and_dtype_of_the_photo_and_leave_it_alone(preset: str) -> None:
    pixels = photo()
    before = pixels.clone()
    for view in views(preset, pixels):
        assert view.shape == pixels.shape
        assert view.dtype == torch.uint8
    assert torch.equal(pixels, before)


def test_none_changes_nothing_and_the_others_differ_from_view_to_view() -> None:
    pixels = photo()
    assert all(torch.equal(view, pixels) for view in views("none", pixels))
    for preset in PRESETS[1:]:
        assert len({view.numpy().tobytes() for view in views(preset, pixels)}) > 30


def test_the_same_seed_gives_the_same_views() -> None:
    first, again, other = (views("strong", photo(), 5, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_half_of_the_views_are_mirrored() -> None:
    pixels = torch.zeros(3, 48, 48, dtype=torch.uint8)
    pixels[:, :, :16] = 255  # light on the left
    lefts = [bool(view[0, :, :24].sum() > view[0, :, 24:].sum()) for view in views("light", pixels, 200)]
    assert 70 < sum(lefts) < 130


def test_brightness_changes_from_default_on_only() -> None:
    pixels = torch.full((3, 48, 48), 128, dtype=torch.uint8)  # as grey as what comes in from outside
    assert {int(view[0, 24, 24]) for view in views("light", pixels)} == {128}
    middles = [int(view[0, 24, 24]) for view in views("default", pixels)]
    assert 102 <= min(middles) < 120 < 136 < max(middles) <= 154  # within a fifth


def test_strong_erases_a_rectangle_from_some_views() -> None:
    # no view moves so far that the outside comes into the middle: what is grey there was erased
    pixels = torch.full((3, 48, 48), 255, dtype=torch.uint8)

    def grey_in_the_middle(preset: str) -> int:
        return sum(bool((view[:, 16:32, 16:32] == 128).all(0).any()) for view in views(preset, pixels, 200))

    assert grey_in_the_middle("default") == 0
    assert grey_in_the_middle("strong") > 10


def test_unknown_preset() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'strong'"):
        augmentation("stronge")


# Preview


def test_preview_has_a_row_a_photo_with_the_photo_first(tmp_path: Path, photo_folder: PhotoFolder) -> None:
    files = sorted(photo_folder(tmp_path / "photos", {"a": 2}).rglob("*.jpg"))
    before = torch.random.get_rng_state()
    grid = preview(files, "strong", count=3, size=20, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert grid.dtype == np.uint8
    assert grid.shape == (20 + 2 + 20, 4 * 20 + 3 * 2, 3)
    for row, file in enumerate(files):
        top = row * 22
        expected = load_image(file, PreprocessSpec(20, (0, 0, 0), (1, 1, 1)))
        np.testing.assert_array_equal(grid[top : top + 20, :20], expected)
        assert any((grid[top : top + 20, 22 * n : 22 * n + 20] != expected).any() for n in (1, 2, 3))
    assert (grid[20:22] == 255).all()
    np.testing.assert_array_equal(grid, preview(files, "strong", count=3, size=20, seed=5))
    assert (grid != preview(files, "strong", count=3, size=20, seed=6)).any()


def test_preview_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a photo and a view or more"):
        preview([])
    with pytest.raises(DataError, match="a photo and a view or more"):
        preview([tmp_path / "a.jpg"], count=0)
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        preview([tmp_path / "gone.jpg"])


def test_png_keeps_every_pixel(tmp_path: Path) -> None:
    pixels = photo(30).permute(1, 2, 0).numpy()
    write_png(tmp_path / "deep" / "photo.png", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "deep" / "photo.png"), pixels)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["photo.png"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_png(tmp_path / "file" / "photo.png", pixels)


def test_command(tmp_path: Path, photo_folder: PhotoFolder) -> None:
    photos, out = photo_folder(tmp_path / "photos", {"a": 3, "b": 3}), tmp_path / "augmented.png"
    command = ["augment", str(photos), "--show", "5", "--rows", "2", "--size", "24", "--out", str(out)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "2 photos, 5 views each, default" in result.output
    with Image.open(out) as image:
        assert (image.format, image.size) == ("PNG", (6 * 26 - 2, 2 * 26 - 2))


def test_command_with_one_photo_and_a_preset(tmp_path: Path, photo_folder: PhotoFolder) -> None:
    file = photo_folder(tmp_path / "photos", {"a": 1}) / "a" / "0000.jpg"
    out = tmp_path / "one.png"
    CliRunner().invoke(
        app,
        ["augment", str(file), "--augment", "none", "--show", "1", "--size", "24", "-o", str(out)],
        catch_exceptions=False,
    )
    pixels = read_image(out)
    assert pixels.shape == (24, 50, 3)
    np.testing.assert_array_equal(pixels[:, :24], pixels[:, 26:])


def test_command_with_no_photos(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        CliRunner().invoke(
            app, ["augment", str(tmp_path / "empty"), "-o", str(tmp_path / "x.png")], catch_exceptions=False
        )
    assert not (tmp_path / "x.png").exists()
