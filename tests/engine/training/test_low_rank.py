"""An adapter adds nothing at first, can be switched off, and is read by diffusers as what it is."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from engine.training.denoiser import build_unet
from engine.training.low_rank import LowRank, adapt, save_adapters, switch, trained_weights
from tests.engine.training.toys import TOY


def answer(unet: torch.nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    noisy = torch.randn((2, TOY.latent_channels, 8, 8), generator=generator)
    words = torch.randn((2, 5, TOY.clip_width), generator=generator)
    with torch.no_grad():
        made: Tensor = unet(noisy, torch.tensor([10, 700]), words).sample
    return made


def stirred(adapters: dict[str, LowRank]) -> dict[str, LowRank]:
    """As if they had been trained."""
    generator = torch.Generator().manual_seed(4)
    for weight in trained_weights(adapters):
        weight.data = 0.2 * torch.randn(weight.shape, generator=generator)
    return adapters


def test_nothing_is_added_at_first_nor_where_it_is_off() -> None:
    torch.manual_seed(0)
    unet = build_unet(TOY).eval()
    before = answer(unet)
    adapters = adapt(unet, 2)
    assert torch.allclose(answer(unet), before, atol=1e-6)
    stirred(adapters)
    assert not torch.allclose(answer(unet), before, atol=1e-2)
    switch([*adapters.values()], on=False)
    assert torch.allclose(answer(unet), before, atol=1e-6)


def test_only_the_adapter_learns() -> None:
    unet = build_unet(TOY).requires_grad_(False)
    adapters = adapt(unet, 2)
    learning = {id(parameter) for parameter in unet.parameters() if parameter.requires_grad}
    assert learning == {id(weight) for weight in trained_weights(adapters)}


def test_diffusers_reads_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = build_unet(TOY).eval()
    again = build_unet(TOY).eval()
    again.load_state_dict(plain.state_dict())
    adapters = stirred(adapt(plain, 2))
    save_adapters(
        adapters, [weight.detach() for weight in trained_weights(adapters)], tmp_path / "a.safetensors"
    )
    again.load_lora_adapter(tmp_path / "a.safetensors", prefix="unet")
    assert torch.allclose(answer(again), answer(plain), atol=2e-3)
