"""The network that enlarges four times: trained on renders that are made small in the ways pictures are."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from engine.training.compute import Compute
from engine.training.dataset import Pictures
from engine.training.loop import Draws
from engine.training.profile import Profile
from engine.training.sheets import save_sheet
from engine.training.stage import AveragedStage
from engine.worker.super_resolution import CompactUpscaler, upscale

Pixels = npt.NDArray[np.uint8]
SCALE = 4
FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
    Image.Resampling.BILINEAR,
)


def build_upscaler(profile: Profile) -> CompactUpscaler:
    return CompactUpscaler(profile.upscaler_width, profile.upscaler_depth, SCALE)


def degraded(picture: Pixels, numbers: np.random.Generator) -> Pixels:
    """(h, w, 3) → (h / 4, w / 4, 3), as a small picture comes to be: half the time plainly, else softened, grained or saved
    as JPEG before.
    """
    image = Image.fromarray(picture)
    size = (image.width // SCALE, image.height // SCALE)
    if numbers.random() < 0.5:
        return np.asarray(image.resize(size, FILTERS[int(numbers.integers(2))]))
    if numbers.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(numbers.uniform(0.3, 1.6))))
    small = image.resize(size, FILTERS[int(numbers.integers(len(FILTERS)))])
    if numbers.random() < 0.4:
        noise = numbers.normal(0, numbers.uniform(1, 6), (*small.size[::-1], 3))
        small = Image.fromarray(np.clip(np.asarray(small) + noise, 0, 255).astype(np.uint8))
    if numbers.random() < 0.3:
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=int(numbers.integers(60, 96)))
        small = Image.open(stream).convert("RGB")
    return np.asarray(small)


class UpscalerStage(AveragedStage[CompactUpscaler]):
    """Trains on crops; edges count besides colours."""

    def __init__(self, profile: Profile, compute: Compute, pictures: Pictures) -> None:
        super().__init__(
            compute,
            lambda: build_upscaler(profile),
            matrix_rate=1e-3,
            other_rate=1e-3,
            decay=0.998,
            convolutional=True,
        )
        self._profile, self._pictures = profile, pictures

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        side, numbers = self._profile.upscaler_crop, draws.numbers
        rows = np.sort(numbers.choice(len(self._pictures), self._profile.upscaler_batch, replace=False))
        _, height, width, _ = self._pictures.pixels.shape
        large, small = [], []
        for row in rows:
            y, x = (SCALE * int(numbers.integers((full - side) // SCALE + 1)) for full in (height, width))
            crop = np.asarray(self._pictures.pixels[row, y : y + side, x : x + side])
            large.append(crop)
            small.append(degraded(crop, numbers))
        target, given = (self._tensor(some) for some in (large, small))
        with self.compute.autocast():
            made = self.model(given)
        difference = made.float() - target
        # Charbonnier: as robust as an absolute error, smooth at zero.
        loss = (difference.square() + 1e-6).sqrt().mean()
        edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        norm = self.descend(loss + 0.3 * edges, index, progress)
        return {"loss": loss.detach(), "edges": edges.detach(), "gradient": norm}

    def _tensor(self, some: Sequence[Pixels]) -> Tensor:
        """(n, 3, h, w) in 0 to 1."""
        pixels = self.compute.move(torch.from_numpy(np.stack(some)))
        return self.compute.lay_out(pixels.permute(0, 3, 1, 2).float().div_(255))

    def sample(self, folder: Path, index: int) -> None:
        """Made small, enlarged by Lanczos, by the network, and what they were."""
        real = [np.asarray(picture) for picture in self._pictures.pixels[:4]]
        small = [shrink(picture) for picture in real]
        network = self.averaged()
        rows = [*map(lanczos, small), *(enlarge(network, each) for each in small), *real]
        save_sheet(rows, 4, folder / f"sheet-{index:06}.png")


def shrink(picture: Pixels) -> Pixels:
    """A quarter of the size, by bicubic interpolation, as super-resolution is measured."""
    image = Image.fromarray(picture)
    return np.asarray(image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.BICUBIC))


def lanczos(picture: Pixels) -> Pixels:
    """What everyone has without a network."""
    image = Image.fromarray(picture)
    return np.asarray(image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.LANCZOS))


def enlarge(network: CompactUpscaler, picture: Pixels) -> Pixels:
    """(h, w, 3) → (4 h, 4 w, 3), in tiles, as the engine does it."""
    device = next(network.parameters()).device
    given = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255).to(device)
    made = upscale(network, given).mul(255).round().to(torch.uint8).permute(1, 2, 0)
    return np.asarray(made.cpu().numpy())


def gain(network: CompactUpscaler, pictures: Sequence[Pixels]) -> dict[str, float]:
    """Mean PSNR in dB of enlarged small pictures beside real ones: by Lanczos, by the network, and what it gains."""
    plain, ours = [], []
    for picture in pictures:
        small = shrink(picture)
        plain.append(psnr(lanczos(small), picture))
        ours.append(psnr(enlarge(network, small), picture))
    return {
        "lanczos": float(np.mean(plain)),
        "network": float(np.mean(ours)),
        "gain": float(np.mean(ours) - np.mean(plain)),
    }


def psnr(a: Pixels, b: Pixels) -> float:
    """In dB, over all three colours."""
    error = functional.mse_loss(
        torch.from_numpy(a.astype(np.float32)), torch.from_numpy(b.astype(np.float32))
    )
    return 10 * math.log10(255**2 / max(float(error), 1e-6))


def save_upscaler(network: CompactUpscaler, folder: Path) -> None:
    """`config.json` and half-precision weights, as CompactUpscaler.load reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = {"features": network.features, "depth": network.depth, "scale": network.scale}
    config = {"architecture": "compact", **shape, "title": "Fourfold Upscaler", "licence": "MIT"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = {name: value.half().contiguous().cpu() for name, value in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
