"""What layers are called elsewhere, and what a file's names and sizes say of the model that it was made for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_WHOLE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_BLOCK = re.compile(r"(?P<way>down|up)_blocks\.(?P<block>\d+)\.(?P<kind>\w+?)\.(?P<layer>\d+)\.(?P<rest>.+)")
_MIDDLE = re.compile(r"mid_block\.(?P<kind>resnets|attentions)\.(?P<layer>\d+)\.(?P<rest>.+)")


def original_name(config: Any, name: str) -> str | None:
    """What a layer of diffusers' UNet is called in the first code of Stable Diffusion; None where it is unknown there.

    `config`: the UNet's. There every block numbers its layers through, scaling included.
    """
    if name in _WHOLE:
        return _WHOLE[name]
    if middle := _MIDDLE.fullmatch(name):
        place = 2 * int(middle["layer"]) + (middle["kind"] == "attentions")
        return f"middle_block.{place}.{_inside(middle['kind'], middle['rest'])}"
    found = _BLOCK.fullmatch(name)
    layers = config.layers_per_block
    if found is None or not isinstance(layers, int):
        return None
    block, layer, kind = int(found["block"]), int(found["layer"]), found["kind"]
    if found["way"] == "down":
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op"
        number = 1 + block * (layers + 1) + layer
        return f"input_blocks.{number}.{int(kind == 'attentions')}.{_inside(kind, found['rest'])}"
    if kind == "upsamplers":
        attends = "Attn" in config.up_block_types[block]
        return f"output_blocks.{block * (layers + 1) + layers}.{1 + attends}.conv"
    return f"output_blocks.{block * (layers + 1) + layer}.{int(kind == 'attentions')}.{_inside(kind, found['rest'])}"


def _inside(kind: str, rest: str) -> str:
    return _RESNET.get(rest, rest) if kind == "resnets" else rest


_TRANSFORMERS = {
    "double_blocks": "FLUX.1",
    "single_transformer_blocks": "FLUX.1",
    "single_blocks": "FLUX.1",
    "joint_blocks": "Stable Diffusion 3",
    "context_refiner": "Z-Image",
    "adaLN_modulation": "Z-Image",
}
_TEXT_WIDTHS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
_TEXT_LAYER = re.compile(r"attn2[._]to_[kv]$")


def made_for(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The models that a LoRA fits, by the names of its layers and the shapes of its `down`s; None where they say nothing."""
    for mark, base in _TRANSFORMERS.items():
        if any(mark in name for name in shapes):
            return base
    for name, shape in shapes.items():
        if _TEXT_LAYER.search(name) and len(shape) > 1 and shape[1] in _TEXT_WIDTHS:
            return _TEXT_WIDTHS[shape[1]]
    if any(name.startswith(("lora_te2_", "text_encoder_2.")) for name in shapes):
        return "Stable Diffusion XL"
    return None
