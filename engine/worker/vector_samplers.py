"""The vector forms of the common samplers: a table row of scalars per step, and one update over all rows.

Each copies the operation order and the float32 casts of the diffusers scheduler it is named after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.worker.request_state import DenoisingState


def vector_step(
    pictures: Sequence[DenoisingState], output: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Step pictures of one formula together: (latents, predicted final latents, what to remember), each (n, c, h, w)."""
    first = pictures[0].schedule
    tables = [
        picture.schedule.table[picture.step] for picture in pictures if picture.schedule.table is not None
    ]
    table = torch.tensor(tables, dtype=torch.float32).to(output.device)
    scalars = [column.view(-1, 1, 1, 1) for column in table.unbind(1)]
    sample = torch.cat([picture.latents for picture in pictures])
    formula = VECTOR_FORMS[first.sampler].formula
    latents, predicted = formula(_Rows(first.prototype.config, sample, output, scalars, pictures))
    if any(picture.schedule.draws[picture.step] for picture in pictures):
        # diffusers draws the noise of this one sampler in float32, whatever the model computes in.
        dtype = torch.float32 if formula is _dpmpp_2m else output.dtype
        noise = torch.cat([_noise(picture, dtype) for picture in pictures]).to(output.device)
        latents = latents + scalars[-1] * noise
    return latents.to(output.dtype), predicted, predicted if formula is _dpmpp_2m else None


@dataclass(frozen=True, eq=False)
class _Rows:
    """What a formula is applied to: tensors (n, c, h, w), a row for each picture."""

    config: Any
    """Of the diffusers scheduler."""
    sample: torch.Tensor
    output: torch.Tensor
    """The model's prediction."""
    scalars: list[torch.Tensor]
    """The columns of the sampler's table, each (n, 1, 1, 1)."""
    pictures: Sequence[DenoisingState]


@dataclass(frozen=True)
class VectorForm:
    """How a sampler steps many rows at once. Samplers that differ only in their table share a formula, and steps."""

    row: Callable[[Any, int, int], tuple[Any, ...]]
    """Of a scheduler, the index of a step and that of the first: its scalars, the last of which weighs the step's noise."""
    formula: Callable[[_Rows], tuple[torch.Tensor, torch.Tensor]]
    """What the rows become, but for the noise, and the final latents that they foresee."""


def _noise(picture: DenoisingState, dtype: torch.dtype) -> torch.Tensor:
    """(1, c, h, w) on the CPU: what the picture's own generator draws for this step, or nothing."""
    if not picture.schedule.draws[picture.step]:
        return torch.zeros(picture.latents.shape, dtype=dtype)
    if picture.pending_noise is None:
        picture.pending_noise = torch.randn(picture.latents.shape, generator=picture.generator, dtype=dtype)
    return picture.pending_noise


# transformers changes torch's default dtype, in the whole process, while it loads a model: what is made here names its own.
_ZERO = torch.tensor(0.0, dtype=torch.float32)
ONE = torch.tensor(1.0, dtype=torch.float32)

_LCM_SIGMA_DATA = 0.5
"""As LCMScheduler has it, where it is no part of the configuration."""

# Each table row below is computed with 0-dim float32 tensors, in the order of the scheduler's own `step`.


def _ddim_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    timestep = scheduler.timesteps[index]
    previous = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    alpha = scheduler.alphas_cumprod[timestep]
    alpha_previous = scheduler.alphas_cumprod[previous] if previous >= 0 else scheduler.final_alpha_cumprod
    beta = 1 - alpha
    return alpha**0.5, beta**0.5, alpha_previous**0.5, (1 - alpha_previous) ** 0.5, _ZERO


def _ddim(rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Song et al. 2020, eta = 0; as DDIMScheduler.step."""
    _, _, alpha_previous, direction, _ = rows.scalars
    predicted = _clipped(_predicted(rows), rows.config)
    return alpha_previous * predicted + direction * _epsilon(rows), predicted


def _euler_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    return _euler_scalars(scheduler.sigmas[index], scheduler.sigmas[index + 1], _ZERO)


def _euler_a_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    sigma, sigma_to = scheduler.sigmas[index], scheduler.sigmas[index + 1]
    sigma_up = (sigma_to**2 * (sigma**2 - sigma_to**2) / sigma**2) ** 0.5
    return _euler_scalars(sigma, (sigma_to**2 - sigma_up**2) ** 0.5, sigma_up)


def _euler_scalars(sigma: Any, sigma_down: Any, sigma_up: Any) -> tuple[Any, ...]:
    return sigma, -sigma / (sigma**2 + 1) ** 0.5, sigma**2 + 1, sigma_down - sigma, sigma_up


def _euler(rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Karras et al. 2022 without churn; with noise, ancestral. As Euler(Ancestral)DiscreteScheduler.step."""
    sigma, c_out, divisor, dt, _ = rows.scalars
    sample, output = rows.sample.to(torch.float32), rows.output
    if rows.config.prediction_type == "epsilon":
        predicted = sample - sigma * output
    elif rows.config.prediction_type == "v_prediction":
        predicted = output * c_out + (sample / divisor)
    else:
        predicted = output
    derivative = (sample - predicted) / sigma
    return sample + derivative * dt, predicted


def _dpmpp_2m_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    config, sigmas, last = scheduler.config, scheduler.sigmas, len(scheduler.timesteps) - 1
    alpha_t, sigma_t = scheduler._sigma_to_alpha_sigma_t(sigmas[index + 1])
    alpha_s, sigma_s = scheduler._sigma_to_alpha_sigma_t(sigmas[index])
    lambda_t = torch.log(alpha_t) - torch.log(sigma_t)
    lambda_s = torch.log(alpha_s) - torch.log(sigma_s)
    h = lambda_t - lambda_s
    if config.algorithm_type == "sde-dpmsolver++":
        ratio = sigma_t / sigma_s * torch.exp(-h)
        slope = alpha_t * (1 - torch.exp(-2.0 * h))
        spread = sigma_t * torch.sqrt(1.0 - torch.exp(-2 * h))
    else:
        # diffusers subtracts where the other adds, which is the same number.
        ratio, slope, spread = sigma_t / sigma_s, -(alpha_t * (torch.exp(-h) - 1.0)), _ZERO
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
    return alpha_s, sigma_s, ratio, slope, inverse_r, correction, spread


def _dpmpp_2m(rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """DPM-Solver++(2M) and, with noise, SDE-DPM-Solver++(2M), Lu et al. 2022, midpoint; as DPMSolverMultistepScheduler.step."""
    _, _, ratio, slope, inverse_r, correction, _ = rows.scalars
    predicted = _predicted(rows).to(rows.output.dtype)
    difference = inverse_r * (predicted - _before(predicted, rows.pictures))
    sample = rows.sample.to(torch.float32)
    return ratio * sample + slope * predicted + correction * difference, predicted


def _before(predicted: torch.Tensor, pictures: Sequence[DenoisingState]) -> torch.Tensor:
    """What each picture's last step predicted; on its first step, what this one does."""
    return torch.cat(
        [
            predicted[row : row + 1] if picture.previous_output is None else picture.previous_output
            for row, picture in enumerate(pictures)
        ]
    )


def _lcm_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    timestep, last = scheduler.timesteps[index], len(scheduler.timesteps) - 1
    alpha = scheduler.alphas_cumprod[timestep]
    # The scheduler's own boundary scalings start from a whole number, and so come out in torch's default dtype.
    scaled = timestep.to(torch.float32) * scheduler.config.timestep_scaling
    square = scaled**2 + _LCM_SIGMA_DATA**2
    c_skip, c_out = _LCM_SIGMA_DATA**2 / square, scaled / square**0.5
    keep, add = ONE, _ZERO
    if index != last:
        alpha_previous = scheduler.alphas_cumprod[scheduler.timesteps[index + 1]]
        keep, add = alpha_previous.sqrt(), (1 - alpha_previous).sqrt()
    return alpha.sqrt(), (1 - alpha).sqrt(), c_skip, c_out, keep, add


def _lcm(rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent consistency models, Luo et al. 2023; as LCMScheduler.step."""
    _, _, c_skip, c_out, keep, _ = rows.scalars
    predicted = _clipped(_predicted(rows), rows.config)
    denoised = c_out * predicted + c_skip * rows.sample
    return keep * denoised, denoised


_TCD_GAMMA = 0.3
"""TCDScheduler.step's default: 0 is deterministic, 1 wholly stochastic."""


def _tcd_row(scheduler: Any, index: int, begin: int) -> tuple[Any, ...]:
    timestep, last = scheduler.timesteps[index], len(scheduler.timesteps) - 1
    previous = scheduler.timesteps[index + 1] if index != last else torch.tensor(0)
    # The scheduler multiplies a whole number here, and so would compute in torch's default dtype.
    target = torch.floor((1 - _TCD_GAMMA) * previous.to(torch.float32)).to(torch.long)
    alpha, alpha_previous = scheduler.alphas_cumprod[timestep], scheduler.alphas_cumprod[previous]
    alpha_target = scheduler.alphas_cumprod[target]
    keep, add = ONE, _ZERO
    if index != last:
        keep = (alpha_previous / alpha_target).sqrt()
        add = (1 - alpha_previous / alpha_target).sqrt()
    return alpha.sqrt(), (1 - alpha).sqrt(), alpha_target.sqrt(), (1 - alpha_target).sqrt(), keep, add


def _tcd(rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Trajectory consistency distillation, Zheng et al. 2024; as TCDScheduler.step."""
    _, _, alpha_target, beta_target, keep, _ = rows.scalars
    predicted = _predicted(rows)
    return keep * (alpha_target * predicted + beta_target * _epsilon(rows)), predicted


def _predicted(rows: _Rows) -> torch.Tensor:
    """The final latents, where the first two scalars are the shares of picture and noise in the sample."""
    alpha, beta = rows.scalars[:2]
    if rows.config.prediction_type == "epsilon":
        return (rows.sample - beta * rows.output) / alpha
    if rows.config.prediction_type == "v_prediction":
        return alpha * rows.sample - beta * rows.output
    return rows.output


def _epsilon(rows: _Rows) -> torch.Tensor:
    """The noise, likewise."""
    alpha, beta = rows.scalars[:2]
    if rows.config.prediction_type == "epsilon":
        return rows.output
    if rows.config.prediction_type == "v_prediction":
        return alpha * rows.output + beta * rows.sample
    return (rows.sample - alpha * rows.output) / beta


def _clipped(predicted: torch.Tensor, config: Any) -> torch.Tensor:
    if not config.clip_sample:
        return predicted
    return predicted.clamp(-config.clip_sample_range, config.clip_sample_range)


VECTOR_FORMS = {
    "ddim": VectorForm(_ddim_row, _ddim),
    "euler": VectorForm(_euler_row, _euler),
    "euler_a": VectorForm(_euler_a_row, _euler),
    "dpmpp_2m": VectorForm(_dpmpp_2m_row, _dpmpp_2m),
    "dpmpp_2m_karras": VectorForm(_dpmpp_2m_row, _dpmpp_2m),
    "dpmpp_2m_sde": VectorForm(_dpmpp_2m_row, _dpmpp_2m),
    "lcm": VectorForm(_lcm_row, _lcm),
    "tcd": VectorForm(_tcd_row, _tcd),
}
