"""Every sampler at every legal number of steps: what diffusers computes, and a picture where diffusers gives up.

No network is needed for the algebra: a formula takes the UNet's place.
"""

from __future__ import annotations

import inspect
import json
import math
from typing import Any

import diffusers
import pytest
import torch

from engine.catalog import EMBEDDED_DIR, SAMPLER_MAX_STEPS
from engine.config import EMBEDDED_MODEL
from engine.worker.request_state import DenoisingState, Schedule
from engine.worker.samplers import SAMPLERS, Samplers

MOST_STEPS = 150
COUNTS = (1, 2, 3, 4, 5, 7, 10, 14, 15, 16, 20, 21, 25, 30, 47, 50, 61, 77, 100, 103, 121, 122, 149, 150)
"""Around every count at which a solver changes its orders, and far up; one test looks at all of them."""

SD_15 = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "sd-1.5": SD_15,
    "sd-2": SD_15 | {"prediction_type": "v_prediction"},
    "embedded": json.loads(
        (EMBEDDED_DIR / EMBEDDED_MODEL / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8")
    ),
}

DIFFUSERS_RAISES = {
    # Down from the huge noise of zero terminal SNR, the first Karras sigmas all round to timestep 999. Asked
    # without a begin index, diffusers starts at the second of them and runs off the end of its table.
    ("embedded", "dpmpp_2m_karras"): range(21, MOST_STEPS + 1),
}


DIFFUSERS_ADDS_A_STEP = {
    # Trailing spacing in floating point leaves a remainder, and with it a step at timestep -1.
    ("embedded", sampler): (61, 103, 121, 122)
    for sampler in ("ddim", "dpmpp_2m", "dpmpp_2m_sde", "euler", "euler_a", "heun", "unipc")
}


def samplers_of(schedule: str) -> Samplers:
    return Samplers(diffusers.DDIMScheduler.from_config(SCHEDULES[schedule]))


def theirs(schedule: str, sampler: str, steps: int) -> Any:
    name, changes = SAMPLERS[sampler]
    base = diffusers.DDIMScheduler.from_config(SCHEDULES[schedule])
    scheduler = getattr(diffusers, name).from_config(base.config, **changes)
    scheduler.set_timesteps(steps)
    return scheduler


def formula(latents: torch.Tensor, timestep: float) -> torch.Tensor:
    """Any smooth function of both will do where two solvers are compared."""
    return 0.6 * latents.roll(1, -1) + 0.3 * torch.tanh(latents) + timestep / 4000


def noise() -> torch.Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def picture_of(schedule: Schedule) -> DenoisingState:
    return DenoisingState(
        request_id="one",
        index=0,
        generator=torch.Generator().manual_seed(6),
        schedule=schedule,
        steps_in_pass=schedule.steps(),
        latents=noise() * schedule.init_noise_sigma,
        cond=torch.empty(0),
        uncond=None,
        guidance_scale=1.0,
    )


def sample(samplers: Samplers, sampler: str, steps: int, unet: Any = formula) -> torch.Tensor:
    """What the engine makes of a schedule: the loop of the family's `denoise` around a formula."""
    picture = picture_of(samplers.schedule(sampler, steps))
    while not picture.done:
        latents = picture.latents / picture.schedule.input_scale[picture.step]
        output = unet(latents, picture.schedule.timesteps[picture.step])
        [(picture.latents, _, remembered)] = samplers.step([picture], output)
        if picture.schedule.table is None:
            picture.solver = remembered
        else:
            picture.previous_output = remembered
        picture.pending_noise = None
        picture.step += 1
    return picture.latents


def sample_with_diffusers(scheduler: Any, begin_index: int | None = None) -> torch.Tensor:
    """The loop of diffusers' own pipeline."""
    if begin_index is not None:
        scheduler.set_begin_index(begin_index)
    generator = torch.Generator().manual_seed(6)
    latents = noise() * scheduler.init_noise_sigma
    draws = "generator" in inspect.signature(scheduler.step).parameters
    extra = {"generator": generator} if draws else {}
    for timestep in scheduler.timesteps:
        output = formula(scheduler.scale_model_input(latents, timestep), float(timestep))
        latents = scheduler.step(output, timestep, latents, **extra).prev_sample
    return latents


@pytest.mark.parametrize("steps", COUNTS)
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_steps_as_diffusers_does(schedule: str, sampler: str, steps: int) -> None:
    if steps > SAMPLER_MAX_STEPS.get(sampler, MOST_STEPS):
        with pytest.raises(ValueError, match="smaller than `num_inference_steps`"):
            theirs(schedule, sampler, steps)
        return
    ours = sample(samplers_of(schedule), sampler, steps)
    assert ours.isfinite().all()
    if steps in DIFFUSERS_ADDS_A_STEP.get((schedule, sampler), ()):
        assert float(theirs(schedule, sampler, steps).timesteps[-1]) == -1
        return  # The tests below say what these steps lead to.
    begin_index = None
    if steps in DIFFUSERS_RAISES.get((schedule, sampler), ()):
        with pytest.raises(IndexError):
            sample_with_diffusers(theirs(schedule, sampler, steps))
        begin_index = 0  # Told where to begin, diffusers does what the engine does.
    assert torch.equal(ours, sample_with_diffusers(theirs(schedule, sampler, steps), begin_index))


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_count_has_its_steps(schedule: str, sampler: str) -> None:
    samplers = samplers_of(schedule)
    # Trailing spacing is the one whose rounding depends on every count.
    counts = range(1, MOST_STEPS + 1) if schedule == "embedded" and sampler in ("ddim", "heun") else COUNTS
    for steps in counts:
        if steps > SAMPLER_MAX_STEPS.get(sampler, MOST_STEPS):
            continue
        drawn = samplers.schedule(sampler, steps)
        asked = 2 * steps - 1 if sampler == "heun" else steps
        assert len(drawn.timesteps) == len(drawn.draws) == len(drawn.input_scale) == asked
        assert list(drawn.timesteps) == sorted(drawn.timesteps, reverse=True)
        assert drawn.table is None or all(math.isfinite(value) for row in drawn.table for value in row)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_denoiser_that_knows_the_picture_is_led_to_it(schedule: str, sampler: str) -> None:
    """No step is skipped, doubled or weighed wrongly, also from the infinite noise of zero terminal SNR."""
    samplers = samplers_of(schedule)
    config = samplers._scheduler.config
    # Two schedulers know no zero terminal SNR, and so have another idea of how noisy a timestep is.
    own = sampler in ("heun", "dpmpp_sde")
    base = samplers.schedule(sampler, 1).prototype if own else samplers._scheduler
    alphas = base.alphas_cumprod.double()
    target = torch.linspace(-2, 2, 256, dtype=torch.float64).reshape(1, 4, 8, 8)

    def knowing(latents: torch.Tensor, timestep: float) -> torch.Tensor:
        signal, spread = alphas[round(timestep)] ** 0.5, (1 - alphas[round(timestep)]) ** 0.5
        epsilon = (latents - signal * target) / spread
        return epsilon if config.prediction_type == "epsilon" else signal * epsilon - spread * target

    for steps in COUNTS:
        if steps == 1 and sampler == "ddim" and config.timestep_spacing == "leading":
            continue  # Leading spacing puts a lone step at timestep 1, where DDIM takes all noise for picture.
        if steps <= SAMPLER_MAX_STEPS.get(sampler, MOST_STEPS):
            found = sample(samplers, sampler, steps, knowing)
            # DDIM and TCD end at the least noise of the training schedule instead of none.
            assert (found - target).abs().max() < (0.12 if sampler in ("ddim", "tcd") else 0.001), steps


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_model_that_loads_meanwhile_changes_nothing(sampler: str) -> None:
    """diffusers and transformers change torch's default dtype, in the whole process, while they build a model."""
    expected = sample(samplers_of("sd-1.5"), sampler, 6)
    torch.set_default_dtype(torch.float16)
    try:
        found = sample(samplers_of("sd-1.5"), sampler, 6)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)
