"""Photos to a model in the browser: classes, photos, training, export, in an ordinary folder."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import MissingExtraError

__all__ = ["require_serve"]

_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def require_serve() -> None:
    """Raise MissingExtraError where the extra is not installed, which names its pip line."""
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(
                f"the studio needs {package}, which is not installed: pip install 'rehead[serve]'"
            )
