"""How a model gets onto the device: from a diffusers folder, a single .safetensors file, or the hub.

The only place that downloads weights. Only safetensors are opened, and everything ends up in one dtype.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import DryRunError, RepositoryNotFoundError
from tqdm.auto import tqdm
from transformers import core_model_loading

from engine.catalog import FAMILIES, is_clip_folder, is_upscaler, locate_model
from engine.catalog.clips import WEIGHTS
from engine.catalog.files import part_folder
from engine.catalog.parts import PARTS
from engine.config import EngineConfig
from engine.errors import EngineError, GenerationFailed, ModelUnavailable
from engine.output import Loading
from engine.worker.clip_folder import read_clip
from engine.worker.components import read_folder
from engine.worker.load_errors import disk_full, is_disk_full, reading, reading_part
from engine.worker.offload import OFFLOADED, offload
from engine.worker.own_memory import own_weights
from engine.worker.part_weights import check_whole, read_part, variant_of
from engine.worker.parts_fit import check_fit, check_pipeline_fit
from engine.worker.single_file import read_single_file
from engine.worker.upscalers import read_upscaler

log = logging.getLogger(__name__)

_LOADING = threading.Lock()
"""diffusers and transformers patch module-level state of torch while they build a model, so one at a time in a process."""

_DOWNLOAD_SHARE = 0.9
"""How much of Loading.fraction the download is; the rest is reading the files."""


@dataclass(kw_only=True)
class Components:
    """diffusers' and transformers' own parts, in eval mode, all of one dtype on one device."""

    parts: Mapping[str, Any]
    """By diffusers' names; `components.unet` is the part of this name, None where the checkpoint has no such part."""
    settings: Mapping[str, Any]
    """What model_index.json says beside the names of the parts."""
    pipeline: Any = None
    """diffusers' own pipeline, for models without a family; it has the parts then."""
    device: torch.device
    dtype: torch.dtype
    compiles: bool = False
    """Whether the denoiser is to be compiled."""
    row_buckets: bool = False
    """Whether steps are filled up to a few widths."""

    def __getattr__(self, name: str) -> Any:
        if name in PARTS:
            return self.parts.get(name)
        raise AttributeError(name)

    def modules(self) -> dict[str, torch.nn.Module]:
        """Everything that has weights, by diffusers' names."""
        parts = self.parts if self.pipeline is None else self.pipeline.components
        return {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}


def load_components(
    name: str,
    config: EngineConfig,
    device: torch.device,
    dtype: torch.dtype,
    report: Callable[[Loading], None],
    *,
    offloaded: bool = False,
) -> Components:
    """Find, download where needed, and load a model; `offloaded`: the weights that can come and go stay off the device.

    Raises:
        ModelUnavailable: it cannot be found or read. GenerationFailed: the download failed; trying again may
        help.
    """
    # Their bars and remarks would be drawn across the host's own terminal output; progress goes through `report`.
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
    # Its threads of readers would compete with steps.
    core_model_loading.GLOBAL_WORKERS = 1
    downloaded = locate_model(name, config) is None
    path = fetch_model(name, config, report)
    report(Loading(name, _DOWNLOAD_SHARE if downloaded else 0.1))
    with _LOADING, reading(name, path):
        if is_upscaler(path, config):
            network = {"super_resolution": read_upscaler(name, path, dtype, device)}
            _place(path, network, device, offloaded=False)
            report(Loading(name, 1.0))
            return Components(parts=network, settings={}, device=device, dtype=dtype)
        if path.is_dir() and is_clip_folder(path):
            seeing = read_clip(path, dtype)
            seeing["clip"].eval().to(device)
            own_weights(seeing["clip"])
            report(Loading(name, 1.0))
            return Components(settings=seeing.pop("settings"), parts=seeing, device=device, dtype=dtype)
        if path.is_dir() and _class_name(path) in FAMILIES["auto-pipeline"].pipelines:
            pipeline = _read_pipeline(path, dtype)
            check_pipeline_fit(path, pipeline.components)
            _place(path, pipeline.components, device, offloaded=offloaded)
            report(Loading(name, 1.0))
            return Components(parts={}, settings={}, pipeline=pipeline, device=device, dtype=dtype)
        parts = (
            read_folder(name, path, dtype) if path.is_dir() else read_single_file(name, path, config, dtype)
        )
        check_fit(path, parts)
        # Weights go on requiring gradients, as in diffusers' pipelines: torch chooses its matrix products by that.
        # Whatever runs them does so in inference mode.
        _place(path, parts, device, offloaded=offloaded)
        if (
            config.channels_last
            and not config.exact
            and dtype != torch.float64
            and parts.get("vae") is not None
        ):
            # Its convolutions are fewer and wider than a UNet's, which gains nothing from this layout.
            parts["vae"].to(memory_format=torch.channels_last)
    report(Loading(name, 1.0))
    same_as_diffusers = config.exact or dtype == torch.float64
    return Components(
        settings=parts.pop("settings"),
        parts=parts,
        device=device,
        dtype=dtype,
        compiles=config.compile and not config.exact and not offloaded,
        row_buckets=config.row_buckets and device.type == "cpu" and not same_as_diffusers,
    )


def fetch_model(name: str, config: EngineConfig, report: Callable[[Loading], None]) -> Path:
    """The folder or file of a model, which is downloaded where it is not here. Raises as `load_components`."""
    return locate_model(name, config) or _download(name, config, report)


def _place(path: Path, parts: Mapping[str, Any], device: torch.device, *, offloaded: bool) -> None:
    """Bring a model's parts to the device, one after the other, or to where they wait for being needed."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            check_whole(part, part_folder(path, name) if path.is_dir() else path)
            part.eval()
            if not (offloaded and name in OFFLOADED):
                part.to(device)
            own_weights(part)
    if offloaded:
        offload(parts, device)


def _class_name(folder: Path) -> str:
    return str(diffusers.DiffusionPipeline.load_config(folder).get("_class_name"))


def _read_pipeline(folder: Path, dtype: torch.dtype) -> Any:
    """A whole pipeline of diffusers; it builds only classes of diffusers and transformers, never code of the folder's."""
    denoisers = (folder / part for part in ("transformer", "unet"))
    variant = next((variant_of(part) for part in denoisers if part.is_dir()), None)
    # The pipeline would say nothing of weights that transformers drew at random.
    parts = {}
    for component, kind in diffusers.DiffusionPipeline.load_config(folder).items():
        if isinstance(kind, list | tuple) and kind[0] == "transformers" and _has_weights(kind[1]):
            with reading_part(folder / component):
                parts[component] = read_part(getattr(transformers, kind[1]), folder / component, dtype)
    with reading_part(folder):
        return diffusers.DiffusionPipeline.from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, variant=variant, **parts
        )


def _has_weights(class_name: str) -> bool:
    made = getattr(transformers, class_name, None)
    return isinstance(made, type) and issubclass(made, transformers.PreTrainedModel)


def _download(name: str, config: EngineConfig, report: Callable[[Loading], None]) -> Path:
    """Fetch what the engine opens of a hub model, with progress in bytes; returns the snapshot's folder."""
    if config.offline:
        raise ModelUnavailable(
            "model_not_downloaded",
            f"{name} has not been downloaded, and the engine is offline. Start once with the network, or"
            f" name a folder.",
            model=name,
        )
    total = 0
    try:
        compares = name == config.clip
        patterns = ["*.json", "*.txt", WEIGHTS] if compares else ["model_index.json", "*/*"]
        listed = snapshot_download(name, cache_dir=config.cache_dir, allow_patterns=patterns, dry_run=True)
        sizes = {file.filename: file.file_size or 0 for file in listed}
        # Where config.json and weights lie in the cache, the rest does.
        last = ("config.json", WEIGHTS)
        wanted = sorted(sizes, key=lambda file: file in last) if compares else _wanted_files(list(sizes))
        drawing = [file for file in wanted if file.startswith(("unet/", "transformer/"))]
        if not any(file.endswith(".safetensors") for file in (wanted if compares else drawing)):
            raise ModelUnavailable(
                "model_without_safetensors",
                f"{name} offers no .safetensors weights in diffusers format; pickled weights are refused.",
                model=name,
            )
        total, done, local = sum(sizes[file] for file in wanted), 0, ""
        shown_at = 0.0
        for file in wanted:

            def show(bytes_of_file: float, before: int = done, size: int = sizes[file]) -> None:
                nonlocal shown_at
                now = before + min(int(bytes_of_file), size)
                if time.monotonic() - shown_at > 0.2 or now == total:
                    shown_at = time.monotonic()
                    report(Loading(name, _DOWNLOAD_SHARE * now / max(1, total), now, total))

            local = hf_hub_download(name, file, cache_dir=config.cache_dir, tqdm_class=_bar_class(show))
            show(sizes[file])
            done += sizes[file]
    except EngineError:
        raise
    except (
        Exception
    ) as error:  # The hub's client has errors of its own beside OSErrors; all mean the same here.
        if is_disk_full(error):
            raise disk_full(name, config.cache_dir, total) from error
        raise GenerationFailed(
            "download_failed",
            f"{name} could not be downloaded: {_hub_reason(error)}. Check the name, the network and, for gated"
            " models, HF_TOKEN.",
            model=name,
            reason=_hub_reason(error),
        ) from error
    return Path(local).parent


def _hub_reason(error: Exception) -> str:
    """What happened, without the advice that the hub's client has for those who call its functions."""
    if isinstance(error, DryRunError):
        # The client says so whatever keeps it from listing the files; that is the cause.
        error = (
            error.__cause__
            if isinstance(error.__cause__, Exception)
            else OSError("the hub cannot be reached")
        )
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such model, or does not show it to everybody"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ")


def _wanted_files(files: list[str]) -> list[str]:
    """Configurations and, per component, one set of safetensors: the fp16 variant where there is one.

    The index comes last: where it lies in the cache, the rest does, and a download that broke off is gone on with.
    """
    wanted: list[str] = []
    for component in PARTS:
        here = [file for file in files if file.startswith(f"{component}/")]
        wanted += [file for file in here if file.endswith((".json", ".txt", ".jinja", ".model"))]
        weights = [file for file in here if file.endswith(".safetensors") and "non_ema" not in file]
        half = [file for file in weights if ".fp16." in file]
        wanted += half or [file for file in weights if file.rsplit("/", 1)[1].count(".") == 1]
    return [*wanted, "model_index.json"]


def _bar_class(show: Callable[[float], None]) -> type[Any]:
    """A progress bar that draws nothing and tells `show` how many bytes of the file are here.

    The hub's newer protocol opens two bars per file, for bytes received and bytes written; the larger count
    is shown.
    """
    counts: list[float] = []

    class Bytes(tqdm):  # type: ignore[type-arg]  # It is generic in its stubs alone.
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})
            self._slot = len(counts)
            counts.append(float(options.get("initial") or 0))

        def update(self, n: float | None = 1) -> None:
            counts[self._slot] += n or 0
            show(max(counts))

    return Bytes
