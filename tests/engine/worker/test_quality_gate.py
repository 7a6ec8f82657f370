"""What is on by default leaves the embedded model's pictures as they are in exact mode, as far as an eye can tell."""

from __future__ import annotations

from typing import Any

import pytest

from engine import EMBEDDED_MODEL, EngineConfig
from engine.catalog import locate_model
from tests.engine.bench import Bench, Result, make_request
from tests.engine.likeness import psnr, ssim

CAPTIONS = ("a red sailboat on a calm sea at dusk, watercolor", "a green cat in a forest at night, pixel art")


def pictures(**config: Any) -> dict[str, Result]:
    path = locate_model(EMBEDDED_MODEL, EngineConfig())
    assert path is not None
    bench = Bench(path, **config)
    native = bench.info
    requests = [
        make_request(
            path,
            str(number),
            prompt=caption,
            sampler=native.default_sampler,
            guidance_scale=native.default_guidance_scale,
            num_inference_steps=12,
            width=native.native_width,
            height=native.native_height,
            seeds=(3, 4, 5)[: number + 2],
        )
        for number, caption in enumerate(CAPTIONS)
    ]
    # Ten rows a step, which no bucket holds exactly, and four once the first request is through.
    return bench.run(*requests, joins={"1": 2})


@pytest.fixture(scope="module")
def exact() -> dict[str, Result]:
    return pictures(dtype="float32", exact=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_passes(exact: dict[str, Result], dtype: str) -> None:
    for request_id, result in pictures(dtype=dtype).items():
        assert result.failure is None
        for index, pixels in result.pixels.items():
            assert ssim(pixels, exact[request_id].pixels[index]) >= 0.97
            assert psnr(pixels, exact[request_id].pixels[index]) >= 30
