"""A trained network as a backbone of the core: its trunk as ONNX, checked against torch."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..backbones import graphs
from ..backbones.backbone import Backbone, FeatureLevel
from ..core import atomic
from ..core.cache import cache_root
from ..core.runtime import open_session
from ..errors import WeightsError
from .model import Network

__all__ = [
    "as_onnx_callable",
    "export_part",
    "export_trunk",
    "frozen_backbone",
    "torch_features",
    "trained_backbone",
]

_EXPORT_VERSION = 1  # raised when the same network is exported as another graph
_OPSET = 17  # as all graphs of the core, see graphs.layers
_PARITY = 1e-4  # largest difference between torch and the engine, in units of the largest feature
_TAP = "trained"


class _Part(torch.nn.Module):
    def __init__(self, run: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.run = run

    def forward(self, photos: torch.Tensor) -> Any:
        return self.run(photos)


def torch_features(network: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the last layer gets, by torch, of photos as they are prepared.

    Parameters
    ----------
    network : Network
        Left in the mode it is in.
    pixels : uint8 ndarray (N, S, S, 3), RGB

    Returns
    -------
    float32 ndarray (N, D)
    """
    training = network.training
    network.eval()
    device = network.linear.weight.device
    try:
        with torch.inference_mode():
            photos = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(device)
            features: NDArray[np.float32] = network.features(network.normalised(photos)).cpu().numpy()
    finally:
        network.train(training)
    return features


def export_trunk(network: Network) -> bytes:
    """Everything before the last layer, as an ONNX model.

    Parameters
    ----------
    network : Network
        Not changed.

    Returns
    -------
    bytes
        Serialised ONNX: `image` uint8 (N, S, S, 3) RGB to float32 (N, D) of each depth that the last layer
        sees, normalisation inside.

    Raises
    ------
    WeightsError
        torch cannot export it, or the engine and torch differ by more than 1e-4 of the largest feature.
    """
    still = copy.deepcopy(network).cpu().eval().requires_grad_(False)  # as constants of the graph
    widths = {level.name: level.width for level in _taps(still)}
    graph = _graph_of(still, _Part(still.vectors), {name: (width,) for name, width in widths.items()})
    _check_parity(still, graph, still.features, [*widths.values()])
    return graph


def export_part(
    network: Network, part: Callable[[torch.Tensor], torch.Tensor], widths: Sequence[int]
) -> bytes:
    """Some function of a network's photos as an ONNX model.

    Parameters
    ----------
    network : Network
        On the processor, in eval mode, without gradients; `part` belongs to it.
    part : callable
        Normalised photos (N, 3, S, S) to numbers (N, D).
    widths : sequence of int
        D in parts, numbers of a kind each.

    Returns
    -------
    bytes
        Serialised ONNX: `image` uint8 (N, S, S, 3) RGB to `trained`, float32 (N, D).

    Raises
    ------
    WeightsError
        torch cannot export it, or the engine and torch differ by more than 1e-4 of the largest number of a
        part, or of 1.
    """
    graph = _graph_of(network, _Part(part), {_TAP: (sum(widths),)})
    _check_parity(network, graph, part, widths)
    return graph


def as_onnx_callable(
    network: Network, part: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...]
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None:
    """A frozen part of a network as the core's engine runs it, on processors several times as fast as torch.

    Parameters
    ----------
    network : Network
        Not changed.
    part : callable
        Normalised photos (N, 3, S, S) to numbers (N, *shape), by modules in eval mode.
    shape : tuple of int
        Of what it gives for one photo.

    Returns
    -------
    callable or None
        Pixels uint8 (N, S, S, 3), RGB, to float32 (N, *shape), from any number of threads at once; None where
        torch cannot export it or the two differ.
    """
    size = network.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    photos = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    try:
        session = open_session(_graph_of(network, _Part(part), {_TAP: shape}), threads=1)
        (found,) = session.run(None, {"image": pixels})
    except Exception:  # whatever keeps the engine from it: torch can
        return None
    with torch.no_grad():
        expected = part(network.normalised(photos)).numpy()
    if not _difference(found, expected) <= _PARITY:
        return None

    def run(photos: NDArray[np.uint8]) -> NDArray[np.float32]:
        maps: NDArray[np.float32] = session.run(None, {"image": photos})[0]
        return maps

    return run


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing to standard output: where the exporter fails, it prints the whole graph, past `sys.stdout`."""
    try:
        own = os.dup(1)
    except OSError:  # closed: a service without one
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(own, 1)
            os.close(own)


def _graph_of(network: Network, part: _Part, outputs: Mapping[str, tuple[int, ...]]) -> bytes:
    """ONNX of a part of a network: `image` uint8 (N, S, S, 3) RGB to `outputs`, float32 (N, *shape) each."""
    import onnx

    size = network.preprocess.size
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), _silent():
            # The exporter that traces is deprecated, but needs no package besides torch, writes the core's
            # opset and folds batch norm; parity is checked below, so a wrong trace cannot slip through.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                part.eval(),  # or torch would leave it in training mode, and its batch norm counting
                (torch.zeros(2, 3, size, size),),
                buffer,
                dynamo=False,
                opset_version=_OPSET,
                input_names=["photos"],
                output_names=list(outputs),
                dynamic_axes={name: {0: "N"} for name in ("photos", *outputs)},
            )
    except Exception as error:  # the exporter raises what it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{network.name}: torch cannot export this network to ONNX ({reason}); choose another network"
        ) from error
    raw = onnx.load_from_string(buffer.getvalue())
    for output, shape in zip(raw.graph.output, outputs.values(), strict=True):
        traced = output.type.tensor_type.shape  # traced: the width may be left open
        del traced.dim[:]
        traced.dim.add().dim_param = "N"
        for length in shape:
            traced.dim.add().dim_value = length
    model = graphs.wrap(raw, network.preprocess, network.name)
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def _check_parity(
    network: Network,
    graph: bytes,
    part: Callable[[torch.Tensor], torch.Tensor],
    widths: Sequence[int],
) -> None:
    """On random pixels; of three photos, where the trace had two, so that a fixed batch shows."""
    size = network.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        photos = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        expected = part(network.normalised(photos)).numpy()
    found = np.concatenate(open_session(graph, threads=1).run(None, {"image": pixels}), axis=1)
    parts = [np.split(numbers, np.cumsum(widths)[:-1], axis=1) for numbers in (found, expected)]
    difference = max(_difference(*pair) for pair in zip(*parts, strict=True))
    if not difference <= _PARITY:
        raise WeightsError(
            f"{network.name}: the exported network differs from torch by {difference:.1e}, more than "
            f"{_PARITY}; it does something that ONNX has no word for, choose another network"
        )


def trained_backbone(network: Network, record: dict[str, Any]) -> Backbone:
    """The network without its last layer, as it is now.

    `record` goes into the model file as the weights' record; the sha256 in it becomes that of the graph.
    """
    trunk = export_trunk(network)
    weights = {**record, "sha256": hashlib.sha256(trunk).hexdigest()}
    return _backbone(network, weights, trunk)


def frozen_backbone(network: Network) -> Backbone:
    """The network as it was built, with pretrained weights; exported once and kept in the cache."""
    key = json.dumps([_EXPORT_VERSION, network.name, network.record["sha256"], network.preprocess.to_dict()])
    kept = cache_root() / "graphs" / f"{hashlib.sha256(key.encode()).hexdigest()}.onnx"
    digest = kept.with_suffix(".sha256")
    if kept.is_file() and digest.is_file():
        trunk = kept.read_bytes()
        if hashlib.sha256(trunk).hexdigest() == digest.read_text().strip():
            return _backbone(network, network.record, trunk)
    trunk = export_trunk(network)
    atomic.write_bytes(kept, trunk)
    atomic.write_text(digest, hashlib.sha256(trunk).hexdigest())
    return _backbone(network, network.record, trunk)


def _backbone(network: Network, weights: dict[str, Any], trunk: bytes) -> Backbone:
    return Backbone(network.name, network.preprocess, _taps(network), weights, trunk)


def _taps(network: Network) -> tuple[FeatureLevel, ...]:
    """The depths that the last layer sees: the blocks that give them, and the network's own features."""
    names = [block.name for block in network.blocks[len(network.blocks) - (network.n_levels - 1) :]]
    widths = network.widths or (network.linear.in_features,)
    return tuple(FeatureLevel(name, width) for name, width in zip([*names, _TAP], widths, strict=True))
