"""FaceNet: the graph gives what the torch network gives, from both kinds of published files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.backbones.graphs import count_parameters
from rehead.backbones.graphs.inception_resnet_v1 import embedder, tensors
from rehead.backbones.weights.keras_hdf5 import read_keras_arrays
from rehead.errors import DataError, MissingExtraError, UnknownNameError, WeightsError
from rehead.faces import EmbedderSpec, FaceEmbedder
from rehead.faces.embedding.facenet import SPECS, check_spec

torch = pytest.importorskip("torch", reason="the network is compared with its torch original")
nn = torch.nn

Arrays = dict[str, NDArray[Any]]


class Conv(nn.Module):  # type: ignore[misc,name-defined]
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Any, stride: int = 1, padding: Any = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.bn(self.conv(x)))


class Block(nn.Module):  # type: ignore[misc,name-defined]
    """Branches side by side, then a residual or a pooling."""

    def __init__(self, *branches: Any, width: int = 0, scale: float = 1, relu: bool = True) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)
        self.count, self.scale, self.relu = len(branches), scale, relu
        if width:
            inner = sum([*b][-1].conv.out_channels if isinstance(b, nn.Sequential) else b.conv.out_channels
                        for b in branches)  # fmt: skip
            self.conv2d = nn.Conv2d(inner, width, 1)

    def forward(self, x: Any) -> Any:
        parts = [getattr(self, f"branch{number}")(x) for number in range(self.count)]
        if not hasattr(self, "conv2d"):
            return torch.cat([*parts, nn.functional.max_pool2d(x, 3, 2)], 1)
        x = x + self.scale * self.conv2d(torch.cat(parts, 1))
        return torch.relu(x) if self.relu else x


def block35() -> Block:
    one, two = Conv(256, 32, 1), nn.Sequential(Conv(256, 32, 1), Conv(32, 32, 3, 1, 1))
    three = nn.Sequential(Conv(256, 32, 1), Conv(32, 32, 3, 1, 1), Conv(32, 32, 3, 1, 1))
    return Block(one, two, three, width=256, scale=0.17)


def long_block(width: int, inner: int, reach: int, **options: Any) -> Block:
    """A block whose second branch looks along the rows and then along the columns."""
    along = Conv(inner, inner, (1, reach), 1, (0, reach // 2))
    down = Conv(inner, inner, (reach, 1), 1, (reach // 2, 0))
    branch = nn.Sequential(Conv(width, inner, 1), along, down)
    return Block(Conv(width, inner, 1), branch, width=width, **options)


class InceptionResnetV1(nn.Module):  # type: ignore[misc,name-defined]
    """As facenet-pytorch has it (2.6.0, MIT), by its names."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.conv2d_1a, self.conv2d_2a, self.conv2d_2b = (
            Conv(3, 32, 3, 2),
            Conv(32, 32, 3),
            Conv(32, 64, 3, 1, 1),
        )
        self.conv2d_3b, self.conv2d_4a, self.conv2d_4b = (
            Conv(64, 80, 1),
            Conv(80, 192, 3),
            Conv(192, 256, 3, 2),
        )
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        self.mixed_6a = Block(
            Conv(256, 384, 3, 2),
            nn.Sequential(Conv(256, 192, 1), Conv(192, 192, 3, 1, 1), Conv(192, 256, 3, 2)),
        )
        self.repeat_2 = nn.Sequential(*(long_block(896, 128, 7, scale=0.1) for _ in range(10)))
        self.mixed_7a = Block(
            nn.Sequential(Conv(896, 256, 1), Conv(256, 384, 3, 2)),
            nn.Sequential(Conv(896, 256, 1), Conv(256, 256, 3, 2)),
            nn.Sequential(Conv(896, 256, 1), Conv(256, 256, 3, 1, 1), Conv(256, 256, 3, 2)),
        )
        self.repeat_3 = nn.Sequential(*(long_block(1792, 192, 3, scale=0.2) for _ in range(5)))
        self.block8 = long_block(1792, 192, 3, relu=False)
        self.last_linear = nn.Linear(1792, dimensions, bias=False)
        self.last_bn = nn.BatchNorm1d(dimensions, eps=0.001)

    def forward(self, x: Any) -> Any:
        x = nn.functional.max_pool2d(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x))), 3, 2)
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.repeat_2(self.mixed_6a(self.repeat_1(x)))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        return nn.functional.normalize(self.last_bn(self.last_linear(x.mean(dim=(2, 3)))), dim=1)


def pictures() -> NDArray[np.uint8]:
    """Smooth light and shade with noise."""
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(0, 200, (4, 8, 8, 3)), np.ones((1, 20, 20, 1)))
    return (coarse + rng.integers(0, 56, (4, 160, 160, 3))).astype(np.uint8)


def reference(dimensions: int, *, gamma: bool = True) -> Any:
    """Random, with batch norms that fit it: their outputs vary from photo to photo, as trained ones do."""
    torch.manual_seed(dimensions)
    network = InceptionResnetV1(dimensions)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = None  # the running values are the mean over what was seen
            module.bias.data.uniform_(-0.5, 0.5)
            if gamma:
                module.weight.data.uniform_(0.5, 1.5)
    with torch.no_grad():
        network(torch.from_numpy((pictures().transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128))
    return network.eval()


@pytest.fixture(scope="module")
def network() -> Any:
    return reference(512)


@pytest.fixture(scope="module")
def state(network: Any) -> Arrays:
    return {key: tensor.numpy() for key, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def photos() -> NDArray[np.uint8]:
    return pictures()[:2]


def answered(network: Any, x: NDArray[Any]) -> NDArray[np.float32]:
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32))))


def test_a_state_dict_gives_what_torch_gives(tmp_path: Path, network: Any, photos: NDArray[np.uint8]) -> None:
    kept = {**network.state_dict(), "logits.weight": torch.zeros(9, 512), "logits.bias": torch.zeros(9)}
    torch.save(kept, tmp_path / "vggface2.pt")
    model = FaceEmbedder(tmp_path / "vggface2.pt", threads=1)
    expected = answered(network, (photos - 127.5) / 128)
    assert expected[0] @ expected[1] < 0.9, "it says the same of every photo"
    np.testing.assert_allclose(model.embed_aligned(photos), expected, rtol=0, atol=1e-4)
    assert model.embedding_spec["dimensions"] == 512
    assert model.embedding_spec["preprocess"]["std"] == [128.0] * 3
    assert not model.embedding_spec["prewhitened"]
    assert model.embedding_spec["licences"]["weights"] == "not stated"


def keras_file(path: Path, network: Any, *, whole: bool) -> Path:
    """The network's weights as Keras writes them: `model.save` with `whole`, else `model.save_weights`."""
    h5py = pytest.importorskip("h5py", reason="Keras files are HDF5")
    state = network.state_dict()
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        for tensor in tensors(len(state["last_linear.weight"])):
            if not tensor.keras.endswith("gamma"):
                layer, weight = tensor.keras.split("/")
                array = state[tensor.name].numpy()
                axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[array.ndim]
                root[f"{layer}/{layer}/{weight}:0"] = array.transpose(axes)
        root.create_group("Dropout")
        if whole:
            file["optimizer_weights/Adam/iterations:0"] = np.int64(3)
    return path


def test_a_keras_file_gives_what_torch_gives(tmp_path: Path, photos: NDArray[np.uint8]) -> None:
    network = reference(128, gamma=False)  # Keras' file has none
    path = keras_file(tmp_path / "facenet_keras.h5", network, whole=True)
    arrays = read_keras_arrays(path)
    # what Keras' summary says of facenet_keras.h5
    assert sum(array.size for array in arrays.values()) == 22_808_144
    model = FaceEmbedder(path, threads=1)
    x = photos.astype(np.float64)
    x = (x - x.mean(axis=(1, 2, 3), keepdims=True)) / x.std(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(model.embed_aligned(photos), answered(network, x), rtol=0, atol=1e-4)
    assert model.embedding_spec["dimensions"] == 128
    assert model.embedding_spec["prewhitened"]
    only_weights = read_keras_arrays(keras_file(tmp_path / "weights.h5", network, whole=False))
    assert list(only_weights) == list(arrays)
    assert all(np.array_equal(only_weights[key], array) for key, array in arrays.items())


def test_as_many_parameters_as_the_published_network() -> None:
    known = [tensor for tensor in tensors(128) if not tensor.keras.endswith("/gamma")]
    sizes = {tensor.name: int(np.prod(tensor.shape)) for tensor in known}
    assert sum(sizes.values()) == 22_808_144
    trainable = {name: size for name, size in sizes.items() if ".running_" not in name}
    assert sum(trainable.values()) == 22_779_312
    rng = np.random.default_rng(0)  # equal tensors would be stored once
    drawn = {tensor.name: rng.random(tensor.shape, np.float32) for tensor in tensors(128)}
    graph = embedder(drawn, SPECS[128].preprocess, prewhitened=True, name="drawn")
    assert count_parameters(graph) == 22_779_312  # batch norm is a bias there


def test_what_is_wrong_with_a_file_is_listed(tmp_path: Path, state: Arrays) -> None:
    wrong = {key: torch.from_numpy(array) for key, array in state.items()}
    del wrong["block8.branch1.2.conv.weight"], wrong["last_bn.bias"]
    wrong |= {"repeat_2.3.branch0.bn.weight": torch.zeros(3), "one.more": torch.zeros(2)}
    torch.save(wrong, tmp_path / "wrong.pt")
    with pytest.raises(WeightsError) as caught:
        FaceEmbedder(tmp_path / "wrong.pt")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'wrong.pt'}: not the weights of FaceNet's Inception-ResNet v1")
    assert "2 missing: block8.branch1.2.conv.weight, last_bn.bias;" in said
    assert "1 of another shape: repeat_2.3.branch0.bn.weight (3,) instead of (128,);" in said
    assert "1 left over: one.more;" in said
    assert "\n" not in said


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(
        WeightsError, match=r"602 tensors: 602 missing: .*, \.\.\.; 2 left over: weight, bias"
    ):
        FaceEmbedder(tmp_path / "linear.pth")
    h5py = pytest.importorskip("h5py", reason="Keras files are HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["dense/dense/kernel:0"] = np.zeros((2, 3), np.float32)
    with pytest.raises(WeightsError, match=r"other\.h5: .*1 left over: dense/kernel"):
        FaceEmbedder(tmp_path / "other.h5")
    for broken in (b"\x89HDF\r\n\x1a\nbroken", b"", b"no weights"):
        (tmp_path / "broken.h5").write_bytes(broken)
        with pytest.raises(WeightsError, match=r"broken\.h5: is damaged"):
            FaceEmbedder(tmp_path / "broken.h5")
    with pytest.raises(WeightsError, match="cannot be read"):
        FaceEmbedder(tmp_path / "none.h5")


def test_a_keras_file_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="Keras files are HDF5")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("a/a/kernel:0", shape=(1 << 40,), chunks=(1 << 10,), dtype="f4")
    with pytest.raises(WeightsError, match=r"huge\.h5: .*kernel:0 is no array of numbers that the file"):
        read_keras_arrays(tmp_path / "huge.h5")
    with h5py.File(tmp_path / "words.h5", "w") as file:
        file["a/a/kernel:0"] = b"words"
    with pytest.raises(WeightsError, match="is no array of numbers"):
        read_keras_arrays(tmp_path / "words.h5")


def test_h5py_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "facenet_keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MissingExtraError, match=r"facenet_keras\.h5: .*pip install h5py"):
        FaceEmbedder(tmp_path / "facenet_keras.h5")


def test_facenet_by_name_says_what_is_wanted() -> None:
    with pytest.raises(WeightsError, match=r"no package carries its weights; give their file"):
        FaceEmbedder("facenet")
    with pytest.raises(UnknownNameError, match=r"\.pt, \.pth, \.h5, \.hdf5, \.onnx"):
        FaceEmbedder("arcface")


def test_a_spec_beside_the_weights_says_more(tmp_path: Path, network: Any, photos: NDArray[np.uint8]) -> None:
    torch.save(network.state_dict(), tmp_path / "own.pt")
    licences = {"code": "MIT", "weights": "CC0-1.0"}
    record: dict[str, Any] = {"size": 160, "prewhitened": True, "template": "facenet", "licences": licences}
    (tmp_path / "own.json").write_text(json.dumps(record))
    model = FaceEmbedder(tmp_path / "own.pt", commercial_safe=True, threads=1)
    x = photos.astype(np.float64)
    x = (x - x.mean(axis=(1, 2, 3), keepdims=True)) / x.std(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(model.embed_aligned(photos), answered(network, x), rtol=0, atol=1e-4)
    bgr = EmbedderSpec.from_dict(record | {"channels": "BGR"})
    with pytest.raises(DataError, match=r"own\.pt: its spec must have RGB"):
        check_spec(bgr, tmp_path / "own.pt")
    (tmp_path / "own.json").unlink()
    with pytest.raises(DataError, match=r"own\.pt: the licence of its weights is 'not stated'"):
        FaceEmbedder(tmp_path / "own.pt", commercial_safe=True)


def test_embeddings_of_another_length_need_a_spec(tmp_path: Path) -> None:
    torch.save({tensor.name: torch.zeros(tensor.shape) for tensor in tensors(64)}, tmp_path / "short.pt")
    with pytest.raises(DataError, match="embeddings of 64 numbers are none of the published networks'"):
        FaceEmbedder(tmp_path / "short.pt")
