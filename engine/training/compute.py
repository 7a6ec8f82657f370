"""Where a run computes: its profile's device, precision and memory layout, and the way there for modules and data."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.training.profile import CPU, Profile

M = TypeVar("M", bound=nn.Module)


class DeviceMissingError(Exception):
    """The profile's device is not on this machine, or this build of torch cannot use it."""


@dataclass(frozen=True, slots=True)
class Compute:
    """Data lie on the host and come over batch by batch; random numbers are drawn there, so that every device
    trains on the same ones.
    """

    device: torch.device
    autocast_dtype: torch.dtype
    channels_last: bool
    pin_memory: bool
    compile: bool
    plain_attention: bool

    @classmethod
    def of(cls, profile: Profile) -> Compute:
        """Raises DeviceMissingError where the profile's device is not to be had."""
        device = torch.device(profile.device)
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise DeviceMissingError(
                f"The profile {profile.name} computes on {profile.device}, which torch {torch.__version__} cannot use"
                f" here: {reason}. Train with --profile cpu, or install the build of torch for your GPU"
                " (https://pytorch.org/get-started/locally) and its driver."
            ) from error
        return cls(
            device=device,
            autocast_dtype=fast_dtype(device, getattr(torch, profile.autocast)),
            channels_last=profile.channels_last,
            pin_memory=profile.pin_memory,
            compile=profile.compile,
            plain_attention=profile.plain_attention,
        )

    def place(self, module: M, *, convolutional: bool = False) -> M:
        """The module on the device; a convolutional one in the profile's memory layout."""
        module.to(self.device)
        if convolutional and self.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        return module

    def trained(self, module: nn.Module) -> None:
        """Compile, in place, what runs thousands of times, where the profile wants it."""
        if self.compile:
            module.compile()

    def move(self, tensor: Tensor) -> Tensor:
        """A batch from the host; from pinned memory the copy does not wait for what the device is doing."""
        if self.pin_memory:
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=self.pin_memory)

    def lay_out(self, pictures: Tensor) -> Tensor:
        """(n, c, h, w) in the memory layout of convolutional modules."""
        return (
            pictures.contiguous(memory_format=torch.channels_last)
            if self.channels_last
            else pictures.contiguous()
        )

    def autocast(self) -> torch.autocast:
        """Matrix products in the profile's type; as they are, where the machine has no arithmetic of that type."""
        narrow = self.autocast_dtype != torch.float32
        return torch.autocast(self.device.type, self.autocast_dtype if narrow else None, enabled=narrow)

    def attention(self) -> AbstractContextManager[Any]:
        """Which attention a backward pass goes through."""
        return sdpa_kernel(SDPBackend.MATH) if self.plain_attention else nullcontext()


def fast_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """`dtype`, or float32 on a processor that would compute bfloat16 bit by bit, hundreds of times slower."""
    slow = device.type == CPU.device and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.float32 if slow and dtype == torch.bfloat16 else dtype
