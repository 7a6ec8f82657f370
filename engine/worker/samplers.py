"""Samplers over rows: each row has its own schedule, step and history.

The vector samplers copy the operation order and the float32 casts of diffusers' schedulers, with every scalar
computed in advance as diffusers computes it, so that a row is what `*Scheduler.step` would have made of it.
Samplers without a vector form step through a diffusers scheduler of each picture's own.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import diffusers
import torch
from diffusers.configuration_utils import FrozenDict

from engine.worker.request_state import DenoisingState, Schedule
from engine.worker.vector_samplers import ONE, VECTOR_FORMS, vector_step

_DPMPP_2M = {"solver_order": 2, "solver_type": "midpoint", "use_karras_sigmas": False}

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", _DPMPP_2M | {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_karras": (
        "DPMSolverMultistepScheduler",
        _DPMPP_2M | {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", _DPMPP_2M | {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_sde": (
        "DPMSolverSinglestepScheduler",
        _DPMPP_2M | {"algorithm_type": "sde-dpmsolver++", "lower_order_final": True},
    ),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}
"""Our name → the diffusers scheduler and what is set beyond the model's own scheduler configuration."""


class Samplers:
    """The samplers of one model, built from the model's own scheduler configuration."""

    def __init__(self, scheduler: Any, *, mend_old_config: bool = True) -> None:
        """`mend_old_config`: rewrite two values of old configurations, as StableDiffusionPipeline does when it is built.

        Without it, schedules are one timestep off or clip latents. The pipelines of later families leave them alone.
        """
        config = dict(scheduler.config)
        if mend_old_config and config.get("steps_offset", 1) != 1:
            config["steps_offset"] = 1
        if mend_old_config and config.get("clip_sample", False) is True:
            config["clip_sample"] = False
        scheduler._internal_dict = FrozenDict(config)
        self._scheduler = scheduler
        self.schedule = lru_cache(maxsize=64)(self._schedule)

    def _schedule(self, sampler: str, steps: int, strength: float = 1.0, spacing: str = "") -> Schedule:
        """The last `strength` of a schedule of `steps` steps, at least one of them; `spacing`: "" for the model's own."""
        name, changes = SAMPLERS[sampler]
        if spacing:
            changes = changes | {"timestep_spacing": spacing}
        prototype = getattr(diffusers, name).from_config(self._scheduler.config, **changes)
        prototype.set_timesteps(steps, device="cpu")
        _drop_overshoot(prototype, steps)
        init_noise_sigma = prototype.init_noise_sigma
        skipped = steps - max(1, min(int(steps * strength), steps)) if strength < 1 else 0
        begin = skipped * prototype.order
        if hasattr(prototype, "set_begin_index"):
            # Without it diffusers looks the first timestep up, and of two equal ones it takes the second: under zero
            # terminal SNR the first Karras sigmas all round to timestep 999, and it would run off the end of its table.
            prototype.set_begin_index(begin)
        indices = range(begin, len(prototype.timesteps))
        sigmas = getattr(prototype, "sigmas", ())
        scaled = sampler in ("euler", "euler_a", "heun")
        scales = [(sigmas[i] ** 2 + 1) ** 0.5 if scaled else ONE for i in indices]
        table = None
        if sampler in VECTOR_FORMS and not prototype.config.get("thresholding", False):
            rows = [VECTOR_FORMS[sampler].row(prototype, index, begin) for index in indices]
            # As float32, which is what every scheduler steps in.
            table = tuple(
                map(tuple, torch.tensor([[*map(float, row)] for row in rows], dtype=torch.float32).tolist())
            )
        last = len(prototype.timesteps) - 1
        return Schedule(
            sampler=sampler,
            timesteps=tuple(float(t) for t in prototype.timesteps[begin:]),
            init_noise_sigma=init_noise_sigma,
            prototype=prototype,
            input_scale=tuple(float(scale) for scale in scales),
            table=table,
            draws=tuple(
                sampler in ("euler_a", "dpmpp_2m_sde") or (sampler in ("lcm", "tcd") and index != last)
                for index in indices
            ),
        )

    def step(
        self, pictures: Sequence[DenoisingState], output: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor, Any]]:
        """What each picture becomes: (latents, predicted final latents, what to remember), each (1, c, h, w).

        `output` is (pictures, c, h, w), the guided prediction of the UNet. Only `pending_noise` of a picture
        is touched.
        """
        results: dict[int, tuple[torch.Tensor, torch.Tensor, Any]] = {}
        groups: dict[Any, list[int]] = {}
        for row, picture in enumerate(pictures):
            if picture.schedule.table is None:
                results[row] = solver_step(picture, output[row : row + 1])
            else:
                groups.setdefault(VECTOR_FORMS[picture.schedule.sampler].formula, []).append(row)
        for rows in groups.values():
            group = [pictures[row] for row in rows]
            of_group = output if len(rows) == len(pictures) else output[rows]
            latents, predicted, remembered = vector_step(group, of_group)
            memories = [None] * len(rows) if remembered is None else remembered.split(1)
            results.update(
                zip(rows, zip(latents.split(1), predicted.split(1), memories, strict=True), strict=True)
            )
        return [results[row] for row in range(len(pictures))]


def own_schedule(scheduler: Any, steps: int) -> Schedule:
    """The steps of a model's own diffusers scheduler, whichever it is; pictures step with `solver_step`."""
    prototype = type(scheduler).from_config(scheduler.config)
    prototype.set_timesteps(steps, device="cpu")
    count = len(prototype.timesteps)
    return Schedule(
        sampler="own",
        timesteps=tuple(float(time) for time in prototype.timesteps),
        init_noise_sigma=prototype.init_noise_sigma,
        prototype=prototype,
        input_scale=(1.0,) * count,
        table=None,
        draws=(True,) * count,
    )


def _drop_overshoot(prototype: Any, steps: int) -> None:
    """Cut a schedule back to the steps that were asked for.

    With trailing spacing diffusers counts down from 1000 by 1000 / steps in floating point. At a few counts (61, 103,
    121…) rounding leaves a remainder above 0, and with it one more step, at timestep −1, whose signal is that of
    the noisiest step of all: the picture would be undone at the very end.
    """
    # A second-order solver asks the model twice for every step but the last.
    count = 1 + prototype.order * (steps - 1)
    if len(prototype.timesteps) <= count:
        return
    prototype.timesteps = prototype.timesteps[:count]
    if hasattr(prototype, "sigmas"):
        prototype.sigmas = torch.cat([prototype.sigmas[:count], prototype.sigmas[-1:]])
    prototype.num_inference_steps = steps


def solver_step(picture: DenoisingState, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Any]:
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
