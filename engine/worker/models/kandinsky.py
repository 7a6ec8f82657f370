"""Kandinsky 2.2: a prior from text to CLIP's image embedding, and a latent decoder that reads nothing but this embedding.

Follows diffusers' KandinskyV22CombinedPipeline, its Img2Img and its Inpaint pipeline number for number (Razzhigaev et al. 2023).
Pictures are scaled to size with Lanczos' filter, as for all families.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.output import ImageReady, Result, Safety
from engine.passes import PRIOR
from engine.request import SamplingParams
from engine.worker.autoencoder import Autoencoder
from engine.worker.compiled import CompiledDenoiser
from engine.worker.ddpm_sampler import DDPM, ddpm_schedule
from engine.worker.hires import begin_second_pass
from engine.worker.image_embeddings import embed_pictures, referred_to
from engine.worker.inpainting import keep_outside
from engine.worker.interface import Stage
from engine.worker.kandinsky_picture import EncodedPicture
from engine.worker.loader import Components
from engine.worker.movq import Movq
from engine.worker.previews import thumbnails
from engine.worker.prior import EmbeddingState, drawn_embedding, read_sentence, step_prior
from engine.worker.prompts.unread import bare, fitting
from engine.worker.request_state import DenoisingState, LaterPass, Region, RequestState, Schedule
from engine.worker.row_buckets import as_they_are, in_bucket
from engine.worker.samplers import Samplers
from engine.worker.unclip_sampler import unclip_schedule, unclip_step

_DECODER = "decoder"


class Kandinsky:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every picture is computed by itself, so that company cannot change it."""
        self._shared = _Shared(components, exact=exact)
        self.stages: tuple[Stage, ...] = (_Prior(self._shared), _Decoder(self._shared))

    def save_memory(self) -> bool:
        """Decode one picture at a time from now on; False when that is already so."""
        return self._shared.autoencoder.save_memory()


class _Prior:
    """Embeddings out of noise, told the text."""

    name = PRIOR

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared

    def begin(self, state: RequestState) -> None:
        """Read the prompts, and draw the noise of every picture's embedding.

        A negative prompt is no more than a second prompt to the prior: its embedding is drawn beside the other, as what the
        decoder is led away from. Predictions of both are led away from the negative prompt.
        """
        shared, request, params = self._shared, state.request, state.request.params
        texts = [request.prompt, params.negative_prompt] if params.negative_prompt else [request.prompt]
        state.unread_words = tuple(word for text in texts for word in shared.cut_off(text))
        sentence, unsaid = shared.read(texts), None
        if params.prior_guidance_scale > 1:
            unsaid = shared.read([params.negative_prompt] * len(texts))
        schedule = unclip_schedule(shared.parts.prior_scheduler, params.prior_num_inference_steps)
        passes = shared.decoder_passes(state)
        shape = (len(texts), shared.parts.prior_prior.config.embedding_dim)
        for index, seed in state.seeds:
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randn(shape, generator=generator, dtype=shared.dtype).to(shared.device)
            state.pictures[index] = EmbeddingState(
                request_id=request.request_id,
                index=index,
                steps_in_pass=schedule.steps(),
                latents=drawn * schedule.init_noise_sigma,
                later=passes,
                generator=generator,
                schedule=schedule,
                cond=sentence.embedding,
                uncond=None if unsaid is None else unsaid.embedding,
                guidance_scale=params.guidance_scale,
                sentence=sentence,
                unsaid=unsaid,
                prior_guidance_scale=params.prior_guidance_scale,
            )

    def denoise(self, pictures: Sequence[EmbeddingState]) -> None:
        """One step of every embedding."""
        for group in self._shared.groups(pictures):
            step_prior(self._shared.parts.prior_prior, group)

    def hand_over(self, state: RequestState, pictures: Sequence[EmbeddingState]) -> None:
        """From embeddings to what the decoder begins with."""
        shared = self._shared
        source = shared.encoded(state)
        for picture in pictures:
            embeddings = drawn_embedding(shared.parts.prior_prior, picture.latents)
            # Drawn from a copy, so that whoever tries again after an error draws the same.
            generator = torch.Generator()
            generator.set_state(picture.generator.get_state())
            latents, region = shared.start(state, picture.later[0], generator, source)
            picture.go_on()
            picture.generator, picture.latents, picture.region = generator, latents, region
            picture.predicted = None
            picture.cond = embeddings[:1]
            picture.uncond = shared.led_away_from(picture, embeddings[1:])
            picture.guidance_interval = state.request.params.guidance_interval

    def preview(self, pictures: Sequence[EmbeddingState]) -> list[None]:
        """An embedding has no picture yet."""
        return [None] * len(pictures)

    def finish(self, pictures: Sequence[EmbeddingState]) -> list[Result]:
        raise AssertionError("the decoder comes after it")


class _Decoder:
    """Embedding and time in, noise prediction out. `cond` and `uncond` of its pictures are embeddings, (1, width)."""

    name = _DECODER

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        unet, compiles = shared.parts.unet, shared.parts.compiles
        self._unet: Any = CompiledDenoiser(unet) if compiles else unet
        self._forward = in_bucket if shared.parts.row_buckets else as_they_are

    def begin(self, state: RequestState) -> None:
        """Begin without a prior, with the embeddings of the pictures that are referred to."""
        shared, request, params = self._shared, state.request, state.request.params
        parts, reference = shared.parts, request.reference
        if reference.moved_from is None:
            state.unread_words = bare(request.prompt.split())
        else:
            state.unread_words = shared.cut_off(request.prompt) + shared.cut_off(reference.moved_from)
        # What it would be led away from is for a prior to find.
        state.unread_words += bare(params.negative_prompt.split())
        embeddings = embed_pictures(
            state.files.pictures,
            parts.prior_image_processor,
            parts.prior_image_encoder,
            shared.device,
            shared.dtype,
        )
        first, *later = shared.decoder_passes(state)
        assert first.schedule is not None, "noise is taken away by a schedule"
        for index, seed in state.seeds:
            generator = torch.Generator().manual_seed(seed)
            target = referred_to(
                reference,
                embeddings,
                (index, request.count),
                lambda text: shared.read([text]).embedding,
                request.prompt,
            )
            latents, region = shared.start(state, first, generator, None)
            picture = DenoisingState(
                request_id=request.request_id,
                index=index,
                steps_in_pass=first.steps,
                latents=latents,
                later=tuple(later),
                generator=generator,
                schedule=first.schedule,
                cond=target,
                uncond=None,
                guidance_scale=params.guidance_scale,
                guidance_interval=params.guidance_interval,
                region=region,
            )
            picture.uncond = shared.led_away_from(picture, target[1:])
            state.pictures[index] = picture

    def denoise(self, pictures: Sequence[DenoisingState]) -> None:
        """One forward pass over all rows, unconditional rows first, then one sampler step per picture."""
        results = [result for group in self._shared.groups(pictures) for result in self._step(group)]
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

    def hand_over(self, state: RequestState, pictures: Sequence[DenoisingState]) -> None:
        """Decode what the first pass made, scale it up and noise it again, as image-to-image at the full size."""
        for picture, small in zip(pictures, self._decode(pictures), strict=True):
            begin_second_pass(picture, small, self._shared.autoencoder, self._shared.dtype)
            # Its channels come last in memory, until it shares a step with others: convolutions sum in another order then.
            picture.latents = picture.latents.contiguous()

    def finish(self, pictures: Sequence[DenoisingState]) -> list[Result]:
        """Decode, and quantise as diffusers does."""
        return [
            ImageReady(picture.index, pixels, Safety.UNCHECKED)
            for picture, pixels in zip(pictures, self._decode(pictures), strict=True)
        ]

    def preview(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side."""
        foreseen = torch.cat([picture.foreseen for picture in pictures])
        vague = all(picture.vague for picture in pictures)
        return thumbnails(self._shared.autoencoder.preview(foreseen, vague=vague))

    def _decode(self, pictures: Sequence[DenoisingState]) -> list[npt.NDArray[np.uint8]]:
        """Pictures of one request and size as uint8 RGB (H, W, 3); early ones as their last step foresaw them."""
        return [
            pixels
            for group in self._shared.groups(pictures)
            for pixels in self._shared.autoencoder.decode_pixels(
                torch.cat([picture.result for picture in group])
            )
        ]

    def _step(self, pictures: Sequence[DenoisingState]) -> list[tuple[Tensor, Tensor, Any]]:
        """What each picture becomes: latents, predicted final latents, what its sampler is to remember."""
        predicted = self._predict(pictures)
        own = [row for row, picture in enumerate(pictures) if picture.schedule.sampler == DDPM]
        others = [row for row, picture in enumerate(pictures) if picture.schedule.sampler != DDPM]
        results: dict[int, tuple[Tensor, Tensor, Any]] = {}
        if own:
            group = [pictures[row] for row in own]
            # Only variances of a range are told to the sampler.
            learned = group[0].schedule.prototype.config.variance_type == "learned_range"
            output = predicted[own] if learned else predicted[own, : self._shared.autoencoder.channels]
            for row, (stepped, foreseen) in zip(own, unclip_step(group, output), strict=True):
                results[row] = stepped, foreseen, None
        if others:
            output = predicted[others, : self._shared.autoencoder.channels]
            made = self._shared.samplers.step([pictures[row] for row in others], output)
            results.update(zip(others, made, strict=True))
        return [results[row] for row in range(len(pictures))]

    def _predict(self, pictures: Sequence[DenoisingState]) -> Tensor:
        """(pictures, 2c, h, w): the noise in each picture's latents, guided, and its variance."""
        shared = self._shared
        divisors = [picture.schedule.input_scale[picture.step] for picture in pictures]
        scales = torch.tensor(divisors, dtype=torch.float32).to(shared.device).view(-1, 1, 1, 1)
        latents = (torch.cat([picture.latents for picture in pictures]) / scales).to(shared.dtype)
        regions = [picture.region.channels for picture in pictures if picture.region is not None]
        if channels := [extra for extra in regions if extra is not None]:
            latents = torch.cat([latents, torch.cat(channels)], dim=1)
        times = torch.tensor([picture.schedule.timesteps[picture.step] for picture in pictures])
        guided = [row for row, picture in enumerate(pictures) if picture.guided]
        rows = [*guided, *range(len(pictures))]
        unconds = [picture.uncond for picture in pictures if picture.guided and picture.uncond is not None]
        embeddings = torch.cat([*unconds, *(picture.cond for picture in pictures)])
        prediction: Tensor = self._forward(
            self._unet,
            latents if not guided else latents[rows],
            times[rows].to(shared.device),
            encoder_hidden_states=None,
            added_cond_kwargs={"image_embeds": embeddings.to(shared.dtype)},
            return_dict=False,
        )
        if not guided:
            return prediction
        count = shared.autoencoder.channels
        without, prediction = prediction[: len(guided), :count], prediction[len(guided) :]
        scale = torch.tensor([pictures[row].guidance_scale for row in guided], dtype=torch.float64)
        scale = scale.to(prediction.dtype).to(shared.device).view(-1, 1, 1, 1)
        told = prediction if len(guided) == len(pictures) else prediction[guided]
        mixed = without + scale * (told[:, :count] - without)
        # The variance is the conditional row's.
        mixed = torch.cat([mixed, told[:, count:]], dim=1)
        if len(guided) == len(pictures):
            return mixed
        prediction = prediction.clone()
        prediction[guided] = mixed
        return prediction


class _Shared:
    """The model's parts, and what both stages do with them."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        self.parts = components
        self.device, self.dtype, self.exact = components.device, components.dtype, exact
        self.autoencoder = Autoencoder(Movq(components.movq), self.device, self.dtype, heeds_upcast=False)
        self._ddpm_schedule = lru_cache(maxsize=64)(ddpm_schedule)
        # Some of the other samplers would take the channels of the variance for granted, or cut the others by them.
        config = {
            name: value for name, value in components.scheduler.config.items() if name != "variance_type"
        }
        self.samplers = Samplers(diffusers.DDIMScheduler.from_config(config), mend_old_config=False)

    def groups(self, pictures: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Those that are computed together."""
        return [[picture] for picture in pictures] if self.exact else [pictures]

    def read(self, texts: Sequence[str]) -> Any:
        """A row for each text."""
        parts = self.parts
        return read_sentence(parts.prior_tokenizer, parts.prior_text_encoder, texts, self.device)

    def cut_off(self, text: str) -> tuple[str, ...]:
        """The words past the text encoder's window."""
        tokenizer, words = self.parts.prior_tokenizer, text.split()

        def count(text: str) -> int:
            return len(tokenizer(text).input_ids)

        return bare(words[fitting(words, tokenizer.model_max_length, count) :])

    def decoder_passes(self, state: RequestState) -> tuple[LaterPass, ...]:
        """One, or two where pictures are made small first."""
        params = state.request.params
        from_image = state.request.init_image is not None
        if (hires := params.hires) is None:
            schedule = self._schedule(params, params.strength if from_image else 1.0)
            steps = schedule.steps(params.stop)
            return (LaterPass(_DECODER, params.width, params.height, steps, schedule),)
        first, again = self._schedule(params, 1.0), self._schedule(params, hires.strength)
        return (
            LaterPass(_DECODER, hires.width, hires.height, first.steps(), first),
            LaterPass(_DECODER, params.width, params.height, again.steps(params.stop), again),
        )

    def encoded(self, state: RequestState) -> EncodedPicture | None:
        """The picture that a request begins with, if any, for all of its pictures."""
        picture = state.files.picture
        return None if picture is None else EncodedPicture(picture, self.autoencoder)

    def start(
        self, state: RequestState, begun: LaterPass, generator: torch.Generator, source: EncodedPicture | None
    ) -> tuple[Tensor, Region | None]:
        """The first latents of one picture's pass, and the region to be drawn in it."""
        assert begun.schedule is not None, "noise is taken away by a schedule"
        factor = self.autoencoder.factor
        shape = (1, self.autoencoder.channels, begun.height // factor, begun.width // factor)
        noise = torch.randn(shape, generator=generator, dtype=self.dtype).to(self.device)
        region = None
        if source is None:
            latents = noise * begun.schedule.init_noise_sigma
        elif source.mask is None:
            latents = begun.schedule.add_noise(source.latents, noise)
        else:
            # diffusers' pipeline has no strength, and always begins with nothing but noise.
            whole = state.request.params.strength == 1
            noise = noise * begun.schedule.init_noise_sigma if whole else noise
            latents = noise if whole else begun.schedule.add_noise(source.latents, noise)
            kept = 1 - source.mask
            reads_mask = self.parts.unet.config.in_channels > self.autoencoder.channels
            channels = torch.cat([source.latents * kept, kept], dim=1) if reads_mask else None
            region = Region(source.mask, source.latents, noise, channels)
        return latents, region

    def led_away_from(self, picture: DenoisingState, drawn: Tensor) -> Tensor | None:
        """(1, width): the negative prompt's embedding that was `drawn`, else a black picture's; None without guidance."""
        if picture.guidance_scale <= 1:
            return None
        return drawn if len(drawn) else self._of_black

    @cached_property
    def _of_black(self) -> Tensor:
        encoder = self.parts.prior_image_encoder
        side = encoder.config.image_size
        black = torch.zeros(1, 3, side, side, dtype=torch.float32).to(self.device, self.dtype)
        embedding: Tensor = encoder(black).image_embeds
        return embedding

    def _schedule(self, params: SamplingParams, strength: float) -> Schedule:
        """The last `strength` of the steps."""
        if params.sampler == DDPM:
            return self._ddpm_schedule(self.parts.scheduler, params.num_inference_steps, strength)
        return self.samplers.schedule(params.sampler, params.num_inference_steps, strength)
