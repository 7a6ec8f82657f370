"""Z-Image: Qwen3's reading of the prompt, one stream of picture and text tokens through a transformer, autoencoder;
one stage.

Follows diffusers' ZImagePipeline, ZImageImg2ImgPipeline and ZImageInpaintPipeline number for number (Tongyi-MAI 2025).
The transformer takes lists, so that pictures of any sizes and prompts of any lengths share a step. Its guidance scale
counts from 0: it says how much of the difference to the unconditional prediction is added to the conditional one.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from engine.worker.lora.bypass import applied
from engine.worker.lora.store import LoraStore
from engine.worker.previews import thumbnails
from engine.worker.prompts.cache import PromptCache
from engine.worker.prompts.unread import bare, fitting
from engine.worker.request_state import DenoisingState, LaterPass, NamedFiles, Region, RequestState, Schedule

_WINDOW = 512
"""Tokens of Qwen3, its chat template included, that the transformer was trained on."""

_RAGGED = ("all_x_embedder", "cap_embedder", "siglip_embedder")
"""Layers that see the tokens of all rows in one line."""


class ZImage:
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
    """Text and time in, velocity out; the whole of the family's work."""

    name = "denoise"

    def __init__(self, components: Components, *, exact: bool) -> None:
        self._tokenizer = components.tokenizer
        self._text_encoder = components.text_encoder
        self._transformer = components.transformer
        self._device = components.device
        self._dtype = components.dtype
        self._exact = exact
        self._sampler = FlowMatchEuler(components.scheduler)
        self.loras = LoraStore(
            {"transformer": components.transformer},
            components.device,
            components.dtype,
            translate=diffusers.ZImagePipeline.lora_state_dict,
            shared=_RAGGED,
        )
        self._window = min(_WINDOW, self._tokenizer.model_max_length)
        self._autoencoder = Autoencoder(components.vae, self._device, self._dtype, heeds_upcast=False)
        self.autoencoders = AutoencoderStore(self._autoencoder, heeds_upcast=False)
        self._encoded = PromptCache(self._device)

    def begin(self, state: RequestState) -> None:
        """Encode the prompts, lay out the schedule, draw the noise, encode the initial picture."""
        request, params = state.request, state.request.params
        state.unread_words = self._unread_words(request.prompt)
        cond, uncond = self._encode(request.prompt), None
        if params.guidance_scale > 0:
            state.unread_words += self._unread_words(params.negative_prompt)
            uncond = self._encode(params.negative_prompt)
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
            # From the first step on latents are float32 whatever the dtype of the weights; pure noise is so before it.
            dtype = torch.float32 if start is None else self._dtype
            shape = (1, self._transformer.config.in_channels, height, width)
            noise = torch.randn(shape, generator=generator, dtype=dtype).to(self._device)
            state.pictures[index] = DenoisingState(
                request_id=request.request_id,
                index=index,
                generator=generator,
                schedule=schedule,
                latents=noise if start is None else schedule.add_noise(start, noise),
                cond=cond,
                uncond=uncond,
                guidance_scale=params.guidance_scale,
                guidance_rescale=params.guidance_rescale,
                guidance_interval=params.guidance_interval,
                steps_in_pass=steps,
                later=later,
                loras=state.files.loras,
                autoencoder=state.files.autoencoder,
                region=None if source is None or source.mask is None else Region(source.mask, start, noise),
            )

    def denoise(self, pictures: Sequence[DenoisingState]) -> None:
        """One forward pass over all rows, then one step of Euler's method for the pictures of each size."""
        velocities = [velocity for group in self._groups(pictures) for velocity in self._predict(group)]
        sizes: dict[torch.Size, list[int]] = {}
        for row, picture in enumerate(pictures):
            sizes.setdefault(picture.latents.shape, []).append(row)
        results: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for rows in sizes.values():
            alike = [pictures[row] for row in rows]
            sample = torch.cat([picture.latents for picture in alike])
            stepped, predicted = flow_step(alike, sample, torch.stack([velocities[row] for row in rows]))
            for position, row in enumerate(rows):
                here = slice(position, position + 1)
                results[row] = keep_outside(pictures[row], stepped[here], predicted[here])
        for row, picture in enumerate(pictures):
            picture.latents, picture.predicted = results[row]
            picture.step += 1

    def finish(self, pictures: Sequence[DenoisingState]) -> list[Result]:
        """Decode, and quantise as diffusers' VaeImageProcessor does."""
        return [
            ImageReady(picture.index, pixels, Safety.UNCHECKED)
            for picture, pixels in zip(pictures, self._decode(pictures), strict=True)
        ]

    def hand_over(self, state: RequestState, pictures: Sequence[DenoisingState]) -> None:
        """Decode what the first pass made, scale it up and noise it again, as image-to-image at the full size."""
        for picture, small in zip(pictures, self._decode(pictures), strict=True):
            begin_second_pass(picture, small, self._of(pictures), self._dtype)

    def preview(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side."""
        # One by one, as pictures of one request may be in different passes here.
        return [
            thumbnails(self._of(pictures).preview(picture.foreseen, vague=picture.vague))[0]
            for picture in pictures
        ]

    def _decode(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """Pictures of one request and size as uint8 RGB (H, W, 3); early ones as their last step foresaw them."""
        return [
            pixels
            for group in self._groups(pictures)
            for pixels in self._of(group).decode_pixels(torch.cat([picture.result for picture in group]))
        ]

    def _groups(self, pictures: Sequence[DenoisingState]) -> Sequence[Sequence[DenoisingState]]:
        """Those that are computed together."""
        return [[picture] for picture in pictures] if self._exact else [pictures]

    def _of(self, pictures: Sequence[DenoisingState]) -> Autoencoder:
        """The one that belongs to pictures of one request."""
        return pictures[0].autoencoder or self._autoencoder

    def _schedule(self, params: SamplingParams, sides: tuple[int, int], strength: float) -> Schedule:
        """The last `strength` of the steps of a picture of so many pixels."""
        steps, factor = params.num_inference_steps, self._autoencoder.factor
        return self._sampler.schedule(
            tuple(torch.linspace(1.0, 1 / steps, steps, dtype=torch.float32).tolist()),
            (sides[1] // factor // 2) * (sides[0] // factor // 2),
            strength,
        )

    def _predict(self, pictures: Sequence[DenoisingState]) -> list[torch.Tensor]:
        """The guided velocity of each picture, float32 (c, h, w)."""
        guided = [row for row, picture in enumerate(pictures) if picture.guided]
        rows = [*range(len(pictures)), *guided]
        latents = [picture.latents.to(self._dtype)[0].unsqueeze(1) for picture in pictures]
        times = torch.tensor(
            [picture.schedule.timesteps[picture.step] for picture in pictures], dtype=torch.float32
        )
        times = (1000 - times) / 1000
        texts = [picture.cond for picture in pictures] + [pictures[row].uncond for row in guided]
        with applied(self._transformer, "transformer", [pictures[row].loras for row in rows]):
            outputs = self._transformer(
                [latents[row] for row in rows],
                times[rows].to(self._device),
                [text for text in texts if text is not None],
                return_dict=False,
            )[0]
        velocities = [output.float() for output in outputs[: len(pictures)]]
        for row, without in zip(guided, outputs[len(pictures) :], strict=True):
            with_text, rescale = velocities[row], pictures[row].guidance_rescale
            mixed = with_text + pictures[row].guidance_scale * (with_text - without.float())
            if rescale:
                mixed = rescale * (mixed * (with_text.std() / mixed.std())) + (1 - rescale) * mixed
            velocities[row] = mixed
        return [-velocity.squeeze(1) for velocity in velocities]

    def _encode(self, text: str) -> torch.Tensor:
        """(tokens, width): Qwen3's last layer but one; what does not fit the window is cut off."""
        if (known := self._encoded.get(text)) is not None:
            return known[0]
        tokens = self._tokenizer(
            [self._as_chat(text)],
            padding="max_length",
            max_length=self._window,
            truncation=True,
            return_tensors="pt",
        )
        mask = tokens.attention_mask.to(self._device).bool()
        layers = self._text_encoder(
            input_ids=tokens.input_ids.to(self._device), attention_mask=mask, output_hidden_states=True
        ).hidden_states
        encoded = layers[-2][0][mask[0]].to(self._dtype)
        self._encoded.put(text, encoded)
        return encoded

    def _as_chat(self, text: str) -> str:
        chat: str = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        return chat

    def _unread_words(self, prompt: str) -> tuple[str, ...]:
        """The words that the window cuts off, wholly or in part."""

        def count(text: str) -> int:
            return len(self._tokenizer(self._as_chat(text), verbose=False).input_ids)

        words = prompt.split()
        return bare(words[fitting(words, self._window, count) :])
