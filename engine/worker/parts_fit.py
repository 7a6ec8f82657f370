"""Whether the parts of a model belong together: one reads what the other writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import ModelUnavailable


def check_fit(path: Path, parts: Mapping[str, Any]) -> None:
    """Compare the widths that the parts' configurations name; `parts` by diffusers' names.

    Raises:
        ModelUnavailable: two parts do not fit each other.
    """
    _refuse_misfits(path, _sides(parts))


def check_pipeline_fit(path: Path, parts: Mapping[str, Any]) -> None:
    """The same of a pipeline of diffusers that has no family, as far as its configurations are known to say it.

    Raises:
        ModelUnavailable: two parts do not fit each other.
    """
    _refuse_misfits(path, _pipeline_sides(parts))


_Side = tuple[str, int, str, int, str]
"""Who reads how many, who writes how many, and what."""

_NUMBERS, _CHANNELS = "numbers per vector", "latent channels"

_TEXT_OF: Mapping[str, tuple[tuple[str, str], ...]] = {
    "AuraFlowTransformer2DModel": (("joint_attention_dim", "text_encoder"),),
    "ChromaTransformer2DModel": (("joint_attention_dim", "text_encoder"),),
    "CogView3PlusTransformer2DModel": (("text_embed_dim", "text_encoder"),),
    "CogView4Transformer2DModel": (("text_embed_dim", "text_encoder"),),
    "HunyuanDiT2DModel": (
        ("cross_attention_dim", "text_encoder"),
        ("cross_attention_dim_t5", "text_encoder_2"),
    ),
    "Kandinsky3UNet": (("encoder_hid_dim", "text_encoder"),),
    "Lumina2Transformer2DModel": (("cap_feat_dim", "text_encoder"),),
    "LuminaNextDiT2DModel": (("cross_attention_dim", "text_encoder"),),
    "PixArtTransformer2DModel": (("caption_channels", "text_encoder"),),
    "QwenImageTransformer2DModel": (("joint_attention_dim", "text_encoder"),),
    "SD3Transformer2DModel": (("joint_attention_dim", "text_encoder_3"),),
    "SanaTransformer2DModel": (("caption_channels", "text_encoder"),),
}
"""Denoisers whose configuration says how wide the vectors of a text encoder are that they read, and of which one."""

_PACKED = ("ChromaTransformer2DModel", "QwenImageTransformer2DModel")
"""Those of them that read four latents at a time."""


def _refuse_misfits(path: Path, sides: Iterable[_Side]) -> None:
    for reader, reads, writer, writes, what in sides:
        if writes != reads:
            raise ModelUnavailable(
                "model_unreadable",
                f"The parts of {path} do not belong together: its {writer} has {writes} {what}, its {reader} is made for"
                f" {reads}. Download the model again, or put back the {writer} or {reader} that was exchanged.",
                path=str(path),
                got=writes,
                expected=reads,
            )


def _pipeline_sides(parts: Mapping[str, Any]) -> Iterator[_Side]:
    denoiser = next((part for part in ("transformer", "unet") if parts.get(part) is not None), None)
    if denoiser is None:
        return
    config, kind = parts[denoiser].config, type(parts[denoiser]).__name__
    readers = _TEXT_OF.get(kind, ())
    if config.get("encoder_hid_dim_type") == "text_proj":  # DeepFloyd IF and Kolors
        readers = (("encoder_hid_dim", "text_encoder"),)
    if not readers:
        return  # Others read several layers at once, or what something between makes of them.
    found: list[tuple[str, int | None, str, int | None, str]] = [
        (denoiser, config.get(reads), encoder, _width(parts[encoder].config), _NUMBERS)
        for reads, encoder in readers
        if parts.get(encoder) is not None
    ]
    clips = [clip for part in ("text_encoder", "text_encoder_2") if (clip := parts.get(part)) is not None]
    if kind == "SD3Transformer2DModel" and len(clips) == 2:
        pooled = sum(clip.config.projection_dim for clip in clips)
        found.append(
            (denoiser, config.get("pooled_projection_dim"), "pair of text encoders", pooled, _NUMBERS)
        )
    for autoencoder in ("vae", "movq"):
        if parts.get(autoencoder) is not None:
            own = parts[autoencoder].config
            channels = config.in_channels and config.in_channels // (4 if kind in _PACKED else 1)
            writes = own.get("latent_channels") or own.get("z_dim")
            found.append((denoiser, channels, autoencoder, writes, _CHANNELS))
    for reader, reads_so_many, writer, writes, what in found:
        # What a version or a relative of these does not say is for its pipeline to find out.
        if reads_so_many is not None and writes is not None:
            yield reader, reads_so_many, writer, writes, what


def _width(config: Any) -> int | None:
    """Of a text encoder's vectors, also where it is part of a model that sees."""
    width: int | None = getattr(getattr(config, "text_config", config), "hidden_size", None)
    return width


def _sides(parts: Mapping[str, Any]) -> Iterator[_Side]:
    if parts.get("decoder") is not None:
        yield from _cascade_sides(parts)
        return
    if parts.get("prior_prior") is not None:
        yield from _prior_sides(parts)
        return
    vae, first, second = (parts[part] for part in ("vae", "text_encoder", "text_encoder_2"))
    channels = vae.config.latent_channels
    width = getattr(first.config, "hidden_size", 0)
    if (transformer := parts["transformer"]) is not None:
        config = transformer.config
        packed = "joint_attention_dim" in config
        # FLUX.1 reads four latents at a time, one below the other.
        yield "transformer", config.in_channels // (4 if packed else 1), "vae", channels, _CHANNELS
        if packed:
            yield "transformer", config.pooled_projection_dim, "text_encoder", width, _NUMBERS
            yield (
                "transformer",
                config.joint_attention_dim,
                "text_encoder_2",
                second.config.d_model,
                _NUMBERS,
            )
        else:
            yield "transformer", config.cap_feat_dim, "text_encoder", width, _NUMBERS
        return
    config = parts["unet"].config
    # Made for inpainting, it reads a mask and what is kept beside the latents.
    inpaints = config.in_channels == 2 * config.out_channels + 1
    yield "unet", config.out_channels if inpaints else config.in_channels, "vae", channels, _CHANNELS
    yield "unet", config.out_channels, "vae", channels, _CHANNELS
    writer = "text_encoder"
    if second is not None:
        width, writer = width + second.config.hidden_size, "pair of text encoders"
    read = config.get("encoder_hid_dim") or config.cross_attention_dim
    for each in {read} if isinstance(read, int) else set(read):
        yield "unet", each, writer, width, _NUMBERS
    if parts.get("image_normalizer") is not None:
        # Beside the embedding it is told how much noise lies in it.
        embedding = parts["image_normalizer"].config.embedding_dim
        yield (
            "unet",
            config.projection_class_embeddings_input_dim,
            "image_normalizer",
            2 * embedding,
            _NUMBERS,
        )
    if second is not None:
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        yield "unet", pooled, "text_encoder_2", second.config.projection_dim, "numbers for the whole prompt"


def _cascade_sides(parts: Mapping[str, Any]) -> Iterator[_Side]:
    """Of unCLIP: everything meets in the space of CLIP's embeddings."""
    text, projection = parts["text_encoder"].config, parts["text_proj"].config
    width = projection.clip_embeddings_dim
    yield "text_proj", width, "text_encoder", text.projection_dim, "numbers per embedding"
    yield "text_proj", width, "text_encoder", text.hidden_size, _NUMBERS
    decoder = parts["decoder"].config
    yield "decoder", decoder.cross_attention_dim, "text_proj", projection.cross_attention_dim, _NUMBERS
    if (image_encoder := parts.get("image_encoder")) is not None:
        yield (
            "text_proj",
            width,
            "image_encoder",
            image_encoder.config.projection_dim,
            "numbers per embedding",
        )
    if (prior := parts.get("prior")) is not None:
        space = parts.get("embedding_space")
        drawn = prior.config.embedding_dim
        if space is None:
            yield "text_proj", width, "prior", drawn, "numbers per embedding"
        else:
            yield "embedding_space", space.width, "prior", drawn, "numbers per embedding"
            yield "text_proj", width, "embedding_space", space.mean.shape[1], "numbers per embedding"


def _prior_sides(parts: Mapping[str, Any]) -> Iterator[_Side]:
    """Of Kandinsky: the prior and the decoder meet in the space of CLIP's embeddings."""
    prior, unet, channels = (
        parts["prior_prior"].config,
        parts["unet"].config,
        parts["movq"].config.latent_channels,
    )
    for encoder in ("prior_text_encoder", "prior_image_encoder"):
        width = parts[encoder].config.projection_dim
        yield "prior_prior", prior.embedding_dim, encoder, width, "numbers per embedding"
    words = parts["prior_text_encoder"].config.hidden_size
    yield "prior_prior", prior.embedding_dim, "prior_text_encoder", words, _NUMBERS
    yield "unet", unet.encoder_hid_dim, "prior_prior", prior.embedding_dim, "numbers per embedding"
    # Made for inpainting, it reads a mask and what is kept beside the latents.
    inpaints = unet.in_channels == 2 * channels + 1
    yield "unet", channels if inpaints else unet.in_channels, "movq", channels, _CHANNELS
    yield "unet", unet.out_channels // 2, "movq", channels, _CHANNELS
