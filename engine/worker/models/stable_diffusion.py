"""Stable Diffusion 1.x and 2.x: CLIP text encoder, UNet, autoencoder; one stage. Any UNet2DConditionModel
whose only conditions are text and time, with AutoencoderKL or AutoencoderTiny.

Follows diffusers' StableDiffusionPipeline, its Img2Img and its Inpaint pipeline number for number (Rombach et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
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
from engine.worker.safety_checker import SafetyChecker
from engine.worker.samplers import Samplers
from engine.worker.seamless import edges_joined
from engine.worker.super_resolution import SuperResolution

_MASK_CHANNELS = 9
"""A UNet made for inpainting reads four channels of latents, the mask, and four more of what is kept."""


class StableDiffusion:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every picture is predicted and decoded by itself, so that company cannot change it."""
        self.enlarges = int(components.settings.get("enlarges", 1))
        larger = None
        if self.enlarges > 1:
            larger = SuperResolution(
                components.super_resolution, components.device, components.dtype, exact=exact
            )
        self._denoise = _Denoise(components, exact=exact, larger=larger, enlarges=self.enlarges)
        self.stages: tuple[Stage, ...] = (self._denoise,) if larger is None else (self._denoise, larger)

    def save_memory(self) -> bool:
        """Decode one picture at a time, and in tiles, from now on; False when that is already so."""
        return self._denoise.autoencoders.save_memory()

    def read_weights(self, request: GenerateRequest) -> NamedFiles:
        """LoRAs, embeddings and the autoencoder that a request names."""
        return self._denoise.read_weights(request)


class _Denoise:
    """Text and time in, noise prediction out; the whole of the family's work."""

    name = "denoise"

    def __init__(
        self, components: Components, *, exact: bool, larger: SuperResolution | None, enlarges: int
    ) -> None:
        """`larger`: the stage that makes pictures `enlarges` times as large, where the model has one."""
        self._larger, self._enlarges = larger, enlarges
        self._prompts = PromptEncoder(
            components.tokenizer, components.text_encoder, components.device, exact=exact
        )
        self._unet = components.unet
        self._compiled = CompiledDenoiser(components.unet) if components.compiles else None
        self._forward = in_bucket if components.row_buckets else as_they_are
        adaptable = {"unet": components.unet, "text_encoder": components.text_encoder}
        self._loras = LoraStore(adaptable, components.device, components.dtype)
        self._embeddings = EmbeddingStore(
            {name: encoder.config.hidden_size for name, encoder in adaptable.items() if name != "unet"},
            components.device,
            components.dtype,
        )
        self._device = components.device
        self._dtype = components.dtype
        self._exact = exact
        self._samplers = Samplers(components.scheduler)
        self._autoencoder = Autoencoder(components.vae, self._device, self._dtype, heeds_upcast=False)
        self.autoencoders = AutoencoderStore(self._autoencoder, heeds_upcast=False)
        self._safety_checker: SafetyChecker | None = None
        if components.safety_checker is not None:
            self._safety_checker = SafetyChecker(components.safety_checker, components.feature_extractor)

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
        cond, uncond = self._prompts.encode_pair(
            request.prompt,
            params.negative_prompt if guided else None,
            Reading(params.clip_skip, loras, embeddings),
        )
        from_image = request.operation is not Operation.TEXT_TO_IMAGE
        schedule = self._schedule(params, params.strength if from_image else 1.0)
        width, height = params.width // self._enlarges, params.height // self._enlarges
        steps = schedule.steps(params.stop)
        later: tuple[LaterPass, ...] = ()
        if self._larger is not None:
            later = (self._larger.later_pass(width, height, self._enlarges),)
        if (hires := params.hires) is not None:
            again = self._schedule(params, hires.strength)
            later = (
                LaterPass(self.name, params.width, params.height, again.steps(params.stop), again),
                *later,
            )
            width, height = hires.width // self._enlarges, hires.height // self._enlarges
            steps = schedule.steps()
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
        """What pictures show in the end."""
        checked = zip(pictures, self._checked(pictures), strict=True)
        return [ImageReady(picture.index, pixels, safety) for picture, (pixels, safety) in checked]

    def hand_over(self, state: RequestState, pictures: Sequence[DenoisingState]) -> None:
        """Decode what the pass made. Of two, scale it up and noise it again, as image-to-image at the full size; what is to be
        enlarged takes a place among those that are.
        """
        if pictures[0].later[0].stage != self.name:
            assert self._larger is not None, "no other stage follows"
            for picture, (pixels, safety) in zip(pictures, self._checked(pictures), strict=True):
                rgb = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
                state.pictures[picture.index] = self._larger.taken_over(picture, rgb, self._enlarges, safety)
            return
        for picture, small in zip(pictures, self._decode(pictures), strict=True):
            begin_second_pass(picture, small, self._of(pictures), self._dtype, enlarges=self._enlarges)
            if self._exact:
                picture.latents = picture.latents.contiguous()

    def preview(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side; black where they are flagged."""
        foreseen = torch.cat([picture.foreseen for picture in pictures])
        thumbs = thumbnails(
            self._of(pictures).preview(foreseen, vague=all(picture.vague for picture in pictures))
        )
        flags = self._safety_checker.flags(thumbs) if self._safety_checker else [False] * len(thumbs)
        return [np.zeros_like(thumb) if flag else thumb for thumb, flag in zip(thumbs, flags, strict=True)]

    def _checked(self, pictures: Sequence[DenoisingState]) -> list[tuple[npt.NDArray[np.uint8], Safety]]:
        """Decode, quantise as diffusers' VaeImageProcessor does, and run the checkpoint's safety checker."""
        if self._exact and len(pictures) > 1:
            return [each for picture in pictures for each in self._checked([picture])]
        pixels = self._decode(pictures)
        if self._safety_checker is None:
            return [(picture, Safety.UNCHECKED) for picture in pixels]
        return [
            (np.zeros_like(picture), Safety.FLAGGED) if flagged else (picture, Safety.SAFE)
            for picture, flagged in zip(pixels, self._safety_checker.flags(pixels), strict=True)
        ]

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
        unconds = [picture.uncond for picture in pictures if picture.guided and picture.uncond is not None]
        conditions = [picture.timestep_cond for picture in pictures if picture.timestep_cond is not None]
        loras = [pictures[row].loras for row in rows]
        # LoRAs and joined edges change the module, and what is compiled was compiled without them.
        changed = self._compiled is None or any(loras) or pictures[0].tiling
        unet: Any = self._unet if changed else self._compiled
        with applied(self._unet, "unet", loras), edges_joined(self._unet, joined=pictures[0].tiling):
            prediction = self._forward(
                unet,
                latents if not guided else latents[rows],
                times[rows].to(self._device),
                encoder_hidden_states=torch.cat([*unconds, *(picture.cond for picture in pictures)]),
                timestep_cond=torch.cat(conditions) if conditions else None,
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


def _rescaled(mixed: torch.Tensor, with_text: torch.Tensor, rescales: Sequence[float]) -> torch.Tensor:
    """Guided predictions, each brought towards the spread of its conditional one by a share of its own."""
    dims = list(range(1, mixed.ndim))
    spread, wanted = mixed.std(dim=dims, keepdim=True), with_text.std(dim=dims, keepdim=True)
    share = torch.tensor(rescales, dtype=torch.float64).to(mixed.device, mixed.dtype).view(-1, 1, 1, 1)
    rescaled = share * (mixed * (wanted / spread)) + (1 - share) * mixed
    return torch.where(share == 0, mixed, rescaled)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
