"""The last touch: teach the decoder to read the denoiser's own latents, whose small errors it would draw as cracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from engine.training.autoencoder import build_autoencoder, decode, reconstruction_loss
from engine.training.compute import Compute
from engine.training.dataset import Pictures
from engine.training.denoiser import LatentSet, build_noise_schedule
from engine.training.loop import Draws, warm_cosine
from engine.training.optimiser import Average, Optimiser
from engine.training.probe import to_tensor
from engine.training.profile import Profile
from engine.training.scenes.captions import full_caption
from engine.training.sheets import save_sheet
from engine.training.text_encoder import token_ids

PEAK_RATE = 6e-4
COARSE_STEPS, RETURN_STEPS = 12, 4


@torch.inference_mode()
def near_misses(
    profile: Profile,
    compute: Compute,
    latents: LatentSet,
    count: int,
    *,
    tokenizer: CLIPTokenizer,
    text: CLIPTextModel,
    unet: UNet2DConditionModel,
    seed: int,
    batch: int = 50,
) -> Tensor:
    """Latents of the first `count` pictures after a third of the way into noise and back by the denoiser.

    They still show the same picture and carry the denoiser's own kind of error. (count, channels, h, w) float16
    on the host.
    """
    numbers = np.random.default_rng(seed)
    schedule = build_noise_schedule()
    schedule.set_timesteps(COARSE_STEPS)
    times = schedule.timesteps[-RETURN_STEPS:]
    unet = compute.place(unet, convolutional=True)
    found = []
    for start in range(0, count, batch):
        clean = compute.move(latents.latents[start : start + batch]).float()
        captions = [full_caption(scene, numbers) for scene in latents.scenes[start : start + len(clean)]]
        noise = compute.move(torch.from_numpy(numbers.standard_normal(clean.shape, dtype=np.float32)))
        state = schedule.add_noise(clean, noise, times[:1].expand(len(clean)))
        ids = compute.move(token_ids(tokenizer, captions, profile.text_length))
        with compute.autocast():
            words = text(ids).last_hidden_state
            for time in times:
                state = schedule.step(unet(state, time, words).sample.float(), time, state).prev_sample
        found.append(state.half().cpu())
    return torch.cat(found)


class PolishStage:
    """Trains the decoder alone, on near misses and on slightly noisy latents in turn; the encoder stays as it is."""

    def __init__(
        self,
        profile: Profile,
        compute: Compute,
        vae: AutoencoderTiny,
        pictures: Pictures,
        clean: Tensor,
        near: Tensor,
    ) -> None:
        self._profile, self.compute, self._vae = profile, compute, vae
        self._pictures, self._clean, self._near = pictures, clean, near
        self.model = compute.place(build_autoencoder(profile), convolutional=True)
        compute.trained(self.model.decoder)
        self.model.load_state_dict(vae.state_dict())
        self._scale = float(vae.config.scaling_factor)
        self._optimiser = Optimiser(
            [self.model.decoder], matrix_rate=PEAK_RATE, other_rate=PEAK_RATE, decay=0.0
        )
        self.average = Average([self.model.decoder], decay=0.98)

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        rows = np.sort(draws.numbers.choice(len(self._near), self._profile.polish_batch, replace=False))
        target = self.compute.lay_out(to_tensor(self._pictures.pixels[rows], self.compute))
        if index % 3:
            latents = self.compute.move(self._near[rows]).float()
        else:
            latents = self.compute.move(self._clean[rows]).float()
            noise = self.compute.move(torch.randn(latents.shape, generator=draws.tensors))
            latents = latents + 0.15 * noise
        with self.compute.autocast():
            output = self.model.decoder(latents / self._scale)
        loss = reconstruction_loss(output.float(), target)
        loss.backward()
        self._optimiser.step(warm_cosine(index, progress, warm=20, hold=0.3, floor=0.02), clip=1.0)
        self.average.update(index)
        return {"loss": loss.detach()}

    def averaged(self) -> AutoencoderTiny:
        """The whole autoencoder with the polished decoder."""
        model = self.compute.place(build_autoencoder(self._profile))
        model.load_state_dict(self._vae.state_dict())
        model.register_to_config(scaling_factor=self._scale)
        with torch.no_grad():
            for parameter, value in zip(model.decoder.parameters(), self.average.values, strict=True):
                parameter.copy_(value)
        return model.eval()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.values,
            "optimiser": self._optimiser.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load(state["average"])
        self._optimiser.load(state["optimiser"])

    def sample(self, folder: Path, index: int) -> None:
        """Near misses through the decoder as it was, and below as it is."""
        before = decode(self._vae, self._near[:10], self.compute)
        after = decode(self.averaged(), self._near[:10], self.compute)
        save_sheet(
            [*np.array(self._pictures.pixels[:10]), *before, *after], 10, folder / f"sheet-{index:06}.png"
        )
