"""Stable unCLIP: Stable Diffusion that is told a CLIP image embedding beside the text; two stages, prior and denoiser.

Follows diffusers' StableUnCLIPPipeline and its Img2Img pipeline number for number, picture by picture: there all variations of
a picture share the noise of their embedding, here each draws its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from engine.errors import GenerationFailed
from engine.output import ImageReady, Result, Safety
from engine.passes import PRIOR
from engine.worker.autoencoder import Autoencoder
from engine.worker.image_embeddings import embed_pictures, referred_to
from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.previews import thumbnails
from engine.worker.prior import EmbeddingState, read_sentence, step_prior
from engine.worker.prompts.encoder import PromptEncoder, Reading
from engine.worker.request_state import LaterPass, RequestState, Schedule
from engine.worker.samplers import Samplers, own_schedule, solver_step
from engine.worker.unclip_sampler import unclip_schedule, unclip_step

_NOISE_LEVEL = 0
"""Of the embedding, as the pipelines have it: more would lead away from the picture that is referred to."""


class StableUnCLIP:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every picture is computed by itself, so that company cannot change it."""
        self._denoise = _Denoise(components, exact=exact)
        prior: tuple[Stage, ...] = () if components.prior is None else (_Prior(components, self._denoise),)
        self.stages: tuple[Stage, ...] = (*prior, self._denoise)

    def save_memory(self) -> bool:
        """Decode one picture at a time, and in tiles, from now on; False when that is already so."""
        return self._denoise.autoencoder.save_memory()


class _Prior:
    """Embeddings out of noise, told the text."""

    name = PRIOR

    def __init__(self, components: Components, denoise: _Denoise) -> None:
        self._parts = components
        self._denoise = denoise
        # diffusers' pipeline steps by any scheduler, but this one it would not tell how far.
        self._by_formula = type(components.prior_scheduler).__name__ == "UnCLIPScheduler"

    def begin(self, state: RequestState) -> None:
        """Read the prompts, and draw the noise of every picture's embedding."""
        parts, request, params = self._parts, state.request, state.request.params

        def read(text: str) -> Any:
            return read_sentence(parts.prior_tokenizer, parts.prior_text_encoder, text, parts.device)

        cond, uncond = self._denoise.read_prompts(state)
        sentence = read(request.prompt)
        unsaid = read("") if params.prior_guidance_scale > 1 else None
        made = unclip_schedule if self._by_formula else own_schedule
        schedule = made(parts.prior_scheduler, params.prior_num_inference_steps)
        for index, seed in state.seeds:
            generator = torch.Generator().manual_seed(seed)
            shape = (1, parts.prior.config.embedding_dim)
            drawn = torch.randn(shape, generator=generator, dtype=parts.dtype).to(parts.device)
            state.pictures[index] = EmbeddingState(
                request_id=request.request_id,
                index=index,
                steps_in_pass=schedule.steps(),
                latents=drawn * schedule.init_noise_sigma,
                later=(self._denoise.own_pass(state),),
                generator=generator,
                schedule=schedule,
                cond=cond,
                uncond=uncond,
                guidance_scale=params.guidance_scale,
                sentence=sentence,
                unsaid=unsaid,
                prior_guidance_scale=params.prior_guidance_scale,
            )

    def denoise(self, pictures: Sequence[EmbeddingState]) -> None:
        """One step of every embedding."""
        for group in self._denoise.groups(pictures):
            step_prior(self._parts.prior, group, unclip_step if self._by_formula else _solve)

    def hand_over(self, state: RequestState, pictures: Sequence[EmbeddingState]) -> None:
        """From embeddings to the denoiser's noise."""
        for picture in pictures:
            embedding = self._parts.prior.post_process_latents(picture.latents)
            taken = picture.go_on()
            self._denoise.begin_one(picture, embedding, taken.width, taken.height)

    def preview(self, pictures: Sequence[EmbeddingState]) -> list[None]:
        """An embedding has no picture yet."""
        return [None] * len(pictures)

    def finish(self, pictures: Sequence[EmbeddingState]) -> list[Result]:
        raise AssertionError("the denoiser comes after it")


class _Denoise:
    """Text, embedding and time in, noise prediction out."""

    name = "denoise"

    def __init__(self, components: Components, *, exact: bool) -> None:
        self._parts = components
        self._exact = exact
        self._prompts = PromptEncoder(
            components.tokenizer, components.text_encoder, components.device, exact=exact
        )
        self._samplers = Samplers(components.scheduler, mend_old_config=False)
        self.autoencoder = Autoencoder(
            components.vae, components.device, components.dtype, heeds_upcast=False
        )

    def groups(self, pictures: Sequence[EmbeddingState]) -> Sequence[Sequence[EmbeddingState]]:
        """Those that are computed together."""
        return [[picture] for picture in pictures] if self._exact else [pictures]

    def read_prompts(self, state: RequestState) -> tuple[Tensor, Tensor | None]:
        """What the denoiser is told of the texts; the words that it does not read are noted."""
        request, params = state.request, state.request.params
        negative = params.negative_prompt if params.guidance_scale > 1 else None
        state.unread_words = self._prompts.unread_words(request.prompt)
        if negative is not None:
            state.unread_words += self._prompts.unread_words(negative)
        return self._prompts.encode_pair(request.prompt, negative, Reading(params.clip_skip))

    def own_pass(self, state: RequestState) -> LaterPass:
        params, schedule = state.request.params, self._schedule(state)
        return LaterPass(self.name, params.width, params.height, schedule.steps(params.stop), schedule)

    def begin(self, state: RequestState) -> None:
        """Begin without a prior, with the embeddings of the pictures that are referred to."""
        parts, request, params = self._parts, state.request, state.request.params
        cond, uncond = self.read_prompts(state)
        embeddings = embed_pictures(
            state.files.pictures, parts.feature_extractor, parts.image_encoder, parts.device, parts.dtype
        )
        schedule = self._schedule(state)
        for index, seed in state.seeds:
            embedding = referred_to(
                request.reference, embeddings, (index, request.count), self._read_embedding, request.prompt
            )
            picture = state.pictures[index] = EmbeddingState(
                request_id=request.request_id,
                index=index,
                steps_in_pass=schedule.steps(params.stop),
                latents=embedding,
                generator=torch.Generator().manual_seed(seed),
                schedule=schedule,
                cond=cond,
                uncond=uncond,
                guidance_scale=params.guidance_scale,
            )
            self.begin_one(picture, embedding, params.width, params.height)

    def begin_one(self, picture: EmbeddingState, embedding: Tensor, width: int, height: int) -> None:
        """Draw the noise of the embedding, then that of the latents."""
        drawn = torch.randn(embedding.shape, generator=picture.generator, dtype=embedding.dtype)
        level = torch.tensor([_NOISE_LEVEL], device=embedding.device)
        normalizer = self._parts.image_normalizer
        noisy = self._parts.image_noising_scheduler.add_noise(
            normalizer.scale(embedding), timesteps=level, noise=drawn.to(embedding.device)
        )
        told = get_timestep_embedding(
            level, embedding_dim=embedding.shape[1], flip_sin_to_cos=True, downscale_freq_shift=0
        )
        picture.pooled = torch.cat([normalizer.unscale(noisy), told.to(embedding.dtype)], dim=1)
        picture.uncond_pooled = None if picture.uncond is None else torch.zeros_like(picture.pooled)
        factor = self.autoencoder.factor
        shape = (1, self._parts.unet.config.in_channels, height // factor, width // factor)
        noise = torch.randn(shape, generator=picture.generator, dtype=self._parts.dtype)
        picture.latents = noise.to(self._parts.device) * picture.schedule.init_noise_sigma
        picture.predicted = None

    def denoise(self, pictures: Sequence[EmbeddingState]) -> None:
        """One forward pass over all rows, unconditional rows first, then one sampler step per picture.

        Prompts of another length cannot share a pass: filling one up would change its picture.
        """
        passes: dict[int, list[int]] = {}
        for row, picture in enumerate(pictures):
            passes.setdefault(row if self._exact else picture.cond.shape[1], []).append(row)
        predicted: dict[int, Tensor] = {}
        for rows in passes.values():
            found = self._predict([pictures[row] for row in rows])
            predicted.update(zip(rows, found.split(1), strict=True))
        prediction = torch.cat([predicted[row] for row in range(len(pictures))])
        results = self._samplers.step(pictures, prediction)
        for picture, (stepped, foreseen, remembered) in zip(pictures, results, strict=True):
            picture.latents, picture.predicted = stepped, foreseen
            if picture.schedule.table is None:
                picture.solver = remembered
            else:
                picture.previous_output = remembered
            picture.pending_noise = None
            picture.step += 1

    def finish(self, pictures: Sequence[EmbeddingState]) -> list[Result]:
        """Decode, and quantise as diffusers' VaeImageProcessor does."""
        return [
            ImageReady(picture.index, pixels, Safety.UNCHECKED)
            for group in self.groups(pictures)
            for picture, pixels in zip(group, self._decode(group), strict=True)
        ]

    def preview(self, pictures: Sequence[EmbeddingState]) -> list[npt.NDArray[np.uint8]]:
        """The final pictures as the last step foresaw them, at most 128 px a side."""
        foreseen = torch.cat([picture.foreseen for picture in pictures])
        return thumbnails(
            self.autoencoder.preview(foreseen, vague=all(picture.vague for picture in pictures))
        )

    def _decode(self, pictures: Sequence[EmbeddingState]) -> list[npt.NDArray[np.uint8]]:
        return self.autoencoder.decode_pixels(torch.cat([picture.result for picture in pictures]))

    def _schedule(self, state: RequestState) -> Schedule:
        params = state.request.params
        return self._samplers.schedule(
            params.sampler, params.num_inference_steps, 1.0, params.timestep_spacing
        )

    def _read_embedding(self, text: str) -> Tensor:
        parts = self._parts
        if parts.prior_text_encoder is None:
            raise GenerationFailed(
                "text_difference_unsupported",
                "This model makes variations of pictures alone: nothing in it knows where texts lie among them. Leave the"
                " earlier prompt out, or choose a model with a prior.",
            )
        found: Tensor = read_sentence(
            parts.prior_tokenizer, parts.prior_text_encoder, text, parts.device
        ).embedding
        return found

    def _predict(self, pictures: Sequence[EmbeddingState]) -> Tensor:
        """(pictures, c, h, w): what the UNet makes of each picture's latents, guided."""
        device = self._parts.device
        guided = [row for row, picture in enumerate(pictures) if picture.guided]
        rows = [*guided, *range(len(pictures))]
        latents = torch.cat([picture.latents for picture in pictures])
        divisors = [picture.schedule.input_scale[picture.step] for picture in pictures]
        scales = torch.tensor(divisors, dtype=torch.float32)
        latents = (latents / scales.to(device).view(-1, 1, 1, 1)).to(self._parts.dtype)
        steps = [picture.schedule.timesteps[picture.step] for picture in pictures]
        times = torch.tensor(steps, dtype=torch.float32)
        texts = [*(pictures[row].uncond for row in guided), *(picture.cond for picture in pictures)]
        labels = [*(pictures[row].uncond_pooled for row in guided), *(picture.pooled for picture in pictures)]
        prediction: Tensor = self._parts.unet(
            latents[rows] if guided else latents,
            times[rows].to(device),
            encoder_hidden_states=torch.cat([text for text in texts if text is not None]),
            class_labels=torch.cat([label for label in labels if label is not None]),
            return_dict=False,
        )[0]
        if not guided:
            return prediction
        without, prediction = prediction[: len(guided)], prediction[len(guided) :].clone()
        scale = torch.tensor([pictures[row].guidance_scale for row in guided], dtype=torch.float64)
        scale = scale.to(prediction.dtype).to(device).view(-1, 1, 1, 1)
        prediction[guided] = without + scale * (prediction[guided] - without)
        return prediction


def _solve(pictures: Sequence[EmbeddingState], output: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each by a scheduler of its own."""
    results = []
    for picture, own in zip(pictures, output.split(1), strict=True):
        stepped, foreseen, solver = solver_step(picture, own)
        picture.solver = solver
        results.append((stepped, foreseen))
    return results
