"""The text encoder: CLIP's text tower, and captions as it reads them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engine.training.profile import Profile


def text_config(profile: Profile, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """Of CLIP's text tower, which reads the tokenizer's words."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=profile.clip_width,
        intermediate_size=4 * profile.clip_width,
        projection_dim=profile.clip_width,
        num_hidden_layers=profile.clip_text_layers,
        num_attention_heads=profile.clip_width // 32,
        max_position_embeddings=profile.text_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_text_encoder(profile: Profile, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(text_config(profile, tokenizer))


def token_ids(tokenizer: CLIPTokenizer, texts: Sequence[str], length: int) -> Tensor:
    """(n, length) ids, padded and cut as the Stable Diffusion pipeline does it."""
    ids: Tensor = tokenizer(
        list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids
