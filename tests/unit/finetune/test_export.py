"""The exported trunk is torch's network, pixel for pixel, for any number of photos."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from torch import nn  # noqa: E402

from rehead.core.preprocess import PreprocessSpec  # noqa: E402
from rehead.core.runtime import open_session  # noqa: E402
from rehead.errors import WeightsError  # noqa: E402
from rehead.finetune import export  # noqa: E402
from rehead.finetune.model import Network  # noqa: E402
from rehead.finetune.trunk import evaluating  # noqa: E402

SPEC = PreprocessSpec(size=24, mean=(120, 110, 100), std=(60, 50, 40))
RECORD = {"name": "tiny", "sha256": "random", "licences": {}}


def torch_features(network: Network, pixels: Any) -> Any:
    with evaluating(network):
        return export.by_torch(network, network.features, export.to_tensor(pixels))


def tiny(trunk: nn.Module | None = None, neck: nn.Module | None = None, width: int = 8) -> Network:
    torch.manual_seed(0)
    trunk = trunk or nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    neck = neck or nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5))
    return Network("tiny", trunk, neck, nn.Linear(width, 3), preprocess=SPEC, record=RECORD)


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_engine_gives_what_torch_gives(count: int) -> None:
    network = tiny()
    network.train()
    network(network.normalised(torch.from_numpy(pixels(4).transpose(0, 3, 1, 2).copy())))  # moves batch norm
    (found,) = open_session(export.export_trunk(network), threads=1).run(None, {"image": pixels(count)})
    np.testing.assert_allclose(found, torch_features(network, pixels(count)), atol=1e-4)
    assert found.shape == (count, 8)
    assert network.training  # left as it was


def test_the_last_layer_on_the_exported_features_gives_torchs_logits() -> None:
    network = tiny().eval()
    (features,) = open_session(export.export_trunk(network), threads=1).run(None, {"image": pixels(3)})
    with torch.no_grad():
        photos = torch.from_numpy(pixels(3).transpose(0, 3, 1, 2).copy())
        logits = network(network.normalised(photos)).numpy()
        weight, bias = network.linear.weight.numpy(), network.linear.bias.numpy()
    np.testing.assert_allclose(features @ weight.T + bias, logits, atol=1e-4)


def test_a_frozen_trunk_runs_on_the_engine_and_stays_as_it_is() -> None:
    network = tiny().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    run = export.as_onnx_callable(network, network.trunk, (8, 12, 12))
    assert run is not None
    with torch.no_grad():
        photos = torch.from_numpy(pixels(5).transpose(0, 3, 1, 2).copy())
        expected = network.trunk(network.normalised(photos)).numpy()
    np.testing.assert_allclose(run(pixels(5)), expected, atol=1e-4)
    assert not any(module.training for module in network.modules())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_what_the_engine_cannot_run_is_left_to_torch() -> None:
    class DependsOnBatch(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x * len(x)

    class Inverse(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return torch.fft.fft(x).real

    for last in (DependsOnBatch(), Inverse()):
        network = tiny(nn.Sequential(nn.Conv2d(3, 8, 3), last)).eval()
        assert export.as_onnx_callable(network, network.trunk, (8, 22, 22)) is None


def test_a_neck_with_hidden_layers_is_exported_with_the_trunk() -> None:
    neck = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.ReLU())
    network = tiny(neck=neck, width=5).eval()
    backbone = export.trained_backbone(network, RECORD)
    assert [level.width for level in backbone.levels] == [5]
    (features,) = open_session(backbone.features_graph(), threads=1).run(None, {"image": pixels(2)})
    np.testing.assert_allclose(features, torch_features(network, pixels(2)), atol=1e-4)


def test_a_network_that_the_trace_cannot_follow_is_refused() -> None:
    class DependsOnBatch(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x * len(x)  # traced as the number two

    trunk = nn.Sequential(nn.Conv2d(3, 8, 3), DependsOnBatch())
    with pytest.raises(WeightsError, match="differs from torch"):
        export.export_trunk(tiny(trunk))


def test_a_network_that_cannot_be_exported_is_refused_in_one_line(capfd: Any) -> None:
    class Inverse(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return torch.fft.fft(x).real

    with pytest.raises(WeightsError, match="tiny: torch cannot export") as caught:
        export.export_trunk(tiny(nn.Sequential(nn.Conv2d(3, 8, 3), Inverse())))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""  # the exporter prints the graph, past sys.stdout
    os.write(1, b"still there")
    assert capfd.readouterr().out == "still there"


def test_other_weights_have_another_digest() -> None:
    network = tiny()
    first = export.trained_backbone(network, RECORD).weights["sha256"]
    assert export.trained_backbone(network, RECORD).weights["sha256"] == first
    with torch.no_grad():
        network.trunk[0].weight.mul_(1.5)
    assert export.trained_backbone(network, RECORD).weights["sha256"] != first


def test_a_pretrained_network_is_exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny()
    network.record = {**RECORD, "sha256": "0" * 64}
    first = export.frozen_backbone(network)
    monkeypatch.setattr(export, "export_trunk", lambda _: pytest.fail("exported again"))
    assert export.frozen_backbone(network).trunk == first.trunk
