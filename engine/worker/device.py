"""Which device and dtype the engine runs on, and what can be said of them."""

from __future__ import annotations

import errno

import psutil
import torch

from engine.config import EngineConfig
from engine.errors import ModelUnavailable

_OWN_SHARE = 0.85
"""Of a graphics card's memory that weights may take; the rest is for what is computed from them."""
_SHARED_SHARE = 0.6
"""Of the machine's memory where the device shares it with everything else that runs."""

DTYPES = ("float32", "float16", "bfloat16", "float64")


def resolve_device(wanted: str) -> torch.device:
    """`auto` is CUDA, then Apple's MPS, then the CPU. Raises ModelUnavailable for a missing device."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelUnavailable(
            "device_unavailable",
            f"The device {wanted} is not available: {str(error).rstrip('.')}. Use auto, or one that is here:"
            f" {', '.join(_devices())}.",
            device=wanted,
            reason=str(error),
        ) from error
    return device


def _devices() -> list[str]:
    """The devices of this machine with the names of its GPUs."""
    gpus = (
        f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())
    )
    return ["cpu", *(["mps"] if torch.backends.mps.is_available() else []), *gpus]


def resolve_dtype(config: EngineConfig, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the device computes in it natively, else float16 on CUDA and float32 elsewhere; float32
    in exact mode.
    """
    if config.dtype != "auto":
        if config.dtype not in DTYPES:
            raise ModelUnavailable(
                "dtype_unknown",
                f"The dtype {config.dtype} is not one of auto, {', '.join(DTYPES)}.",
                dtype=config.dtype,
            )
        dtype: torch.dtype = getattr(torch, config.dtype)
        return torch.float32 if config.exact and dtype in (torch.float16, torch.bfloat16) else dtype
    if config.exact or device.type not in ("cpu", "cuda"):
        return torch.float32
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def device_name(device: torch.device) -> str:
    """For people: the name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def device_memory(device: torch.device) -> int:
    """Bytes of a CUDA device; 0 where the device shares the machine's own memory."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0


def memory_budget(config: EngineConfig, device: torch.device) -> int:
    """Most bytes that weights may take, of models and of the files that requests name."""
    if config.memory_budget is not None:
        return config.memory_budget
    own = device_memory(device)
    return int(_OWN_SHARE * own) if own else int(_SHARED_SHARE * psutil.virtual_memory().total)


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class of its own for it; the CPU and MPS raise RuntimeErrors that say so, and the system ENOMEM."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )
