"""The base class of estimators: scikit-learn's grammar, its code imported when it is asked for."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from rehead import FaceEncoder, ImageClassifier, KeypointRegressor
from rehead.core.estimator import Estimator


def test_parameters_are_read_without_sklearn() -> None:
    code = """
import sys
from rehead import ImageClassifier
from rehead.faces import FaceEncoder
model = ImageClassifier(cv=3, encoder=FaceEncoder(selection="largest"))
assert model.get_params()["encoder__selection"] == "largest"
assert type(model)(**model.get_params(deep=False)).get_params() == model.get_params()
assert not hasattr(model, "classes_")
assert "sklearn" not in sys.modules
assert model.set_params(encoder__selection="centre", cv=4) is model
assert (model.cv, model.encoder.selection) == (4, "centre")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tags_are_those_of_the_mixins() -> None:
    assert is_classifier(ImageClassifier())
    assert is_regressor(KeypointRegressor())
    tags = get_tags(ImageClassifier())
    assert tags.target_tags.required
    assert tags.classifier_tags is not None
    assert tags.transformer_tags is not None
    assert get_tags(FaceEncoder()).estimator_type is None


def test_it_prints_as_estimators_do() -> None:
    model = ImageClassifier(cv=3, size=192)
    assert repr(model) == "ImageClassifier(cv=3, size=192)"
    assert (
        repr(make_pipeline(model)) == "Pipeline(steps=[('imageclassifier', ImageClassifier(cv=3, size=192))])"
    )
    assert "ImageClassifier" in model._repr_html_()
    with pytest.raises(ValueError, match=r"Invalid parameter 'nonsense' for estimator ImageClassifier\(cv=3"):
        model.set_params(nonsense=1)


def test_a_clone_is_of_the_same_class_and_a_pickle_too() -> None:
    model = ImageClassifier(cv=3)
    for copy in (clone(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - its own
        assert type(copy) is ImageClassifier
        assert copy.get_params() == model.get_params()


def test_an_unfitted_estimator_says_so() -> None:
    with pytest.raises(NotFittedError, match="ImageClassifier instance is not fitted yet"):
        ImageClassifier().transform([])
    with pytest.raises(NotFittedError, match="KeypointRegressor"):
        KeypointRegressor().predict([])


def test_what_it_does_not_have_is_an_attribute_error() -> None:
    for name in ("nothing", "nothing_", "__nothing__", "set_output"):
        assert not hasattr(ImageClassifier(), name)
    with pytest.raises(AttributeError, match="'FaceEncoder' object has no attribute 'nothing'"):
        _ = FaceEncoder().nothing


def test_metadata_are_routed() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        model = ImageClassifier()
        assert model.set_fit_request(groups=True) is model
        asked = clone(model).get_metadata_routing().fit.requests
    assert asked["groups"] is True


def test_transformers_fit_and_transform() -> None:
    class Adder(Estimator):
        sklearn_mixins = ("TransformerMixin",)
        fitted_attribute = "sum_"

        def __init__(self, by: int = 0) -> None:
            self.by = by

        def fit(self, X: list[int], y: Any = None) -> Adder:
            self.sum_ = sum(X) + self.by
            return self

        def transform(self, X: list[int]) -> list[int]:
            self._check_fitted()
            return [x + self.sum_ for x in X]

    adder = Adder(1)
    assert adder.fit_transform([1, 2]) == [5, 6]
    assert adder.sum_ == 4
    assert clone(adder).get_params() == {"by": 1}
