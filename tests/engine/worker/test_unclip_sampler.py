"""unCLIP's noise solver equals diffusers' UnCLIPScheduler, for every row by itself and in company."""

from __future__ import annotations

import pytest
import torch
from diffusers import UnCLIPScheduler
from torch import Tensor

from engine.worker.request_state import DenoisingState, Schedule
from engine.worker.unclip_sampler import unclip_schedule, unclip_step

CHANNELS = 3


def scheduler_of(variance: str, prediction: str) -> UnCLIPScheduler:
    return UnCLIPScheduler(variance_type=variance, prediction_type=prediction, clip_sample_range=2.0)


def formula(latents: Tensor, time: float, *, told: bool) -> Tensor:
    """Stands in for a model."""
    output = 0.7 * latents.roll(1, -1) + 0.2 * torch.tanh(latents) + time / 4000
    return torch.cat([output, torch.sin(latents)], dim=1) if told else output


def noise(seed: int) -> Tensor:
    return torch.randn(1, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def picture_of(schedule: Schedule, seed: int) -> DenoisingState:
    return DenoisingState(
        request_id="one",
        index=0,
        generator=torch.Generator().manual_seed(seed),
        schedule=schedule,
        steps_in_pass=schedule.steps(),
        latents=noise(seed),
        cond=torch.empty(0),
        uncond=None,
        guidance_scale=1.0,
    )


def by_diffusers(scheduler: UnCLIPScheduler, steps: int, seed: int, *, told: bool) -> Tensor:
    scheduler.set_timesteps(steps)
    generator, latents = torch.Generator().manual_seed(seed), noise(seed)
    times = scheduler.timesteps
    for index, time in enumerate(times):
        after = None if index + 1 == len(times) else times[index + 1]
        output = formula(latents, float(time), told=told)
        latents = scheduler.step(output, time, latents, prev_timestep=after, generator=generator).prev_sample
    return latents


def step_all(pictures: list[DenoisingState], *, told: bool) -> None:
    running = [picture for picture in pictures if not picture.done]
    outputs = [
        formula(picture.latents, picture.schedule.timesteps[picture.step], told=told) for picture in running
    ]
    for picture, (stepped, foreseen) in zip(running, unclip_step(running, torch.cat(outputs)), strict=True):
        picture.latents, picture.predicted = stepped, foreseen
        picture.pending_noise = None
        picture.step += 1


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
@pytest.mark.parametrize("variance", ["fixed_small_log", "learned_range"])
@pytest.mark.parametrize("steps", [2, 7, 25, 1000])
def test_equals_diffusers(variance: str, prediction: str, steps: int) -> None:
    """The whole way, in float64, to the last bit."""
    told = variance == "learned_range"
    scheduler = scheduler_of(variance, prediction)
    picture = picture_of(unclip_schedule(scheduler, steps), 3)
    while not picture.done:
        step_all([picture], told=told)
    assert torch.equal(picture.latents, by_diffusers(scheduler, steps, 3, told=told))


@pytest.mark.parametrize("variance", ["fixed_small_log", "learned_range"])
def test_company_changes_nothing(variance: str) -> None:
    """Rows of other step counts, and of other steps of the same, give what each gives alone."""
    told = variance == "learned_range"
    scheduler = scheduler_of(variance, "epsilon")
    counts = [5, 9, 5]
    pictures = [picture_of(unclip_schedule(scheduler, steps), seed) for seed, steps in enumerate(counts)]
    step_all(pictures[:1], told=told)
    while not all(picture.done for picture in pictures):
        step_all(pictures, told=told)
    for seed, (steps, picture) in enumerate(zip(counts, pictures, strict=True)):
        assert torch.equal(picture.latents, by_diffusers(scheduler, steps, seed, told=told))


def test_a_single_step_leads_from_noise_to_the_end() -> None:
    schedule = unclip_schedule(scheduler_of("fixed_small_log", "sample"), 1)
    assert schedule.timesteps == (999.0,)
    picture = picture_of(schedule, 1)
    step_all([picture], told=False)
    assert picture.done
    assert torch.isfinite(picture.latents).all()


def test_a_step_that_is_tried_again_draws_the_same_noise() -> None:
    schedule = unclip_schedule(scheduler_of("fixed_small_log", "epsilon"), 4)
    picture = picture_of(schedule, 2)
    output = formula(picture.latents, 999.0, told=False)
    [(first, _)] = unclip_step([picture], output)
    [(second, _)] = unclip_step([picture], output)
    assert torch.equal(first, second)
