"""Stable Diffusion XL and what was tuned or distilled from it: two CLIP text encoders, a UNet that is also told the
pooled text and the size of the picture, autoencoder; one stage.

Follows diffusers' StableDiffusionXLPipeline and StableDiffusionXLImg2ImgPipeline number for number (Podell et al. 2023).
"""

from __future__ import annotations

import string
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from engine.catalog import Operation
from engine.output import Safety
from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.previews import make_estimate, thumbnails
from engine.worker.request_state import PictureState, RequestState
from engine.worker.samplers import Samplers

_CACHED_PROMPTS = 64
"""Rerolls, variations and upscales of a picture encode the same prompts again."""


class StableDiffusionXL:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every picture is predicted and decoded by itself, so that company cannot change it."""
        self._vae = components.vae
        self._saving_memory = False
        self.stages: tuple[Stage, ...] = (_Denoise(components, exact=exact),)

    def save_memory(self) -> bool:
        """Decode one picture at a time, and in tiles, from now on; False when that is already so."""
        if self._saving_memory:
            return False
        self._saving_memory = True
        self._vae.enable_slicing()
        self._vae.enable_tiling()
        return True


class _Denoise:
    """Text and time in, noise prediction out; the whole of the family's work."""

    name = "denoise"

    def __init__(self, components: Components, *, exact: bool) -> None:
        self._tokenizers = (components.tokenizer, components.tokenizer_2)
        self._text_encoders = (components.text_encoder, components.text_encoder_2)
        self._zeros_for_empty = bool(components.settings.get("force_zeros_for_empty_prompt", True))
        self._unet = components.unet
        self._vae = components.vae
        self._device = components.device
        self._dtype = components.dtype
        self._exact = exact
        self._samplers = Samplers(components.scheduler, mend_old_config=False)
        self._scaling = float(self._vae.config.scaling_factor)
        self._factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
        # The autoencoder of SDXL overflows in float16; where its configuration says so, it computes in float32.
        self._upcast = bool(self._vae.config.get("force_upcast", False))
        self._vae_dtype = torch.float32 if self._upcast and self._dtype is torch.float16 else self._dtype
        self._vae.to(self._vae_dtype)
        self._estimate = make_estimate(self._vae, self._scaling)
        self._encoded: OrderedDict[str, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()

    def begin(self, state: RequestState) -> None:
        """Encode the prompts, lay out the schedule, draw the noise, encode the initial picture."""
        request, params = state.request, state.request.params
        state.unread_words = self._unread_words(request.prompt)
        distilled = self._unet.config.time_cond_proj_dim
        guided = params.guidance_scale > 1 and distilled is None
        cond, pooled = self._encode(request.prompt)
        uncond, uncond_pooled = self._encode_negative(params.negative_prompt) if guided else (None, None)
        size = [params.height, params.width]
        # The original size, where it was cropped, and the size that is wanted: a picture that was neither scaled nor cut.
        time_ids = torch.tensor([[*size, 0, 0, *size]], dtype=self._dtype).to(self._device)
        from_image = request.operation is Operation.IMAGE_TO_IMAGE
        strength = params.strength if from_image else 1.0
        schedule = self._samplers.schedule(params.sampler, params.num_inference_steps, strength)
        encoded = self._encode_image(state) if from_image else None
        for index, seed in enumerate(request.seeds):
            generator = torch.Generator().manual_seed(seed)
            if encoded is None:
                latents = self._noise(state, generator) * schedule.init_noise_sigma
            else:
                start = self._scaling * _sample(encoded, generator).to(self._dtype)
                timestep = schedule.prototype.timesteps[-len(schedule.timesteps) :][:1]
                latents = schedule.prototype.add_noise(start, self._noise(state, generator), timestep)
            state.pictures[index] = PictureState(
                request_id=request.request_id,
                index=index,
                generator=generator,
                schedule=schedule,
                # An encoded picture's channels come last in memory, until it shares a step with others: convolutions
                # would then sum in another order.
                latents=latents.contiguous() if self._exact else latents,
                cond=cond,
                uncond=uncond,
                pooled=pooled,
                uncond_pooled=uncond_pooled,
                time_ids=time_ids,
                guidance_scale=params.guidance_scale,
                timestep_cond=None
                if distilled is None
                else self._guidance_embedding(params.guidance_scale, distilled),
            )

    def denoise(self, pictures: Sequence[PictureState]) -> None:
        """One forward pass over all rows, unconditional rows first, then one sampler step per picture."""
        forwards = [[picture] for picture in pictures] if self._exact else [pictures]
        prediction = torch.cat([self._predict(forward) for forward in forwards])
        results = self._samplers.step(pictures, prediction)
        for picture, (stepped, predicted, remembered) in zip(pictures, results, strict=True):
            picture.latents = stepped
            picture.predicted = predicted
            if picture.schedule.table is None:
                picture.solver = remembered
            else:
                picture.previous_output = remembered
            picture.pending_noise = None
            picture.step += 1

    def finish(self, pictures: Sequence[PictureState]) -> list[tuple[npt.NDArray[np.uint8], Safety]]:
        """Decode, and quantise as diffusers' VaeImageProcessor does. SDXL comes with no safety checker."""
        if self._exact and len(pictures) > 1:
            return [result for picture in pictures for result in self.finish([picture])]
        latents = torch.cat([picture.latents for picture in pictures]).to(self._vae_dtype)
        decoded = self._vae.decode(latents / self._scaling, return_dict=False)[0]
        scaled = (decoded * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        return [(pixels, Safety.UNCHECKED) for pixels in (scaled * 255).round().astype("uint8")]

    def preview(self, pictures: Sequence[PictureState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side."""
        foreseen = [
            picture.latents if picture.predicted is None else picture.predicted for picture in pictures
        ]
        return thumbnails(self._estimate(torch.cat(foreseen).to(self._vae_dtype)))

    def _predict(self, pictures: Sequence[PictureState]) -> torch.Tensor:
        """(pictures, c, h, w): what the UNet makes of each picture's latents, guided."""
        scales = torch.stack([picture.schedule.input_scale[picture.step] for picture in pictures])
        latents = torch.cat([picture.latents for picture in pictures])
        latents = (latents / scales.to(self._device).view(-1, 1, 1, 1)).to(self._dtype)
        steps = [picture.schedule.timesteps[picture.step] for picture in pictures]
        times = torch.tensor(steps, dtype=torch.float32)
        guided = [row for row, picture in enumerate(pictures) if picture.uncond is not None]
        rows = [*guided, *range(len(pictures))]
        unconds = [picture.uncond for picture in pictures if picture.uncond is not None]
        pooled = [picture.uncond_pooled for picture in pictures if picture.uncond_pooled is not None]
        pooled += [picture.pooled for picture in pictures if picture.pooled is not None]
        time_ids = [pictures[row].time_ids for row in rows]
        conditions = [picture.timestep_cond for picture in pictures if picture.timestep_cond is not None]
        prediction = self._unet(
            latents if not guided else latents[rows],
            times[rows].to(self._device),
            encoder_hidden_states=torch.cat([*unconds, *(picture.cond for picture in pictures)]),
            timestep_cond=torch.cat(conditions) if conditions else None,
            added_cond_kwargs={
                "text_embeds": torch.cat(pooled),
                "time_ids": torch.cat([ids for ids in time_ids if ids is not None]),
            },
            return_dict=False,
        )[0]
        if guided:
            without, prediction = prediction[: len(guided)], prediction[len(guided) :]
            scale = torch.tensor([pictures[row].guidance_scale for row in guided], dtype=torch.float64)
            scale = scale.to(_at_least_float32(self._dtype)).to(self._device).view(-1, 1, 1, 1)
            if len(guided) == len(pictures):
                prediction = (without + scale * (prediction - without)).to(self._dtype)
            else:
                prediction = prediction.clone()
                prediction[guided] = (without + scale * (prediction[guided] - without)).to(self._dtype)
        return prediction

    def _encode(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, tokens, widths of both encoders) and, from the second one, the pooled (1, width).

        What does not fit the window is cut off.
        """
        if text in self._encoded:
            self._encoded.move_to_end(text)
            return self._encoded[text]
        hidden, pooled = [], None
        for tokenizer, text_encoder in zip(self._tokenizers, self._text_encoders, strict=True):
            tokens = tokenizer(
                text,
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            )
            output = text_encoder(tokens.input_ids.to(self._device), output_hidden_states=True)
            hidden.append(output.hidden_states[-2])
            pooled = output[0]
        assert pooled is not None, "there are two encoders"
        self._encoded[text] = (torch.cat(hidden, dim=-1).to(self._dtype), pooled.to(self._dtype))
        if len(self._encoded) > _CACHED_PROMPTS:
            self._encoded.popitem(last=False)
        return self._encoded[text]

    def _encode_negative(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Without a negative prompt, zeros where the model was trained with them, as SDXL's base was."""
        encoded, pooled = self._encode(text)
        if text or not self._zeros_for_empty:
            return encoded, pooled
        return torch.zeros_like(encoded), torch.zeros_like(pooled)

    def _unread_words(self, prompt: str) -> tuple[str, ...]:
        """The words that the window cuts off, wholly or in part."""
        words, tokenizer = prompt.split(), self._tokenizers[0]
        limit = tokenizer.model_max_length

        def fits(count: int) -> bool:
            return len(tokenizer(" ".join(words[:count]), verbose=False).input_ids) <= limit

        if fits(len(words)):
            return ()
        low, high = 0, len(words)  # The first `low` words fit, the first `high` do not.
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return tuple(word for cut in words[low:] if (word := cut.strip(string.punctuation)))

    def _noise(self, state: RequestState, generator: torch.Generator) -> torch.Tensor:
        params = state.request.params
        shape = (
            1,
            self._unet.config.in_channels,
            params.height // self._factor,
            params.width // self._factor,
        )
        return torch.randn(shape, generator=generator, dtype=self._dtype).to(self._device)

    def _encode_image(self, state: RequestState) -> Any:
        """The autoencoder's answer to the initial picture, made to fit the requested size."""
        request = state.request
        assert request.init_image is not None, "validated at the door"
        with Image.open(request.init_image) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        size = (request.params.width, request.params.height)
        if image.size != size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        # The layout is part of exactness: convolutions sum in another order when channels do not come last.
        pixels = torch.from_numpy((np.asarray(image, dtype=np.float32) / 255.0)[None].transpose(0, 3, 1, 2))
        pixels = (2.0 * pixels - 1.0).to(self._device, self._dtype)
        if not self._upcast:
            return self._vae.encode(pixels)
        self._vae.to(torch.float32)
        try:
            return self._vae.encode(pixels.float())
        finally:
            self._vae.to(self._vae_dtype)

    def _guidance_embedding(self, guidance_scale: float, width: int) -> torch.Tensor:
        """(1, width) sinusoidal embedding of the guidance scale, as latent consistency models learnt it."""
        weight = torch.tensor([guidance_scale - 1], dtype=torch.float32) * 1000.0
        half = width // 2
        frequencies = torch.log(torch.tensor(10000.0, dtype=torch.float32)) / (half - 1)
        frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * -frequencies)
        angles = weight.to(torch.float32)[:, None] * frequencies[None, :]
        embedding = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
        embedding = torch.nn.functional.pad(embedding, (0, width % 2))
        return embedding.to(self._device, self._dtype)


def _sample(encoded: Any, generator: torch.Generator) -> torch.Tensor:
    """A sample of AutoencoderKL's distribution, or AutoencoderTiny's one answer."""
    if hasattr(encoded, "latent_dist"):
        sample: torch.Tensor = encoded.latent_dist.sample(generator)
        return sample
    latents: torch.Tensor = encoded.latents
    return latents


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
