"""unCLIP's own noise solver over rows: each row has its own schedule and step.

Ancestral sampling as in Ho et al. 2020 with betas that follow from the steps left out, and a variance that is fixed or that
the model tells (Nichol and Dhariwal 2021). Copies the operation order of diffusers' UnCLIPScheduler, with every scalar
computed in advance as diffusers computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.worker.request_state import DenoisingState, Schedule

UNCLIP = "unclip"
"""What requests call it."""


def unclip_schedule(scheduler: Any, steps: int) -> Schedule:
    """Of a diffusers UnCLIPScheduler, which stays as it is."""
    prototype = type(scheduler).from_config(scheduler.config)
    if steps == 1:
        # diffusers spreads the steps from the first timestep to the last, which takes two.
        prototype.timesteps = torch.tensor([prototype.config.num_train_timesteps - 1])
    else:
        prototype.set_timesteps(steps, device="cpu")
    times = [int(time) for time in prototype.timesteps]
    rows = [_row(prototype, time, after) for time, after in zip(times, [*times[1:], None], strict=True)]
    return Schedule(
        sampler=UNCLIP,
        timesteps=tuple(map(float, times)),
        init_noise_sigma=prototype.init_noise_sigma,
        prototype=prototype,
        input_scale=(1.0,) * len(times),
        table=tuple(map(tuple, torch.tensor(rows, dtype=torch.float32).tolist())),
        # At the last of all timesteps nothing is left to be drawn.
        draws=tuple(time > 0 for time in times),
    )


def unclip_step(pictures: Sequence[DenoisingState], output: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What each picture becomes, and what it foresees to become in the end; each (rows, …) like its latents.

    `output` is (rows of all pictures, …), guided: the noise or the final latents, as the scheduler's configuration says; of
    twice as many channels where the model tells its variance. Only `pending_noise` of a picture is touched.
    """
    config = pictures[0].schedule.prototype.config
    sample = torch.cat([picture.latents for picture in pictures])
    learned = config.variance_type == "learned_range" and output.shape[1] == 2 * sample.shape[1]
    told = None
    if learned:
        output, told = output.split(sample.shape[1], dim=1)
    counts = [len(picture.latents) for picture in pictures]
    tables = [
        _of_step(picture) for picture, count in zip(pictures, counts, strict=True) for _ in range(count)
    ]
    columns = torch.tensor(tables, dtype=torch.float32).to(output.device).unbind(1)
    signal, noisy, of_final, of_sample, least, most = (
        column.view(-1, *[1] * (sample.ndim - 1)) for column in columns
    )
    final = output
    if config.prediction_type == "epsilon":
        final = (sample - noisy * output) / signal
    if config.get("thresholding", False):
        final = pictures[0].schedule.prototype._threshold_sample(final)
    elif config.clip_sample:
        final = final.clamp(-config.clip_sample_range, config.clip_sample_range)
    stepped = of_final * final + of_sample * sample
    if any(picture.schedule.draws[picture.step] for picture in pictures):
        if told is None:
            spread = least
        else:
            share = (told + 1) / 2
            spread = (0.5 * (share * most + (1 - share) * least)).exp()
        drawn = torch.cat([_noise(picture, output) for picture in pictures]).to(output.device)
        stepped = stepped + spread * drawn
    stepped, final = stepped.to(output.dtype), final.to(output.dtype)
    return list(zip(stepped.split(counts), final.split(counts), strict=True))


def _of_step(picture: DenoisingState) -> tuple[float, ...]:
    assert picture.schedule.table is not None, "made by `unclip_schedule`"
    return picture.schedule.table[picture.step]


def _noise(picture: DenoisingState, output: Tensor) -> Tensor:
    """Like the picture's latents, on the CPU: what the picture's own generator draws for this step, or nothing."""
    shape = picture.latents.shape
    if not picture.schedule.draws[picture.step]:
        return torch.zeros(shape, dtype=output.dtype)
    if picture.pending_noise is None:
        picture.pending_noise = torch.randn(shape, generator=picture.generator, dtype=output.dtype)
    return picture.pending_noise


def _row(scheduler: Any, time: int, after: int | None) -> list[float]:
    """Of one step, with 0-dim float32 tensors in the order of the scheduler's own `step`: the shares of final latents and
    noise in the sample; the weights of the final latents and of the sample in what it becomes; the spread of the noise where
    it is fixed, and else the logarithms of its least and most variance.
    """
    before = time - 1 if after is None else after
    alpha = scheduler.alphas_cumprod[time]
    alpha_before = scheduler.alphas_cumprod[before] if before >= 0 else scheduler.one
    beta, beta_before = 1 - alpha, 1 - alpha_before
    if before == time - 1:
        own_beta, own_alpha = scheduler.betas[time], scheduler.alphas[time]
    else:
        own_beta = 1 - alpha / alpha_before
        own_alpha = 1 - own_beta
    of_final = (alpha_before**0.5 * own_beta) / beta
    of_sample = own_alpha**0.5 * beta_before / beta
    variance = beta_before / beta * own_beta
    if scheduler.config.variance_type == "fixed_small_log":
        least = torch.exp(0.5 * torch.log(torch.clamp(variance, min=1e-20)))
    else:
        least = variance.log() if time > 0 else torch.zeros(())
    columns = (alpha**0.5, beta**0.5, of_final, of_sample, least, own_beta.log())
    return [float(column) for column in columns]
