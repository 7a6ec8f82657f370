"""Weights that lack a layer, or hold one of another shape, are named; what older versions saved besides is no harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine import EngineConfig
from engine.worker.residency import Residency
from tests.engine.ldm import write_single_file
from tests.engine.tiny import write_tiny_model
from tests.engine.tiny_transformers import (
    write_tiny_aura_flow,
    write_tiny_flux,
    write_tiny_z_image,
)
from tests.engine.tiny_xl import write_tiny_xl
from tests.engine.worker.load_errors.damage import WEIGHTS, change, try_to_load, without


@pytest.mark.parametrize(
    ("component", "layer"), [("text_encoder", "layers.1"), ("unet", "conv_out"), ("vae", "decoder.conv_out")]
)
def test_a_layer_that_is_missing_is_named(model: Path, component: str, layer: str) -> None:
    """transformers would draw it at random and go on."""
    change(model / component / WEIGHTS[component], without(layer))
    error = try_to_load(model)
    assert error.code == "model_incomplete"
    assert str(model / component) in str(error)
    assert layer in str(error.values["missing"])


def test_weights_of_something_else_are_no_text_encoder(model: Path) -> None:
    change(model / "text_encoder" / WEIGHTS["text_encoder"], lambda _: {"foo": torch.ones(1)})
    assert try_to_load(model).code == "model_incomplete"


@pytest.mark.parametrize(
    ("write", "component", "layer"),
    [
        (write_tiny_xl, "text_encoder_2", "text_projection"),
        (write_tiny_flux, "text_encoder_2", "block.1"),
        (write_tiny_z_image, "text_encoder", "layers.1"),
        (write_tiny_aura_flow, "text_encoder", "block.1"),
        (write_tiny_aura_flow, "transformer", "proj_out"),
        (lambda folder: write_tiny_model(folder, safety_checker=True), "safety_checker", "concept_embeds"),
    ],
)
def test_a_layer_that_other_parts_lack_is_named(
    tmp_path: Path, write: Callable[[Path], Path], component: str, layer: str
) -> None:
    folder = write(tmp_path / "model")
    (file,) = (folder / component).glob("*.safetensors")
    change(file, without(layer))
    error = try_to_load(folder)
    assert error.code == "model_incomplete"
    assert layer in str(error.values["missing"])


@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_weights_of_another_shape_are_named(model: Path, component: str) -> None:
    layer = {"unet": "conv_in.weight", "text_encoder": "position_embedding.weight"}[component]
    change(
        model / component / WEIGHTS[component],
        lambda tensors: {
            name: tensor[:, :2] if name.endswith(layer) else tensor for name, tensor in tensors.items()
        },
    )
    error = try_to_load(model)
    assert error.code == "model_unreadable"
    assert layer in str(error)
    assert "ignore_mismatched_sizes" not in str(error)


def test_buffers_of_older_versions_are_no_reason_to_refuse(model: Path) -> None:
    """Text encoders were once saved with their positions, with another prefix, and beside what reads pictures."""

    def older(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        extra = {
            "text_model.embeddings.position_ids": torch.arange(16)[None],
            "vision_model.post_layernorm.weight": torch.ones(2),
            "logit_scale": torch.ones(()),
        }
        bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
        return {f"text_model.{name}": tensor for name, tensor in bare.items()} | extra

    change(model / "text_encoder" / WEIGHTS["text_encoder"], older)
    Residency(EngineConfig(models=(str(model),), device="cpu", dtype="float32")).load(
        str(model), lambda _: None
    )


@pytest.mark.parametrize(
    "layer", ["cond_stage_model", "model.diffusion_model.out.2", "first_stage_model.decoder"]
)
def test_a_layer_that_a_single_file_lacks_is_named(tiny_model: Path, tmp_path: Path, layer: str) -> None:
    file = write_single_file(tiny_model, tmp_path / "tiny.safetensors")
    last = max(name for name in load_file(file) if name.startswith(layer) and name.endswith("weight"))
    change(file, without(last))
    error = try_to_load(file, model_config_dir=tiny_model)
    assert error.code == "model_incomplete"
    assert str(file) in str(error)
