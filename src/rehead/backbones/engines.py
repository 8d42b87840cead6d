"""Engines on a backbone: that they give ONNX Runtime's features, and how fast they are."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import atomic, records
from ..core.cache import cache_root, digest_of
from ..core.engines import ENGINES, ONNX_RUNTIME, Engine, Session, measured_file, processor
from ..core.runtime import cpu_count, open_session
from ..errors import DataError, EngineError, OutputError, ReheadError
from .backbone import Backbone

__all__ = ["MeasuredEngine", "check_pictures", "feature_parity", "measure_engines", "open_features"]

_LEAST_PARITY = {"fp32": 0.9999999, "bf16": 0.999, "fp16": 0.999}
# OpenVINO: bf16 0.9994 to 0.9997 (lite2: 0.9985, refused), fp32 1 - 4e-13 (benchmarks/engines.py)
_PICTURES = 8
_ROUNDS, _SECONDS = 6, 0.25  # of each engine, in turns, so that all see the same load


def open_features(backbone: Backbone, threads: int | None = None) -> Session:
    """A session of `backbone.features_graph()` for one photo at a time, by the backbone's engine.

    The first time that an engine runs this network its features are compared with ONNX Runtime's, on
    `check_pictures`.

    Parameters
    ----------
    backbone : Backbone
    threads : int, optional
        That run it at once; all processors by default.

    Raises
    ------
    EngineError
        The engine cannot run the network, or gives other features: a parity of less than 0.9999999 in
        fp32, 0.999 in fewer bits, see `feature_parity`.
    WeightsError
        ONNX Runtime cannot run it.
    """
    graph, engine = backbone.features_graph(), backbone.engine
    if engine == ONNX_RUNTIME:
        session: Session = open_session(graph, threads=1, of=backbone.name)
        return session
    session = engine.open(graph, threads=threads or cpu_count(), of=backbone.name)
    known = cache_root() / "engines" / f"{digest_of({**backbone.context, 'pictures': _PICTURES})}.json"
    parity = _known_parity(known)
    if parity is None:
        parity = feature_parity(session, graph, backbone)
        with contextlib.suppress(OutputError):  # then it is compared again the next time
            atomic.write_text(known, json.dumps({"engine": engine.record(), "parity": parity}))
    _check(engine, parity, backbone.name)
    return session


def _known_parity(path: Path) -> float | None:
    with contextlib.suppress(DataError):
        found = records.read_record(path).get("parity")
        return found if records.number(found) else None
    return None


def _check(engine: Engine, parity: float, of: str) -> None:
    record = engine.record()
    least = _LEAST_PARITY[record["precision"]]
    if not parity >= least:
        raise EngineError(
            f"{of}: engine {engine.name} {record['version']} gives other features than ONNX Runtime (parity "
            f"{parity:.7f}, expected {least} in {record['precision']}); use --engine onnxruntime"
        )


def feature_parity(session: Session, graph: bytes, backbone: Backbone) -> float:
    """How near an engine's features are to ONNX Runtime's: 1 where they are the same.

    The least of 1 - |a - b|^2 / (|a|^2 + |b|^2) over `check_pictures`, a and b being all levels side by side:
    their cosine, where both are equally long, and less where they are not.
    """
    reference = open_session(graph, threads=1, of=backbone.name)
    found = []
    for picture in check_pictures(backbone.preprocess.size):
        image = {"image": picture[None]}
        a, b = (one.run(None, image)[0].ravel().astype(np.float64) for one in (session, reference))
        found.append(1 - float((a - b) @ (a - b) / max(a @ a + b @ b, np.finfo(float).tiny)))
    return min(found)


def check_pictures(side: int) -> NDArray[np.uint8]:
    """Pictures like photos, the same on every machine, uint8 (8, S, S, 3) RGB.

    Noise whose amplitudes fall as one over the frequency, as those of photos of nature do (Field 1987), with
    channels that go together.
    """
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    fall = 1 / np.maximum(frequency, 1 / side)
    noise = rng.normal(size=(_PICTURES, 4, side, side))
    smooth = np.fft.irfft2(fall * np.fft.rfft2(noise), s=(side, side))
    colour = np.moveaxis(smooth[:, :1] + 0.5 * smooth[:, 1:], 1, -1)
    colour = (colour - colour.mean(axis=(1, 2), keepdims=True)) / colour.std(axis=(1, 2), keepdims=True)
    contrast, light = rng.uniform(40, 70, (_PICTURES, 1, 1, 1)), rng.uniform(90, 150, (_PICTURES, 1, 1, 3))
    pictures: NDArray[np.uint8] = (light + contrast * colour).clip(0, 255).astype(np.uint8)
    return pictures


@dataclass(frozen=True, kw_only=True)
class MeasuredEngine:
    """An engine on this machine.

    Parameters
    ----------
    name : str
    version, device, precision : str or None
        None where it is not here.
    photos_per_second : float or None
        Of the network alone on all processors, one photo at a time on each.
    parity : float or None
        As of `feature_parity`.
    reason : str or None
        Why it cannot be used, and what to do.
    """

    name: str
    version: str | None = None
    device: str | None = None
    precision: str | None = None
    photos_per_second: float | None = None
    parity: float | None = None
    reason: str | None = None


def measure_engines(backbone: Backbone) -> list[MeasuredEngine]:
    """Every engine on a backbone, measured in turns, and remembered for `--engine auto`.

    A second and a half for each that is here.
    """
    graph, threads = backbone.features_graph(), cpu_count()
    sessions: dict[str, Session] = {}
    found: dict[str, dict[str, Any]] = {}
    for name, engine in ENGINES.items():
        about = found[name] = {"name": name, "reason": engine.missing()}
        if about["reason"]:
            continue
        about |= {**engine.record(), "device": engine.device()}
        try:
            session = engine.open(graph, threads=threads, of=backbone.name)
            about["parity"] = feature_parity(session, graph, backbone)
            _check(engine, about["parity"], backbone.name)
        except ReheadError as error:
            about["reason"] = str(error)
        else:
            sessions[name] = session
    pictures = check_pictures(backbone.preprocess.size)
    rates: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(_ROUNDS):
        for name, session in sessions.items():
            rates[name].append(_rate(session, pictures, threads))
    for name, of in rates.items():
        found[name]["photos_per_second"] = round(median(of), 1)
    measured = [MeasuredEngine(**about) for about in found.values()]
    _remember(measured, backbone, threads)
    return measured


def _rate(session: Session, pictures: NDArray[np.uint8], threads: int) -> float:
    """Photos a second on that many threads."""

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            session.run(None, {"image": pictures[done % len(pictures)][None]})
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        end = start + _SECONDS
        total = sum(pool.map(work, range(threads)))
        return total / (time.perf_counter() - start)


def _remember(measured: Sequence[MeasuredEngine], backbone: Backbone, threads: int) -> None:
    record = {
        "processor": processor(),
        "threads": threads,
        "backbone": backbone.name,
        "size": backbone.preprocess.size,
        "engines": [asdict(one) for one in measured],
    }
    atomic.write_text(measured_file(), json.dumps(record, indent=2))
