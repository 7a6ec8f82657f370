"""What Fourfold says of a Kandinsky folder before a picture is made, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest

from engine import EngineConfig, Operation
from engine.catalog import FAMILIES, read_model
from engine.errors import ModelUnavailable, RequestRejected
from engine.validation import validate
from tests.engine.bench import Bench, make_request, with_params
from tests.engine.tiny import SIDE
from tests.engine.tiny_transformers import write_tiny_kandinsky


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_kandinsky(tmp_path_factory.mktemp("kandinsky"))


def test_what_the_catalogue_says(model: Path, tmp_path: Path) -> None:
    config = EngineConfig(cache_dir=tmp_path)
    info = read_model(str(model), config)
    assert (info.family, info.native_width, info.size_multiple) == ("kandinsky", SIDE, 4)
    assert (info.default_sampler, info.default_guidance_scale) == ("ddpm", 4.0)
    assert info.operations == FAMILIES["kandinsky"].operations
    assert Operation.VARIATION in info.operations
    assert info.memory_bytes > 0
    assert "lcm" not in info.samplers
    inpainter = write_tiny_kandinsky(tmp_path / "inpainter", seed=1, inpaints=True)
    assert read_model(str(inpainter), config).operations == (Operation.INPAINT,)
    odd = write_tiny_kandinsky(tmp_path / "odd", scheduler={"prediction_type": "v_prediction"})
    with pytest.raises(ModelUnavailable, match="v_prediction"):
        read_model(str(odd), config)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"clip_skip": 2}, "clip_skip_unsupported"),
        ({"tiling": True}, "tiling_unsupported"),
        ({"guidance_rescale": 0.5}, "guidance_rescale_unsupported"),
        ({"timestep_spacing": "trailing"}, "timestep_spacing_unsupported"),
        ({"prior_num_inference_steps": 0}, "prior_num_inference_steps_out_of_range"),
        ({"prior_guidance_scale": 101.0}, "prior_guidance_scale_out_of_range"),
    ],
)
def test_what_it_does_not_read_is_refused(model: Path, changes: Any, code: str) -> None:
    info, request = read_model(str(model), EngineConfig()), make_request(model, width=SIDE, height=SIDE)
    validate(request, info)
    with pytest.raises(RequestRejected) as caught:
        validate(with_params(request, **changes), info)
    assert caught.value.code == code


def test_models_without_a_prior_refuse_what_is_for_one(tiny_model: Path) -> None:
    info = read_model(str(tiny_model), EngineConfig())
    with pytest.raises(RequestRejected) as caught:
        validate(with_params(make_request(tiny_model), prior_guidance_scale=2.0), info)
    assert caught.value.code == "prior_guidance_scale_unsupported"


def test_parts_that_do_not_belong_together_are_refused(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    other = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=24, num_layers=1
    )
    other.save_pretrained(broken / "prior_prior")
    with pytest.raises(ModelUnavailable, match="do not belong together"):
        Bench(broken)
