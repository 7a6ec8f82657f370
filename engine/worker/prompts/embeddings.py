"""Textual inversion (Gal et al. 2022): words that a file brings along, as vectors in place of the encoder's own.

A request's words are known to that request alone: neither the tokenizer nor the encoder's table is touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.errors import GenerationFailed
from engine.request import same_case
from engine.worker.file_cache import FileCache, FileKey, file_key, read_tensors, refuse_no_numbers

_NAMES = {
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "text_encoders_0": "text_encoder",
    "text_encoders_1": "text_encoder_2",
    "emb_params": "text_encoder",
}
"""What files call the vectors → the text encoder that they are for; any other single name is the word itself."""
_BASES = {
    (768,): "Stable Diffusion 1.x",
    (1024,): "Stable Diffusion 2.x",
    (768, 1280): "Stable Diffusion XL",
}
"""The widths of its vectors → the models that an embedding fits."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """One file, on the device."""

    key: FileKey
    vectors: Mapping[str, torch.Tensor]
    """Text encoder → (tokens, width); as many tokens for each."""

    @property
    def nbytes(self) -> int:
        return sum(vectors.nbytes for vectors in self.vectors.values())


Embeddings = tuple[tuple[str, Embedding], ...]
"""The words of one request, and what each stands for."""


class EmbeddingStore:
    """The embeddings of one loaded model, read once as long as somebody holds them."""

    def __init__(self, widths: Mapping[str, int], device: torch.device, dtype: torch.dtype) -> None:
        """`widths`: of the vectors that each text encoder reads, by its name in diffusers' pipelines."""
        self._files: FileCache[Embedding] = FileCache(
            lambda path: read_embedding(path, widths, device, dtype)
        )

    def load(self, embeddings: Sequence[tuple[str, Path]]) -> Embeddings:
        """Raises GenerationFailed for a file that is missing, unreadable or made for something else."""
        return tuple((word, self._files.get(path, "embedding")) for word, path in embeddings)


def read_embedding(
    path: Path, widths: Mapping[str, int], device: torch.device, dtype: torch.dtype
) -> Embedding:
    """Read a file and check it against the text encoders.

    Raises:
        GenerationFailed: the file is missing, cut short, made for another architecture, or no embedding.
    """
    key = file_key(path, "embedding")
    tensors, _ = read_tensors(path, "embedding")
    if len(tensors) == 1 and not tensors.keys() & _NAMES.keys():
        # diffusers' own files hold one tensor, called by the word that it was trained as.
        tensors = {"emb_params": next(iter(tensors.values()))}
    found = {_NAMES[name]: tensor for name, tensor in tensors.items() if name in _NAMES}
    vectors = {name: tensor[None] if tensor.ndim == 1 else tensor for name, tensor in found.items()}
    lengths = {len(tensor) if tensor.ndim == 2 else 0 for tensor in vectors.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise GenerationFailed(
            "embedding_unknown",
            f"{path.name} is no embedding: it holds {', '.join(sorted(tensors)[:3]) or 'nothing'}. Known are files"
            " with emb_params, with clip_l and clip_g, or with a single tensor of one vector per token.",
            embedding=path.name,
        )
    got = {name: tensor.shape[1] for name, tensor in vectors.items()}
    if got != dict(widths):
        base = _BASES.get(tuple(got[name] for name in sorted(got)), "another kind of model")
        raise GenerationFailed(
            "embedding_mismatch",
            f"The embedding {path.name} was made for {base}: its vectors are {_listed(got)} numbers wide, this model"
            f" reads {_listed(widths)}. Choose one made for this model's base.",
            embedding=path.name,
            base=base,
            got=_listed(got),
            allowed=_listed(widths),
        )
    refuse_no_numbers(path, "embedding", vectors)
    return Embedding(key, {name: tensor.to(device, dtype) for name, tensor in vectors.items()})


def used_in(text: str, embeddings: Embeddings) -> Embeddings:
    """Those whose word the text has."""
    folded = same_case(text)
    return tuple(each for each in embeddings if _pattern((same_case(each[0]),)).search(folded))


def split(text: str, embeddings: Embeddings) -> list[str | Embedding]:
    """The text in pieces: what stands between the words of embeddings, and those."""
    if not embeddings:
        return [text]
    by_word = {same_case(word): embedding for word, embedding in embeddings}
    pieces: list[str | Embedding] = []
    end = 0
    for found in _pattern(tuple(by_word)).finditer(same_case(text)):
        pieces += [text[end : found.start()], by_word[found[0]]]
        end = found.end()
    return [piece for piece in [*pieces, text[end:]] if piece != ""]


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Any of the words, whole; of two that begin alike the longer. Words and texts are of the `same_case`."""
    longest_first = sorted(words, key=len, reverse=True)
    each = (
        ("(?<!\\w)" if word[0].isalnum() else "")
        + re.escape(word)
        + ("(?!\\w)" if word[-1].isalnum() else "")
        for word in longest_first
    )
    return re.compile("|".join(each))


def _listed(widths: Mapping[str, int]) -> str:
    return " and ".join(str(widths[name]) for name in sorted(widths))
