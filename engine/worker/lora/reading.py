"""LoRA files: which layers of a model they add to, and what."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from engine.errors import GenerationFailed
from engine.worker.file_cache import FileKey, damaged, file_key, read_tensors, refuse_no_numbers, unreadable
from engine.worker.lora.layers import EXTRA, LoraLayer, MisfitError, halves_of, magnitude_of
from engine.worker.lora.names import made_for, original_name
from engine.worker.lora.products import KINDS, ProductLayer, product_of


@dataclass(frozen=True, eq=False)
class Lora:
    """One file, on the device."""

    key: FileKey
    layers: Mapping[str, Mapping[str, LoraLayer | ProductLayer]]
    """Component → module name → what is added there."""
    nbytes: int


Modules = Mapping[str, tuple[str, Any]]
"""Linear and Conv2d modules with their names, by what files call them; see `adaptable`."""
Translate = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]

_HALF = re.compile(
    r"(?P<module>.+?)[._]lora(?:_linear_layer)?[._](?P<half>down|up|A|B)(?:\.[A-Za-z]\w*)?\.weight"
)
_PART = re.compile(
    r"(?P<module>.+)\.(?:(?P<part>hada_w[12]_[ab]|lokr_w[12](?:_[ab])?|dora_scale)|lora_magnitude_vector(?:\.\w+)*)"
)
_ALPHA = re.compile(r"(?P<module>.+)\.alpha")
_KOHYA = re.compile(r"lora_(?P<component>unet|te|te1|te2)_(?P<module>.+)")
_KOHYA_COMPONENTS = {"unet": "unet", "te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2"}
_OTHER_KINDS = {
    "hada_t": "a LoHa with a core between its factors",
    "lokr_t": "a LoKr with a core between its factors",
    "lora_mid": "a LoRA with a layer between down and up",
    "oft_": "an OFT",
}
_OTHER_KINDS_OF_TRANSFORMERS = {
    **_OTHER_KINDS,
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "hada_": "a LoHa",
    "lokr_": "a LoKr",
}
"""What diffusers' converters of other namings leave out in silence, or do not know."""


def read_lora(
    path: Path,
    modules: Mapping[str, Modules],
    device: torch.device,
    dtype: torch.dtype,
    *,
    translate: Translate | None = None,
    shared: Sequence[str] = (),
) -> Lora:
    """Read and check a file against the `adaptable` modules of components, by their names in diffusers' pipelines.

    `translate`: from other namings of the family to diffusers'. `shared`: what the names of layers begin with that see
    all rows of a batch as one.

    Raises:
        GenerationFailed: the file is missing, cut short, made for another architecture, or no LoRA.
    """
    key = file_key(path, "adapter")
    tensors, metadata = read_tensors(path, "adapter")
    try:
        configuration = json.loads(metadata.get("lora_adapter_metadata", "{}"))
        if not isinstance(configuration, dict):
            raise ValueError("its configuration is no object")
    except ValueError as error:
        raise unreadable(path, "adapter", str(error)) from error
    refuse_no_numbers(path, "adapter", tensors)
    for name in tensors:
        for mark, kind in (_OTHER_KINDS if translate is None else _OTHER_KINDS_OF_TRANSFORMERS).items():
            if mark in name:
                raise _other_kind(path.name, kind)
    if translate is not None:
        given_names = tensors
        try:
            tensors = translate(dict(given_names))
        except (
            Exception
        ) as error:  # Whatever a converter stumbles over, the file is of no naming that it knows.
            raise _mismatch(path.name, given_names, f"its layers' names are unknown ({error})") from error
    found, alphas = _sorted_out(path.name, tensors)
    layers: dict[str, dict[str, LoraLayer | ProductLayer]] = {}
    for given, parts in found.items():
        try:
            component, name = _resolve(given, modules)
            if name.startswith(tuple(shared)):
                raise _shared_layer(path.name, given)
            shape = modules[component][name.replace(".", "_")][1].weight.shape
            if "down" not in parts:
                product = product_of(parts, shape, device, dtype, alphas.get(given))
                if product is None:
                    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in parts.values())
                    raise MisfitError(
                        f"{given} has the shapes {shapes}, this model's layer is {tuple(shape)}"
                    )
                layers.setdefault(component, {})[name] = product
                continue
            down, up = halves_of(parts, shape, given)
            magnitude = magnitude_of(parts, shape, given)
        except MisfitError as misfit:
            raise _mismatch(path.name, tensors, str(misfit)) from None
        try:
            alpha, rank = _scaling(given, component, name, down.shape[0], alphas, configuration)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise damaged(
                path, "adapter", f"what its configuration says of alpha is no number ({error})"
            ) from error
        layers.setdefault(component, {})[name] = LoraLayer(
            down.to(device, dtype),
            up.to(device, dtype),
            alpha,
            rank,
            None if magnitude is None else magnitude.to(device, dtype),
        )
    made = [layer for component in layers.values() for layer in component.values()]
    return Lora(key, layers, sum(layer.nbytes for layer in made))


def adaptable(component: Any) -> Modules:
    """Linear and Conv2d modules by their names with underscores for dots, as kohya's files spell them; a UNet's also by
    the names that they had in the first code of Stable Diffusion, which kohya's files for SDXL keep to.
    """
    modules = {
        name: module
        for name, module in component.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }
    found = {name.replace(".", "_"): (name, module) for name, module in modules.items()}
    if isinstance(component, diffusers.UNet2DConditionModel):
        for name, module in modules.items():
            if (original := original_name(component.config, name)) is not None:
                found.setdefault(original.replace(".", "_"), (name, module))
    return found


def _sorted_out(
    adapter: str, tensors: Mapping[str, torch.Tensor]
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, float]]:
    """Down and up, or what other kinds have in their place, and alpha, by the module's name as the file spells it."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    alphas: dict[str, float] = {}
    for name, tensor in tensors.items():
        if role := _role(name):
            found.setdefault(role[0], {})[role[1]] = tensor
        elif (alpha := _ALPHA.fullmatch(name)) and tensor.numel() == 1:
            alphas[alpha["module"]] = float(tensor)
        else:
            raise _other_kind(adapter, f"of a kind that is not known (it holds {name})")
    for given, parts in found.items():
        product = next((kind for part in parts if (kind := KINDS.get(part.partition("_")[0]))), None)
        if product is not None and not EXTRA.isdisjoint(parts):
            raise _other_kind(adapter, f"{product} with a magnitude ({given})")
    broken = next(
        (n for n, parts in found.items() if ("down" in parts) != ("up" in parts) or parts.keys() <= EXTRA),
        None,
    )
    if broken is not None or not found:
        raise GenerationFailed(
            "adapter_unreadable",
            f"The LoRA {adapter} lacks {f'one half of {broken}' if broken else 'any layer'}. Download it again.",
            adapter=adapter,
            reason=broken or "no layers",
        )
    return found, alphas


def _role(name: str) -> tuple[str, str] | None:
    """A layer as the file spells it, and what this tensor is to it: down, up, a magnitude, or a factor of other kinds."""
    if half := _HALF.fullmatch(name):
        return half["module"], "down" if half["half"] in ("down", "A") else "up"
    if part := _PART.fullmatch(name):
        return part["module"], part["part"] or "magnitude"
    return None


def _mismatch(adapter: str, tensors: Mapping[str, torch.Tensor], reason: str) -> GenerationFailed:
    downs = {
        role[0]: tuple(tensor.shape)
        for name, tensor in tensors.items()
        if (role := _role(name)) and role[1] in ("down", "hada_w1_b")
    }
    base = made_for(downs) or "another kind of model"
    return GenerationFailed(
        "adapter_mismatch",
        f"The LoRA {adapter} was made for {base}: {reason}. Choose one made for this model's base.",
        adapter=adapter,
        base=base,
        reason=reason,
    )


def _shared_layer(adapter: str, layer: str) -> GenerationFailed:
    return GenerationFailed(
        "adapter_layer_unsupported",
        f"The LoRA {adapter} changes {layer}, which in this model sees the pictures of all rows as one, and cannot differ"
        " between them. Look for a LoRA that leaves this layer as it is.",
        adapter=adapter,
        layer=layer,
    )


def _other_kind(adapter: str, kind: str) -> GenerationFailed:
    return GenerationFailed(
        "adapter_kind_unsupported",
        f"{adapter} is {kind}, which cannot be used with this model. Look for a plain LoRA version of it, or extract one from"
        " it with its trainer's tools.",
        adapter=adapter,
        kind=kind,
    )


def _resolve(given: str, modules: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """The component and module that a file's name means."""
    if kohya := _KOHYA.fullmatch(given):
        component, flat = _KOHYA_COMPONENTS[kohya["component"]], kohya["module"]
    else:
        dotted = given.removeprefix("base_model.model.").replace(".processor.", ".")
        first, _, rest = dotted.partition(".")
        # Files for the denoiser alone may leave its name out.
        named = first in (*modules, "text_encoder_2")
        component, dotted = (first, rest) if named else (next(iter(modules)), dotted)
        flat = dotted.replace(".", "_")
    # transformers has renamed the text encoder's modules, and diffusers its output projections, since the first LoRAs.
    for spelling in (flat, flat.removeprefix("text_model_"), f"text_model_{flat}", f"{flat}_0"):
        if spelling in modules.get(component, {}):
            return component, modules[component][spelling][0]
    raise MisfitError(f"this model has no layer {given}")


def _scaling(
    given: str,
    component: str,
    name: str,
    rank: int,
    alphas: Mapping[str, float],
    configuration: Mapping[str, Any],
) -> tuple[float, float]:
    """Alpha and what it is divided by: from the tensor beside the layer, PEFT's configuration, or 1 in all."""
    if given in alphas:
        return alphas[given], rank
    alpha = configuration.get(f"{component}.lora_alpha")
    if alpha is None:
        return rank, rank
    for pattern, value in (configuration.get(f"{component}.alpha_pattern") or {}).items():
        if name == pattern or name.endswith(f".{pattern}"):
            alpha = value
    if not math.isfinite(alpha := float(alpha)):
        raise ValueError(alpha)
    stabilised = configuration.get(f"{component}.use_rslora")
    return alpha, math.sqrt(rank) if stabilised else rank
