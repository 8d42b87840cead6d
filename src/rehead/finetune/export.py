"""A network of torch as a backbone of the core: its trunk exported to ONNX and checked against torch."""

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
from ..core.text import first_line
from ..errors import WeightsError
from .model import Network

__all__ = [
    "as_onnx_callable",
    "by_torch",
    "export_function",
    "export_trunk",
    "frozen_backbone",
    "to_tensor",
    "trained_backbone",
]

_EXPORT_VERSION = 2  # raised when the same network is exported as another graph
_OPSET = 17  # as all graphs of the core, see graphs.ops
_TOLERANCE = 1e-4  # largest difference between torch and ONNX Runtime, relative to the largest feature
_OUTPUT = "trained"


class _AsModule(torch.nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, photos: torch.Tensor) -> Any:
        return self.function(photos)


def to_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Pixels (N, S, S, 3) as torch has them, (N, 3, S, S)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def by_torch(
    network: Network, function: Callable[[torch.Tensor], torch.Tensor], photos: torch.Tensor
) -> NDArray[np.float32]:
    """What a function of normalised photos gives for uint8 photos (N, 3, S, S), where the network is."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        outputs: NDArray[np.float32] = function(network.normalised(photos.to(device))).cpu().numpy()
    return outputs


def _random_pixels(network: Network) -> NDArray[np.uint8]:
    """Three photos to compare on: the trace has two, so that a fixed batch shows."""
    size = network.preprocess.size
    return np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)


def export_trunk(network: Network) -> bytes:
    """Everything before the last layer as an ONNX model.

    Parameters
    ----------
    network : Network
        Not changed.

    Returns
    -------
    bytes
        Serialised ONNX: `image` uint8 (N, S, S, 3) RGB to float32 (N, D) for each feature level that the
        last layer takes, normalisation inside.

    Raises
    ------
    WeightsError
        torch cannot export it, or ONNX Runtime and torch differ by more than 1e-4 of the largest feature.
    """
    frozen = copy.deepcopy(network).cpu().eval().requires_grad_(False)  # as constants of the graph
    widths = {level.name: level.width for level in _levels(frozen)}
    graph = _export(frozen, frozen.vectors, {name: (width,) for name, width in widths.items()})
    _check_parity(frozen, graph, frozen.features, [*widths.values()])
    return graph


def export_function(
    network: Network, function: Callable[[torch.Tensor], torch.Tensor], widths: Sequence[int]
) -> bytes:
    """A function of photos by a network as an ONNX model.

    Parameters
    ----------
    network : Network
        On the processor, in eval mode, without gradients; `function` uses it.
    function : callable
        Normalised photos (N, 3, S, S) to numbers (N, D).
    widths : sequence of int
        Of the segments of D, each checked relative to its own largest number.

    Returns
    -------
    bytes
        Serialised ONNX: `image` uint8 (N, S, S, 3) RGB to `trained`, float32 (N, D).

    Raises
    ------
    WeightsError
        torch cannot export it, or ONNX Runtime and torch differ by more than 1e-4 of the largest number of a
        segment, or of 1.
    """
    graph = _export(network, function, {_OUTPUT: (sum(widths),)})
    _check_parity(network, graph, function, widths)
    return graph


def as_onnx_callable(
    network: Network, function: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...]
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None:
    """Frozen layers of a network in ONNX Runtime, which on processors is several times as fast as torch.

    Parameters
    ----------
    network : Network
        Not changed.
    function : callable
        Normalised photos (N, 3, S, S) to numbers (N, *shape), by modules in eval mode.
    shape : tuple of int
        Of the output for one photo.

    Returns
    -------
    callable or None
        Pixels uint8 (N, S, S, 3), RGB, to float32 (N, *shape), from any number of threads at once; None where
        torch cannot export it or the two differ.
    """
    pixels = _random_pixels(network)
    try:
        session = open_session(_export(network, function, {_OUTPUT: shape}), threads=1)
        (found,) = session.run(None, {"image": pixels})
    except Exception:  # whatever ONNX Runtime cannot run, torch can
        return None
    if not _difference(found, by_torch(network, function, to_tensor(pixels))) <= _TOLERANCE:
        return None

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs: NDArray[np.float32] = session.run(None, {"image": pixels})[0]
        return outputs

    return run


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Redirect file descriptor 1: an exporter that fails prints the whole graph, past `sys.stdout`."""
    try:
        stdout = os.dup(1)
    except OSError:  # closed, as in a service
        yield
        return
    with Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)


def _export(
    network: Network, function: Callable[[torch.Tensor], Any], outputs: Mapping[str, tuple[int, ...]]
) -> bytes:
    """ONNX of a function: `image` uint8 (N, S, S, 3) RGB to `outputs`, float32 (N, *shape) each."""
    size = network.preprocess.size
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), _silent():
            # The tracing exporter is deprecated, but needs no package besides torch, writes the core's opset
            # and folds batch norm; parity is checked afterwards, so a wrong trace cannot slip through.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _AsModule(function).eval(),  # or torch would leave it in training mode
                (torch.zeros(2, 3, size, size),),
                buffer,
                dynamo=False,
                opset_version=_OPSET,
                input_names=["photos"],
                output_names=list(outputs),
                dynamic_axes={name: {0: "N"} for name in ("photos", *outputs)},
            )
    except Exception as error:  # the exporter raises anything
        raise WeightsError(
            f"{network.name}: torch cannot export this network to ONNX ({first_line(error)}); "
            "choose another network"
        ) from error
    raw = graphs.load(buffer.getvalue())
    for output, shape in zip(raw.graph.output, outputs.values(), strict=True):
        dims = output.type.tensor_type.shape.dim  # tracing may leave the width open
        del dims[:]
        dims.add().dim_param = "N"
        for length in shape:
            dims.add().dim_value = length
    return bytes(graphs.wrap(raw, network.preprocess, network.name).SerializeToString(deterministic=True))


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def _check_parity(
    network: Network,
    graph: bytes,
    function: Callable[[torch.Tensor], torch.Tensor],
    widths: Sequence[int],
) -> None:
    """Compare on random pixels."""
    pixels = _random_pixels(network)
    expected = by_torch(network, function, to_tensor(pixels))
    found = np.concatenate(open_session(graph, threads=1).run(None, {"image": pixels}), axis=1)
    segments = [np.split(numbers, np.cumsum(widths)[:-1], axis=1) for numbers in (found, expected)]
    difference = max(_difference(*pair) for pair in zip(*segments, strict=True))
    if not difference <= _TOLERANCE:
        raise WeightsError(
            f"{network.name}: the exported network differs from torch by {difference:.1e}, more than "
            f"{_TOLERANCE}; it has an operation that ONNX cannot express, choose another network"
        )


def trained_backbone(network: Network, record: dict[str, Any]) -> Backbone:
    """The network without its last layer, with its present weights.

    `record` goes into the model file as the record of the weights, with the sha256 of the graph.
    """
    trunk = export_trunk(network)
    weights = {**record, "sha256": hashlib.sha256(trunk).hexdigest()}
    return _backbone(network, weights, trunk)


def frozen_backbone(network: Network) -> Backbone:
    """The network with the pretrained weights it was built with; exported once and cached."""
    key = json.dumps([_EXPORT_VERSION, network.name, network.record["sha256"], network.preprocess.to_dict()])
    cached = cache_root() / "graphs" / f"{hashlib.sha256(key.encode()).hexdigest()}.onnx"
    digest = cached.with_suffix(".sha256")
    if cached.is_file() and digest.is_file():
        trunk = cached.read_bytes()
        if hashlib.sha256(trunk).hexdigest() == digest.read_text().strip():
            return _backbone(network, network.record, trunk)
    trunk = export_trunk(network)
    atomic.write_bytes(cached, trunk)
    atomic.write_text(digest, hashlib.sha256(trunk).hexdigest())
    return _backbone(network, network.record, trunk)


def _backbone(network: Network, weights: dict[str, Any], trunk: bytes) -> Backbone:
    return Backbone(network.name, network.preprocess, _levels(network), weights, trunk)


def _levels(network: Network) -> tuple[FeatureLevel, ...]:
    """The feature levels that the last layer takes: those of blocks, and the network's own."""
    names = [block.name for block in network.blocks[len(network.blocks) - (network.n_levels - 1) :]]
    widths = network.widths or (network.linear.in_features,)
    return tuple(FeatureLevel(name, width) for name, width in zip([*names, _OUTPUT], widths, strict=True))
