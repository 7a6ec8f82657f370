"""CLIP (Radford et al. 2021): where pictures and texts lie in one space, and prompts that lie near a picture.

Two stages, each a step of many requests together: embed, and describe, which ranks phrases of a list and chains them greedily.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.output import EmbeddingReady, Result, TextReady
from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.phrases import PhraseGroup, sentence
from engine.worker.request_state import PictureState, RequestState

T = TypeVar("T")

_TOGETHER = 128
"""Texts or pictures of one forward pass."""
_CANDIDATES = 48
"""Phrases of a group that are tried in company with what is said already: those that fit best by themselves."""
_CHOICES, _TEMPERATURE = 4, 0.02
"""A phrase is drawn from the best few, by the softmax of their likeness (cosines) over this: so close ones are as good."""


class Clip:
    """A loaded model of the family."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every text and picture is computed by itself, so that company cannot change it."""
        towers = _Towers(components, 1 if exact else _TOGETHER)
        self.stages: tuple[Stage, ...] = (_Embed(towers), _Describe(towers, components.settings["groups"]))

    def save_memory(self) -> bool:
        """Nothing is decoded here."""
        return False


class _Towers:
    """Texts and pictures into the common space."""

    def __init__(self, components: Components, together: int) -> None:
        self._parts, self._together = components, together

    def pixels(self, picture: np.ndarray) -> Tensor:
        """RGB (H, W, 3) → (1, 3, h, w) as the image tower reads it."""
        made = self._parts.feature_extractor(images=picture, return_tensors="pt").pixel_values
        return torch.as_tensor(made).to(self._parts.device, self._parts.dtype)

    def see(self, pixels: Sequence[Tensor]) -> Tensor:
        """(n, width), each of length 1."""
        model = self._parts.clip
        found = [
            model.visual_projection(model.vision_model(torch.cat(list(some))).pooler_output)
            for some in self._parts_of(pixels)
        ]
        return functional.normalize(torch.cat(found), dim=1)

    def read(self, texts: Sequence[str]) -> Tensor:
        """(n, width), each of length 1; words past the window are not read."""
        model, tokenizer = self._parts.clip, self._parts.tokenizer
        window = model.config.text_config.max_position_embeddings
        found = []
        for some in self._parts_of(texts):
            encoded = tokenizer(
                list(some), padding="max_length", max_length=window, truncation=True, return_tensors="pt"
            )
            read = model.text_model(
                encoded.input_ids.to(self._parts.device),
                attention_mask=encoded.attention_mask.to(self._parts.device),
            )
            found.append(model.text_projection(read.pooler_output))
        return functional.normalize(torch.cat(found), dim=1)

    def _parts_of(self, rows: Sequence[T]) -> list[Sequence[T]]:
        return [rows[start : start + self._together] for start in range(0, len(rows), self._together)]


@dataclass(kw_only=True)
class _Looked(PictureState):
    """A picture or a text that is to be embedded. `latents` are the pixels, then the embedding (1, width)."""

    text: str | None = None


class _Embed:
    """One step each."""

    name = "embed"

    def __init__(self, towers: _Towers) -> None:
        self._towers = towers

    def begin(self, state: RequestState) -> None:
        """Prepare the pictures as the image tower reads them."""
        request, pictures = state.request, state.files.pictures
        for index in state.indices:
            seen = index < len(pictures)
            state.pictures[index] = _Looked(
                request_id=request.request_id,
                index=index,
                steps_in_pass=1,
                latents=self._towers.pixels(pictures[index]) if seen else torch.zeros(0, dtype=torch.float32),
                text=None if seen else request.texts[index - len(pictures)],
            )

    def denoise(self, pictures: Sequence[_Looked]) -> None:
        """Pictures in one pass, texts in another."""
        found: dict[int, Tensor] = {}
        seen = [row for row, picture in enumerate(pictures) if picture.text is None]
        if seen:
            vectors = self._towers.see([pictures[row].latents for row in seen])
            found.update(zip(seen, vectors.split(1), strict=True))
        texts = [(row, picture.text) for row, picture in enumerate(pictures) if picture.text is not None]
        if texts:
            vectors = self._towers.read([text for _, text in texts])
            found.update(zip((row for row, _ in texts), vectors.split(1), strict=True))
        for row, picture in enumerate(pictures):
            picture.latents = found[row]
            picture.step += 1

    def preview(self, pictures: Sequence[_Looked]) -> list[None]:
        """There is nothing to see."""
        return [None] * len(pictures)

    def finish(self, pictures: Sequence[_Looked]) -> list[Result]:
        """As float32, whatever the model computes in."""
        return [
            EmbeddingReady(
                picture.index, functional.normalize(picture.latents.float(), dim=1)[0].cpu().numpy()
            )
            for picture in pictures
        ]


@dataclass(kw_only=True)
class _Told(PictureState):
    """A prompt on its way. `latents` are the embedding of its picture, (1, width)."""

    numbers: np.random.Generator
    chosen: Mapping[int, str] = field(default_factory=dict)
    """The number of a group of phrases → what is said of it."""
    likeness: float = -math.inf
    """The cosine of the picture and what is said."""


class _Describe:
    """A step for each group of phrases: the one is added that brings what is said nearest to the picture, if any does.

    What is said first need not be looked for first: a model that learnt whole sentences tells subjects apart best where the
    rest of the sentence is there. Flavours are chained so in https://github.com/pharmapsychotic/clip-interrogator, for the one
    best chain; here every prompt draws from the best few with a seed of its own, so that several differ.
    """

    name = "describe"

    def __init__(self, towers: _Towers, groups: Sequence[PhraseGroup]) -> None:
        self._towers, self._groups = towers, groups
        self._known: dict[tuple[str, ...], Tensor] = {}
        """A group's phrases → where they lie by themselves, (n, width)."""

    def begin(self, state: RequestState) -> None:
        """Look at the picture, once for all prompts."""
        request = state.request
        vector = self._towers.see([self._towers.pixels(state.files.pictures[0])])
        for index, seed in state.seeds:
            state.pictures[index] = _Told(
                request_id=request.request_id,
                index=index,
                steps_in_pass=len(self._groups),
                latents=vector,
                numbers=np.random.default_rng(seed),
            )

    def denoise(self, pictures: Sequence[_Told]) -> None:
        """Candidates of all pictures share forward passes."""
        candidates = [self._candidates(picture) for picture in pictures]
        vectors = self._towers.read(
            [
                self._said(picture, phrase)
                for picture, phrases in zip(pictures, candidates, strict=True)
                for phrase in phrases
            ]
        )
        of_each = vectors.split([len(phrases) for phrases in candidates])
        chosen = [
            self._choice(picture, phrases, (its.float() @ picture.latents[0].float()).tolist())
            for picture, phrases, its in zip(pictures, candidates, of_each, strict=True)
        ]
        for picture, choice in zip(pictures, chosen, strict=True):
            if choice is not None:
                phrase, picture.likeness = choice
                picture.chosen = {**picture.chosen, picture.step: phrase}
            picture.step += 1

    def preview(self, pictures: Sequence[_Told]) -> list[None]:
        """There is nothing to see."""
        return [None] * len(pictures)

    def finish(self, pictures: Sequence[_Told]) -> list[Result]:
        return [TextReady(picture.index, sentence(self._groups, picture.chosen)) for picture in pictures]

    def _candidates(self, picture: _Told) -> list[str]:
        group = self._groups[picture.step]
        if group.phrases not in self._known:
            self._known[group.phrases] = self._towers.read(group.phrases)
        likeness = self._known[group.phrases] @ picture.latents[0]
        best = likeness.topk(min(_CANDIDATES, len(group.phrases))).indices.tolist()
        return [group.phrases[index] for index in best]

    def _said(self, picture: _Told, phrase: str) -> str:
        return sentence(self._groups, {**picture.chosen, picture.step: phrase})

    def _choice(
        self, picture: _Told, phrases: Sequence[str], likeness: Sequence[float]
    ) -> tuple[str, float] | None:
        """One of the best few that say more of the picture than is said; None where none does."""
        ranked = sorted(zip(likeness, phrases, strict=True), reverse=True)[:_CHOICES]
        least = picture.likeness + self._groups[picture.step].gain
        better = [(value, phrase) for value, phrase in ranked if value > least]
        # Drawn in any case, so that later draws do not hang on a comparison of two nearly equal numbers.
        draw = picture.numbers.random()
        if not better:
            return None
        weights = np.exp((np.array([value for value, _ in better]) - better[0][0]) / _TEMPERATURE)
        place = int(np.searchsorted(np.cumsum(weights) / weights.sum(), draw, side="right"))
        value, phrase = better[min(place, len(better) - 1)]
        return phrase, value
