"""What a single .safetensors file holds, by the names of its tensors: which family, and which parts of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.config import EngineConfig
from engine.errors import ModelUnavailable

WHOLE = "model.diffusion_model."
"""What the denoiser's tensors begin with in files that hold more than it."""

_HOLDS: Mapping[str, Mapping[str, str]] = {
    "stable-diffusion": {"text_encoder": "cond_stage_model.", "vae": "first_stage_model."},
    "stable-diffusion-xl": {
        "text_encoder": "conditioner.embedders.0.",
        "text_encoder_2": "conditioner.embedders.1.",
        "vae": "first_stage_model.",
    },
    # Files of these hold the transformer; where one holds more, that is what every model of the family has in common.
    "flux": {"text_encoder": "", "text_encoder_2": "", "vae": ""},
    "z-image": {"text_encoder": "", "vae": ""},
}
"""Family → part of a model → what its tensors begin with in a single file."""

_TRANSFORMERS = {
    "double_blocks.0.img_attn.norm.key_norm.scale": "flux",
    "single_transformer_blocks.0.proj_mlp.weight": "flux",
    "all_x_embedder.2-1.weight": "z-image",
}
"""Tensors that only one family's transformers have, as the original code or diffusers calls them."""


def single_file_family(header: Iterable[str]) -> str:
    """The family of a checkpoint; the first one if nothing speaks for another."""
    names = set(header)
    bare = {name.removeprefix(WHOLE) for name in names}
    for name, family in _TRANSFORMERS.items():
        if name in bare:
            return family
    if {
        "layers.0.adaLN_modulation.0.weight",
        "cap_embedder.1.weight",
        "noise_refiner.0.adaLN_modulation.0.weight",
    } <= bare:
        return "z-image"
    second_encoder = any(name.startswith("conditioner.embedders.1.") for name in names)
    micro_conditioned = f"{WHOLE}label_emb.0.0.weight" in names
    return "stable-diffusion-xl" if second_encoder or micro_conditioned else "stable-diffusion"


def missing_parts(name: str, header: Iterable[str], config: EngineConfig) -> tuple[str, ...]:
    """The parts that a file does not hold, which the folder of FOURFOLD_MODEL_CONFIG has to have with their weights.

    Raises:
        ModelUnavailable: it has not.
    """
    names = list(header)
    holds = _HOLDS[single_file_family(names)]
    missing = tuple(
        part
        for part, prefix in holds.items()
        if not prefix or not any(tensor.startswith(prefix) for tensor in names)
    )
    folder = config.model_config_dir
    lacking = [part for part in missing if folder is None or not any((folder / part).glob("*.safetensors"))]
    if lacking:
        where = (
            "FOURFOLD_MODEL_CONFIG is not set" if folder is None else f"{folder} has no weights of it either"
        )
        raise ModelUnavailable(
            "model_incomplete",
            f"{name} holds no {' and no '.join(lacking)}, and {where}. Set FOURFOLD_MODEL_CONFIG to a diffusers folder of"
            " the same base model, with its weights.",
            model=name,
            missing=", ".join(lacking),
        )
    return missing
