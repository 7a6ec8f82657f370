"""unCLIP, which is DALL·E 2's cascade: prior, decoder, super-resolution; folders in the format of Karlo, and the embedded one.

Text → CLIP's text embedding → prior → CLIP's image embedding → decoder in pixels → super-resolution, by diffusion as in Karlo or
by a convolutional network (Ramesh et al. 2022). Follows diffusers' UnCLIPPipeline and its image variations number for number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.output import ImageReady, Result, Safety
from engine.passes import DIFFUSED_STEPS, PRIOR, SUPER_RESOLUTION
from engine.worker.image_embeddings import embed_pictures, referred_to
from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.previews import thumbnails
from engine.worker.prior import EmbeddingState, Sentence, read_sentence, sentences_of, step_prior
from engine.worker.prompts.unread import bare, fitting
from engine.worker.request_state import LaterPass, RequestState, Schedule
from engine.worker.samplers import Samplers
from engine.worker.super_resolution import SuperResolution
from engine.worker.unclip_sampler import unclip_schedule, unclip_step


class UnCLIP:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every picture is computed by itself, so that company cannot change it."""
        cascade = _Cascade(components, exact=exact)
        self.enlarges = cascade.enlarges
        drawing: tuple[Stage, ...] = (_Decoder(cascade), cascade.larger or _SuperResolution(cascade))
        self.stages: tuple[Stage, ...] = drawing if components.prior is None else (_Prior(cascade), *drawing)

    def save_memory(self) -> bool:
        """Nothing is decoded here that could be in tiles."""
        return False


class _Cascade:
    """The model's parts, and what several stages do with them."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        self.parts = components
        self.device, self.dtype, self.exact = components.device, components.dtype, exact
        self.learned_sampler = type(components.decoder_scheduler).__name__ == "UnCLIPScheduler"
        """Whether the decoder steps by UnCLIPScheduler, which knows variances that the network tells."""
        self.samplers = (
            None if self.learned_sampler else Samplers(components.decoder_scheduler, mend_old_config=False)
        )
        self.enlarges = int(components.settings.get("enlarges", 1))
        self.patch = int(components.settings.get("patch", 1))
        """Pixels along the side of what is one place to the decoder's network."""
        self.larger: SuperResolution | None = None
        """What enlarges pictures by a convolutional network; Karlo does it by diffusion."""
        if self.enlarges > 1:
            self.larger = SuperResolution(
                components.super_resolution, components.device, components.dtype, exact=exact
            )

    @property
    def drawn(self) -> tuple[int, int, int]:
        """Channels and sides of what the decoder draws."""
        config = self.parts.decoder.config
        side = config.sample_size * self.patch
        return config.in_channels // self.patch**2, side, side

    def groups(self, pictures: Sequence[EmbeddingState]) -> Sequence[Sequence[EmbeddingState]]:
        """Those that are computed together."""
        return [[picture] for picture in pictures] if self.exact else [pictures]

    def read(self, text: str) -> Sentence:
        return read_sentence(self.parts.tokenizer, self.parts.text_encoder, text, self.device)

    def unread_words(self, prompt: str) -> tuple[str, ...]:
        """The words past the text encoder's window."""
        tokenizer, words = self.parts.tokenizer, prompt.split()

        def count(text: str) -> int:
            return len(tokenizer(text).input_ids)

        return bare(words[fitting(words, tokenizer.model_max_length, count) :])

    def decoder_schedule(self, state: RequestState) -> Schedule:
        params = state.request.params
        if self.samplers is None:
            return unclip_schedule(self.parts.decoder_scheduler, params.num_inference_steps)
        return self.samplers.schedule(
            params.sampler, params.num_inference_steps, 1.0, params.timestep_spacing
        )

    def decoder_pass(self, state: RequestState) -> LaterPass:
        params, schedule = state.request.params, self.decoder_schedule(state)
        return LaterPass("decoder", params.width, params.height, schedule.steps(), schedule)

    def super_resolution_pass(self, state: RequestState) -> LaterPass:
        params = state.request.params
        if self.larger is not None:
            _, height, width = self.drawn
            return self.larger.later_pass(width, height, self.enlarges)
        schedule = unclip_schedule(self.parts.super_res_scheduler, DIFFUSED_STEPS)
        return LaterPass(SUPER_RESOLUTION, params.width, params.height, schedule.steps(), schedule)

    def noise(self, picture: EmbeddingState, shape: Sequence[int]) -> Tensor:
        drawn = torch.randn((1, *shape), generator=picture.generator, dtype=self.dtype)
        return drawn.to(self.device) * picture.schedule.init_noise_sigma

    def begin_decoder(self, pictures: Sequence[EmbeddingState], embeddings: Sequence[Tensor]) -> None:
        """Lay out what the decoder is told, and draw its noise. The pictures' pass is the decoder's already."""
        guided = pictures[0].unsaid is not None
        sentences = sentences_of(pictures)
        context, added = self.parts.text_proj(
            image_embeddings=torch.cat(list(embeddings)),
            prompt_embeds=torch.cat([sentence.embedding for sentence in sentences]),
            text_encoder_hidden_states=torch.cat([sentence.words for sentence in sentences]),
            do_classifier_free_guidance=guided,
        )
        for row, picture in enumerate(pictures):
            own = row + len(pictures) if guided else row
            picture.cond, picture.pooled = context[own : own + 1], added[own : own + 1]
            if guided:
                picture.uncond, picture.uncond_pooled = context[row : row + 1], added[row : row + 1]
            picture.predicted = None
            picture.latents = self.noise(picture, self.drawn)


class _Prior:
    """Embeddings out of noise, told the text."""

    name = PRIOR

    def __init__(self, cascade: _Cascade) -> None:
        self._cascade = cascade

    def begin(self, state: RequestState) -> None:
        """Read the prompts, and draw the noise of every picture's embedding."""
        cascade, request, params = self._cascade, state.request, state.request.params
        state.unread_words = cascade.unread_words(request.prompt)
        sentence, unsaid = cascade.read(request.prompt), None
        if params.prior_guidance_scale > 1 or params.guidance_scale > 1:
            state.unread_words += cascade.unread_words(params.negative_prompt)
            unsaid = cascade.read(params.negative_prompt)
        schedule = unclip_schedule(cascade.parts.prior_scheduler, params.prior_num_inference_steps)
        for index, seed in state.seeds:
            generator = torch.Generator().manual_seed(seed)
            width = cascade.parts.prior.config.embedding_dim
            drawn = torch.randn((1, width), generator=generator, dtype=cascade.dtype).to(cascade.device)
            state.pictures[index] = EmbeddingState(
                request_id=request.request_id,
                index=index,
                steps_in_pass=schedule.steps(),
                latents=drawn * schedule.init_noise_sigma,
                later=(cascade.decoder_pass(state), cascade.super_resolution_pass(state)),
                generator=generator,
                schedule=schedule,
                cond=sentence.words,
                uncond=None if unsaid is None else unsaid.words,
                guidance_scale=params.guidance_scale,
                sentence=sentence,
                unsaid=unsaid,
                prior_guidance_scale=params.prior_guidance_scale,
            )

    def denoise(self, pictures: Sequence[EmbeddingState]) -> None:
        """One step of every embedding."""
        for group in self._cascade.groups(pictures):
            step_prior(self._cascade.parts.prior, group)

    def hand_over(self, state: RequestState, pictures: Sequence[EmbeddingState]) -> None:
        """From embeddings to the decoder's noise."""
        parts = self._cascade.parts
        embeddings = [parts.prior.post_process_latents(picture.latents) for picture in pictures]
        if parts.embedding_space is not None:
            embeddings = [parts.embedding_space.embeddings(each) for each in embeddings]
        for picture in pictures:
            picture.go_on()
        self._cascade.begin_decoder(pictures, embeddings)

    def preview(self, pictures: Sequence[EmbeddingState]) -> list[None]:
        """An embedding has no picture yet."""
        return [None] * len(pictures)

    def finish(self, pictures: Sequence[EmbeddingState]) -> list[Result]:
        raise AssertionError("the decoder comes after it")


class _Decoder:
    """Small pictures out of noise, told the embedding and the text."""

    name = "decoder"

    def __init__(self, cascade: _Cascade) -> None:
        self._cascade = cascade
        simple = any("SimpleCrossAttn" in block for block in cascade.parts.decoder.config.down_block_types)
        self._mask_name = "attention_mask" if simple else "encoder_attention_mask"
        """Attention of Karlo's kind looks at picture and words in one go, with one mask."""

    def begin(self, state: RequestState) -> None:
        """Begin without a prior, with the embeddings of the pictures that are referred to."""
        cascade, request, params = self._cascade, state.request, state.request.params
        parts = cascade.parts
        reference = request.reference
        state.unread_words = cascade.unread_words(request.prompt)
        sentence, unsaid = cascade.read(request.prompt), None
        if params.guidance_scale > 1:
            unsaid = cascade.read(params.negative_prompt)
        embeddings = embed_pictures(
            state.files.pictures, parts.feature_extractor, parts.image_encoder, cascade.device, cascade.dtype
        )
        schedule = cascade.decoder_schedule(state)
        for index, seed in state.seeds:
            state.pictures[index] = EmbeddingState(
                request_id=request.request_id,
                index=index,
                steps_in_pass=schedule.steps(),
                latents=embeddings[0],
                later=(cascade.super_resolution_pass(state),),
                generator=torch.Generator().manual_seed(seed),
                schedule=schedule,
                cond=sentence.words,
                uncond=None if unsaid is None else unsaid.words,
                guidance_scale=params.guidance_scale,
                sentence=sentence,
                unsaid=unsaid,
            )
        targets = [
            referred_to(
                reference,
                embeddings,
                (index, request.count),
                lambda text: cascade.read(text).embedding,
                request.prompt,
            )
            for index in state.indices
        ]
        cascade.begin_decoder([state.pictures[index] for index in state.indices], targets)

    def denoise(self, pictures: Sequence[EmbeddingState]) -> None:
        """One forward pass over all rows, unconditional rows first, then one step per picture."""
        results = [result for group in self._cascade.groups(pictures) for result in self._step(group)]
        for picture, (stepped, foreseen) in zip(pictures, results, strict=True):
            picture.latents, picture.predicted = stepped, foreseen
            picture.pending_noise = None
            picture.step += 1

    def hand_over(self, state: RequestState, pictures: Sequence[EmbeddingState]) -> None:
        """To the network that enlarges; or, as in Karlo, enlarge the pictures plainly and draw the noise that details come of."""
        if (larger := self._cascade.larger) is not None:
            for picture in pictures:
                rgb = picture.result.clamp(-1, 1) * 0.5 + 0.5
                state.pictures[picture.index] = larger.taken_over(picture, rgb, self._cascade.enlarges)
            return
        first = self._cascade.parts.super_res_first
        side = first.config.sample_size
        small = torch.cat([picture.result for picture in pictures]).clamp(-1, 1)
        enlarged = functional.interpolate(
            small, size=[side, side], mode="bicubic", align_corners=False, antialias=True
        )
        for row, picture in enumerate(pictures):
            picture.go_on()
            picture.cond, picture.uncond = enlarged[row : row + 1], None
            picture.latents = self._cascade.noise(picture, (first.config.in_channels // 2, side, side))
            picture.predicted = picture.cond

    def preview(self, pictures: Sequence[EmbeddingState]) -> list[Any]:
        """The small pictures as the last step foresaw them."""
        return thumbnails(torch.cat([picture.foreseen for picture in pictures]))

    def finish(self, pictures: Sequence[EmbeddingState]) -> list[Result]:
        raise AssertionError("super-resolution comes after it")

    def _step(self, pictures: Sequence[EmbeddingState]) -> list[tuple[Tensor, Tensor]]:
        cascade = self._cascade
        guided = [row for row, picture in enumerate(pictures) if picture.uncond is not None]
        rows = [*guided, *range(len(pictures))]
        latents = torch.cat([picture.latents for picture in pictures])
        divisors = [picture.schedule.input_scale[picture.step] for picture in pictures]
        scales = torch.tensor(divisors, dtype=torch.float32).to(cascade.device).view(-1, 1, 1, 1)
        places = functional.pixel_unshuffle((latents / scales).to(cascade.dtype), cascade.patch)
        unconds = [pictures[row].uncond for row in guided]
        added = [*(pictures[row].uncond_pooled for row in guided), *(picture.pooled for picture in pictures)]
        masks = [sentence.mask for sentence in sentences_of(pictures)]
        extra = cascade.parts.text_proj.clip_extra_context_tokens
        steps = [picture.schedule.timesteps[picture.step] for picture in pictures]
        times = torch.tensor(steps, dtype=torch.float32)
        prediction = cascade.parts.decoder(
            sample=places[rows] if guided else places,
            timestep=times[rows].to(cascade.device),
            encoder_hidden_states=torch.cat([*_there(unconds), *(picture.cond for picture in pictures)]),
            class_labels=torch.cat(_there(added)),
            **{self._mask_name: functional.pad(torch.cat(masks), (extra, 0), value=True)},
        ).sample
        prediction = functional.pixel_shuffle(prediction, cascade.patch)
        if guided:
            without, prediction = prediction[: len(guided)], prediction[len(guided) :]
            prediction = self._guided(pictures, guided, without, prediction, latents.shape[1])
        if cascade.samplers is None:
            return unclip_step(pictures, prediction)
        results = cascade.samplers.step(pictures, prediction)
        for picture, (_, _, remembered) in zip(pictures, results, strict=True):
            if picture.schedule.table is None:
                picture.solver = remembered
            else:
                picture.previous_output = remembered
        return [(stepped, foreseen) for stepped, foreseen, _ in results]

    @staticmethod
    def _guided(
        pictures: Sequence[EmbeddingState],
        guided: Sequence[int],
        without: Tensor,
        prediction: Tensor,
        channels: int,
    ) -> Tensor:
        """The conditional predictions led away from the others; a variance that is told beside them stays."""
        scales = torch.tensor([pictures[row].guidance_scale for row in guided], dtype=torch.float64)
        scales = scales.to(prediction.dtype).to(prediction.device).view(-1, 1, 1, 1)
        without, with_text = without[:, :channels], prediction[list(guided)]
        mixed = without + scales * (with_text[:, :channels] - without)
        mixed = torch.cat([mixed, with_text[:, channels:]], dim=1)
        if len(guided) == len(pictures):
            return mixed
        prediction = prediction.clone()
        prediction[list(guided)] = mixed
        return prediction


class _SuperResolution:
    """Large pictures out of noise, beside the small ones; no guidance."""

    name = SUPER_RESOLUTION

    def __init__(self, cascade: _Cascade) -> None:
        self._cascade = cascade

    def begin(self, state: RequestState) -> None:
        raise AssertionError("the decoder comes before it")

    def denoise(self, pictures: Sequence[EmbeddingState]) -> None:
        """One step of every picture; the last one is another network's."""
        parts = self._cascade.parts
        results: dict[int, tuple[Tensor, Tensor]] = {}
        for group in self._cascade.groups(pictures):
            for network, last in ((parts.super_res_first, False), (parts.super_res_last, True)):
                some = [p for p in group if (p.step + 1 == p.steps_in_pass) is last]
                if some:
                    results.update(zip(map(id, some), self._step(network, some), strict=True))
        for picture in pictures:
            picture.latents, picture.predicted = results[id(picture)]
            picture.pending_noise = None
            picture.step += 1

    def _step(self, network: Any, pictures: Sequence[EmbeddingState]) -> list[tuple[Tensor, Tensor]]:
        pairs = torch.cat([torch.cat([picture.latents, picture.cond], dim=1) for picture in pictures])
        times = torch.tensor([int(picture.schedule.timesteps[picture.step]) for picture in pictures])
        return unclip_step(pictures, network(sample=pairs, timestep=times.to(self._cascade.device)).sample)

    def preview(self, pictures: Sequence[EmbeddingState]) -> list[Any]:
        """The large pictures as the last step foresaw them."""
        return thumbnails(torch.cat([picture.foreseen for picture in pictures]))

    def finish(self, pictures: Sequence[EmbeddingState]) -> list[Result]:
        """Quantise as diffusers does."""
        rgb = torch.cat([picture.result for picture in pictures]) * 0.5 + 0.5
        pixels = rgb.clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        whole = (pixels * 255).round().astype("uint8")
        return [
            ImageReady(picture.index, each, Safety.UNCHECKED)
            for picture, each in zip(pictures, whole, strict=True)
        ]


def _there(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor is not None]
