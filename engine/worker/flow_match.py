"""Flow matching by Euler's method over rows: each row has its own schedule and step.

Copies FlowMatchEulerDiscreteScheduler.step, its operation order and its casts included, so that a row is what the
scheduler would have made of it (Esser et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from engine.worker.request_state import DenoisingState, Schedule

NAME = "flow_euler"


class FlowMatchEuler:
    """The schedules of one model, built from the model's own scheduler configuration."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self.schedule = lru_cache(maxsize=64)(self._schedule)

    def _schedule(self, sigmas: tuple[float, ...], tokens: int, strength: float = 1.0) -> Schedule:
        """The last `strength` of the schedule that falls by `sigmas` before it is shifted, at least one step.

        `tokens`: how many the picture has; larger pictures stay noisy for longer where the model shifts by size.
        """
        prototype = FlowMatchEulerDiscreteScheduler.from_config(self._scheduler.config)
        prototype.set_timesteps(sigmas=list(sigmas), mu=_shift(prototype.config, tokens), device="cpu")
        steps = len(sigmas)
        begin = min(int(max(steps - min(steps * strength, steps), 0)), steps - 1)
        prototype.set_begin_index(begin)
        levels = prototype.sigmas.to(torch.float32)
        now, following = levels[begin:-1], levels[begin + 1 :]
        timesteps = prototype.timesteps[begin:]
        return Schedule(
            sampler=NAME,
            timesteps=tuple(float(timestep) for timestep in timesteps),
            init_noise_sigma=1.0,
            prototype=prototype,
            input_scale=(1.0,) * len(timesteps),
            table=tuple(map(tuple, torch.stack([now, following - now], dim=1).tolist())),
            draws=(False,) * len(timesteps),
        )


def flow_step(
    pictures: Sequence[DenoisingState], sample: torch.Tensor, output: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of every row: (latents, predicted final latents), both shaped as `sample`, whose rows come first.

    `output` is the model's velocity, from the picture towards the noise.
    """
    rows = [
        picture.schedule.table[picture.step] for picture in pictures if picture.schedule.table is not None
    ]
    scalars = torch.tensor(rows, dtype=torch.float32).to(output.device)
    sigma, change = (c.view(-1, *[1] * (output.dim() - 1)) for c in scalars.unbind(1))
    # torch rounds a single number to the dtype of the tensor it meets, as in diffusers; a column would widen the tensor.
    moved = sample.to(torch.float32) + change.to(output.dtype) * output
    return moved.to(output.dtype), (sample - sigma * output).to(output.dtype)


def _shift(config: Any, tokens: int) -> float:
    """The exponent of the time shift, on a line through the model's smallest and largest picture."""
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    base, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (most - base) / (high - low)
    shift: float = tokens * slope + (base - slope * low)
    return shift
