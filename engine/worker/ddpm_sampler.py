"""Ancestral sampling of Ho et al. 2020 with variances that the model may tell, for latents: diffusers' DDPMScheduler.

Steps are taken by `unclip_step`, whose formula it shares; what differs is where the steps lie and how betas follow from them.
"""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from engine.worker.request_state import Schedule

DDPM = "ddpm"
"""What requests call it."""


def ddpm_schedule(scheduler: Any, steps: int, strength: float = 1.0) -> Schedule:
    """The last `strength` of so many steps, at least one of them, by the configuration of any diffusers scheduler."""
    prototype = diffusers.DDPMScheduler.from_config(scheduler.config)
    prototype.set_timesteps(steps, device="cpu")
    begin = steps - max(1, min(int(steps * strength), steps))
    times = list(prototype.timesteps)[begin:]
    rows = [_row(prototype, time) for time in times]
    return Schedule(
        sampler=DDPM,
        timesteps=tuple(map(float, times)),
        init_noise_sigma=prototype.init_noise_sigma,
        prototype=prototype,
        input_scale=(1.0,) * len(times),
        table=tuple(map(tuple, torch.tensor(rows, dtype=torch.float32).tolist())),
        draws=tuple(int(time) > 0 for time in times),
    )


def _row(scheduler: Any, time: torch.Tensor) -> list[float]:
    """The columns that `unclip_step` reads, with 0-dim float32 tensors in the order of the scheduler's own `step`."""
    before = scheduler.previous_timestep(time)
    alpha = scheduler.alphas_cumprod[time]
    alpha_before = scheduler.alphas_cumprod[before] if before >= 0 else scheduler.one
    beta, beta_before = 1 - alpha, 1 - alpha_before
    own_alpha = alpha / alpha_before
    own_beta = 1 - own_alpha
    of_final = (alpha_before**0.5 * own_beta) / beta
    of_sample = own_alpha**0.5 * beta_before / beta
    variance = torch.clamp(beta_before / beta * own_beta, min=1e-20)
    match scheduler.config.variance_type:
        case "learned_range":
            least = torch.log(variance)
        case "fixed_small_log":
            least = torch.exp(0.5 * torch.log(variance))
        case "fixed_large":
            least = own_beta**0.5
        case _:
            least = variance**0.5
    columns = (alpha**0.5, beta**0.5, of_final, of_sample, least, torch.log(own_beta))
    return [float(column) for column in columns]
