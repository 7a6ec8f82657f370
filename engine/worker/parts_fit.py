"""Whether the parts of a model belong together: one reads what the other writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import ModelUnavailable


def check_fit(path: Path, parts: Mapping[str, Any]) -> None:
    """Compare the widths that the parts' configurations name; `parts` by diffusers' names.

    Raises:
        ModelUnavailable: two parts do not fit each other.
    """
    for reader, reads, writer, writes, what in _sides(parts):
        if writes != reads:
            raise ModelUnavailable(
                "model_unreadable",
                f"The parts of {path} do not belong together: its {writer} has {writes} {what}, its {reader} is made for"
                f" {reads}. Download the model again, or put back the {writer} or {reader} that was exchanged.",
                path=str(path),
                got=writes,
                expected=reads,
            )


def _sides(parts: Mapping[str, Any]) -> Iterator[tuple[str, int, str, int, str]]:
    """Who reads how many of a thing, and who writes how many."""
    vae, first, second = (parts[part] for part in ("vae", "text_encoder", "text_encoder_2"))
    channels = vae.config.latent_channels
    width = getattr(first.config, "hidden_size", 0)
    if (transformer := parts["transformer"]) is not None:
        config = transformer.config
        packed = "joint_attention_dim" in config
        # FLUX.1 reads four latents at a time, one below the other.
        yield "transformer", config.in_channels // (4 if packed else 1), "vae", channels, "latent channels"
        if packed:
            yield "transformer", config.pooled_projection_dim, "text_encoder", width, "numbers per vector"
            yield (
                "transformer",
                config.joint_attention_dim,
                "text_encoder_2",
                second.config.d_model,
                "numbers per vector",
            )
        else:
            yield "transformer", config.cap_feat_dim, "text_encoder", width, "numbers per vector"
        return
    config = parts["unet"].config
    # Made for inpainting, it reads a mask and what is kept beside the latents.
    inpaints = config.in_channels == 2 * config.out_channels + 1
    yield "unet", config.out_channels if inpaints else config.in_channels, "vae", channels, "latent channels"
    yield "unet", config.out_channels, "vae", channels, "latent channels"
    writer = "text_encoder"
    if second is not None:
        width, writer = width + second.config.hidden_size, "pair of text encoders"
    read = config.get("encoder_hid_dim") or config.cross_attention_dim
    for each in {read} if isinstance(read, int) else set(read):
        yield "unet", each, writer, width, "numbers per vector"
    if second is not None:
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        yield "unet", pooled, "text_encoder_2", second.config.projection_dim, "numbers for the whole prompt"
