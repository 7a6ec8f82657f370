"""Few-step LoRAs and files on models whose own steps lie elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import RequestRejected
from engine.validation import validate
from tests.engine.bench import (
    Bench,
    fresh_pipeline,
    largest_difference,
    make_request,
    run_pipeline,
    with_params,
)


@pytest.fixture(params=["sd", "sdxl"])
def model(request: Any, tiny_models: dict[str, Path]) -> Path:
    return tiny_models[request.param]


def test_trailing_steps_are_those_of_diffusers(model: Path) -> None:
    bench, pipeline = Bench(model), fresh_pipeline(model)
    scheduler = type(pipeline.scheduler)
    config = dict(pipeline.scheduler.config) | {"timestep_spacing": "trailing"}
    for sampler in ("euler", "euler_a", "dpmpp_2m", "ddim", "unipc", "heun"):
        own = make_request(model, sampler=sampler, num_inference_steps=4)
        trailing = with_params(own, timestep_spacing="trailing")
        pipeline.scheduler = scheduler.from_config(config)
        results = bench.run(trailing)["one"]
        assert largest_difference(results, run_pipeline(pipeline, trailing)) <= 1e-10, sampler
        assert largest_difference(bench.run(own)["one"], results) > 1e-3, "and not the model's own"


@pytest.mark.parametrize(
    ("family", "changes", "code"),
    [
        ("flux", {"timestep_spacing": "trailing"}, "timestep_spacing_unsupported"),
        ("z-image", {"timestep_spacing": "trailing"}, "timestep_spacing_unsupported"),
        (
            "stable-diffusion",
            {"timestep_spacing": "trailing", "sampler": "lcm"},
            "timestep_spacing_unsupported",
        ),
        ("stable-diffusion", {"timestep_spacing": "leading"}, "timestep_spacing_unknown"),
    ],
)
def test_refused_at_the_door(tiny_model: Path, family: str, changes: dict[str, Any], code: str) -> None:
    info = replace(Bench(tiny_model).info, family=family)
    with pytest.raises(RequestRejected) as caught:
        validate(with_params(make_request(tiny_model), **changes), info)
    assert caught.value.code == code
