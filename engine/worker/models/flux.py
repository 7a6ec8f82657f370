"""FLUX.1 [dev] and [schnell]: CLIP's summary and T5's sequence of the prompt, a rectified-flow transformer over
packed latents, autoencoder; one stage.

Follows diffusers' FluxPipeline, FluxImg2ImgPipeline and FluxInpaintPipeline number for number (Black Forest Labs 2024).
[dev] learnt the guidance scale as a condition, so that a picture takes one row whatever its scale; [schnell] reads no
scale at all. A negative prompt makes [dev] predict a second row, which is subtracted with `true_cfg_scale` = 2: enough to
remove things, and little enough not to burn a picture that is guided already. [schnell] does not read negative prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from engine.catalog import Operation
from engine.output import ImageReady, Result, Safety
from engine.request import GenerateRequest, SamplingParams
from engine.worker.autoencoder import Autoencoder
from engine.worker.autoencoder_store import AutoencoderStore
from engine.worker.flow_match import FlowMatchEuler, flow_step
from engine.worker.hires import begin_second_pass
from engine.worker.initial_picture import EncodedPicture
from engine.worker.inpainting import keep_outside
from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.lora.bypass import Loras, applied
from engine.worker.lora.store import LoraStore
from engine.worker.previews import thumbnails
from engine.worker.prompts.cache import PromptCache
from engine.worker.prompts.unread import bare, fitting
from engine.worker.request_state import DenoisingState, LaterPass, NamedFiles, Region, RequestState, Schedule

TRUE_CFG_SCALE = 2.0
"""How strongly a negative prompt is subtracted."""

_WINDOW_DEV, _WINDOW_SCHNELL = 512, 256
"""Tokens of T5 that the two were trained on."""


@dataclass(kw_only=True)
class _Picture(DenoisingState):
    """`latents` are packed: (1, tokens, 4 · channels), a token for every 2 × 2 of them, row by row."""

    pooled: torch.Tensor
    """(1, width): CLIP's summary of the prompt."""
    uncond_pooled: torch.Tensor | None
    height: int
    """Of the unpacked latents; `width` likewise."""
    width: int


class Flux:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every picture is predicted and decoded by itself, so that company cannot change it."""
        self._denoise = _Denoise(components, exact=exact)
        self.stages: tuple[Stage, ...] = (self._denoise,)

    def save_memory(self) -> bool:
        """Decode one picture at a time, and in tiles, from now on; False when that is already so."""
        return self._denoise.autoencoders.save_memory()

    def read_weights(self, request: GenerateRequest) -> NamedFiles:
        """LoRAs and the autoencoder that a request names."""
        return NamedFiles(
            loras=self._denoise.loras.load(request.adapters),
            autoencoder=None if request.vae is None else self._denoise.autoencoders.load(request.vae),
        )


class _Denoise:
    """Text, time and guidance in, velocity out; the whole of the family's work."""

    name = "denoise"

    def __init__(self, components: Components, *, exact: bool) -> None:
        self._tokenizer = components.tokenizer
        self._text_encoder = components.text_encoder
        self._tokenizer_2 = components.tokenizer_2
        self._text_encoder_2 = components.text_encoder_2
        self._transformer = components.transformer
        self._device = components.device
        self._dtype = components.dtype
        self._exact = exact
        self._sampler = FlowMatchEuler(components.scheduler)
        adaptable = {"transformer": components.transformer, "text_encoder": components.text_encoder}
        self.loras = LoraStore(adaptable, components.device, components.dtype, translate=_in_diffusers_names)
        self._reads_guidance = bool(self._transformer.config.guidance_embeds)
        window = _WINDOW_DEV if self._reads_guidance else _WINDOW_SCHNELL
        self._window = min(window, self._tokenizer_2.model_max_length)
        self._autoencoder = Autoencoder(components.vae, self._device, self._dtype, heeds_upcast=False)
        self.autoencoders = AutoencoderStore(self._autoencoder, heeds_upcast=False)
        self._encoded = PromptCache(self._device)

    def begin(self, state: RequestState) -> None:
        """Encode the prompts, lay out the schedule, draw the noise, encode the initial picture."""
        request, params = state.request, state.request.params
        state.unread_words = self._unread_words(request.prompt)
        loras = state.files.loras
        cond, pooled = self._encode(request.prompt, loras)
        uncond, uncond_pooled = None, None
        if self._reads_guidance and params.negative_prompt:
            state.unread_words += self._unread_words(params.negative_prompt)
            uncond, uncond_pooled = self._encode(params.negative_prompt, loras)
        from_image = request.operation is not Operation.TEXT_TO_IMAGE
        sides = (params.width, params.height)
        later: tuple[LaterPass, ...] = ()
        schedule = self._schedule(params, sides, params.strength if from_image else 1.0)
        steps = schedule.steps(params.stop)
        if (hires := params.hires) is not None:
            again = self._schedule(params, sides, hires.strength)
            later = (LaterPass(self.name, *sides, again.steps(params.stop), again),)
            sides, steps = (hires.width, hires.height), schedule.steps()
            schedule = self._schedule(params, sides, 1.0)
        width, height = (side // self._autoencoder.factor for side in sides)
        autoencoder, picture = state.files.autoencoder or self._autoencoder, state.files.picture
        source = None if picture is None else EncodedPicture(picture, autoencoder)
        for index, seed in state.seeds:
            generator = torch.Generator().manual_seed(seed)
            start = None if source is None else source.latents(generator)
            shape = (1, self._transformer.config.in_channels // 4, height, width)
            noise = torch.randn(shape, generator=generator, dtype=self._dtype).to(self._device)
            latents = noise if start is None else schedule.add_noise(start, noise)
            region = None
            if start is not None and source is not None and source.mask is not None:
                region = Region(_pack(source.mask.expand(start.shape)), _pack(start), _pack(noise))
            state.pictures[index] = _Picture(
                request_id=request.request_id,
                index=index,
                generator=generator,
                schedule=schedule,
                latents=_pack(latents),
                cond=cond,
                uncond=uncond,
                guidance_scale=params.guidance_scale,
                guidance_interval=params.guidance_interval,
                steps_in_pass=steps,
                later=later,
                loras=state.files.loras,
                autoencoder=state.files.autoencoder,
                region=region,
                pooled=pooled,
                uncond_pooled=uncond_pooled,
                height=height,
                width=width,
            )

    def denoise(self, pictures: Sequence[DenoisingState]) -> None:
        """One forward pass over all rows, those of negative prompts first, then one step of Euler's method."""
        rows = cast("Sequence[_Picture]", pictures)
        velocity = torch.cat([self._predict(group) for group in self._groups(rows)])
        sample = torch.cat([picture.latents for picture in rows])
        stepped, predicted = flow_step(rows, sample, velocity)
        whole = [
            keep_outside(picture, stepped[row : row + 1], predicted[row : row + 1])
            for row, picture in enumerate(rows)
        ]
        for picture, kept in zip(rows, whole, strict=True):
            picture.latents, picture.predicted = kept
            picture.step += 1

    def finish(self, pictures: Sequence[DenoisingState]) -> list[Result]:
        """Decode, and quantise as diffusers' VaeImageProcessor does."""
        return [
            ImageReady(picture.index, pixels, Safety.UNCHECKED)
            for picture, pixels in zip(pictures, self._decode(pictures), strict=True)
        ]

    def hand_over(self, state: RequestState, pictures: Sequence[DenoisingState]) -> None:
        """Decode what the first pass made, scale it up and noise it again, as image-to-image at the full size."""
        for picture, small in zip(cast("Sequence[_Picture]", pictures), self._decode(pictures), strict=True):
            large = picture.later[0]
            begin_second_pass(picture, small, self._of(pictures), self._dtype, arranged=_pack)
            factor = self._autoencoder.factor
            picture.height, picture.width = large.height // factor, large.width // factor

    def preview(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side."""
        rows = cast("Sequence[_Picture]", pictures)
        foreseen = torch.cat([_unpack(picture.foreseen, picture) for picture in rows])
        return thumbnails(
            self._of(pictures).preview(foreseen, vague=all(picture.vague for picture in pictures))
        )

    def _decode(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """Pictures of one request and size as uint8 RGB (H, W, 3); early ones as their last step foresaw them."""
        rows = cast("Sequence[_Picture]", pictures)
        return [
            pixels
            for group in self._groups(rows)
            for pixels in self._of(group).decode_pixels(
                torch.cat([_unpack(picture.result, picture) for picture in group])
            )
        ]

    def _groups(self, pictures: Sequence[_Picture]) -> Sequence[Sequence[_Picture]]:
        """Those that are computed together."""
        return [[picture] for picture in pictures] if self._exact else [pictures]

    def _of(self, pictures: Sequence[DenoisingState]) -> Autoencoder:
        """The one that belongs to pictures of one request."""
        return pictures[0].autoencoder or self._autoencoder

    def _schedule(self, params: SamplingParams, sides: tuple[int, int], strength: float) -> Schedule:
        """The last `strength` of the steps of a picture of so many pixels."""
        steps, factor = params.num_inference_steps, self._autoencoder.factor
        return self._sampler.schedule(
            tuple(np.linspace(1.0, 1 / steps, steps).tolist()),
            (sides[1] // factor // 2) * (sides[0] // factor // 2),
            strength,
        )

    def _predict(self, pictures: Sequence[_Picture]) -> torch.Tensor:
        """(pictures, tokens, 4 · channels): the velocity of each picture's latents."""
        negative = [row for row, picture in enumerate(pictures) if picture.guided]
        rows = [*negative, *range(len(pictures))]
        latents = torch.cat([picture.latents for picture in pictures])
        times = torch.tensor([picture.schedule.timesteps[picture.step] for picture in pictures])
        times = times.to(torch.float32).to(self._device).to(self._dtype) / 1000
        scales = torch.tensor([picture.guidance_scale for picture in pictures], dtype=torch.float32)
        texts = [pictures[row].uncond for row in negative] + [picture.cond for picture in pictures]
        summaries = [pictures[row].uncond_pooled for row in negative] + [p.pooled for p in pictures]
        text = torch.cat([text for text in texts if text is not None])
        velocity: torch.Tensor
        with applied(self._transformer, "transformer", [pictures[row].loras for row in rows]):
            velocity = self._transformer(
                hidden_states=latents[rows] if negative else latents,
                timestep=times[rows],
                guidance=scales[rows].to(self._device) if self._reads_guidance else None,
                pooled_projections=torch.cat([summary for summary in summaries if summary is not None]),
                encoder_hidden_states=text,
                txt_ids=torch.zeros(text.shape[1], 3, device=self._device, dtype=self._dtype),
                img_ids=self._image_ids(pictures[0].height // 2, pictures[0].width // 2),
                return_dict=False,
            )[0]
        if negative:
            without, velocity = velocity[: len(negative)], velocity[len(negative) :].clone()
            velocity[negative] = without + TRUE_CFG_SCALE * (velocity[negative] - without)
        return velocity

    def _image_ids(self, height: int, width: int) -> torch.Tensor:
        """(height · width, 3): nothing, row and column of every token."""
        ids = torch.zeros(height, width, 3, dtype=torch.float32)
        ids[..., 1] = torch.arange(height, dtype=torch.float32)[:, None]
        ids[..., 2] = torch.arange(width, dtype=torch.float32)[None, :]
        return ids.reshape(height * width, 3).to(self._device, self._dtype)

    def _encode(self, text: str, loras: Loras) -> tuple[torch.Tensor, torch.Tensor]:
        """T5's (1, tokens, width) and CLIP's (1, width); what does not fit their windows is cut off."""
        adding = tuple((lora.key, weight) for lora, weight in loras if "text_encoder" in lora.layers)
        key = (text, adding)
        if (known := self._encoded.get(key)) is not None:
            sequence, pooled = known
            return sequence, pooled
        short = self._tokenizer(
            text,
            padding="max_length",
            max_length=self._tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        long = self._tokenizer_2(
            text, padding="max_length", max_length=self._window, truncation=True, return_tensors="pt"
        )
        with applied(self._text_encoder, "text_encoder", [loras]):
            pooled = self._text_encoder(short.input_ids.to(self._device)).pooler_output
        sequence = self._text_encoder_2(long.input_ids.to(self._device))[0]
        sequence, pooled = sequence.to(self._dtype), pooled.to(self._dtype)
        self._encoded.put(key, sequence, pooled)
        return sequence, pooled

    def _unread_words(self, prompt: str) -> tuple[str, ...]:
        """The words that T5's window cuts off, wholly or in part; CLIP reads only the beginning of any long prompt."""

        def count(text: str) -> int:
            return len(self._tokenizer_2(text, verbose=False).input_ids)

        words = prompt.split()
        return bare(words[fitting(words, self._window, count) :])


def _in_diffusers_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """LoRAs for this family come in several namings, some with layers joined; diffusers knows how to part them."""
    state, alphas = diffusers.FluxPipeline.lora_state_dict(tensors, return_alphas=True)
    return {**state, **{name: torch.as_tensor(alpha) for name, alpha in (alphas or {}).items()}}


def _pack(latents: torch.Tensor) -> torch.Tensor:
    """(1, c, h, w) → (1, h/2 · w/2, 4c)."""
    _, channels, height, width = latents.shape
    blocks = latents.reshape(1, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return blocks.reshape(1, (height // 2) * (width // 2), channels * 4)


def _unpack(tokens: torch.Tensor, picture: _Picture) -> torch.Tensor:
    """(1, h/2 · w/2, 4c) → (1, c, h, w)."""
    channels = tokens.shape[2] // 4
    blocks = tokens.view(1, picture.height // 2, picture.width // 2, channels, 2, 2)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(1, channels, picture.height, picture.width)
