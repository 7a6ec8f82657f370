"""The denoiser: a small UNet2DConditionModel, and CLIP's text tower, trained on together with it on fresh captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from engine.training.alignment import WEIGHT, Alignment
from engine.training.compute import Compute
from engine.training.loop import Draws, warm_cosine
from engine.training.optimiser import Average, Optimiser
from engine.training.pipeline import SAMPLE_PROMPTS, assemble, generate
from engine.training.profile import Profile
from engine.training.scenes.captions import caption
from engine.training.scenes.spec import Scene
from engine.training.sheets import save_sheet
from engine.training.text_encoder import build_text_encoder, token_ids

MATRIX_RATE, OTHER_RATE, TEXT_RATE_SHARE = 1.5e-3, 8e-4, 0.25
SUBJECT_WEIGHT = 2.5


@dataclass(frozen=True, slots=True)
class LatentSet:
    """On the host: `latents` (n, channels, h, w) float16, `masks` (n, h, w) uint8: how much of a latent is subject, `features`
    (n, width, rows, columns) float16: what CLIP sees; None where it was not asked, as it is of what is not square.
    """

    scenes: Sequence[Scene]
    latents: Tensor
    masks: npt.NDArray[np.uint8]
    features: Tensor | None = None


def build_unet(profile: Profile) -> UNet2DConditionModel:
    """Attention only below the first level, at a quarter of the price; the pooled text joins the time."""
    return UNet2DConditionModel(
        sample_size=profile.native_size // profile.factor,
        in_channels=profile.latent_channels,
        out_channels=profile.latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=profile.unet_widths,
        layers_per_block=profile.unet_layers,
        cross_attention_dim=profile.clip_width,
        attention_head_dim=4,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def build_noise_schedule() -> DDIMScheduler:
    """Stable Diffusion's betas brought to zero signal at the last step; velocity (Lin et al. 2024)."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


class DenoiserStage:
    """Trains UNet and text encoder on velocity; the average of both is what counts."""

    def __init__(
        self,
        profile: Profile,
        compute: Compute,
        sets: Sequence[LatentSet],
        tokenizer: CLIPTokenizer,
        vae: AutoencoderTiny,
        text_weights: dict[str, Tensor] | None = None,
    ) -> None:
        """`text_weights`: what the text encoder begins with."""
        self._profile, self._sets, self._tokenizer, self._vae = profile, sets, tokenizer, vae
        self.compute = compute
        self.unet = compute.place(build_unet(profile), convolutional=True)
        self.text = compute.place(build_text_encoder(profile, tokenizer))
        self.alignment = compute.place(Alignment(self.unet, profile.clip_width))
        compute.trained(self.unet)
        if text_weights is not None:
            self.text.load_state_dict(text_weights)
        self.average = Average((self.unet, self.text), decay=0.9985)
        self._optimiser = Optimiser(
            [self.unet, self.alignment], matrix_rate=MATRIX_RATE, other_rate=OTHER_RATE
        )
        self._text_optimiser = torch.optim.AdamW(
            self.text.parameters(),
            lr=OTHER_RATE * TEXT_RATE_SHARE,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=True,
        )
        alphas = compute.move(build_noise_schedule().alphas_cumprod)
        self._signal, self._noise = alphas.sqrt(), (1 - alphas).sqrt()

    def step(self, index: int, progress: float, draws: Draws) -> dict[str, Tensor]:
        latents, masks, captions, features = self._batch(draws.numbers)
        count = len(latents)
        # Stratified over the batch and drawn to the middle, where composition is decided.
        even = (torch.arange(count) + torch.rand(count, generator=draws.tensors)) / count
        times = (torch.sigmoid(0.75 * torch.logit(even.clamp(1e-4, 1 - 1e-4))) * 1000).long().clamp(0, 999)
        times = self.compute.move(times)
        noise = self.compute.move(torch.randn(latents.shape, generator=draws.tensors))
        signal, spread = self._signal[times, None, None, None], self._noise[times, None, None, None]
        noisy, velocity = signal * latents + spread * noise, signal * noise - spread * latents
        ids = self.compute.move(token_ids(self._tokenizer, captions, self._profile.text_length))
        with self.compute.attention(), self.compute.autocast():
            words = self.text(ids).last_hidden_state
            guess = self.unet(self.compute.lay_out(noisy), times, words).sample
        weight = 1 + SUBJECT_WEIGHT * masks
        weight = weight / weight.mean()
        error = (guess.float() - velocity).square()
        loss = (error * weight).mean()
        apart = loss.new_zeros(()) if features is None else self.alignment(features)
        (loss + WEIGHT * apart).backward()
        factor = warm_cosine(index, progress, warm=100, hold=0.25, floor=0.02)
        norm = self._optimiser.step(factor)
        torch.nn.utils.clip_grad_norm_(self.text.parameters(), 1.0)
        for group in self._text_optimiser.param_groups:
            group["lr"] = OTHER_RATE * TEXT_RATE_SHARE * factor
        self._text_optimiser.step()
        self._text_optimiser.zero_grad()
        self.average.update(index)
        return {
            "loss": loss.detach(),
            "error": error.detach().mean(),
            "apart": apart.detach(),
            "gradient": norm,
        }

    def _batch(self, numbers: np.random.Generator) -> tuple[Tensor, Tensor, list[str], Tensor | None]:
        """Latents, the subject's share (n, 1, h, w), captions and features of one bucket; the first is square."""
        others = len(self._sets) - 1
        which = 0
        if others and numbers.random() < self._profile.bucket_share:
            which = 1 + int(numbers.integers(others))
        chosen = self._sets[which]
        rows = numbers.choice(len(chosen.scenes), self._profile.unet_batch, replace=False)
        captions = [caption(chosen.scenes[row], numbers) for row in rows]
        masks = self.compute.move(torch.from_numpy(chosen.masks[rows])).float().div_(255)[:, None]
        features = None if chosen.features is None else self.compute.move(chosen.features[rows]).float()
        return self.compute.move(chosen.latents[rows]).float(), masks, captions, features

    def averaged(self) -> tuple[UNet2DConditionModel, CLIPTextModel]:
        unet = self.compute.place(build_unet(self._profile))
        text = self.compute.place(build_text_encoder(self._profile, self._tokenizer))
        parameters = [*unet.parameters(), *text.parameters()]
        with torch.no_grad():
            for parameter, value in zip(parameters, self.average.values, strict=True):
                parameter.copy_(value)
        return unet.eval(), text.eval()

    def state(self) -> dict[str, Any]:
        return {
            "unet": self.unet.state_dict(),
            "text": self.text.state_dict(),
            "alignment": self.alignment.state_dict(),
            "average": self.average.values,
            "optimiser": self._optimiser.state(),
            "text_optimiser": self._text_optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])
        self.alignment.load_state_dict(state["alignment"])
        self.average.load(state["average"])
        self._optimiser.load(state["optimiser"])
        self._text_optimiser.load_state_dict(state["text_optimiser"])

    def sample(self, folder: Path, index: int) -> None:
        """Fixed prompts from fixed seeds, so that sheets of different steps can be compared."""
        unet, text = self.averaged()
        pipe = assemble(self._tokenizer, text, self._vae, unet, build_noise_schedule())
        pictures = generate(pipe, SAMPLE_PROMPTS, seeds=range(len(SAMPLE_PROMPTS)), steps=16, guidance=2.5)
        save_sheet(pictures, 8, folder / f"sheet-{index:06}.png")
