"""The VAE: diffusers' AutoencoderTiny, trained on crops with latents held near unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from engine.training.compute import Compute
from engine.training.dataset import Pictures
from engine.training.loop import Draws
from engine.training.probe import to_tensor
from engine.training.profile import Profile
from engine.training.sheets import save_sheet
from engine.training.stage import AveragedStage

CROP = 64
PEAK_RATE = 2e-3
# RGB → brightness and two colour differences; the differences weigh more than in luma-chroma video, because
# small autoencoders lose colour first.
OPPONENT = ((0.35, 0.5, 0.15), (1.0, -1.0, 0.0), (0.5, 0.5, -1.0))


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
    difference = torch.einsum("oc,nchw->nohw", torch.tensor(OPPONENT).to(output.device), output - target)
    edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    coarse = torch.nn.functional.avg_pool2d(difference, 4).abs().mean()
    return difference.abs().mean() + 0.6 * edges + 0.6 * coarse + 0.6 * difference.square().mean()


class AutoencoderStage(AveragedStage[AutoencoderTiny]):
    """Trains encoder and decoder together."""

    def __init__(self, profile: Profile, compute: Compute, sets: Sequence[Pictures]) -> None:
        super().__init__(
            compute,
            lambda: build_autoencoder(profile),
            matrix_rate=PEAK_RATE,
            other_rate=PEAK_RATE,
            decay=0.995,
            weight_decay=0.0,
            convolutional=True,
        )
        self._profile, self.sets = profile, sets
        sizes = np.array([len(pictures) for pictures in sets])
        self._shares = sizes / sizes.sum()

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        inputs = self.compute.lay_out(to_tensor(self._crops(draws.numbers), self.compute))
        with self.compute.autocast():
            latents = self.model.encoder(inputs).float()
            # Noise in the latents teaches the decoder to forgive what a denoiser gets slightly wrong.
            noisy = latents + 0.05 * self.compute.move(torch.randn(latents.shape, generator=draws.tensors))
            output = self.model.decoder(noisy)
        loss = reconstruction_loss(output.float(), inputs)
        spread = latents.std(dim=(0, 2, 3))
        shape = latents.mean(dim=(0, 2, 3)).square().mean() + (spread - 1).square().mean()
        self.descend(loss + 0.05 * shape, index, progress, hold=0.2)
        return {"loss": loss.detach(), "shape": shape.detach()}

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

    def sample(self, folder: Path, index: int) -> None:
        """Real pictures above their reconstructions."""
        real = np.array(self.sets[0].pixels[:20])
        save_sheet(
            [
                *real[:10],
                *reconstruct(self.averaged(), real[:10], self.compute),
                *real[10:],
                *reconstruct(self.averaged(), real[10:], self.compute),
            ],
            10,
            folder / f"sheet-{index:06}.png",
        )


@torch.inference_mode()
def encode(
    model: AutoencoderTiny, pixels: npt.NDArray[np.uint8], compute: Compute, batch: int = 50
) -> Tensor:
    """(n, h, w, 3) uint8 → (n, channels, h / f, w / f) float16 on the host, scaled as the pipeline scales."""
    scale = float(model.config.scaling_factor)
    parts = []
    for start in range(0, len(pixels), batch):
        inputs = compute.lay_out(to_tensor(pixels[start : start + batch], compute))
        with compute.autocast():
            latents = model.encode(inputs).latents
        parts.append((latents.float() * scale).half().cpu())
    return torch.cat(parts)


@torch.inference_mode()
def decode(
    model: AutoencoderTiny, latents: Tensor, compute: Compute, batch: int = 50
) -> npt.NDArray[np.uint8]:
    """Scaled latents on the host → (n, h, w, 3) uint8."""
    scale = float(model.config.scaling_factor)
    parts = []
    for start in range(0, len(latents), batch):
        output = model.decode(compute.move(latents[start : start + batch]).float() / scale).sample
        pixels = output.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        parts.append(pixels.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


def reconstruct(
    model: AutoencoderTiny, pixels: npt.NDArray[np.uint8], compute: Compute
) -> npt.NDArray[np.uint8]:
    return decode(model, encode(model, pixels, compute), compute)
