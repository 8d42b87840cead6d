"""The settings of well-known tutorials, each as one value: what `--recipe NAME` does.

Those of classifiers are for `rehead train`, those of keypoints for `rehead keypoints train`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ..classification.options import ClassifierOptions
from ..errors import DataError, UnknownNameError
from ..finetune.config import FineTuneConfig, KeypointFineTuneConfig
from ..keypoints.options import KeypointOptions
from .config import KeypointTrainConfig, TrainConfig

__all__ = ["EVERY", "KEYPOINT_RECIPES", "RECIPES", "Recipe", "find", "get"]

AnyConfig = TypeVar("AnyConfig", TrainConfig, KeypointTrainConfig)

# as Keras trains unless it is told otherwise: a constant rate, the same for all layers
_AS_KERAS: dict[str, Any] = {
    "keep": "always",
    "schedule": "constant",
    "warmup": 0.0,
    "weight_decay": 0.0,
    "layer_decay": 1.0,
    "grad_clip": 0.0,
    "ema": 0.0,
    "bn_stats": "batch",
    "patience": 0,
    "optimizer": "adam",
    "lr": 1e-3,
}
_KERAS = FineTuneConfig(**_AS_KERAS, augment="default", refit=False, interpolate=False)


@dataclass(frozen=True)
class Recipe(Generic[AnyConfig]):
    """A tutorial's settings.

    Parameters
    ----------
    name : str
        What a user types.
    summary : str
        One line.
    data : str
        The photos that the tutorial trains on.
    reported : str
        The accuracy, or error, that the tutorial reports on its own validation photos; "" where it is not
        known here.
    config : TrainConfig or KeypointTrainConfig
        The settings.
    differs : str
        What rehead does otherwise than the tutorial; "" where it is nothing but the framework.
    """

    name: str
    summary: str
    data: str
    reported: str
    config: AnyConfig
    differs: str = ""

    @property
    def command(self) -> str:
        """What runs it, without its options."""
        verb = "keypoints train POINTS" if isinstance(self.config, KeypointTrainConfig) else "train PHOTOS"
        return f"rehead {verb} --out RUN"


_COOKBOOK = "male and female faces at 300 px, as in the Neural Networks with Keras Cookbook (Ayyadevara 2019)"
_SIDE = "weights that were trained at 224 px, where Keras has others for 160 px"
_CELEBRITIES = "5 Celebrity Faces: 93 portraits to train on, 25 to validate (Kaggle)"
_ALPACA = "327 photos of alpacas and others (DeepLearning.AI, Convolutional Neural Networks, week 2)"


def _config(backbone: str, size: int | None = None, **finetune: Any) -> TrainConfig:
    """A network trained as Keras does, but for what is given."""
    return TrainConfig(
        classifier=ClassifierOptions(backbone, size=size), finetune=replace(_KERAS, **finetune)
    )


def _gender_cnn(variant: str, what: str, reported: str) -> Recipe[TrainConfig]:
    return Recipe(
        f"gender-cnn-{variant}",
        f"four convolutions from scratch, {what}",
        _COOKBOOK,
        reported,
        _config(f"cnn4-{variant}", epochs=10, augment="none"),
    )


def _gender_pretrained(name: str, backbone: str, title: str, reported: str) -> Recipe[TrainConfig]:
    return Recipe(
        f"gender-{name}",
        f"{title} frozen, with a convolution and a dense layer on its maps",
        _COOKBOOK,
        reported,
        _config(backbone, 300, train="frozen", head="conv", epochs=10, augment="none"),
    )


def _celebrities_resnet(name: str, what: str, train: str, reported: str) -> Recipe[TrainConfig]:
    pretrained = train != "scratch"
    return Recipe(
        name,
        f"ResNet50, all of it trained, {what}",
        _CELEBRITIES,
        reported,
        _config("resnet50", train=train, lr=1e-4 if pretrained else 1e-3, epochs=20, augment="none"),
        "begins with a fitted head (LP-FT) where there are weights" if pretrained else "",
    )


RECIPES = (
    Recipe(
        "monkeys-mobilenet",
        "MobileNet, its top 4 blocks trained, dense head, early stopping",
        "10 species of monkeys (Kaggle)",
        "",
        _config("mobilenet", 224, train="top:4", head="mlp:1024", optimizer="rmsprop", epochs=20, patience=3),
        "one hidden layer of 1024 for the tutorial's 1024, 1024 and 512",
    ),
    _gender_cnn("300", "300 px", "51 %"),
    _gender_cnn("50", "50 px", "76 %"),
    _gender_cnn("300-pool3", "300 px with 3 x 3 pooling", "70 %"),
    _gender_pretrained("vgg16", "vgg16", "VGG16", "89 %"),
    _gender_pretrained("vgg19", "vgg19", "VGG19", "89 %"),
    _gender_pretrained("inception", "inception_v3", "Inception v3", "90 %"),
    _gender_pretrained("resnet50", "resnet50", "ResNet50", "92 %"),
    Recipe(
        "cats-dogs-mobilenetv2",
        "MobileNetV2 frozen at 160 px, dense layer of 32, RMSprop at 1e-4",
        "photos of cats and dogs",
        "76 %",
        _config(
            "mobilenet_v2",
            160,
            train="frozen",
            head="mlp:32",
            optimizer="rmsprop",
            lr=1e-4,
            epochs=10,
            augment="none",
        ),
        f"dropout of 0.5 after the dense layer; {_SIDE}",
    ),
    Recipe(
        "alpaca-mobilenetv2",
        "MobileNetV2 frozen at 160 px, dropout, Adam, photos flipped and rotated",
        _ALPACA,
        "95 %, 97 % augmented",
        _config("mobilenet_v2", 160, train="frozen", dropout=0.2, epochs=20, augment="flip-rotate"),
        f"begins with a fitted head (LP-FT); 4 augmented views of each photo; {_SIDE}",
    ),
    Recipe(
        "celebrities-cnn",
        "three convolutions from scratch at 160 px, global average pooling",
        _CELEBRITIES,
        "60 %",
        _config("small-cnn", epochs=50, augment="default"),
    ),
    _celebrities_resnet("celebrities-resnet50", "from ImageNet weights", "all", "56 %"),
    _celebrities_resnet("celebrities-resnet50-scratch", "from random weights", "scratch", "60 %"),
)
"""Those of classifiers."""

KEYPOINT_RECIPES = (
    Recipe(
        "keypoints-vgg16",
        "VGG16 frozen on whole photos at 224 px, with a convolution and a dense layer, mean absolute error",
        "frames of YouTube Faces with 68 points, as Udacity's course on computer vision has them",
        "",
        KeypointTrainConfig(
            regressor=KeypointOptions("vgg16", cascade=False),
            finetune=KeypointFineTuneConfig(
                **_AS_KERAS,
                head="conv",
                train="frozen",
                side=224,
                batch_size=32,
                epochs=10,
                augment="none",
            ),
        ),
    ),
)
"""Those of keypoints."""

EVERY: tuple[Recipe[TrainConfig] | Recipe[KeypointTrainConfig], ...] = (*RECIPES, *KEYPOINT_RECIPES)


def find(name: str) -> Recipe[TrainConfig] | Recipe[KeypointTrainConfig]:
    """The recipe of that name, of classifiers or keypoints.

    Raises
    ------
    UnknownNameError
        There is none; the message says which is near.
    """
    for recipe in EVERY:
        if recipe.name == name:
            return recipe
    raise UnknownNameError("recipe", name, (recipe.name for recipe in EVERY))


def get(name: str, config: type[AnyConfig]) -> Recipe[AnyConfig]:
    """The recipe of that name for `rehead train` (TrainConfig) or `rehead keypoints train`.

    Raises
    ------
    UnknownNameError, DataError
        There is none; it is one for the other command.
    """
    recipe = find(name)
    if not isinstance(recipe.config, config):
        raise DataError(f"the recipe {name} is for another command: {recipe.command} --recipe {name}")
    return recipe
