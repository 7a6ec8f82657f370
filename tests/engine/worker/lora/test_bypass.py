"""What rows with LoRAs of their own cost beside the layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.worker.lora.bypass import applied
from engine.worker.lora.layers import LoraLayer
from engine.worker.lora.reading import Lora

LAYERS = 20


def test_rows_and_scales_reach_the_device_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(LAYERS))).requires_grad_(False)
    layers = {
        str(number): LoraLayer(torch.randn(2, 8), torch.randn(8, 2), 3.0, 2) for number in range(LAYERS)
    }
    lora = Lora((("style", 0, 0),), {"unet": layers}, 0)
    rows = [((lora, 0.7),), (), ((lora, -0.2),)]
    sample = torch.randn(3, 5, 8)
    expected = sample
    for number, module in enumerate(model):
        layer = layers[str(number)]
        own = expected[torch.tensor([0, 2])]
        scale = torch.tensor([0.7 * 3 / 2, -0.2 * 3 / 2], dtype=torch.float64).float().view(-1, 1, 1)
        linear = torch.nn.functional.linear
        added = linear(linear(own, layer.down), layer.up) * scale
        expected = module(expected).index_add(0, torch.tensor([0, 2]), added)
    made, tensor = [], torch.tensor

    def counted(*args: Any, **options: Any) -> torch.Tensor:
        made.append(args)
        return tensor(*args, **options)

    monkeypatch.setattr(torch, "tensor", counted)
    with applied(model, "unet", rows):
        assert torch.equal(model(sample), expected)
    assert len(made) == 2, "the rows and their scales"
