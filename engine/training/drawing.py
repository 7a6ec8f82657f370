"""Pictures from a model as users get them: through the engine, many requests at once."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine import (
    Engine,
    EngineConfig,
    GenerateRequest,
    ImageReady,
    ModelInfo,
    RequestOutput,
    SamplingParams,
)
from engine.launch import launch_engine

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How pictures are made; None is the model's own default."""

    sampler: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    few_steps: bool = False
    """By the model's few-step variant, whose own numbers then hold."""

    def defaults(self) -> dict[str, Any]:
        """As a model's fourfold.json says them."""
        return {
            "sampler": self.sampler,
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
        }


class Artist:
    """Draws with one model in a running engine."""

    def __init__(self, engine: Engine, info: ModelInfo, sampling: Sampling) -> None:
        """Raises ValueError where a few-step variant is asked for and there is none."""
        self._engine, self.info, self._numbers = engine, info, itertools.count()
        few = info.few_steps if sampling.few_steps else None
        if sampling.few_steps and few is None:
            raise ValueError(f"{info.title} has no few-step variant in its folder.")
        self._adapters = ((few.adapter, 1.0),) if few else ()
        steps = few.num_inference_steps if few else info.default_steps
        guidance = few.guidance_scale if few else info.default_guidance_scale
        asked = sampling.guidance_scale
        self.params = SamplingParams(
            sampler=sampling.sampler or (few.sampler if few else info.default_sampler),
            num_inference_steps=sampling.num_inference_steps or steps,
            guidance_scale=guidance if asked is None else asked,
            width=info.native_width,
            height=info.native_height,
        )

    async def draw(
        self, prompts: Sequence[str], seeds: Sequence[int], size: tuple[int, int] | None = None
    ) -> list[Pixels]:
        """One (h, w, 3) picture per prompt, each from its own seed; `size` is (width, height)."""
        return list(
            await asyncio.gather(
                *(self._one(prompt, seed, size) for prompt, seed in zip(prompts, seeds, strict=True))
            )
        )

    async def seconds_per_grid(self, prompt: str, runs: int = 5) -> float:
        """The median time of four pictures of one request, after one that warms up."""
        found = []
        for run in range(runs + 1):
            begun = time.perf_counter()
            await self._request(prompt, tuple(range(4 * run, 4 * run + 4)), None)
            found.append(time.perf_counter() - begun)
        return float(np.median(found[1:]))

    async def _one(self, prompt: str, seed: int, size: tuple[int, int] | None) -> Pixels:
        return (await self._request(prompt, (seed,), size))[0]

    async def _request(
        self, prompt: str, seeds: tuple[int, ...], size: tuple[int, int] | None
    ) -> list[Pixels]:
        params = self.params
        if size is not None:
            params = dataclasses.replace(params, width=size[0], height=size[1])
        request = GenerateRequest(
            request_id=f"drawing-{next(self._numbers)}",
            model=self.info.name,
            prompt=prompt,
            params=params,
            seeds=seeds,
            adapters=self._adapters,
        )
        found: dict[int, Pixels] = {}
        async for update in self._engine.submit(request):
            if isinstance(update, ImageReady):
                found[update.index] = update.pixels
            elif isinstance(update, RequestOutput) and update.error is not None:
                raise update.error
        return [found[index] for index in range(len(seeds))]


@asynccontextmanager
async def artist(model: str, sampling: Sampling) -> AsyncIterator[Artist]:
    """`model`: an embedded name or a folder."""
    async with launch_engine(EngineConfig(models=(model,))) as engine:
        yield Artist(engine, engine.models()[0], sampling)


def shrunk(picture: Pixels, side: int) -> Pixels:
    """The picture with its shorter side at `side`, by the mean of whole blocks: what enlarged it is taken back."""
    factor = min(picture.shape[:2]) // side
    return picture if factor <= 1 else np.asarray(Image.fromarray(picture).reduce(factor))
