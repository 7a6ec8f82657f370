"""Stable Diffusion 1.x and 2.x: CLIP text encoder, UNet, autoencoder; one stage. Any UNet2DConditionModel
whose only conditions are text and time, with AutoencoderKL or AutoencoderTiny.

Follows diffusers' StableDiffusionPipeline and StableDiffusionImg2ImgPipeline number for number (Rombach et
al. 2022).
"""

from __future__ import annotations

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
from engine.worker.lora.bypass import applied
from engine.worker.lora.store import LoraStore
from engine.worker.previews import make_estimate, thumbnails
from engine.worker.prompts.encoder import PromptEncoder, Reading
from engine.worker.request_state import PictureState, RequestState
from engine.worker.safety_checker import SafetyChecker
from engine.worker.samplers import Samplers


class StableDiffusion:
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
        self._prompts = PromptEncoder(components.tokenizer, components.text_encoder, components.device)
        self._unet = components.unet
        adaptable = {"unet": components.unet, "text_encoder": components.text_encoder}
        self._loras = LoraStore(adaptable, components.device, components.dtype)
        self._vae = components.vae
        self._device = components.device
        self._dtype = components.dtype
        self._exact = exact
        self._samplers = Samplers(components.scheduler)
        self._scaling = float(self._vae.config.scaling_factor)
        self._factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self._estimate = make_estimate(self._vae, self._scaling)
        self._safety_checker: SafetyChecker | None = None
        if components.safety_checker is not None:
            self._safety_checker = SafetyChecker(components.safety_checker, components.feature_extractor)

    def begin(self, state: RequestState) -> None:
        """Encode the prompts, lay out the schedule, draw the noise, encode the initial picture."""
        request, params = state.request, state.request.params
        state.unread_words = self._prompts.unread_words(request.prompt)
        distilled = self._unet.config.time_cond_proj_dim
        guided = params.guidance_scale > 1 and distilled is None
        loras = self._loras.load(request.adapters)
        cond, uncond = self._prompts.encode_pair(
            request.prompt, params.negative_prompt if guided else None, Reading(params.clip_skip, loras)
        )
        from_image = request.operation is Operation.IMAGE_TO_IMAGE
        strength = params.strength if from_image else 1.0
        schedule = self._samplers.schedule(params.sampler, params.num_inference_steps, strength)
        encoded = self._encode_image(state) if from_image else None
        for index, seed in enumerate(request.seeds):
            generator = torch.Generator().manual_seed(seed)
            if encoded is None:
                latents = self._noise(state, generator) * schedule.init_noise_sigma
            else:
                start = self._scaling * _sample(encoded, generator)
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
                guidance_scale=params.guidance_scale,
                timestep_cond=None
                if distilled is None
                else self._guidance_embedding(params.guidance_scale, distilled),
                loras=loras,
            )

    def denoise(self, pictures: Sequence[PictureState]) -> None:
        """One forward pass over all rows, unconditional rows first, then one sampler step per picture.

        Prompts of another length cannot share a pass: filling one up would change its picture.
        """
        passes: dict[int, list[int]] = {}
        for row, picture in enumerate(pictures):
            passes.setdefault(row if self._exact else picture.cond.shape[1], []).append(row)
        predicted = torch.cat([self._predict([pictures[row] for row in rows]) for rows in passes.values()])
        order = [row for rows in passes.values() for row in rows]
        prediction = predicted if len(passes) == 1 else predicted[torch.argsort(torch.tensor(order))]
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
        """Decode, quantise as diffusers' VaeImageProcessor does, and run the checkpoint's safety checker."""
        if self._exact and len(pictures) > 1:
            return [result for picture in pictures for result in self.finish([picture])]
        latents = torch.cat([picture.latents for picture in pictures])
        decoded = self._vae.decode(latents / self._scaling, return_dict=False)[0]
        scaled = (decoded * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        pixels = list((scaled * 255).round().astype("uint8"))
        if self._safety_checker is None:
            return [(picture, Safety.UNCHECKED) for picture in pixels]
        return [
            (np.zeros_like(picture), Safety.FLAGGED) if flagged else (picture, Safety.SAFE)
            for picture, flagged in zip(pixels, self._safety_checker.flags(pixels), strict=True)
        ]

    def preview(self, pictures: Sequence[PictureState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side; black where they are flagged."""
        foreseen = [
            picture.latents if picture.predicted is None else picture.predicted for picture in pictures
        ]
        thumbs = thumbnails(self._estimate(torch.cat(foreseen).to(self._dtype)))
        flags = self._safety_checker.flags(thumbs) if self._safety_checker else [False] * len(thumbs)
        return [np.zeros_like(thumb) if flag else thumb for thumb, flag in zip(thumbs, flags, strict=True)]

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
        conditions = [picture.timestep_cond for picture in pictures if picture.timestep_cond is not None]
        with applied(self._unet, "unet", [pictures[row].loras for row in rows]):
            prediction = self._unet(
                latents if not guided else latents[rows],
                times[rows].to(self._device),
                encoder_hidden_states=torch.cat([*unconds, *(picture.cond for picture in pictures)]),
                timestep_cond=torch.cat(conditions) if conditions else None,
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
        pixels = 2.0 * pixels - 1.0
        return self._vae.encode(pixels.to(self._device, self._dtype))

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
