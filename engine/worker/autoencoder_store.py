"""The autoencoders that requests name in place of a model's own: read, checked, and held while somebody needs them."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

from engine.errors import GenerationFailed
from engine.worker.autoencoder import Autoencoder
from engine.worker.file_cache import FileCache, read_tensors, refuse_no_numbers

log = logging.getLogger(__name__)

_CLASSES = {"AutoencoderKL": diffusers.AutoencoderKL, "AutoencoderTiny": diffusers.AutoencoderTiny}
_RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names of layers in diffusers' older files."""
_PART = re.compile(r"(?P<begin>.+)-\d{5}-of-(?P<all>\d{5})\.safetensors")
"""One of several files that large weights come in."""
_ARCHITECTURE = "modelspec.architecture"
_SCALINGS = {
    "stable-diffusion-xl": 0.13025,
    "stable-diffusion-v1": 0.18215,
    "stable-diffusion-v2": 0.18215,
    "stable-diffusion-v3": 1.5305,
    "flux": 0.3611,
}
"""What the header of a file may begin to name as its architecture → the factor between its latents and the denoiser's."""


class AutoencoderStore:
    """The autoencoders beside a loaded model's own that requests name."""

    def __init__(self, own: Autoencoder, *, heeds_upcast: bool) -> None:
        self._own = own
        self._heeds_upcast = heeds_upcast
        self._saving_memory = False
        self._files: FileCache[Autoencoder] = FileCache(self._read)

    def load(self, path: Path) -> Autoencoder:
        """Raises GenerationFailed where there is none, it cannot be read, or its latents are not this model's."""
        autoencoder = self._files.get(path, "vae")
        if self._saving_memory:
            autoencoder.save_memory()
        return autoencoder

    def save_memory(self) -> bool:
        """Of the own one and the others, from now on; False when that is already so."""
        self._saving_memory = True
        others = [autoencoder.save_memory() for autoencoder in self._files.contents()]
        return self._own.save_memory() or any(others)

    def _read(self, path: Path) -> Autoencoder:
        if path.is_dir():
            vae, tensors = self._of_folder(path)
        elif path.name.startswith("diffusion_pytorch_model") and path.with_name("config.json").is_file():
            vae, tensors = self._of_folder(path.parent, path)
        elif path.suffix.lower() == ".safetensors":
            # A file says nothing of its configuration; one that fits is built like the model's own.
            vae = _empty(type(self._own.vae), self._own.vae.config)
            tensors, metadata = read_tensors(path, "vae")
            self._check_header(path, metadata)
        else:
            raise _unusable(path, "it is neither a folder of diffusers nor a .safetensors file")
        wanted = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
        fitting = _fitting(path, wanted, _in_todays_names(tensors, vae.config, wanted))
        refuse_no_numbers(path, "vae", fitting)
        # Weights go on requiring gradients, as the model's own: torch chooses its matrix products by that.
        vae.load_state_dict(fitting, assign=True)
        vae.to(self._own.device, self._own.dtype).eval()
        first = next(parameter for parameter in self._own.vae.parameters() if parameter.ndim == 4)
        if first.is_contiguous(memory_format=torch.channels_last) and not first.is_contiguous():
            vae.to(memory_format=torch.channels_last)
        return Autoencoder(vae, self._own.device, self._own.dtype, heeds_upcast=self._heeds_upcast)

    def _check_header(self, path: Path, metadata: Mapping[str, str]) -> None:
        """The layers of SDXL's autoencoder have the shapes of those of Stable Diffusion 1.x and 2.x, though their latents
        are not alike, so that only a file's own word tells the two apart.
        """
        said = metadata.get(_ARCHITECTURE, "").lower()
        scaling = next((factor for name, factor in _SCALINGS.items() if said.startswith(name)), None)
        if scaling is None:
            log.warning(
                "%s does not say which models it was made for; where its pictures have wrong colours, it was made for"
                " others than this one",
                path.name,
            )
        elif not math.isclose(scaling, self._own.scaling, rel_tol=1e-6):
            raise _mismatch(path, f"it says that it is of {said}, whose latents are not this model's")

    def _of_folder(self, path: Path, file: Path | None = None) -> tuple[Any, dict[str, torch.Tensor]]:
        """Built as its own configuration says, once that is known to fit, and its tensors, of the `file` if one is named."""
        folder = path / "vae" if (path / "vae" / "config.json").is_file() else path
        if not (folder / "config.json").is_file():
            raise _unusable(path, "the folder holds no config.json, as those of diffusers do")
        try:
            config = json.loads((folder / "config.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise _unusable(path, f"its config.json cannot be read ({error})") from error
        kind = config.get("_class_name") if isinstance(config, dict) else None
        if kind not in list(_CLASSES):
            raise _unusable(
                path, f"its config.json is that of {kind or 'nothing'}, not of {' or '.join(_CLASSES)}"
            )
        try:
            vae = _empty(_CLASSES[kind], config)
            self._check(path, vae.config)
        except GenerationFailed:
            raise
        except Exception as error:  # The library has no error in common for values that cannot be.
            raise _unusable(
                path, f"a value in its config.json cannot be what is meant there ({error})"
            ) from error
        tensors: dict[str, torch.Tensor] = {}
        for part in _parts(path, folder, file):
            tensors |= read_tensors(part, "vae")[0]
        return vae, tensors

    def _check(self, path: Path, config: Any) -> None:
        """The latents of one are the latents of the other only if all of these agree."""
        own = self._own
        if config.get("latents_mean") is not None or config.get("latents_std") is not None:
            raise _mismatch(
                path, "each channel of its latents is scaled by itself (latents_mean, latents_std)"
            )
        scaling, shift = float(config.scaling_factor), float(config.get("shift_factor") or 0)
        sides = [
            ("channels", int(config.latent_channels), own.channels),
            ("colours read", int(config.in_channels), 3),
            ("colours drawn", int(config.out_channels), 3),
            ("pixels per latent", 2 ** (len(config.block_out_channels) - 1), own.factor),
        ]
        # Small ones were trained on what the denoiser reads, whatever the model's own is scaled by; they have neither.
        if (scaling, shift) != (1, 0):
            sides += [("a scaling factor", scaling, own.scaling), ("a shift", shift, own.shift)]
        for what, got, wanted in sides:
            if not math.isclose(got, wanted, rel_tol=1e-6):
                raise _mismatch(path, f"it has {got:g} as {what}, this model's {wanted:g}")


def _parts(path: Path, folder: Path, file: Path | None) -> list[Path]:
    """The weights of a folder, or the `file` that is named of it: one file, or all the parts that they come in."""
    files = sorted(
        folder.glob("*.safetensors"), key=lambda file: (file.name.count("."), "-of-" in file.name, file.name)
    )
    if not files:
        raise _unusable(path, "the folder holds no .safetensors file")
    first = file or files[0]
    part = _PART.fullmatch(first.name)
    if part is None:
        return [first]
    names = [
        f"{part['begin']}-{number:05}-of-{part['all']}.safetensors"
        for number in range(1, int(part["all"]) + 1)
    ]
    lacking = next((name for name in names if not (folder / name).is_file()), None)
    if lacking is not None:
        raise _unusable(path, f"its weights come in {len(names)} parts, of which {lacking} is not there")
    return [folder / name for name in names]


def _empty(made: Any, config: Mapping[str, Any]) -> Any:
    """Without weights, so that nothing is drawn for them."""
    with torch.device("meta"):
        return made.from_config(config)


def _in_todays_names(
    tensors: Mapping[str, torch.Tensor], config: Any, wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, torch.Tensor]:
    """The tensors by diffusers' names of today, whether the file has those, older ones, or Stable Diffusion's first."""
    if any("encoder.down." in name or "decoder.up." in name for name in tensors):
        tensors = convert_ldm_vae_checkpoint(dict(tensors), config)
    found = {}
    for name, tensor in tensors.items():
        for before, now in _RENAMED.items():
            name = name.replace(before, now)
        # Attention was once made of 1 × 1 convolutions.
        fits = tensor.ndim == 4 and tuple(tensor.shape[:2]) == wanted.get(name)
        found[name] = tensor[:, :, 0, 0] if fits else tensor
    return found


def _fitting(
    path: Path, wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Those of the tensors that are wanted, once each is known to be there, of its shape, and of numbers."""
    for name in wanted:
        if name not in tensors:
            raise _mismatch(path, f"it has no layer {name}")
    for name, shape in wanted.items():
        if (got := tuple(tensors[name].shape)) != shape:
            raise _mismatch(path, f"{name} has the shape {got} instead of {shape}")
    for name in wanted:
        if not tensors[name].is_floating_point():
            kind = str(tensors[name].dtype).removeprefix("torch.")
            raise _unusable(
                path, f"{name} holds whole numbers ({kind}), as quantised weights are, which are not read"
            )
    return {name: tensors[name] for name in wanted}


def _unusable(path: Path, reason: str) -> GenerationFailed:
    return GenerationFailed(
        "vae_unreadable",
        f"The autoencoder {path.name} cannot be used: {reason}. Name the folder of an AutoencoderKL or AutoencoderTiny, or a"
        " .safetensors file.",
        vae=path.name,
        reason=reason,
    )


def _mismatch(path: Path, reason: str) -> GenerationFailed:
    return GenerationFailed(
        "vae_mismatch",
        f"The autoencoder {path.name} was made for another kind of model: {reason}. Choose one made for this model's"
        " base.",
        vae=path.name,
        reason=reason,
    )
