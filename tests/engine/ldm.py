"""A diffusers folder as one file with the tensor names of the original Stable Diffusion code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

UNET_NAMES = [
    (r"time_embedding\.linear_1", "time_embed.0"),
    (r"time_embedding\.linear_2", "time_embed.2"),
    (r"conv_in", "input_blocks.0.0"),
    (r"conv_norm_out", "out.0"),
    (r"conv_out", "out.2"),
    (r"mid_block\.resnets\.0", "middle_block.0"),
    (r"mid_block\.attentions\.0", "middle_block.1"),
    (r"mid_block\.resnets\.1", "middle_block.2"),
]
RESNET_NAMES = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
]
VAE_NAMES = [
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"attn_1\.group_norm", "attn_1.norm"),
    (r"attn_1\.to_q", "attn_1.q"),
    (r"attn_1\.to_k", "attn_1.k"),
    (r"attn_1\.to_v", "attn_1.v"),
    (r"attn_1\.to_out\.0", "attn_1.proj_out"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
]
OPEN_CLIP_NAMES = [
    ("encoder.layers.", "transformer.resblocks."),
    ("self_attn.out_proj", "attn.out_proj"),
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("embeddings.token_embedding.weight", "token_embedding.weight"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm", "ln_final"),
]


def write_single_file(folder: Path, file: Path, *, layers_per_block: int = 1, vae_blocks: int = 2) -> Path:
    """Rename the weights of a folder as checkpoints on the web have them; returns `file`."""
    tensors = {}
    for name, tensor in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        tensors["model.diffusion_model." + unet_name(name, layers_per_block)] = tensor
    for name, tensor in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        renamed = vae_name(name, vae_blocks)
        # Attention was a 1 × 1 convolution there.
        is_projection = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", renamed)
        tensors["first_stage_model." + renamed] = (
            tensor[:, :, None, None].contiguous() if is_projection else tensor
        )
    for name, tensor in load_file(folder / "text_encoder" / "model.safetensors").items():
        tensors["cond_stage_model.transformer.text_model." + name.removeprefix("text_model.")] = tensor
    save_file(tensors, file, metadata={"format": "pt"})
    return file


def unet_name(name: str, layers: int) -> str:
    for pattern, replacement in UNET_NAMES:
        name = re.sub(f"^{pattern}", replacement, name)
    if match := re.match(
        r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name
    ):
        side, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            slot = 2 if block == 0 else 1  # Behind the attention, where the block has one.
            return f"output_blocks.{block * (layers + 1) + layers}.{slot}.{rest}"
        number = block * (layers + 1) + layer + (1 if side == "down" else 0)
        name = f"{'input' if side == 'down' else 'output'}_blocks.{number}.{int(kind == 'attentions')}.{rest}"
        if kind == "attentions":
            return name
    elif not name.startswith(("middle_block.0", "middle_block.2")):
        return name
    for ours, theirs in RESNET_NAMES:
        name = re.sub(rf"\.{ours}\.", f".{theirs}.", name)
    return name


def vae_name(name: str, blocks: int) -> str:
    name = re.sub(r"encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", name)
    name = re.sub(r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample.", name)
    if match := re.match(r"decoder\.up_blocks\.(\d+)\.(.*)", name):
        rest = match[2].replace("resnets.", "block.").replace("upsamplers.0.", "upsample.")
        name = f"decoder.up.{blocks - 1 - int(match[1])}.{rest}"
    for pattern, replacement in VAE_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def write_single_xl_file(folder: Path, file: Path) -> Path:
    """The same for SDXL, whose second text encoder has OpenCLIP's names, with query, key and value in one tensor."""
    tensors = {}
    for name, tensor in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        renamed = re.sub(r"^add_embedding\.linear_(\d)", lambda m: f"label_emb.0.{2 * int(m[1]) - 2}", name)
        renamed = renamed if renamed != name else unet_name(name, 1)
        tensors["model.diffusion_model." + renamed] = tensor
    for name, tensor in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        renamed = vae_name(name, 2)
        is_projection = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", renamed)
        tensors["first_stage_model." + renamed] = (
            tensor[:, :, None, None].contiguous() if is_projection else tensor
        )
    for name, tensor in load_file(folder / "text_encoder" / "model.safetensors").items():
        name = name.removeprefix("text_model.")
        tensors["conditioner.embedders.0.transformer.text_model." + name] = tensor
    second = load_file(folder / "text_encoder_2" / "model.safetensors")
    for name, tensor in open_clip(second).items():
        tensors["conditioner.embedders.1.model." + name] = tensor.contiguous()
    save_file(tensors, file, metadata={"format": "pt"})
    return file


def open_clip(tensors: dict[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("text_model.")
        if match := re.match(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", name):
            parts = [
                tensors[f"text_model.{name.replace('q_proj', part)}"]
                for part in ("q_proj", "k_proj", "v_proj")
            ]
            named[f"transformer.resblocks.{match[1]}.attn.in_proj_{match[2]}"] = torch.cat(parts)
        elif "k_proj" in name or "v_proj" in name:
            continue
        elif name == "text_projection.weight":
            named["text_projection"] = tensor.T
        else:
            for ours, theirs in OPEN_CLIP_NAMES:
                name = name.replace(ours, theirs)
            named[name] = tensor
    return named
