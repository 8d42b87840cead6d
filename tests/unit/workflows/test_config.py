from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rehead.classification.estimator import ImageClassifier
from rehead.classification.options import ClassifierOptions
from rehead.cli import app
from rehead.core.options import option_values
from rehead.data.options import SplitOptions, TableOptions
from rehead.errors import DataError, UnknownNameError
from rehead.finetune.config import FineTuneConfig, KeypointFineTuneConfig
from rehead.keypoints.options import KeypointOptions
from rehead.workflows import config as config_module
from rehead.workflows import recipes
from rehead.workflows.config import KeypointTrainConfig, TrainConfig, is_of_the_core

CONFIGS = {
    **{recipe.name: recipe.config for recipe in recipes.RECIPES},
    "the core's options": TrainConfig(
        classifier=ClassifierOptions(
            "mobilenet_v2", weights=Path("my weights.pth"), n_levels=2, mirror=False, class_weight="balanced",
            cv=3, coverage=0.8, random_state=5, strict=True, cache=False, threads=1, size=192,
        ),
        split=SplitOptions(test_share=0.3, keep_bursts=False),
        table=TableOptions(path_column="image id", label_column="breed", root=Path("my root"), suffix=".jpg"),
    ),
    "the network's options": TrainConfig(
        classifier=ClassifierOptions("small-cnn", mirror=True),
        finetune=FineTuneConfig(
            label_smoothing=0.1, mixup=0.2, precision="32", accelerator="cpu", devices=2, cached_views=0,
            lr=1e-5, refit=False, validation_share=0.3,
        ),
    ),
}  # fmt: skip


class _ReachedError(Exception):
    """The command has made its configuration."""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The configuration that a command makes of its words."""

    def run(*words: str) -> Any:
        made: list[Any] = []

        def train(config: Any, *_: Any, **__: Any) -> None:
            made.append(config)
            raise _ReachedError

        monkeypatch.setattr(config_module, "run_training", train)
        monkeypatch.setattr(config_module, "run_keypoint_training", train)
        command: Any = get_command(app)
        with pytest.raises(_ReachedError):
            command(list(words), standalone_mode=False)
        return made[0]

    return run


def same(one: Any, other: Any) -> bool:
    """Whether two configurations have the same options."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(a is b is None or option_values(a) == option_values(b) for a, b in pairs)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_words_of_a_configuration_say_it_to_the_command_line(
    name: str, parsed: Callable[..., Any]
) -> None:
    words = CONFIGS[name].arguments()
    assert same(parsed("train", "photos", "--out", "run", *words), CONFIGS[name])


def test_the_command_line_has_the_defaults_of_python(parsed: Callable[..., Any]) -> None:
    assert same(parsed("train", "photos", "--out", "run"), TrainConfig())
    assert TrainConfig().arguments() == []
    assert same(parsed("keypoints", "train", "points.csv", "--out", "run"), KeypointTrainConfig())
    assert KeypointTrainConfig().arguments() == []
    trained = parsed("keypoints", "train", "points.csv", "--out", "run", "--head", "heatmap")
    assert same(trained, KeypointTrainConfig(finetune=KeypointFineTuneConfig()))


def test_options_beside_a_recipe_override_it(parsed: Callable[..., Any]) -> None:
    given = parsed(
        "train", "photos", "--out", "run", "--recipe", "gender-vgg16", "--epochs", "3", "--folds", "4"
    )
    recipe = recipes.get("gender-vgg16", TrainConfig).config
    wanted = replace(
        recipe,
        classifier=replace(recipe.classifier, cv=4),
        finetune=replace(recipe.finetune, epochs=3),
    )
    assert same(given, wanted)
    words = ("--recipe", "keypoints-vgg16", "--epochs", "3", "--jitter", "2")
    points = parsed("keypoints", "train", "points.csv", "--out", "run", *words)
    known = recipes.get("keypoints-vgg16", KeypointTrainConfig).config
    assert known.finetune is not None
    assert option_values(points.finetune) == {**option_values(known.finetune), "epochs": 3}
    assert option_values(points.regressor) == {**option_values(known.regressor), "n_jitter": 2}


def test_a_configuration_of_the_core_needs_no_more_than_the_core() -> None:
    config = CONFIGS["the core's options"]
    assert not config.trains_network
    classifier = config.estimator()
    assert type(classifier) is ImageClassifier
    assert option_values(classifier) == option_values(config.classifier)
    assert classifier.get_params()["size"] == 192


def test_a_configuration_says_when_a_network_is_trained() -> None:
    assert not TrainConfig().trains_network
    assert not TrainConfig(finetune=FineTuneConfig(train="frozen")).trains_network
    assert not TrainConfig(classifier=ClassifierOptions("mine.onnx")).trains_network
    for config in (
        TrainConfig(finetune=FineTuneConfig(train="top:1")),
        TrainConfig(finetune=FineTuneConfig(head="conv")),
        TrainConfig(finetune=FineTuneConfig(train="scratch")),
        TrainConfig(finetune=FineTuneConfig(keep="always")),
        TrainConfig(classifier=ClassifierOptions("small-cnn")),
        TrainConfig(classifier=ClassifierOptions("resnet18")),
    ):
        assert config.trains_network


def test_a_configuration_of_a_network_passes_its_options_on() -> None:
    pytest.importorskip("torch")
    config = CONFIGS["the network's options"]
    classifier: Any = config.estimator(work=Path("work"), resume=True)
    assert classifier.config == config.finetune
    assert option_values(classifier.base) == option_values(config.classifier)
    assert (classifier.work, classifier.resume) == (Path("work"), True)
    assert not classifier.pretrained


@pytest.mark.parametrize(
    ("classifier", "finetune", "message"),
    [
        (ClassifierOptions("mine.onnx", size=64), {}, "mine.onnx is in its record of preprocessing"),
        (ClassifierOptions(preprocess=Path("p.json"), size=64), {}, "record of preprocessing"),
        (ClassifierOptions(size=8), {}, "size 8 is too small for efficientnet_lite0.*; give 32 or more"),
        (ClassifierOptions("mine.onnx"), {"train": "all"}, "cannot be trained"),
        (ClassifierOptions(preprocess=Path("p.json")), {"train": "all"}, "for frozen networks of the core"),
        (ClassifierOptions(weights=Path("w.pth")), {"train": "scratch"}, "exclude each other"),
        (ClassifierOptions("small-cnn"), {"train": "top:1"}, "leave out --train top:1"),
        (ClassifierOptions("faces"), {"train": "all"}, "face embedder is used frozen"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    classifier: ClassifierOptions, finetune: dict[str, Any], message: str
) -> None:
    if finetune:
        pytest.importorskip("torch")
    config = TrainConfig(classifier=classifier, finetune=FineTuneConfig(**finetune))
    with pytest.raises(DataError, match=message):
        config.with_backbone(str(classifier.backbone)).estimator().make_encoder()


def test_the_core_knows_its_own_networks() -> None:
    assert is_of_the_core("efficientnet_lite0")
    assert is_of_the_core("folder/Mine.ONNX")
    assert not is_of_the_core("small-cnn")


# recipes


def test_the_words_of_a_keypoint_configuration_say_it_to_the_command_line(
    parsed: Callable[..., Any],
) -> None:
    configs = [recipe.config for recipe in recipes.KEYPOINT_RECIPES]
    configs += [
        KeypointTrainConfig(
            regressor=KeypointOptions(
                weights=Path("my weights.pth"), mirror=(1, 0, 2), cascade=True, n_jitter=0, cv=3, size=192
            )
        ),
        KeypointTrainConfig(
            regressor=KeypointOptions(mirror=False),
            finetune=KeypointFineTuneConfig(head="heatmap", loss="l2", train="scratch", lr=1e-5),
        ),
    ]
    for config in configs:
        words = config.arguments()
        assert same(parsed("keypoints", "train", "points.csv", "--out", "run", *words), config)


def test_a_recipe_of_keypoints() -> None:
    pytest.importorskip("torch")
    regressor: Any = recipes.get("keypoints-vgg16", KeypointTrainConfig).config.estimator()
    config = regressor.config
    assert (regressor.backbone, config.loss, regressor.cascade) == ("vgg16", "l1", False)
    assert (config.train, config.head, config.keep) == ("frozen", "conv", "always")
    with pytest.raises(DataError, match="rehead keypoints train POINTS --out RUN --recipe keypoints-vgg16"):
        recipes.get("keypoints-vgg16", TrainConfig)
    with pytest.raises(DataError, match="rehead train PHOTOS --out RUN --recipe gender-vgg16"):
        recipes.get("gender-vgg16", KeypointTrainConfig)
    with pytest.raises(UnknownNameError, match="did you mean 'keypoints-vgg16'"):
        recipes.get("keypoint-vgg16", KeypointTrainConfig)


def test_the_recipes_are_those_that_were_promised() -> None:
    names = [recipe.name for recipe in recipes.RECIPES]
    assert len(set(names)) == len(names) == 13
    assert sum(name.startswith("gender-cnn-") for name in names) == 3
    assert {"monkeys-mobilenet", "alpaca-mobilenetv2", "cats-dogs-mobilenetv2", "celebrities-cnn"} <= set(
        names
    )
    with pytest.raises(UnknownNameError, match="did you mean 'gender-vgg16'"):
        recipes.get("gender-vg16", TrainConfig)


@pytest.mark.parametrize("recipe", recipes.RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_makes_a_classifier(recipe: recipes.Recipe[TrainConfig]) -> None:
    pytest.importorskip("torch")
    classifier: Any = recipe.config.estimator()
    assert classifier.config.keep == "always"
    assert classifier.config.schedule == "constant"
