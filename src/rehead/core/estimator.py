"""scikit-learn's grammar without importing it, which takes longer than fitting the head of a small folder.

Parameters are read here. All else that `sklearn.base` gives an estimator (`set_params`, tags, printing,
metadata routing, `fit_transform`) is scikit-learn's own code, imported when it is first asked for.
"""

from __future__ import annotations

import inspect
from functools import cache, wraps
from typing import Any, ClassVar, NoReturn, Self

__all__ = ["Estimator"]


class Estimator:
    """What `sklearn.base.BaseEstimator` and its mixins do, for classes that do not derive from them.

    A subclass keeps each parameter of its constructor in an attribute of the same name, as theirs do.
    """

    sklearn_mixins: ClassVar[tuple[str, ...]] = ()
    """Classes of `sklearn.base`, by name, whose methods and tags it has too."""

    fitted_attribute: ClassVar[str] = ""
    """What `fit` sets."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with `deep` also those of estimators among them, as `name__parameter`."""
        found: dict[str, Any] = {}
        for name in sorted(inspect.signature(type(self)).parameters):
            value = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                found |= {f"{name}__{inner}": one for inner, one in value.get_params().items()}
            found[name] = value
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, or those of an estimator among them as `name__parameter`; ValueError."""
        from sklearn.base import BaseEstimator

        BaseEstimator.set_params(self, **params)
        return self

    def _check_fitted(self) -> None:
        """Raise `sklearn.exceptions.NotFittedError` before `fit`."""
        if not self.__sklearn_is_fitted__():
            from sklearn.utils.validation import check_is_fitted

            check_is_fitted(self)

    def __sklearn_is_fitted__(self) -> bool:
        return self.fitted_attribute in self.__dict__

    def __sklearn_tags__(self) -> Any:
        return super(Estimator, _as_sklearn(self)).__sklearn_tags__()  # type: ignore[misc]

    def __repr__(self) -> str:
        return repr(_as_sklearn(self))

    def __getattr__(self, name: str) -> Any:
        """What only scikit-learn's classes have; of learned (`name_`) and special names they have none."""
        learned = name.endswith("_") and not name.startswith("_")
        if learned or name.startswith("__"):
            _refuse(self, name)
        twin = _as_sklearn(self)
        found = getattr(twin, name)
        if not callable(found):
            return found

        @wraps(found)
        def method(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            return self if answer is twin else answer

        return method


def _refuse(estimator: Estimator, name: str) -> NoReturn:
    kind = type(estimator).__name__
    raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=estimator)


def _as_sklearn(estimator: Estimator) -> Any:
    """The same estimator, by attributes that are shared, of a class that derives from scikit-learn's too."""
    kind: Any = type(estimator)
    twin = object.__new__(_sklearn_class(kind))
    twin.__dict__ = estimator.__dict__
    return twin


@cache
def _sklearn_class(kind: Any) -> Any:
    from sklearn import base

    mixins = [getattr(base, name) for name in kind.sklearn_mixins]
    names = {
        "__repr__": base.BaseEstimator.__repr__,
        "__getattr__": _refuse,
        "__module__": kind.__module__,
    }
    return type(kind.__name__, (kind, *mixins, base.BaseEstimator), names)
