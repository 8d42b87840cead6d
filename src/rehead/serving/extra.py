"""Whether what a service stands on is installed; imports none of it."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import MissingExtraError

__all__ = ["check_extra"]

_MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def check_extra(what: str) -> None:
    """Raise MissingExtraError where a module lacks that `what` needs, such as "rehead serve"."""
    if lacking := [name for name in _MODULES if find_spec(name) is None]:
        raise MissingExtraError(
            f"{what} needs {', '.join(lacking)}, which is not installed: pip install 'rehead[serve]'"
        )
