"""Random LoRA files for the tiny model, in each naming, and the model with one folded into its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.worker.lora.names import original_name
from tests.engine.bench import fresh_pipeline

UNET = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "conv1",
    "conv_shortcut",
    "time_emb_proj",
    "ff.net.0.proj",
)
TEXT_ENCODER = ("q_proj", "fc1", "out_proj")
_SHORT = {"unet": "unet", "text_encoder": "te1_text_model", "text_encoder_2": "te2_text_model"}


def write_lora(
    path: Path,
    model: Path,
    *,
    naming: str = "peft",
    text: bool = True,
    rank: int = 3,
    alpha: float = 2.0,
    seed: int = 0,
) -> Path:
    """`naming`: peft (diffusers' own today), diffusers (its old one), kohya, ldm (kohya's for SDXL)."""
    generator = torch.Generator().manual_seed(seed)
    pipeline = fresh_pipeline(model)
    tensors: dict[str, torch.Tensor] = {}
    xl = hasattr(pipeline, "text_encoder_2")
    encoders = ("text_encoder", "text_encoder_2") if xl else ("text_encoder",)
    targets = {"unet": UNET, **(dict.fromkeys(encoders, TEXT_ENCODER) if text else {})}
    for component, endings in targets.items():
        for name, module in getattr(pipeline, component).named_modules():
            if not any(name == ending or name.endswith(f".{ending}") for ending in endings):
                continue
            shape = module.weight.shape
            down = torch.randn((rank, *shape[1:]), generator=generator) * 0.3
            up = torch.randn((shape[0], rank, *[1] * (len(shape) - 2)), generator=generator) * 0.3
            match naming:
                case "peft":
                    halves = (f"{component}.{name}.lora_A.weight", f"{component}.{name}.lora_B.weight")
                case "diffusers":
                    middle = "lora" if component == "unet" else "lora_linear_layer"
                    halves = (
                        f"{component}.{name}.{middle}.down.weight",
                        f"{component}.{name}.{middle}.up.weight",
                    )
                case _:
                    short = _SHORT[component] if xl else _SHORT[component].replace("te1", "te")
                    named = name.removeprefix("text_model.")
                    if naming == "ldm" and component == "unet":
                        named = original_name(pipeline.unet.config, name) or named
                    flat = f"lora_{short}_{named.replace('.', '_')}"
                    halves = (f"{flat}.lora_down.weight", f"{flat}.lora_up.weight")
                    tensors[f"{flat}.alpha"] = torch.tensor(alpha)
            tensors[halves[0]], tensors[halves[1]] = down, up
    metadata = None
    if naming == "peft":
        said = {
            f"{component}.{key}": value
            for component in targets
            for key, value in _config(rank, alpha).items()
        }
        said |= {f"{component}.target_modules": list(endings) for component, endings in targets.items()}
        metadata = {"lora_adapter_metadata": json.dumps(said)}
    save_file(tensors, path, metadata=metadata)
    return path


def _config(rank: int, alpha: float) -> dict[str, Any]:
    return {"r": rank, "lora_alpha": alpha, "use_dora": False}


def fold(pipeline: Any, path: Path, weight: float, *, alpha: float | None = 2.0) -> None:
    """Add a file in PEFT's naming to a pipeline's weights: what it means, without asking how it is applied."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    for key in [key for key in tensors if key.endswith("lora_A.weight")]:
        component, _, name = key.removesuffix(".lora_A.weight").partition(".")
        module = getattr(pipeline, component).get_submodule(name)
        down, up = tensors[key].double(), tensors[key.replace("lora_A", "lora_B")].double()
        added = (up.flatten(1) @ down.flatten(1)).reshape(module.weight.shape)
        module.weight.data += weight * (alpha or down.shape[0]) / down.shape[0] * added
