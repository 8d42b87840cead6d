"""Training networks themselves: the only room that knows torch. Needs `pip install 'rehead[torch]'`."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import MissingExtraError

__all__ = ["require_torch"]

_PACKAGES = ("torch", "torchvision", "timm", "lightning", "tensorboard")


def require_torch() -> None:
    """Raise MissingExtraError where the extra is not installed, which names its pip line."""
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(
                f"training a network needs {package}, which is not installed: pip install 'rehead[torch]'"
            )
