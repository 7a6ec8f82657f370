"""Prompts as CLIP's text encoder says them: one vector per token, in as many windows as the text takes.

A plain prompt that fits one window is encoded as diffusers' pipelines do, bit for bit. Beyond that:

- A longer prompt is cut into chunks of a window less two tokens; each gets a start and an end of its own, and the
  encoded chunks are joined (the way of AUTOMATIC1111's web UI and most others since). Prompt and negative prompt are
  filled up with empty chunks to the same length.
- A weighted token moves along the line from what the empty prompt says in its place: `empty + weight * (token - empty)`
  (the way of ComfyUI). Multiplying the vectors and restoring their mean, the web UI's way, divides by a mean that is
  close to zero for some encoders, and shifts every token that has no weight.
- The parts of a multi-prompt are encoded side by side, equal ones once, and averaged by weight.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.errors import GenerationFailed
from engine.worker.lora.bypass import Loras, applied
from engine.worker.prompts.cache import MAX_BYTES, PromptCache
from engine.worker.prompts.embeddings import Embedding, Embeddings, split, used_in
from engine.worker.prompts.syntax import Part, Span, parse_prompt
from engine.worker.prompts.unread import bare, fitting

MAX_CHUNKS = 54
"""Windows a prompt may fill, all of its parts together: 4,000 characters have room even if every character is a token."""
_CLIP_WINDOW = 77
"""Encoders of CLIP's own size are used with many windows everywhere; a smaller one was trained with its denoiser on
texts that fit, and has never met a second."""
_MAX_SHARE = 10.0
"""How many times as much as the whole a part of a multi-prompt may weigh, where others weigh less than nothing. Far
beyond, what is left of their difference is noise."""


@dataclass(frozen=True)
class Reading:
    """How the text encoder is to read a prompt."""

    clip_skip: int | None = None
    """How many of its last layers are left out, 1 or more; None: none, the model's own way."""
    loras: Loras = ()
    embeddings: Embeddings = ()

    def key(self, component: str, prompt: str) -> Hashable:
        """Equal where the text encoder called `component` would say the same of the same prompt."""
        added = tuple((lora.key, weight) for lora, weight in self.loras if component in lora.layers)
        words = tuple((word, embedding.key) for word, embedding in used_in(prompt, self.embeddings))
        return (prompt, self.clip_skip, added, words)


_PLAIN = Reading()

_Token = int | torch.Tensor
"""An id in the encoder's table, or a vector (width,) in place of one."""


@dataclass(frozen=True, eq=False)
class _Encoded:
    """What is said of a prompt."""

    vectors: torch.Tensor
    """(1, chunks * window, width)"""
    pooled: torch.Tensor | None
    """(1, width): the first chunk in one vector, where the encoder has a projection to make it with."""


class PromptEncoder:
    """One text encoder with its tokenizer."""

    def __init__(
        self,
        tokenizer: Any,
        text_encoder: Any,
        device: torch.device,
        *,
        component: str = "text_encoder",
        penultimate: bool = False,
        exact: bool = False,
        cache_bytes: int = MAX_BYTES,
    ) -> None:
        """`component`: what diffusers' pipelines, and LoRAs, call the text encoder. `penultimate`: the denoiser reads
        the last layer but one as it is, like SDXL's; layers are then skipped from there. `exact`: the parts of a
        multi-prompt are encoded one by one, each as it would be alone.
        """
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._device = device
        self._component = component
        self._penultimate = penultimate
        self._exact = exact
        self._window = min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings)
        self._max_chunks = MAX_CHUNKS if self._window >= _CLIP_WINDOW else 1
        self._encoded = PromptCache(device, cache_bytes)

    def encode_pair(
        self, prompt: str, negative_prompt: str | None, reading: Reading
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both as (1, tokens, width), filled up to the same number of tokens; a negative prompt of None stays None.

        As in diffusers, skipping layers leaves the negative prompt alone, and LoRAs do not.

        Raises:
            GenerationFailed: weights that add up to nothing, or more layers to skip than there are.
        """
        cond = self.encode(prompt, reading)
        if negative_prompt is None:
            return cond, None
        every_layer = replace(reading, clip_skip=None)
        uncond = self.encode(negative_prompt, every_layer)
        tokens = max(cond.shape[1], uncond.shape[1])
        return self._filled(cond, tokens, reading), self._filled(uncond, tokens, every_layer)

    def encode(self, prompt: str, reading: Reading = _PLAIN) -> torch.Tensor:
        """(1, chunks * window, width). What has been encoded lately is remembered: rerolls and variations ask again."""
        return self._encode(prompt, reading).vectors

    def pooled(self, prompt: str, reading: Reading = _PLAIN) -> torch.Tensor:
        """(1, width): the prompt in one vector, made of its first chunk whatever the weights; averaged over parts.

        Only for encoders with a projection.
        """
        pooled = self._encode(prompt, reading).pooled
        assert pooled is not None, "asked only of encoders with a projection"
        return pooled

    def _encode(self, prompt: str, reading: Reading) -> _Encoded:
        key = reading.key(self._component, prompt)
        known = self._encoded.get(key)
        if known is not None:
            vectors, *rest = known
            return _Encoded(vectors, rest[0] if rest else None)
        shares = _shares(parse_prompt(prompt))
        chunks = self._chunks(list(shares), reading.embeddings)
        # Batched, they are the same numbers but for the last bits.
        passes = [[each] for each in chunks] if self._exact else [chunks]
        each = [part for together in passes for part in self._encode_parts(together, reading)]
        encoded = each[0]
        if len(each) > 1:
            tokens = max(part.vectors.shape[1] for part in each)
            filled = [self._filled(part.vectors, tokens, reading) for part in each]
            pooled = [part.pooled for part in each if part.pooled is not None]
            weights = list(shares.values())
            encoded = _Encoded(_averaged(filled, weights), _averaged(pooled, weights) if pooled else None)
        self._encoded.put(key, encoded.vectors, *([] if encoded.pooled is None else [encoded.pooled]))
        return encoded

    def unread_words(self, prompt: str, embeddings: Embeddings = ()) -> tuple[str, ...]:
        """The words past the last window, wholly or in part."""
        unread: list[str] = []
        texts = list(dict.fromkeys(part.spans for part in parse_prompt(prompt)))
        windows = self._max_chunks
        for spans, chunks in zip(texts, self._chunks(texts, embeddings), strict=True):
            left = max(1, windows) * (self._window - 2)
            windows -= len(chunks)
            for span in spans:
                words = span.text.split()
                read = fitting(words, left, lambda text: self._count(text, embeddings))
                unread += words[read:]
                left = left - self._count(" ".join(words), embeddings) if read == len(words) else 0
        return bare(unread)

    def _count(self, text: str, embeddings: Embeddings) -> int:
        return sum(len(piece) for piece in self._tokens(text, embeddings))

    def _tokens(self, text: str, embeddings: Embeddings) -> list[list[_Token]]:
        """In pieces that belong together: single tokens, and all of an embedding."""
        pieces: list[list[_Token]] = []
        for piece in split(text, embeddings):
            if isinstance(piece, Embedding):
                pieces.append(list(piece.vectors[self._component]))
            else:
                ids = self._tokenizer(piece, add_special_tokens=False, verbose=False).input_ids
                pieces += [[token] for token in ids]
        return pieces

    def _chunks(
        self, texts: Sequence[tuple[Span, ...]], embeddings: Embeddings
    ) -> list[list[list[tuple[_Token, float]]]]:
        """Of each text its tokens with their weights, in chunks that fit a window; an embedding is not torn apart where it
        can be helped. Together they fill no more windows than one long prompt may, save that each has its first.
        """
        room, windows = self._window - 2, self._max_chunks
        found = []
        for spans in texts:
            chunks: list[list[tuple[_Token, float]]] = [[]]
            for span in spans:
                for piece in self._tokens(span.text, embeddings):
                    if len(chunks[-1]) + len(piece) > room >= len(piece):
                        chunks.append([])
                    for token in piece:
                        if len(chunks[-1]) == room:
                            chunks.append([])
                        chunks[-1].append((token, span.weight))
            found.append(chunks[: max(1, windows)])
            windows -= len(found[-1])
        return found

    def _encode_parts(
        self, parts: Sequence[list[list[tuple[_Token, float]]]], reading: Reading
    ) -> list[_Encoded]:
        """Each made of its chunks, all in one pass."""
        room = self._window - 2
        # Its id stands in for a vector: the encoder looks for the end of the text by the ids.
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        rows, masks, factors = [], [], []
        vectors_at: list[tuple[int, int, torch.Tensor]] = []
        for row, chunk in enumerate(chunk for chunks in parts for chunk in chunks):
            padding = room - len(chunk)
            vectors_at += [
                (row, place, token)
                for place, (token, _) in enumerate(chunk, 1)
                if isinstance(token, torch.Tensor)
            ]
            ids = [start if isinstance(token, torch.Tensor) else token for token, _ in chunk]
            rows.append([start, *ids, end] + [self._tokenizer.pad_token_id] * padding)
            masks.append([1] * (len(chunk) + 2) + [0] * padding)
            factors.append([1.0, *(weight for _, weight in chunk)] + [1.0] * (padding + 1))
        with _replaced(self._text_encoder, vectors_at):
            vectors, pooled = self._run(torch.tensor(rows), torch.tensor(masks), reading)
        if any(factor != 1.0 for weights in factors for factor in weights):
            empty = self.encode("", reading)
            factor = torch.tensor(factors, dtype=vectors.dtype, device=vectors.device)[..., None]
            vectors = torch.where(factor == 1, vectors, empty + factor * (vectors - empty))
        encoded, first = [], 0
        for chunks in parts:
            own = vectors[first : first + len(chunks)].reshape(1, len(chunks) * self._window, -1)
            encoded.append(_Encoded(own, None if pooled is None else pooled[first : first + 1]))
            first += len(chunks)
        return encoded

    def _run(
        self, tokens: torch.Tensor, mask: torch.Tensor, reading: Reading
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(chunks, window, width) and, of encoders with a projection, (chunks, width)"""
        masked = getattr(self._text_encoder.config, "use_attention_mask", False)
        attention_mask = mask.to(self._device) if masked else None
        clip_skip = reading.clip_skip
        with applied(self._text_encoder, self._component, [reading.loras] * len(tokens)):
            answer = self._text_encoder(
                tokens.to(self._device),
                attention_mask=attention_mask,
                output_hidden_states=self._penultimate or clip_skip is not None,
            )
        pooled: torch.Tensor | None = answer[0] if answer[0].ndim == 2 else None
        if clip_skip is None and not self._penultimate:
            last: torch.Tensor = answer[0]
            return last, pooled
        skipped = (clip_skip or 0) + self._penultimate
        if skipped >= len(answer.hidden_states):
            most = len(answer.hidden_states) - 1 - self._penultimate
            raise GenerationFailed(
                "clip_skip_out_of_range",
                f"{clip_skip} layers of this model's text encoder cannot be left out; at most {most} can.",
                got=clip_skip,
                maximum=most,
            )
        hidden: torch.Tensor = answer.hidden_states[-(skipped + 1)]
        if self._penultimate:
            return hidden, pooled
        text_model = getattr(self._text_encoder, "text_model", self._text_encoder)
        return text_model.final_layer_norm(hidden), pooled

    def _filled(self, encoded: torch.Tensor, tokens: int, reading: Reading) -> torch.Tensor:
        """Filled up with empty chunks to `tokens`."""
        missing = (tokens - encoded.shape[1]) // self._window
        if not missing:
            return encoded
        return torch.cat([encoded, *[self.encode("", reading)] * missing], dim=1)


@contextmanager
def _replaced(text_encoder: Any, vectors: Sequence[tuple[int, int, torch.Tensor]]) -> Iterator[None]:
    """Within, the encoder reads these vectors, each (width,), at their rows and places."""
    if not vectors:
        yield
        return

    def hook(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        rows = torch.tensor([row for row, _, _ in vectors], device=output.device)
        places = torch.tensor([place for _, place, _ in vectors], device=output.device)
        output = output.clone()
        output[rows, places] = torch.stack([vector for _, _, vector in vectors]).to(output.dtype)
        return output

    handle = text_encoder.get_input_embeddings().register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _averaged(tensors: list[torch.Tensor], shares: list[float]) -> torch.Tensor:
    return torch.stack([share * tensor for share, tensor in zip(shares, tensors, strict=True)]).sum(dim=0)


def _shares(parts: Sequence[Part]) -> dict[tuple[Span, ...], float]:
    """What each text weighs in the whole, equal ones together.

    Raises:
        GenerationFailed: the weights add up to nothing, or to so little that parts would weigh many times the whole.
    """
    total = sum(part.weight for part in parts)
    if total <= 0:
        raise GenerationFailed(
            "prompt_weights_not_positive",
            f"The weights after :: add up to {total:g}; their sum has to be above 0. Raise a weight, or move what"
            " you do not want to --no.",
            got=total,
        )
    shares: dict[tuple[Span, ...], float] = {}
    for part in parts:
        spans = part.spans
        if len(parts) > 1 and len(spans) == 1:  # The space after the :: before it says nothing.
            spans = (Span(spans[0].text.strip(), spans[0].weight),)
        shares[spans] = shares.get(spans, 0.0) + part.weight / total
    largest = max(map(abs, shares.values()))
    if largest > _MAX_SHARE * (1 + 1e-6):
        raise GenerationFailed(
            "prompt_weights_cancel_out",
            f"The weights after :: add up to {total:g}, of which one part would be {largest:.4g} times as much; at most"
            f" {_MAX_SHARE:g} times can be drawn. Bring the weights below 0 closer to it.",
            got=largest,
            maximum=_MAX_SHARE,
        )
    return shares
