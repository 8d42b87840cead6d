"""Activation maps of a network's layers."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import atomic
from ..core.parallel import map_in_order
from ..core.runtime import open_session
from ..data import list_photos
from ..errors import DataError, ImageError, UnknownNameError
from ..images import PreprocessSpec, load_image, read_image
from ..images.contact_sheet import Bar, Tile, draw_sheet, fitted, viridis
from ..images.picture import PictureMixin
from .backbone import Backbone, load_backbone
from .graphs import inspect
from .graphs.inspect import Layer

__all__ = ["Layer", "LayerMaps", "draw_maps", "layer_maps", "list_layers", "write_maps"]

_COLUMNS = 6
_SIDE = 130  # px, of a map in a picture
_LEAD = 260  # px, of the photo beside them
_ENDS = (0.5, 99.5)  # percentiles at the ends of the colours: a few pixels would press the rest flat

Photos = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class LayerMaps(PictureMixin):
    """Maps of one layer, which a notebook shows as a picture.

    Parameters
    ----------
    backbone : str
        Name of the network.
    layer : Layer
    photos : tuple of Path
        (n,) The photos that could be read.
    channels : tuple of int
        (C,) Numbers of the channels that were kept, from 0.
    maps : float32 ndarray (n, C, h, w)
    preprocess : PreprocessSpec
    unreadable : tuple of ImageError
    """

    backbone: str
    layer: Layer
    photos: tuple[Path, ...]
    channels: tuple[int, ...]
    maps: NDArray[np.float32]
    preprocess: PreprocessSpec
    unreadable: tuple[ImageError, ...] = ()

    def draw(self) -> NDArray[np.uint8]:
        """A picture of the maps, see `draw_maps`."""
        return draw_maps(self)


def list_layers(
    backbone: str | os.PathLike[str] = "efficientnet_lite0",
    *,
    preprocess: PreprocessSpec | str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> list[Layer]:
    """The layers of a network whose results are maps, in the order they are computed.

    Parameters
    ----------
    backbone, preprocess, weights
        As in `layer_maps`.

    Returns
    -------
    list of Layer
    """
    return _layers(load_backbone(backbone, preprocess=preprocess, weights=weights))


def _layers(network: Backbone) -> list[Layer]:
    try:
        found = inspect.layers(network.model)
    except Exception as error:  # of a graph that somebody changed, such as nodes without outputs
        raise DataError(f"{network.name}: its layers cannot be told apart ({error})") from error
    if not found:
        raise DataError(
            f"{network.name}: none of its layers gives maps [N, C, h, w], so there is none to show"
        )
    return found


def layer_maps(
    photos: Photos,
    *,
    backbone: str | os.PathLike[str] = "efficientnet_lite0",
    layer: str = "last",
    channels: int | Sequence[int] = 36,
    images: int = 36,
    preprocess: PreprocessSpec | str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    threads: int | None = None,
) -> LayerMaps:
    """Run photos through a network and keep one layer's output.

    Parameters
    ----------
    photos : path or sequence of paths
        A photo, a folder that is searched at any depth, or photos.
    backbone : str or path
        A name of `rehead weights list`, an ONNX file, or a model file.
    layer : str
        "first" or "last", the network's first or last convolution, or a name of `list_layers`.
    channels : int or sequence of int
        How many channels from the first on, or which, from 0.
    images : int
        Of more photos than this, so many are taken, evenly spread over their names.
    preprocess : PreprocessSpec or path, optional
        As in `ImageClassifier`.
    weights : path, optional
        As in `ImageClassifier`.
    threads : int, optional
        Processors to use, all by default.

    Returns
    -------
    LayerMaps

    Raises
    ------
    UnknownNameError
        No such backbone or layer.
    DataError
        No such channel; a network without maps; none of the photos can be read.
    """
    network = load_backbone(backbone, preprocess=preprocess, weights=weights)
    chosen = _layer(network, layer)
    numbers = _channels(chosen, channels)
    files = list_photos(photos) if isinstance(photos, str | os.PathLike) else tuple(map(Path, photos))
    if len(files) > images:
        files = tuple(files[n] for n in np.linspace(0, len(files) - 1, images).round().astype(int))
    network = network.for_photos(files, threads=threads)
    graph = inspect.expose(network.model, {chosen.tensor: "layer"})
    session = open_session(graph, threads=1, of=network.name)

    def maps_of(file: Path) -> NDArray[np.float32] | ImageError:
        try:
            pixels = load_image(file, network.preprocess)
        except ImageError as error:
            return error.bare()
        maps: NDArray[np.float32] = session.run(None, {"image": pixels[None]})[0][0]
        return maps[numbers]

    found = list(map_in_order(maps_of, files, threads=threads))
    failed = tuple(answer for answer in found if isinstance(answer, ImageError))
    kept = [
        (file, answer) for file, answer in zip(files, found, strict=True) if isinstance(answer, np.ndarray)
    ]
    if not kept:
        raise (
            failed[0]
            if len(failed) == 1
            else DataError(f"none of {len(files)} photos can be read; {failed[0]}")
        )
    maps = np.stack([answer for _, answer in kept])
    readable = tuple(file for file, _ in kept)
    return LayerMaps(network.name, chosen, readable, tuple(numbers), maps, network.preprocess, failed)


def _layer(network: Backbone, name: str) -> Layer:
    found = _layers(network)
    convolutions = [layer for layer in found if layer.kind == "Conv"]
    if name in ("first", "last") and convolutions:
        return convolutions[0 if name == "first" else -1]
    for layer in found:
        if layer.name == name:
            return layer
    raise UnknownNameError(
        f"layer of {network.name}", name, ["first", "last", *(layer.name for layer in found)]
    )


def _channels(layer: Layer, channels: int | Sequence[int]) -> list[int]:
    there = layer.shape[0]
    if isinstance(channels, int):
        return list(range(min(channels, there)))
    for number in channels:
        if not 0 <= number < there:
            raise DataError(f"layer {layer.name} has channels 0 to {there - 1}; there is no channel {number}")
    return list(channels)


def draw_maps(maps: LayerMaps) -> NDArray[np.uint8]:
    """A picture of maps on one scale: of one photo all channels beside it, of several each under its photo.

    Returns
    -------
    uint8 ndarray (height, width, 3), RGB
    """
    low, high = (float(end) for end in np.percentile(maps.maps, _ENDS))
    tiles, lead = list(_tiles(maps, low, high)), None
    if len(maps.photos) == 1:
        lead = Tile(
            fitted(read_image(maps.photos[0], at_least=(_LEAD, _LEAD)), _LEAD), (maps.photos[0].name,)
        )
    layer = maps.layer
    first, last = maps.channels[0], maps.channels[-1]
    what = f"Channel {first}" if first == last else f"Channels {first} to {last}"
    return draw_sheet(
        tiles,
        columns=_COLUMNS,
        lead=lead,
        title=f"{maps.backbone}, layer {layer.name}",
        note=f"{what} of {layer.shape[0]}; {layer.shape[2]} x {layer.shape[1]} pixels ({layer.kind}). "
        "The colours span the middle 99 % of the values.",
        bar=Bar(low, high, "value"),
    )


def _tiles(maps: LayerMaps, low: float, high: float) -> Iterator[Tile]:
    """A tile for each channel of one photo, or for each photo and channel of several."""
    for photo, of_photo in zip(maps.photos, maps.maps, strict=True):
        pixels = read_image(photo, at_least=(_SIDE, _SIDE))
        left, top, right, bottom = maps.preprocess.crop_box(pixels.shape[1], pixels.shape[0])
        aspect = (right - left) / (bottom - top)
        for channel, values in zip(maps.channels, of_photo, strict=True):
            picture = fitted(viridis(values, low, high), _SIDE, aspect=aspect, smooth=False)
            if len(maps.photos) == 1:
                yield Tile(picture, (str(channel),))
                continue
            part = pixels[round(top) : round(bottom), round(left) : round(right)]
            above = fitted(part, _SIDE, aspect=aspect)
            name = photo.name if len(maps.channels) == 1 else f"{photo.name}, {channel}"
            yield Tile(np.vstack([above, picture]), (name,))


def write_maps(path: str | os.PathLike[str], maps: LayerMaps) -> None:
    """Write the numbers, whole or not at all: a .npz with `maps`, `photos`, `channels` and `layer`."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "maps": maps.maps,
        "photos": np.array([str(photo) for photo in maps.photos]),
        "channels": np.array(maps.channels),
        "layer": np.array(maps.layer.name),
    }
    np.savez_compressed(buffer, **arrays)
    atomic.write_bytes(path, buffer.getvalue())
