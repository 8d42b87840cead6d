"""partial_fit, forget and merge, in scikit-learn's grammar."""

from __future__ import annotations

import os
from typing import Any, Self

from numpy.typing import ArrayLike

from ..backbones.encoder import Encoder
from ..core.estimator import Estimator
from ..core.photos import Photos
from ..core.progress import Progress
from ..data.inputs import photo_files, training_rows
from ..evaluation import Evaluation
from .calibration import measured
from .fitted import FittedClassifier
from .incremental import Change, add_photos, check_keeps, forget_photos, merge_fitted
from .options import ClassifierOptions
from .restore import load_fitted

__all__ = ["IncrementalMixin"]


class IncrementalMixin(Estimator):
    """What a classifier that keeps statistics does with them."""

    fitted_: FittedClassifier
    change_: Change
    encoder: Encoder | None
    progress: Progress | None

    @property
    def options(self) -> ClassifierOptions:
        """The options of the head."""
        raise NotImplementedError

    def fit(self, X: Photos, y: ArrayLike | None = None) -> Self:
        """Fit the head."""
        raise NotImplementedError

    def partial_fit(self, X: Photos, y: ArrayLike | None = None, classes: ArrayLike | None = None) -> Self:
        """Learn more photos, also of new classes, without those that were learnt before.

        The head and the outlier score are then those of all photos, as a first training with the same levels
        and strength would have fitted them. Temperature and limits stay, until `measure`.

        Parameters
        ----------
        X, y
            As in `fit`; what is not fitted yet is fitted. A photo that was learnt before counts once.
        classes : ignored
            Of scikit-learn's grammar: new classes may come at any time.

        Raises
        ------
        DataError
            It keeps no statistics; a class or a photo clashes with what was learnt.
        """
        del classes
        if not self.__sklearn_is_fitted__():
            check_keeps(self.options, weighted=False, encoder=self.encoder)
            return self.fit(X, y)
        rows = training_rows(X, y, None)
        self.fitted_, self.change_ = add_photos(self.fitted_, rows, self.options, self.progress)
        return self

    def forget(self, X: Photos | None = None, *, class_name: Any = None) -> Self:
        """Forget photos, or a whole class, as if they had never been learnt.

        Parameters
        ----------
        X : photos, optional
            As in `predict`; each must have been learnt. May be left out with a class where the sums of each
            class are kept (`statistics_by_class`), or where the cache has the features of its photos.
        class_name : str or number, optional
            A class to forget: all of its photos, and its name.

        Raises
        ------
        DataError
            A photo was never learnt, or has other features here; a class, or all but one, would have none.
        """
        self._check_fitted()
        files = [] if X is None else photo_files(X)
        self.fitted_, self.change_ = forget_photos(
            self.fitted_, files, class_name, self.options, self.progress
        )
        return self

    def merge(self, other: IncrementalMixin) -> Self:
        """Learn what another classifier learnt, without its photos; the other stays as it is.

        DataError where the two have other networks or kinds of head, or learnt the same photo.
        """
        self._check_fitted()
        other._check_fitted()
        self.fitted_, self.change_ = merge_fitted(self.fitted_, other.fitted_)
        return self

    def measure(self, X: Photos, y: ArrayLike | None = None) -> Evaluation:
        """Set temperature and limits by photos that were not learnt, and say how good the answers are.

        The photos are divided: each part is judged by temperature and limits of the others.

        Raises
        ------
        DataError
            Photos of other classes, too few photos, or none that were not learnt.
        """
        self._check_fitted()
        self.fitted_, evaluation = measured(
            self.fitted_, training_rows(X, y, None), self.options, self.progress
        )
        return evaluation

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        cache: bool | str | os.PathLike[str] = True,
        threads: int | None = None,
    ) -> Self:
        """The classifier of a model file with its statistics beside it, ready for `partial_fit`.

        Raises
        ------
        ModelFileError, DataError
            The file or its statistics are not there, altered, or not of each other.
        """
        fitted, options = load_fitted(path, cache)
        found = cls(**{**options, "cache": cache, "threads": threads})
        found.fitted_ = fitted
        return found
