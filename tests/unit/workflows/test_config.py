from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rehead.classification.estimator import ImageClassifier
from rehead.cli import app, options
from rehead.cli import compare as compare_command
from rehead.cli import train as train_command
from rehead.cli.keypoints import train as point_command
from rehead.errors import DataError, UnknownNameError
from rehead.workflows import recipes
from rehead.workflows.config import OF_THE_NETWORK, KeypointTrainConfig, TrainConfig, is_of_the_core

PLANS = {
    **{recipe.name: recipe.plan for recipe in recipes.RECIPES},
    "the core's options": TrainConfig(
        backbone="mobilenet_v2", weights=Path("my weights.pth"), n_levels=2, mirror=False, balanced=True,
        folds=3, test_share=0.3, coverage=0.8, seed=5, strict=True, cache=False, threads=1, size=192,
    ),
    "the network's options": TrainConfig(
        network="small-cnn", mirror=True, label_smoothing=0.1, mixup=0.2, precision="32", accelerator="cpu",
        devices=2, cached_views=0, lr=1e-5,
    ),
}  # fmt: skip


def parsed(words: list[str]) -> dict[str, Any]:
    """What the command line makes of options of `rehead train`."""
    command: Any = get_command(app).commands["train"]  # type: ignore[attr-defined]
    context = command.make_context("train", ["photos", "--out", "run", *words])
    return dict(context.params)


@pytest.mark.parametrize("name", PLANS)
def test_the_words_of_a_plan_say_it_to_the_command_line(name: str) -> None:
    plan = PLANS[name]
    values = parsed(plan.arguments())
    again = options.plan_of({k: v for k, v in values.items() if k != "recipe"})
    same = replace(again, weights=again.weights and Path(again.weights))
    assert same == plan


def test_the_command_line_has_the_defaults_of_a_plan() -> None:
    shown = inspect.signature(train_command.train).parameters
    for field in fields(TrainConfig):
        assert shown[field.name].default == field.default, field.name
    compared = inspect.signature(compare_command.compare).parameters
    own = {"backbone", "preprocess", "weights", "network", "train"}
    for field in fields(TrainConfig):
        if field.name not in own:
            assert compared[field.name].default == field.default, field.name


def test_every_option_of_a_training_is_one_of_a_plan() -> None:
    pytest.importorskip("torch")
    from rehead.finetune.config import FineTuneConfig

    of_plan = {field.name: field.default for field in fields(TrainConfig)}
    for field in fields(FineTuneConfig):
        assert field.name in of_plan, f"give Plan, cli/options.py, train and compare the option {field.name}"
        if field.name != "train":
            assert of_plan[field.name] == field.default, field.name
    of_training = {field.name for field in fields(FineTuneConfig)} - {"train", "head"}
    assert set(OF_THE_NETWORK) == of_training | {"refit"}


def test_a_plan_of_the_core_needs_no_more_than_the_core() -> None:
    plan = PLANS["the core's options"]
    assert not plan.trains_network
    classifier = plan.classifier()
    assert type(classifier) is ImageClassifier
    found = classifier.get_params()
    wanted = {"backbone": "mobilenet_v2", "n_levels": 2, "mirror": False, "class_weight": "balanced", "cv": 3}
    wanted |= {"coverage": 0.8, "random_state": 5, "strict": True, "cache": False, "threads": 1}
    assert {name: found[name] for name in wanted} == wanted
    assert found["preprocess"].size == 192


def test_a_plan_says_when_a_network_is_trained() -> None:
    assert not TrainConfig().trains_network
    assert not TrainConfig(train="frozen").trains_network
    assert not TrainConfig(backbone="mine.onnx").trains_network
    for plan in (
        TrainConfig(train="top:1"),
        TrainConfig(head="conv"),
        TrainConfig(network="small-cnn"),
        TrainConfig(backbone="resnet18"),
        TrainConfig(weights=Path("none")),
        TrainConfig(keep="always"),
    ):
        assert plan.trains_network


def test_a_plan_of_a_network_passes_its_options_on() -> None:
    pytest.importorskip("torch")
    plan = replace(PLANS["the network's options"], size=32, keep="always")
    classifier: Any = plan.classifier(work=Path("work"), resume=True)
    assert classifier.options.to_dict() == {
        **{field.name: getattr(plan, field.name) for field in fields(classifier.options)}, "train": "all",
    }  # fmt: skip
    found = (classifier.backbone, classifier.weights, classifier.size, classifier.keep, classifier.work)
    assert found == ("small-cnn", "none", 32, "always", Path("work"))
    assert classifier.resume


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (TrainConfig(backbone="mine.onnx", size=64), "mine.onnx is in its record of preprocessing"),
        (TrainConfig(preprocess=Path("p.json"), size=64), "record of preprocessing"),
        (TrainConfig(size=8), "size 8 is too small for efficientnet_lite0.*; give 32 or more"),
        (TrainConfig(backbone="mine.onnx", train="all"), "cannot be trained"),
        (TrainConfig(preprocess=Path("p.json"), train="all"), "for frozen networks of the core"),
        (TrainConfig(train="all", dropout=1.5), "dropout is 1.5"),
    ],
)
def test_options_that_do_not_go_together_are_refused(plan: TrainConfig, message: str) -> None:
    if "dropout" in message:
        pytest.importorskip("torch")
    with pytest.raises(DataError, match=message):
        plan.classifier()


def test_the_core_knows_its_own_networks() -> None:
    assert is_of_the_core("efficientnet_lite0")
    assert is_of_the_core("folder/Mine.ONNX")
    assert not is_of_the_core("small-cnn")


# recipes


def test_the_words_of_a_point_plan_say_it_to_the_command_line() -> None:
    plans = [recipe.plan for recipe in recipes.POINT_RECIPES]
    plans += [
        KeypointTrainConfig(
            weights=Path("my weights.pth"), mirror=(1, 0, 2), cascade=True, n_jitter=0, folds=3, size=192
        ),
        KeypointTrainConfig(
            head="heatmap", mirror=False, loss="l2", train="top:2", lr=1e-5, weights=Path("none")
        ),
    ]
    command: Any = get_command(app).commands["keypoints"].commands["train"]  # type: ignore[attr-defined]
    for plan in plans:
        context = command.make_context("train", ["points.csv", "--out", "run", *plan.arguments()])
        again = point_command._plan_of(dict(context.params))
        assert replace(again, weights=again.weights and Path(again.weights)) == plan


def test_the_command_line_has_the_defaults_of_a_point_plan() -> None:
    shown = inspect.signature(point_command.train).parameters
    for field in fields(KeypointTrainConfig):
        assert shown[field.name].default == field.default, field.name
    pytest.importorskip("torch")
    from rehead.finetune.config import FineTuneConfig

    classes = {"label_smoothing", "mixup", "interpolate"}
    assert {field.name for field in fields(FineTuneConfig)} - classes <= set(shown)


def test_a_recipe_of_keypoints() -> None:
    pytest.importorskip("torch")
    regressor: Any = recipes.get_points("keypoints-vgg16").plan.regressor()
    assert (regressor.backbone, regressor.loss, regressor.cascade) == ("vgg16", "l1", False)
    assert (regressor.options.train, regressor.options.head, regressor.keep) == ("frozen", "conv", "always")
    with pytest.raises(DataError, match="rehead keypoints train POINTS --out RUN --recipe keypoints-vgg16"):
        recipes.get("keypoints-vgg16")
    with pytest.raises(DataError, match="rehead train PHOTOS --out RUN --recipe gender-vgg16"):
        recipes.get_points("gender-vgg16")
    with pytest.raises(UnknownNameError, match="did you mean 'keypoints-vgg16'"):
        recipes.get_points("keypoint-vgg16")


def test_the_recipes_are_those_that_were_promised() -> None:
    names = [recipe.name for recipe in recipes.RECIPES]
    assert len(set(names)) == len(names) == 13
    assert sum(name.startswith("gender-cnn-") for name in names) == 3
    assert {"monkeys-mobilenet", "alpaca-mobilenetv2", "cats-dogs-mobilenetv2", "celebrities-cnn"} <= set(
        names
    )
    with pytest.raises(UnknownNameError, match="did you mean 'gender-vgg16'"):
        recipes.get("gender-vg16")


@pytest.mark.parametrize("recipe", recipes.RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_makes_a_classifier(recipe: recipes.Recipe[TrainConfig]) -> None:
    pytest.importorskip("torch")
    classifier: Any = recipe.plan.classifier()
    assert classifier.keep == "always"
    assert classifier.options.schedule == "constant"
