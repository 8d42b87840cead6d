"""Training networks themselves: the only room that knows torch. Needs `pip install 'rehead[torch]'`."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import MissingExtraError

__all__: list[str] = []

for _package in ("torch", "torchvision", "timm", "lightning", "tensorboard"):
    if find_spec(_package) is None:
        raise MissingExtraError(
            f"training a network needs {_package}, which is not installed: pip install 'rehead[torch]'"
        )
