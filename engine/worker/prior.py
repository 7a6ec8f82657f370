"""The prior of unCLIP: diffusion over CLIP's image embeddings, told the text (Ramesh et al. 2022, section 2.2).

A stage of every family that has one, with steps of its own that requests of any size share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.worker.request_state import DenoisingState
from engine.worker.unclip_sampler import unclip_step

STAGE = "prior"


@dataclass(frozen=True, eq=False)
class Sentence:
    """A text as CLIP reads it."""

    embedding: Tensor
    """(1, width): where it lies in the space of embeddings; a row more for each text that is read beside it."""
    words: Tensor
    """(1, tokens, width of the text encoder)."""
    mask: Tensor
    """(1, tokens) bool: which tokens the text has."""


@dataclass(kw_only=True)
class EmbeddingState(DenoisingState):
    """A picture whose image embedding is drawn, and then the picture after it. `latents` of the prior are (1, width), or
    have a row for each text of `sentence`, where a second embedding is drawn beside it.
    """

    sentence: Sentence | None = None
    """What the prior is told, and a decoder that reads it too; None where there is no such reader."""
    unsaid: Sentence | None = None
    """Of the empty or negative prompt, where predictions are guided away from it."""
    prior_guidance_scale: float = 1.0


def read_sentence(
    tokenizer: Any, text_encoder: Any, text: str | Sequence[str], device: torch.device
) -> Sentence:
    """Through a CLIPTextModelWithProjection, as diffusers' pipelines read it: filled up to the window's end. Several texts
    have a row each.
    """
    encoded = tokenizer(
        text,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    read = text_encoder(encoded.input_ids.to(device))
    return Sentence(read.text_embeds, read.last_hidden_state, encoded.attention_mask.bool().to(device))


def sentences_of(pictures: Sequence[EmbeddingState]) -> list[Sentence]:
    """A row each: what those are led away from that are guided, then what all are told."""
    rows = [*(picture.unsaid for picture in pictures), *(picture.sentence for picture in pictures)]
    return [sentence for sentence in rows if sentence is not None]


def drawn_embedding(prior: Any, latents: Tensor) -> Tensor:
    """(rows, width): what a PriorTransformer's last latents stand for; its own method, wherever its weights may lie."""
    spread, middle = (weights.to(latents.device) for weights in (prior.clip_std, prior.clip_mean))
    embedding: Tensor = (latents * spread) + middle
    return embedding


def step_prior(
    prior: Any,
    pictures: Sequence[EmbeddingState],
    solve: Callable[[Sequence[EmbeddingState], Tensor], list[tuple[Tensor, Tensor]]] = unclip_step,
) -> None:
    """One step of every picture's embedding, unconditional rows first. Pictures change only once nothing can fail any more.

    `prior`: a PriorTransformer. `solve`: the noise solver, called as `unclip_step` is.
    """
    owners = [picture for picture in pictures for _ in range(len(picture.latents))]
    guided = [row for row, picture in enumerate(owners) if picture.unsaid is not None]
    rows = [*guided, *range(len(owners))]
    sentences = sentences_of(pictures)
    latents = torch.cat([picture.latents for picture in pictures])
    times = torch.tensor([int(picture.schedule.timesteps[picture.step]) for picture in owners])
    predicted = prior(
        latents if not guided else latents[rows],
        timestep=times[rows].to(latents.device),
        proj_embedding=torch.cat([sentence.embedding for sentence in sentences]),
        encoder_hidden_states=torch.cat([sentence.words for sentence in sentences]),
        attention_mask=torch.cat([sentence.mask for sentence in sentences]),
    ).predicted_image_embedding
    if guided:
        without, predicted = predicted[: len(guided)], predicted[len(guided) :]
        scales = torch.tensor([owners[row].prior_guidance_scale for row in guided], dtype=torch.float64)
        scales = scales.to(predicted.dtype).to(predicted.device).view(-1, 1)
        mixed = without + scales * (predicted[guided] - without)
        predicted = (
            mixed
            if len(guided) == len(owners)
            else predicted.index_copy(0, torch.tensor(guided, device=mixed.device), mixed)
        )
    for picture, (stepped, foreseen) in zip(pictures, solve(pictures, predicted), strict=True):
        picture.latents, picture.predicted = stepped, foreseen
        picture.pending_noise = None
        picture.step += 1
