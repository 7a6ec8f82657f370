"""Between pixels and latents: a model's own autoencoder, or one that a request names instead."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput

from engine.errors import GenerationFailed
from engine.worker.file_cache import FileCache, read_tensors
from engine.worker.previews import make_estimate, make_rough_estimate
from engine.worker.seamless import edges_joined

log = logging.getLogger(__name__)

_WRAPPED = 16
"""Latents: beyond, hardly anything of the opposite edge is seen any more."""
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


class Autoencoder:
    """AutoencoderKL or AutoencoderTiny on the device, with what goes with its latents."""

    def __init__(self, vae: Any, device: torch.device, dtype: torch.dtype, *, heeds_upcast: bool) -> None:
        """`device`: where it computes; its weights may lie elsewhere. `dtype`: of latents. `heeds_upcast`: compute in
        float32 where the configuration says that the autoencoder overflows in float16, as SDXL's does; Stable
        Diffusion's own pipelines pay it no heed.
        """
        self.vae = vae
        self.scaling = float(vae.config.scaling_factor)
        self.shift = float(vae.config.get("shift_factor") or 0)
        """Taken from what the encoder answers before it is scaled, and given back before decoding."""
        self.channels = int(vae.config.latent_channels)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        """Pixels per latent on a side."""
        self.device = device
        self.dtype = dtype
        self._upcast = heeds_upcast and bool(vae.config.get("force_upcast", False))
        self._vae_dtype = torch.float32 if self._upcast and dtype is torch.float16 else dtype
        if vae.dtype is not self._vae_dtype:
            vae.to(self._vae_dtype)
        self.estimate = make_estimate(vae, self.scaling)
        self._rough_estimate = make_rough_estimate(vae, self.scaling)
        self._saving_memory = False

    @property
    def nbytes(self) -> int:
        return sum(parameter.nbytes for parameter in self.vae.parameters())

    def encode(self, pixels: torch.Tensor, *, tiling: bool = False) -> Any:
        """The answer to (1, 3, height, width) in −1…1, to be drawn from with `sample`. `tiling`: its edges are joined."""
        pixels = pixels.to(self.device, self.dtype)
        if self._upcast:
            pixels = pixels.float()
        if self._vae_dtype is pixels.dtype:
            return self._encode(pixels, tiling=tiling)
        self.vae.to(torch.float32)
        try:
            return self._encode(pixels, tiling=tiling)
        finally:
            self.vae.to(self._vae_dtype)

    def sample(self, encoded: Any, generator: torch.Generator) -> torch.Tensor:
        """(1, c, h, w): latents out of AutoencoderKL's distribution, or AutoencoderTiny's one answer."""
        drawn = encoded.latent_dist.sample(generator) if hasattr(encoded, "latent_dist") else encoded.latents
        return self.scaling * (drawn.to(self.dtype) - self.shift)

    def decode(self, latents: torch.Tensor, *, tiling: bool) -> torch.Tensor:
        """(n, c, h, w) → (n, 3, height, width) in −1…1. `tiling`: the edges are joined."""
        latents = latents.to(self._vae_dtype) / self.scaling + self.shift
        if tiling and self.vae.use_tiling and max(latents.shape[-2:]) > self.vae.tile_latent_min_size:
            # Every tile that it decodes has edges of its own, which must not be joined.
            margin = min(_WRAPPED, *latents.shape[-2:])
            return _cropped(decode_finite(self.vae, _wrapped(latents, margin)), margin * self.factor)
        with edges_joined(self.vae, joined=tiling):
            return decode_finite(self.vae, latents)

    def decode_pixels(self, latents: torch.Tensor, *, tiling: bool = False) -> list[npt.NDArray[np.uint8]]:
        """(n, c, h, w) → n uint8 RGB (H, W, 3), quantised as diffusers' VaeImageProcessor does."""
        decoded = self.decode(latents, tiling=tiling)
        scaled = (decoded * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        return list((scaled * 255).round().astype("uint8"))

    def _encode(self, pixels: torch.Tensor, *, tiling: bool) -> Any:
        # The encoder pads where it halves the picture, beyond what its convolutions do.
        margin = min(_WRAPPED, *(side // self.factor for side in pixels.shape[-2:])) if tiling else 0
        pixels = _wrapped(pixels, margin * self.factor)
        if isinstance(self.vae, diffusers.AutoencoderTiny):
            # Whole, because in tiles diffusers makes four channels of latents, whatever the autoencoder has.
            return AutoencoderTinyOutput(latents=_cropped(self.vae.encoder(pixels), margin))
        encoded = self.vae.encode(pixels)
        if not margin:
            return encoded
        moments = _cropped(encoded.latent_dist.parameters, margin)
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(moments))

    def preview(self, latents: torch.Tensor, *, vague: bool = False) -> torch.Tensor:
        """(n, c, h, w) → (n, 3, ?, ?) in about −1…1, at little cost; at hardly any where the pictures are `vague`."""
        # The estimate knows the factor between latents and the autoencoder, not the offset.
        estimate = (self._rough_estimate if vague else None) or self.estimate
        return estimate((latents + self.shift * self.scaling).to(self._vae_dtype))

    def save_memory(self) -> bool:
        """Decode one picture at a time, and in tiles, from now on; False when that is already so."""
        if self._saving_memory:
            return False
        self._saving_memory = True
        self.vae.enable_slicing()
        self.vae.enable_tiling()
        return True


def decode_finite(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) as the autoencoder reads them → (n, 3, height, width) in −1…1.

    Pictures that overflow in half precision are decoded once more in float32.

    Raises:
        GenerationFailed: a picture is no number in float32 either.
    """
    decoded: torch.Tensor = vae.decode(latents, return_dict=False)[0]
    fine = torch.isfinite(decoded).flatten(1).all(dim=1).tolist()
    if all(fine):
        return decoded
    if latents.dtype in (torch.float16, torch.bfloat16):
        log.warning("the autoencoder overflowed in %s; decoding once more in float32", latents.dtype)
        bad = [row for row, good in enumerate(fine) if not good]
        vae.to(torch.float32)
        try:
            again = vae.decode(latents[bad].float(), return_dict=False)[0]
        finally:
            vae.to(latents.dtype)
        # What a picture shows is small; only inside the autoencoder do numbers grow.
        decoded[bad] = again.to(decoded.dtype)
        if torch.isfinite(again).all():
            return decoded
    raise GenerationFailed(
        "decode_not_finite",
        "The autoencoder made something that is no number of the picture, in float32 too. Try another autoencoder"
        " (vae), or the model's own; if none helps, the model's weights are damaged.",
    )


def _wrapped(picture: torch.Tensor, margin: int) -> torch.Tensor:
    """(n, c, h, w) with so much of the opposite edge on each side."""
    return torch.nn.functional.pad(picture, (margin,) * 4, mode="circular") if margin else picture


def _cropped(picture: torch.Tensor, margin: int) -> torch.Tensor:
    return picture[..., margin:-margin, margin:-margin] if margin else picture


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
        # Weights go on requiring gradients, as the model's own: torch chooses its matrix products by that.
        wanted = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
        tensors = _in_todays_names(tensors, vae.config, wanted)
        odd = next((name for name in wanted if name not in tensors), None)
        reason = f"it has no layer {odd}"
        if odd is None:
            odd = next((name for name, shape in wanted.items() if tuple(tensors[name].shape) != shape), None)
            reason = (
                f"{odd} has the shape {tuple(tensors[odd].shape)} instead of {wanted[odd]}" if odd else ""
            )
        if odd is not None:
            raise _mismatch(path, reason)
        for name in wanted:
            if not tensors[name].is_floating_point():
                kind = str(tensors[name].dtype).removeprefix("torch.")
                raise _unusable(
                    path, f"{name} holds whole numbers ({kind}), as quantised weights are, which are not read"
                )
        vae.load_state_dict({name: tensors[name] for name in wanted}, assign=True)
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
