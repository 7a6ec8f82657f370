"""Stable Diffusion XL and what was tuned or distilled from it: two CLIP text encoders, a UNet that is also told the
pooled text and the size of the picture, autoencoder; one stage.

Follows diffusers' StableDiffusionXLPipeline, its Img2Img and its Inpaint pipeline number for number (Podell et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from engine.catalog import Operation
from engine.output import ImageReady, Result, Safety
from engine.request import GenerateRequest, SamplingParams
from engine.worker.autoencoder import Autoencoder
from engine.worker.autoencoder_store import AutoencoderStore
from engine.worker.compiled import CompiledDenoiser
from engine.worker.hires import begin_second_pass
from engine.worker.initial_picture import EncodedPicture
from engine.worker.inpainting import keep_outside
from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.lora.bypass import applied
from engine.worker.lora.store import LoraStore
from engine.worker.previews import thumbnails
from engine.worker.prompts.embeddings import EmbeddingStore
from engine.worker.prompts.encoder import PromptEncoder, Reading
from engine.worker.request_state import DenoisingState, LaterPass, NamedFiles, Region, RequestState, Schedule
from engine.worker.row_buckets import as_they_are, in_bucket
from engine.worker.samplers import Samplers
from engine.worker.seamless import edges_joined

_MASK_CHANNELS = 9
"""A UNet made for inpainting reads four channels of latents, the mask, and four more of what is kept."""


class StableDiffusionXL:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every picture is predicted and decoded by itself, so that company cannot change it."""
        self._denoise = _Denoise(components, exact=exact)
        self.stages: tuple[Stage, ...] = (self._denoise,)

    def save_memory(self) -> bool:
        """Decode one picture at a time, and in tiles, from now on; False when that is already so."""
        return self._denoise.autoencoders.save_memory()

    def read_weights(self, request: GenerateRequest) -> NamedFiles:
        """LoRAs, embeddings and the autoencoder that a request names."""
        return self._denoise.read_weights(request)


class _Denoise:
    """Text and time in, noise prediction out; the whole of the family's work."""

    name = "denoise"

    def __init__(self, components: Components, *, exact: bool) -> None:
        # Both cut a text into the same tokens, so that their chunks keep in step.
        self._prompts = PromptEncoder(
            components.tokenizer, components.text_encoder, components.device, penultimate=True, exact=exact
        )
        self._prompts_2 = PromptEncoder(
            components.tokenizer_2,
            components.text_encoder_2,
            components.device,
            component="text_encoder_2",
            penultimate=True,
            exact=exact,
        )
        adaptable = {
            "unet": components.unet,
            "text_encoder": components.text_encoder,
            "text_encoder_2": components.text_encoder_2,
        }
        self._loras = LoraStore(adaptable, components.device, components.dtype)
        self._embeddings = EmbeddingStore(
            {name: encoder.config.hidden_size for name, encoder in adaptable.items() if name != "unet"},
            components.device,
            components.dtype,
        )
        self._zeros_for_empty = bool(components.settings.get("force_zeros_for_empty_prompt", True))
        self._unet = components.unet
        self._compiled = CompiledDenoiser(components.unet) if components.compiles else None
        self._forward = in_bucket if components.row_buckets else as_they_are
        self._device = components.device
        self._dtype = components.dtype
        self._exact = exact
        self._samplers = Samplers(components.scheduler, mend_old_config=False)
        self._autoencoder = Autoencoder(components.vae, self._device, self._dtype, heeds_upcast=True)
        self.autoencoders = AutoencoderStore(self._autoencoder, heeds_upcast=True)

    def read_weights(self, request: GenerateRequest) -> NamedFiles:
        return NamedFiles(
            self._loras.load(request.adapters),
            self._embeddings.load(request.embeddings),
            None if request.vae is None else self.autoencoders.load(request.vae),
        )

    def begin(self, state: RequestState) -> None:
        """Encode the prompts, lay out the schedule, draw the noise, encode the initial picture."""
        request, params = state.request, state.request.params
        distilled = self._unet.config.time_cond_proj_dim
        guided = params.guidance_scale > 1 and distilled is None
        loras, embeddings = state.files.loras, state.files.embeddings
        state.unread_words = self._prompts.unread_words(request.prompt, embeddings)
        if guided:
            state.unread_words += self._prompts.unread_words(params.negative_prompt, embeddings)
        reading = Reading(params.clip_skip, loras, embeddings)
        cond, pooled, uncond, uncond_pooled = self._encode(
            request.prompt, params.negative_prompt if guided else None, reading
        )
        from_image = request.operation is not Operation.TEXT_TO_IMAGE
        schedule = self._schedule(params, params.strength if from_image else 1.0)
        width, height, steps = params.width, params.height, schedule.steps(params.stop)
        later: tuple[LaterPass, ...] = ()
        if (hires := params.hires) is not None:
            again = self._schedule(params, hires.strength)
            later = (LaterPass(self.name, width, height, again.steps(params.stop), again),)
            width, height, steps = hires.width, hires.height, schedule.steps()
        autoencoder, picture = state.files.autoencoder or self._autoencoder, state.files.picture
        source = None if picture is None else EncodedPicture(picture, autoencoder, tiling=params.tiling)
        for index, seed in state.seeds:
            generator = torch.Generator().manual_seed(seed)
            region = None
            if source is None:
                latents = self._noise(width, height, generator) * schedule.init_noise_sigma
            elif source.mask is None:
                latents = schedule.add_noise(source.latents(generator), self._noise(width, height, generator))
            else:
                latents, region = self._region(state, source, generator, schedule)
            state.pictures[index] = DenoisingState(
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
                time_ids=self._time_ids(latents),
                guidance_scale=params.guidance_scale,
                region=region,
                timestep_cond=None
                if distilled is None
                else self._guidance_embedding(params.guidance_scale, distilled),
                guidance_rescale=params.guidance_rescale,
                guidance_interval=params.guidance_interval,
                steps_in_pass=steps,
                later=later,
                tiling=params.tiling,
                loras=loras,
                autoencoder=state.files.autoencoder,
            )

    def denoise(self, pictures: Sequence[DenoisingState]) -> None:
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
        whole = [
            keep_outside(picture, stepped, foreseen)
            for picture, (stepped, foreseen, _) in zip(pictures, results, strict=True)
        ]
        for picture, kept, (_, _, remembered) in zip(pictures, whole, results, strict=True):
            picture.latents, picture.predicted = kept
            if picture.schedule.table is None:
                picture.solver = remembered
            else:
                picture.previous_output = remembered
            picture.pending_noise = None
            picture.step += 1

    def finish(self, pictures: Sequence[DenoisingState]) -> list[Result]:
        """Decode, and quantise as diffusers' VaeImageProcessor does. SDXL comes with no safety checker."""
        return [
            ImageReady(picture.index, pixels, Safety.UNCHECKED)
            for picture, pixels in zip(pictures, self._decode(pictures), strict=True)
        ]

    def hand_over(self, state: RequestState, pictures: Sequence[DenoisingState]) -> None:
        """Decode what the first pass made, scale it up and noise it again, as image-to-image at the full size."""
        for picture, small in zip(pictures, self._decode(pictures), strict=True):
            begin_second_pass(picture, small, self._of(pictures), self._dtype)
            if self._exact:
                picture.latents = picture.latents.contiguous()
            picture.time_ids = self._time_ids(picture.latents)

    def preview(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side."""
        foreseen = torch.cat([picture.foreseen for picture in pictures])
        return thumbnails(
            self._of(pictures).preview(foreseen, vague=all(picture.vague for picture in pictures))
        )

    def _decode(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """Pictures of one request and size as uint8 RGB (H, W, 3); early ones as their last step foresaw them."""
        groups = [[picture] for picture in pictures] if self._exact else [pictures]
        return [
            pixels
            for group in groups
            for pixels in self._of(group).decode_pixels(
                torch.cat([picture.result for picture in group]), tiling=group[0].tiling
            )
        ]

    def _of(self, pictures: Sequence[DenoisingState]) -> Autoencoder:
        """The one that belongs to pictures of one request."""
        return pictures[0].autoencoder or self._autoencoder

    def _predict(self, pictures: Sequence[DenoisingState]) -> torch.Tensor:
        """(pictures, c, h, w): what the UNet makes of each picture's latents, guided."""
        divisors = [picture.schedule.input_scale[picture.step] for picture in pictures]
        scales = torch.tensor(divisors, dtype=torch.float32)
        latents = torch.cat([picture.latents for picture in pictures])
        latents = (latents / scales.to(self._device).view(-1, 1, 1, 1)).to(self._dtype)
        regions = [picture.region.channels for picture in pictures if picture.region is not None]
        channels = [extra for extra in regions if extra is not None]
        if channels:
            latents = torch.cat([latents, torch.cat(channels)], dim=1)
        steps = [picture.schedule.timesteps[picture.step] for picture in pictures]
        times = torch.tensor(steps, dtype=torch.float32)
        guided = [row for row, picture in enumerate(pictures) if picture.guided]
        rows = [*guided, *range(len(pictures))]
        unconds = [pictures[row].uncond for row in guided]
        pooled = [pictures[row].uncond_pooled for row in guided] + [picture.pooled for picture in pictures]
        time_ids = [pictures[row].time_ids for row in rows]
        conditions = [pictures[row].timestep_cond for row in rows]
        loras = [pictures[row].loras for row in rows]
        # LoRAs and joined edges change the module, and what is compiled was compiled without them.
        changed = self._compiled is None or any(loras) or pictures[0].tiling
        unet: Any = self._unet if changed else self._compiled
        with applied(self._unet, "unet", loras), edges_joined(self._unet, joined=pictures[0].tiling):
            prediction = self._forward(
                unet,
                latents if not guided else latents[rows],
                times[rows].to(self._device),
                encoder_hidden_states=_joined([*unconds, *(picture.cond for picture in pictures)]),
                timestep_cond=_joined(conditions) if any(c is not None for c in conditions) else None,
                added_cond_kwargs={"text_embeds": _joined(pooled), "time_ids": _joined(time_ids)},
                return_dict=False,
            )
        if guided:
            without, prediction = prediction[: len(guided)], prediction[len(guided) :]
            scale = torch.tensor([pictures[row].guidance_scale for row in guided], dtype=torch.float64)
            scale = scale.to(_at_least_float32(self._dtype)).to(self._device).view(-1, 1, 1, 1)
            with_text = prediction if len(guided) == len(pictures) else prediction[guided]
            mixed = (without + scale * (with_text - without)).to(self._dtype)
            rescales = [pictures[row].guidance_rescale for row in guided]
            if any(rescales):
                mixed = _rescaled(mixed, with_text, rescales)
            if len(guided) == len(pictures):
                prediction = mixed
            else:
                prediction = prediction.clone()
                prediction[guided] = mixed
        return prediction

    def _encode(
        self, prompt: str, negative_prompt: str | None, reading: Reading
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """(1, tokens, widths of both encoders) and, from the second one, the pooled (1, width); then the same of the
        negative prompt, if there is one. Without a text it is zeros where the model was trained with them, as SDXL's
        base was.
        """
        cond, uncond = self._prompts.encode_pair(prompt, negative_prompt, reading)
        cond_2, uncond_2 = self._prompts_2.encode_pair(prompt, negative_prompt, reading)
        cond = torch.cat([cond, cond_2], dim=-1).to(self._dtype)
        pooled = self._prompts_2.pooled(prompt, reading).to(self._dtype)
        if negative_prompt is None or uncond is None or uncond_2 is None:
            return cond, pooled, None, None
        if not negative_prompt and self._zeros_for_empty:
            return cond, pooled, torch.zeros_like(cond), torch.zeros_like(pooled)
        uncond = torch.cat([uncond, uncond_2], dim=-1).to(self._dtype)
        # As in diffusers, skipping layers leaves the negative prompt alone.
        every_layer = replace(reading, clip_skip=None)
        return cond, pooled, uncond, self._prompts_2.pooled(negative_prompt, every_layer).to(self._dtype)

    def _time_ids(self, latents: torch.Tensor) -> torch.Tensor:
        """(1, 6): the original size, where it was cropped, and the size that is wanted, as height and width in pixels: a
        picture that was neither scaled nor cut.
        """
        size = [side * self._autoencoder.factor for side in latents.shape[-2:]]
        return torch.tensor([[*size, 0, 0, *size]], dtype=self._dtype).to(self._device)

    def _schedule(self, params: SamplingParams, strength: float) -> Schedule:
        """The last `strength` of the steps."""
        return self._samplers.schedule(
            params.sampler, params.num_inference_steps, strength, params.timestep_spacing
        )

    def _noise(self, width: int, height: int, generator: torch.Generator) -> torch.Tensor:
        """(1, c, h, w) for a picture of so many pixels."""
        factor = self._autoencoder.factor
        shape = (1, self._autoencoder.channels, height // factor, width // factor)
        return torch.randn(shape, generator=generator, dtype=self._dtype).to(self._device)

    def _region(
        self, state: RequestState, source: EncodedPicture, generator: torch.Generator, schedule: Schedule
    ) -> tuple[torch.Tensor, Region]:
        """The first latents of one picture, and the region to be drawn in it; draws in the order of diffusers' pipelines."""
        assert source.mask is not None, "asked only for pictures with a mask"
        reads_mask = self._unet.config.in_channels == _MASK_CHANNELS
        params = state.request.params
        strength = params.strength
        # Unlike without a mask, diffusers' pipelines lay these latents out channel by channel.
        original = source.latents(generator).contiguous() if strength < 1 or not reads_mask else None
        noise = self._noise(*source.size, generator)
        if strength < 1 and original is not None:
            latents = schedule.add_noise(original, noise)
        else:
            latents = noise * schedule.init_noise_sigma
        # Drawn for every model, though only one of nine channels reads it: later noise depends on what was drawn before.
        outside = source.outside_latents(generator)
        if reads_mask:
            return latents, Region(source.mask, channels=torch.cat([source.mask, outside], dim=1))
        return latents, Region(source.mask, original, noise)

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


def _joined(rows: Sequence[torch.Tensor | None]) -> torch.Tensor:
    return torch.cat([row for row in rows if row is not None])


def _rescaled(mixed: torch.Tensor, with_text: torch.Tensor, rescales: Sequence[float]) -> torch.Tensor:
    """Guided predictions, each brought towards the spread of its conditional one by a share of its own."""
    dims = list(range(1, mixed.ndim))
    spread, wanted = mixed.std(dim=dims, keepdim=True), with_text.std(dim=dims, keepdim=True)
    share = torch.tensor(rescales, dtype=torch.float64).to(mixed.device, mixed.dtype).view(-1, 1, 1, 1)
    rescaled = share * (mixed * (wanted / spread)) + (1 - share) * mixed
    return torch.where(share == 0, mixed, rescaled)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
