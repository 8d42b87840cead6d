"""Extraction and training on a cluster of this machine are those without one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from source_files import photos_of, write_tar

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None or not Path("/proc").is_dir(),
    reason="needs Ray, and Linux to find its processes",
)


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rehead", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and what was said on the error output."""
    _, err = process.communicate(timeout=400)
    return process.returncode, err


def below(pid: int) -> Iterator[tuple[int, str]]:
    """Process numbers and titles of all that a process started, however far down."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                status = (entry / "stat").read_text()
                title = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1]), title
    for each, (_, title) in parents.items():
        above = each
        while above in parents and above != pid:
            above = parents[above][0]
        if above == pid and each != pid:
            yield each, title


def kill_one(process: subprocess.Popen[str], title: str, folder: Path, blocks: int) -> None:
    """Kill one of the processes below that have this title, once so many blocks are written."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        found = [pid for pid, name in below(process.pid) if title in name]
        if found and len(list(folder.glob("blocks/*/*.npz"))) >= blocks:
            os.kill(found[0], signal.SIGKILL)
            return
        time.sleep(0.05)
    raise AssertionError(f"no process called {title} to kill")


@pytest.fixture(scope="module")
def large(photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of photos that take a while to decode."""
    made = tmp_path_factory.mktemp("made")
    one = photos_of(photo_folder(made, {"a": 2, "b": 2}, size=(2400, 1800)))
    folder = tmp_path_factory.mktemp("shards")
    for n in range(12):
        photos = [(f"{k:03d}", one[k % 4][1] + bytes([n, k]), one[k % 4][2]) for k in range(16)]
        write_tar(folder / f"a-{n:02d}.tar", photos)
    return folder


@needs_ray
@pytest.mark.slow
def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    large: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    more = ["--backbone", tiny_onnx, "--threads", 2, "--quiet"]
    assert ended(start("extract", large, "--to", tmp_path / "plain", *more)) == (0, "")
    process = start("extract", large, "--to", tmp_path / "ray", "--on", "ray", *more)
    kill_one(process, "ray::MapWorker", tmp_path / "ray", 2)
    code, err = ended(process)
    assert (code, err) == (0, "")
    plain, on_ray = (
        json.loads((tmp_path / name / "features.json").read_text("utf-8")) for name in ("plain", "ray")
    )
    assert on_ray == plain
    for name, *_ in plain["blocks"]:
        place = Path("blocks") / name[:2] / f"{name}.npz"
        assert (tmp_path / "ray" / place).is_file()


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_goes_away_is_one_line_and_the_command_goes_on(
    large: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    command = ["extract", large, "--to", tmp_path / "ray", "--backbone", tiny_onnx, "--quiet", "--threads", 2]
    process = start(*command, "--on", "ray")
    kill_one(process, "raylet", tmp_path / "ray", 2)
    code, err = ended(process)
    assert code == 2, err
    assert err.count("\n") == 1, err
    assert "the cluster cannot be reached, or went away" in err
    kept = len(list((tmp_path / "ray").glob("blocks/*/*.npz")))
    assert kept >= 2
    assert ended(start(*command, "--on", "ray"))[0] == 0
    assert json.loads((tmp_path / "ray" / "features.json").read_text("utf-8"))["blocks"]


@needs_ray
@pytest.mark.slow
def test_training_on_ray_is_training_without(photo_folder: Any, tiny_onnx: Path, tmp_path: Path) -> None:
    photos = photos_of(photo_folder(tmp_path / "photos", {"red fish": 40, "blå": 40}))
    (tmp_path / "shards").mkdir()
    for n in range(4):
        write_tar(tmp_path / "shards" / f"a-{n}.tar", photos[20 * n : 20 * (n + 1)])
    metrics = []
    for more in ([], ["--on", "ray"]):
        out = tmp_path / f"run-{len(more)}"
        code, err = ended(start("train", tmp_path / "shards", "--out", out, "--backbone", tiny_onnx, *more))
        assert (code, err) == (0, "")
        metrics.append(json.loads((out / "metrics.json").read_text("utf-8")))
    assert_same(*metrics)
    splits = [(tmp_path / f"run-{n}" / "splits.csv").read_text("utf-8") for n in (0, 2)]
    assert splits[0] == splits[1]


def assert_same(one: Any, other: Any) -> None:
    """Equal but for 1e-6 of numbers."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, float):
        assert other == pytest.approx(one, abs=1e-6)
    else:
        assert one == other
