"""The VAE: diffusers' AutoencoderTiny, trained on crops with latents held near unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from engine.training.dataset import Pictures
from engine.training.loop import Draws, warm_cosine
from engine.training.optimiser import Optimiser
from engine.training.probe import to_tensor
from engine.training.profile import Profile
from engine.training.sheets import save_sheet

CROP = 64
PEAK_RATE = 2e-3
# RGB → brightness and two colour differences; the differences weigh more than in luma-chroma video, because
# small autoencoders lose colour first.
OPPONENT = torch.tensor([[0.35, 0.5, 0.15], [1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])


def build_autoencoder(profile: Profile) -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=profile.vae_widths,
        decoder_block_out_channels=profile.vae_widths,
        num_encoder_blocks=profile.vae_encoder_blocks,
        num_decoder_blocks=profile.vae_decoder_blocks,
        latent_channels=profile.latent_channels,
        scaling_factor=1.0,
        force_upcast=False,
    )


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Absolute error of brightness and colour, of edges, and of the picture at a quarter of its size."""
    difference = torch.einsum("oc,nchw->nohw", OPPONENT, output - target)
    edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    coarse = torch.nn.functional.avg_pool2d(difference, 4).abs().mean()
    return difference.abs().mean() + 0.6 * edges + 0.6 * coarse + 0.6 * difference.square().mean()


class AutoencoderStage:
    """Trains encoder and decoder together; an average of the weights is what counts."""

    def __init__(self, profile: Profile, sets: Sequence[Pictures]) -> None:
        self._profile = profile
        self.sets = sets
        self._shares = np.array([len(pictures) for pictures in sets]) / sum(
            len(pictures) for pictures in sets
        )
        self.model = build_autoencoder(profile).to(memory_format=torch.channels_last)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self._optimiser = Optimiser([self.model], matrix_rate=PEAK_RATE, other_rate=PEAK_RATE, decay=0.0)

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, float]:
        inputs = to_tensor(self._crops(draws.numbers)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            latents = self.model.encoder(inputs).float()
            # Noise in the latents teaches the decoder to forgive what a denoiser gets slightly wrong.
            noisy = latents + 0.05 * torch.randn(latents.shape, generator=draws.tensors)
            output = self.model.decoder(noisy)
        loss = reconstruction_loss(output.float(), inputs)
        spread = latents.std(dim=(0, 2, 3))
        shape = latents.mean(dim=(0, 2, 3)).square().mean() + (spread - 1).square().mean()
        (loss + 0.05 * shape).backward()
        self._optimiser.step(warm_cosine(index, progress, warm=100, hold=0.2, floor=0.02), clip=1.0)
        decay = min(0.995, (index + 1) / (index + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return {"loss": float(loss.detach()), "shape": float(shape.detach())}

    def _crops(self, numbers: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Crops on the latent grid, so that lattices and blocks keep the place a latent knows them at."""
        pictures = self.sets[int(numbers.choice(len(self.sets), p=self._shares))]
        rows = np.sort(numbers.choice(len(pictures), self._profile.vae_batch, replace=False))
        _, height, width, _ = pictures.pixels.shape
        found = []
        for row in rows:
            y = 8 * int(numbers.integers((height - CROP) // 8 + 1))
            x = 8 * int(numbers.integers((width - CROP) // 8 + 1))
            found.append(pictures.pixels[row, y : y + CROP, x : x + CROP])
        return np.stack(found)

    def averaged(self) -> AutoencoderTiny:
        model = build_autoencoder(self._profile)
        model.load_state_dict(self.average)
        return model.eval()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self._optimiser.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self._optimiser.load(state["optimiser"])

    def sample(self, folder: Path, index: int) -> None:
        """Real pictures above their reconstructions."""
        real = np.array(self.sets[0].pixels[:20])
        save_sheet(
            [
                *real[:10],
                *reconstruct(self.averaged(), real[:10]),
                *real[10:],
                *reconstruct(self.averaged(), real[10:]),
            ],
            10,
            folder / f"sheet-{index:06}.png",
        )


@torch.inference_mode()
def encode(model: AutoencoderTiny, pixels: npt.NDArray[np.uint8], batch: int = 50) -> Tensor:
    """(n, h, w, 3) uint8 → (n, channels, h / f, w / f) float16, scaled as the pipeline scales."""
    scale = float(model.config.scaling_factor)
    parts = []
    for start in range(0, len(pixels), batch):
        inputs = to_tensor(pixels[start : start + batch]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            latents = model.encode(inputs).latents
        parts.append((latents.float() * scale).half())
    return torch.cat(parts)


@torch.inference_mode()
def decode(model: AutoencoderTiny, latents: Tensor, batch: int = 50) -> npt.NDArray[np.uint8]:
    """Scaled latents → (n, h, w, 3) uint8."""
    scale = float(model.config.scaling_factor)
    parts = []
    for start in range(0, len(latents), batch):
        output = model.decode(latents[start : start + batch].float() / scale).sample
        parts.append(
            output.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        )
    return np.concatenate(parts)


def reconstruct(model: AutoencoderTiny, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return decode(model, encode(model, pixels))
