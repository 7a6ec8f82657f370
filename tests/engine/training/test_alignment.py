"""The denoiser's middle is asked for what CLIP sees."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.training.alignment import Alignment, patch_features
from engine.training.compute import Compute
from engine.training.contrastive import build_clip
from engine.training.denoiser import build_unet
from engine.training.tokenizer import build_tokenizer
from tests.engine.training.toys import TOY


@pytest.fixture(scope="module")
def compute() -> Compute:
    return Compute.of(TOY)


def test_features_are_those_of_the_patches_with_even_channels(compute: Compute, tmp_path: Path) -> None:
    torch.manual_seed(0)
    clip = build_clip(TOY, build_tokenizer(tmp_path, TOY.text_length)).eval()
    side = TOY.clip_side
    pixels = np.random.default_rng(0).integers(0, 256, (6, side, side, 3), dtype=np.uint8)
    found = patch_features(clip, pixels, compute, batch=4)
    patches = side // clip.config.vision_config.patch_size
    assert found.shape == (6, TOY.clip_width, patches, patches)
    assert found.float().mean((0, 2, 3)).abs().max() < 0.02
    assert (found.float().std((0, 2, 3)) - 1).abs().max() < 0.02
    # A change in the top left corner is seen there above all.
    changed = pixels.copy()
    changed[0, : side // patches, : side // patches] ^= 255
    moved = (patch_features(clip, changed, compute) - found)[0].float().norm(dim=0)
    assert moved.argmax() == 0


def test_it_is_learnt_from_the_unets_last_call_and_teaches_the_unet(compute: Compute) -> None:
    torch.manual_seed(0)
    unet = build_unet(TOY)
    alignment = Alignment(unet, TOY.clip_width)
    features = torch.randn(2, TOY.clip_width, 2, 2)
    with pytest.raises(AssertionError, match="has not been called"):
        alignment(features)
    noisy, words = torch.randn(2, TOY.latent_channels, 8, 8), torch.randn(2, 5, TOY.clip_width)
    optimiser = torch.optim.AdamW([*unet.mid_block.parameters(), *alignment.parameters()], lr=3e-3)
    losses = []
    for _ in range(30):
        unet(noisy, torch.tensor([5, 900]), words)
        loss = alignment(features)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert unet.conv_in.weight.grad is not None
    assert losses[0] > 0.7
    assert losses[-1] < 0.3
