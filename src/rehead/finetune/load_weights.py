"""Weight files for networks in torch: where pretrained ones are, and how their state dicts are renamed.

A network loads files with timm's names; plain names also load torchvision's files, and EfficientNet-Lite
those of `efficientnet_lite_pytorch`. Reading a file never executes code in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..backbones.weights import locate, registry
from ..backbones.weights.spec import NOT_STATED
from ..backbones.weights.torch_checkpoint import read_state_dict
from ..errors import WeightsError, WeightsNotFoundError

__all__ = ["file_record", "find_pretrained", "load_matching", "random_record", "read_state"]

State = Mapping[str, torch.Tensor]

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")

# What a file may have besides the trunk: the classifiers of torchvision and timm, with the hidden layers of
# VGG's and the auxiliary classifier of Inception, and a counter that batch norm does not need.
_CLASSIFIER = re.compile(
    r"(fc|_fc|classifier|head\.fc|head|pre_logits|AuxLogits|linear)\.|.*num_batches_tracked$"
)


def random_record(name: str) -> dict[str, Any]:
    """The record of a network with random initial weights."""
    return {
        "name": name,
        "sha256": "random",
        "licences": {"code": "Apache-2.0", "weights": "none", "data": "none"},
    }


def file_record(name: str, path: Path) -> dict[str, Any]:
    """The record of a weight file: its digest, and licences where the file is a known one."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    for known in map(registry.get, registry.every_name()):
        if known.sha256 == digest:
            return {"name": known.name, "sha256": digest, "licences": known.licences}
    return {"name": name, "sha256": digest, "licences": dict(NOT_STATED)}


def find_pretrained(name: str, timm_name: str, config: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The published weights of a network, and their record.

    Parameters
    ----------
    name : str
        As the user gave it.
    timm_name : str
        Of the architecture.
    config : mapping
        timm's `pretrained_cfg`.

    Raises
    ------
    WeightsNotFoundError
        They are not on this machine and cannot be downloaded; the message says which file to provide.
    """
    if name in registry.every_name():
        spec = registry.get(name)
        path = locate.locate(spec)
        return path, file_record(name, path) | {"licences": spec.licences}
    folder = os.environ.get("REHEAD_WEIGHTS")
    if folder:
        for stem in dict.fromkeys((name, timm_name)):
            for suffix in _SUFFIXES:
                path = Path(folder).expanduser() / (stem + suffix)
                if path.is_file():
                    return path, file_record(name, path)
    path = _from_hub(name, config)
    licence = config.get("license") or "not stated"  # as timm's record of the weights has it
    licences = {"code": "Apache-2.0", "weights": licence, "data": "not stated"}
    return path, file_record(name, path) | {"licences": licences}


def _from_hub(name: str, config: Mapping[str, Any]) -> Path:
    repository = config.get("hf_hub_id")
    filename = config.get("hf_hub_filename") or "model.safetensors"
    if not repository:
        url = config.get("url")
        raise WeightsNotFoundError(
            f"{name}: "
            + (
                f"its weights are at {url}; fetch that file and give --weights FILE"
                if url
                else "there are no published weights"
            )
            + ", or --weights none to start from random numbers"
        )
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with contextlib.suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(repository, filename, local_files_only=True))
        _check_online(constants.ENDPOINT)
        return Path(hf_hub_download(repository, filename))
    except Exception as error:  # its own, requests' or httpx's, by version
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise WeightsNotFoundError(
            f"weights of {name} not found: huggingface.co/{repository} failed ({reason}). To bring them by "
            f"hand, fetch https://huggingface.co/{repository}/resolve/main/{filename} where there is network "
            f"and give --weights FILE, or save it as {name}{Path(filename).suffix} in a folder and set "
            "REHEAD_WEIGHTS to that folder; --weights none starts from random numbers"
        ) from error


def _check_online(address: str) -> None:
    """Fail at once without a network: the hub's own client retries for half a minute."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    with contextlib.suppress(HTTPError), urlopen(Request(address, method="HEAD"), timeout=10):
        pass


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a torch or a safetensors file.

    Raises
    ------
    WeightsError
        The file cannot be read, is damaged, or holds something else.
    """
    if path.suffix.lower() != ".safetensors":
        return {name: torch.from_numpy(array) for name, array in read_state_dict(path).items()}
    from safetensors.torch import load_file

    try:
        state: dict[str, torch.Tensor] = load_file(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # SafetensorError, or whatever a damaged header leads to
        raise WeightsError(f"{path}: is damaged or no safetensors file ({error}); fetch it again") from error
    return state


def load_matching(module: torch.nn.Module, state: State, what: str) -> None:
    """Load a state dict into a network, with any of the known naming schemes.

    Parameters
    ----------
    module : nn.Module
        A timm network, or a small one of rehead's.
    state : mapping of str to tensor
        With timm's, torchvision's or `efficientnet_lite_pytorch`'s names.
    what : str
        File and network, for the error.

    Raises
    ------
    WeightsError
        Tensors are missing, unexpected or of another shape; the message lists them. Nothing is loaded.
    """
    wanted = module.state_dict()
    state = _rename_keys(module, dict(state))
    used = {name: tensor for name, tensor in state.items() if name in wanted}
    missing = [name for name in wanted if name not in used and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in wanted and not _CLASSIFIER.match(name)]
    shapes = [
        f"{name} is {_shape(tensor)} instead of {_shape(wanted[name])}"
        for name, tensor in used.items()
        if tensor.shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} {kind} ({_first(names)})"
        for kind, names in (("missing", missing), ("left over", unexpected), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise WeightsError(f"{what}: the tensors do not fit: {'; '.join(problems)}; it is of another network")
    module.load_state_dict({**wanted, **used})


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _first(names: list[str], count: int = 5) -> str:
    more = f", and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _rename_keys(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict with the keys of `module`."""
    for key, scheme in _SCHEMES.items():
        if key in state:
            return _renamed(module, state, scheme)
    # timm's own conversion of older names and other sizes, for the networks that have one
    convert: Callable[..., Any] | None = getattr(
        sys.modules[type(module).__module__], "checkpoint_filter_fn", None
    )
    wanted = module.state_dict().items()
    fits = all(name in state and state[name].shape == tensor.shape for name, tensor in wanted)
    return state if convert is None or fits else dict(convert(state, module))


class _NamingScheme(NamedTuple):
    """The names of MobileNetV2 or EfficientNet-Lite in a package, the layers in timm's order."""

    layers: str  # of the inverted bottleneck
    first: str  # of the first block, which has no expansion
    ends: str  # stem and head
    block: str = ""
    offset: int = 0

    def names(self, blocks: Sequence[str]) -> list[str]:
        """Every layer of a network of these blocks."""
        ends = self.ends.format(last=len(blocks) + self.offset).split()
        inner = [
            f"{block}.{layer}"
            for number, block in enumerate(blocks)
            for layer in (self.layers if number else self.first).split()
        ]
        return [*ends[:2], *inner, *ends[2:]]


_TIMM = _NamingScheme(
    "conv_pw bn1 conv_dw bn2 conv_pwl bn3", "conv_dw bn1 conv_pw bn2", "conv_stem bn1 conv_head bn2"
)
_SCHEMES = {  # by a key that only such a file has
    "_conv_stem.weight": _NamingScheme(
        "_expand_conv _bn0 _depthwise_conv _bn1 _project_conv _bn2",
        "_depthwise_conv _bn1 _project_conv _bn2",
        "_conv_stem _bn0 _conv_head _bn1",
        "_blocks.",
    ),
    "features.1.conv.0.0.weight": _NamingScheme(  # torchvision's MobileNetV2
        "conv.0.0 conv.0.1 conv.1.0 conv.1.1 conv.2 conv.3",
        "conv.0.0 conv.0.1 conv.1 conv.2",
        "features.0.0 features.0.1 features.{last}.0 features.{last}.1",
        "features.",
        offset=1,
    ),
}


def _renamed(module: Any, state: dict[str, torch.Tensor], scheme: _NamingScheme) -> dict[str, torch.Tensor]:
    blocks = [
        f"blocks.{s}.{r}" for s, stage in enumerate(getattr(module, "blocks", ())) for r in range(len(stage))
    ]
    theirs = [f"{scheme.block}{number + scheme.offset}" for number in range(len(blocks))]
    renamed = dict(zip(scheme.names(theirs), _TIMM.names(blocks), strict=True))
    result = {}
    for name, tensor in state.items():
        layer, _, parameter = name.rpartition(".")
        result[f"{renamed[layer]}.{parameter}" if layer in renamed else name] = tensor
    return result
