"""Samplers over rows: each row has its own schedule, step and history.

The vector samplers copy the operation order and the float32 casts of diffusers' schedulers, with every scalar
computed in advance as diffusers computes it, so that a row is what `*Scheduler.step` would have made of it.
Samplers without a vector form step through a diffusers scheduler of each picture's own.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import diffusers
import torch
from diffusers.configuration_utils import FrozenDict

from engine.worker.request_state import PictureState, Schedule

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m_karras": (
        "DPMSolverMultistepScheduler",
        {
            "use_karras_sigmas": True,
            "algorithm_type": "dpmsolver++",
            "solver_order": 2,
            "solver_type": "midpoint",
        },
    ),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
"""Our name → the diffusers scheduler and what is set beyond the model's own scheduler configuration."""


class Samplers:
    """The samplers of one model, built from the model's own scheduler configuration."""

    def __init__(self, scheduler: Any) -> None:
        # StableDiffusionPipeline rewrites these two values of old configurations when it is built; without
        # the same rewriting, schedules are one timestep off or clip latents.
        config = dict(scheduler.config)
        if config.get("steps_offset", 1) != 1:
            config["steps_offset"] = 1
        if config.get("clip_sample", False) is True:
            config["clip_sample"] = False
        scheduler._internal_dict = FrozenDict(config)
        self._scheduler = scheduler
        self.schedule = lru_cache(maxsize=64)(self._schedule)

    def _schedule(self, sampler: str, steps: int, strength: float = 1.0) -> Schedule:
        """The last `strength` of a schedule of `steps` steps, at least one of them."""
        name, changes = SAMPLERS[sampler]
        prototype = getattr(diffusers, name).from_config(self._scheduler.config, **changes)
        prototype.set_timesteps(steps, device="cpu")
        if len(prototype.timesteps) > steps:
            _drop_overshoot(prototype, steps)
        init_noise_sigma = prototype.init_noise_sigma
        begin = len(prototype.timesteps) - max(1, min(int(steps * strength), steps)) if strength < 1 else 0
        if hasattr(prototype, "set_begin_index"):
            # Without it diffusers looks the first timestep up, and of two equal ones it takes the second: under zero
            # terminal SNR the first Karras sigmas all round to timestep 999, and it would run off the end of its table.
            prototype.set_begin_index(begin)
        indices = range(begin, len(prototype.timesteps))
        sigmas = getattr(prototype, "sigmas", ())
        scaled = sampler in ("euler", "euler_a")
        scales = [(sigmas[i] ** 2 + 1) ** 0.5 if scaled else _ONE for i in indices]
        table = None
        if sampler in _TABLES and not prototype.config.get("thresholding", False):
            rows = [_TABLES[sampler](prototype, index, begin) for index in indices]
            table = torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float32)
        last = len(prototype.timesteps) - 1
        return Schedule(
            sampler=sampler,
            timesteps=tuple(float(t) for t in prototype.timesteps[begin:]),
            init_noise_sigma=init_noise_sigma,
            prototype=prototype,
            input_scale=torch.stack([torch.as_tensor(scale, dtype=torch.float32) for scale in scales]),
            table=table,
            draws=tuple(sampler == "euler_a" or (sampler == "lcm" and index != last) for index in indices),
        )

    def step(
        self, pictures: Sequence[PictureState], output: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor, Any]]:
        """What each picture becomes: (latents, predicted final latents, what to remember), each (1, c, h, w).

        `output` is (pictures, c, h, w), the guided prediction of the UNet. Only `pending_noise` of a picture
        is touched.
        """
        results: dict[int, tuple[torch.Tensor, torch.Tensor, Any]] = {}
        groups: dict[str, list[int]] = {}
        for row, picture in enumerate(pictures):
            if picture.schedule.table is None:
                results[row] = _solver_step(picture, output[row : row + 1])
            else:
                groups.setdefault(picture.schedule.sampler, []).append(row)
        for sampler, rows in groups.items():
            group = [pictures[row] for row in rows]
            of_group = output if len(rows) == len(pictures) else output[rows]
            latents, predicted, remembered = self._vector_step(sampler, group, of_group)
            for position, row in enumerate(rows):
                here = slice(position, position + 1)
                memory = None if remembered is None else remembered[here]
                results[row] = (latents[here], predicted[here], memory)
        return [results[row] for row in range(len(pictures))]

    def _vector_step(
        self, sampler: str, pictures: Sequence[PictureState], output: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        config = pictures[0].schedule.prototype.config
        sample = torch.cat([picture.latents for picture in pictures])
        tables = [
            picture.schedule.table[picture.step] for picture in pictures if picture.schedule.table is not None
        ]
        scalars = [c.view(-1, 1, 1, 1) for c in torch.stack(tables).to(output.device).unbind(1)]
        if sampler == "ddim":
            return _ddim(config, output, sample, scalars)
        if sampler == "dpmpp_2m_karras":
            return _dpmpp_2m(config, output, sample, scalars, pictures)
        noise = torch.cat([_noise(picture, output) for picture in pictures])
        if sampler == "lcm":
            return _lcm(config, output, sample, scalars, noise)
        return _euler(config, output, sample, scalars, noise if sampler == "euler_a" else None)


def _drop_overshoot(prototype: Any, steps: int) -> None:
    """Cut a schedule back to the steps that were asked for.

    With trailing spacing diffusers counts down from 1000 by 1000 / steps in floating point. At a few counts (61, 103,
    121…) rounding leaves a remainder above 0, and with it one more step, at timestep −1, whose signal is that of
    the noisiest step of all: the picture would be undone at the very end.
    """
    prototype.timesteps = prototype.timesteps[:steps]
    if hasattr(prototype, "sigmas"):
        prototype.sigmas = torch.cat([prototype.sigmas[:steps], prototype.sigmas[-1:]])
    prototype.num_inference_steps = steps


def _noise(picture: PictureState, output: torch.Tensor) -> torch.Tensor:
    if not picture.schedule.draws[picture.step]:
        return torch.zeros_like(picture.latents)
    if picture.pending_noise is None:
        picture.pending_noise = torch.randn(
            picture.latents.shape, generator=picture.generator, dtype=output.dtype
        )
    return picture.pending_noise.to(output.device)


def _solver_step(picture: PictureState, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """One step of a diffusers scheduler, on a copy, so that it can be tried again from the same state."""
    solver = copy.copy(picture.solver or picture.schedule.prototype)
    for name in ("model_outputs", "timestep_list"):
        if hasattr(solver, name):
            setattr(solver, name, list(getattr(solver, name)))
    index = len(solver.timesteps) - len(picture.schedule.timesteps) + picture.step
    takes_generator = "generator" in inspect.signature(solver.step).parameters
    extra = {"generator": picture.generator} if takes_generator else {}
    result = solver.step(output, solver.timesteps[index], picture.latents, return_dict=False, **extra)
    outputs = getattr(solver, "model_outputs", None)
    predicted = result[1] if len(result) > 1 else outputs[-1] if outputs else result[0]
    return result[0], predicted, solver


# transformers changes torch's default dtype, in the whole process, while it loads a model: what is made here names its own.
_ZERO = torch.tensor(0.0, dtype=torch.float32)
_ONE = torch.tensor(1.0, dtype=torch.float32)

_LCM_SIGMA_DATA = 0.5
"""As LCMScheduler has it, where it is no part of the configuration."""

# Each table row below is computed with 0-dim float32 tensors, in the order of the scheduler's own `step`.


def _ddim_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    timestep = scheduler.timesteps[index]
    previous = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    alpha = scheduler.alphas_cumprod[timestep]
    alpha_previous = scheduler.alphas_cumprod[previous] if previous >= 0 else scheduler.final_alpha_cumprod
    beta = 1 - alpha
    return alpha**0.5, beta**0.5, alpha_previous**0.5, (1 - alpha_previous) ** 0.5


def _ddim(
    config: Any, output: torch.Tensor, sample: torch.Tensor, scalars: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, None]:
    """Song et al. 2020, eta = 0; as DDIMScheduler.step."""
    alpha, beta, alpha_previous, direction = scalars
    if config.prediction_type == "epsilon":
        predicted = (sample - beta * output) / alpha
        epsilon = output
    elif config.prediction_type == "sample":
        predicted = output
        epsilon = (sample - alpha * predicted) / beta
    else:
        predicted = alpha * sample - beta * output
        epsilon = alpha * output + beta * sample
    if config.clip_sample:
        predicted = predicted.clamp(-config.clip_sample_range, config.clip_sample_range)
    latents = alpha_previous * predicted + direction * epsilon
    return latents.to(output.dtype), predicted, None


def _euler_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    sigma, sigma_to = scheduler.sigmas[index], scheduler.sigmas[index + 1]
    return sigma, -sigma / (sigma**2 + 1) ** 0.5, sigma**2 + 1, sigma_to - sigma, _ZERO


def _euler_a_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    sigma, sigma_to = scheduler.sigmas[index], scheduler.sigmas[index + 1]
    sigma_up = (sigma_to**2 * (sigma**2 - sigma_to**2) / sigma**2) ** 0.5
    sigma_down = (sigma_to**2 - sigma_up**2) ** 0.5
    return sigma, -sigma / (sigma**2 + 1) ** 0.5, sigma**2 + 1, sigma_down - sigma, sigma_up


def _euler(
    config: Any,
    output: torch.Tensor,
    sample: torch.Tensor,
    scalars: list[torch.Tensor],
    noise: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, None]:
    """Karras et al. 2022 without churn; with noise, ancestral. As Euler(Ancestral)DiscreteScheduler.step."""
    sigma, c_out, divisor, dt, sigma_up = scalars
    sample = sample.to(torch.float32)
    if config.prediction_type == "epsilon":
        predicted = sample - sigma * output
    elif config.prediction_type == "v_prediction":
        predicted = output * c_out + (sample / divisor)
    else:
        predicted = output
    derivative = (sample - predicted) / sigma
    latents = sample + derivative * dt
    if noise is not None:
        latents = latents + noise * sigma_up
    return latents.to(output.dtype), predicted, None


def _dpmpp_2m_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    config, sigmas, last = scheduler.config, scheduler.sigmas, len(scheduler.timesteps) - 1
    alpha_t, sigma_t = scheduler._sigma_to_alpha_sigma_t(sigmas[index + 1])
    alpha_s, sigma_s = scheduler._sigma_to_alpha_sigma_t(sigmas[index])
    lambda_t = torch.log(alpha_t) - torch.log(sigma_t)
    lambda_s = torch.log(alpha_s) - torch.log(sigma_s)
    h = lambda_t - lambda_s
    slope = alpha_t * (torch.exp(-h) - 1.0)
    final = index == last and (
        config.euler_at_final
        or (config.lower_order_final and len(scheduler.timesteps) < 15)
        or config.final_sigmas_type == "zero"
    )
    # A first-order step is a second-order one whose correction weighs nothing.
    inverse_r, correction = _ZERO, _ZERO
    if index > begin and not final:
        alpha_before, sigma_before = scheduler._sigma_to_alpha_sigma_t(sigmas[index - 1])
        lambda_before = torch.log(alpha_before) - torch.log(sigma_before)
        inverse_r, correction = 1.0 / ((lambda_s - lambda_before) / h), 0.5 * slope
    return alpha_s, sigma_s, sigma_t / sigma_s, slope, inverse_r, correction


def _dpmpp_2m(
    config: Any,
    output: torch.Tensor,
    sample: torch.Tensor,
    scalars: list[torch.Tensor],
    pictures: Sequence[PictureState],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """DPM-Solver++(2M), Lu et al. 2022, midpoint; as DPMSolverMultistepScheduler.step."""
    alpha, sigma, ratio, slope, inverse_r, correction = scalars
    if config.prediction_type == "epsilon":
        predicted = (sample - sigma * output) / alpha
    elif config.prediction_type == "v_prediction":
        predicted = alpha * sample - sigma * output
    else:
        predicted = output
    predicted = predicted.to(output.dtype)
    before = torch.cat(
        [
            predicted[row : row + 1] if picture.previous_output is None else picture.previous_output
            for row, picture in enumerate(pictures)
        ]
    )
    difference = inverse_r * (predicted - before)
    sample = sample.to(torch.float32)
    latents = ratio * sample - slope * predicted - correction * difference
    return latents.to(output.dtype), predicted, predicted


def _lcm_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    timestep, last = scheduler.timesteps[index], len(scheduler.timesteps) - 1
    alpha = scheduler.alphas_cumprod[timestep]
    # The scheduler's own boundary scalings start from a whole number, and so come out in torch's default dtype.
    scaled = timestep.to(torch.float32) * scheduler.config.timestep_scaling
    square = scaled**2 + _LCM_SIGMA_DATA**2
    c_skip, c_out = _LCM_SIGMA_DATA**2 / square, scaled / square**0.5
    keep, add = _ONE, _ZERO
    if index != last:
        alpha_previous = scheduler.alphas_cumprod[scheduler.timesteps[index + 1]]
        keep, add = alpha_previous.sqrt(), (1 - alpha_previous).sqrt()
    return alpha.sqrt(), (1 - alpha).sqrt(), c_skip, c_out, keep, add


def _lcm(
    config: Any, output: torch.Tensor, sample: torch.Tensor, scalars: list[torch.Tensor], noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, None]:
    """Latent consistency models, Luo et al. 2023; as LCMScheduler.step."""
    alpha, beta, c_skip, c_out, keep, add = scalars
    if config.prediction_type == "epsilon":
        predicted = (sample - beta * output) / alpha
    elif config.prediction_type == "v_prediction":
        predicted = alpha * sample - beta * output
    else:
        predicted = output
    if config.clip_sample:
        predicted = predicted.clamp(-config.clip_sample_range, config.clip_sample_range)
    denoised = c_out * predicted + c_skip * sample
    latents = keep * denoised + add * noise
    return latents.to(output.dtype), denoised, None


_TABLES: dict[str, Callable[[Any, int, int], tuple[Any, ...]]] = {
    "ddim": _ddim_row,
    "euler": _euler_row,
    "euler_a": _euler_a_row,
    "dpmpp_2m_karras": _dpmpp_2m_row,
    "lcm": _lcm_row,
}
