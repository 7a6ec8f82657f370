"""Single files of transformers, and of checkpoints that are not whole, end in the pictures of their folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import EngineConfig, ModelUnavailable, Operation
from engine.catalog import Guidance, read_model
from engine.catalog.families import DRAWING
from engine.worker.footprint import measure
from engine.worker.single_file import flux_in_diffusers_names
from tests.engine.bench import Bench, make_request
from tests.engine.ldm import write_single_file, write_single_xl_file
from tests.engine.tiny import SIDE, write_tiny_model
from tests.engine.tiny_transformers import write_tiny_flux, write_tiny_z_image
from tests.engine.tiny_xl import write_tiny_xl
from tests.engine.worker.models.pipelines import write_picture_and_mask

FLUX_NAMES = [
    ("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"),
    ("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"),
    ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"),
    ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
    ("time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer"),
    ("time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer"),
    ("single_transformer_blocks.0.norm.linear", "single_blocks.0.modulation.lin"),
    ("single_transformer_blocks.0.attn.norm_q.weight", "single_blocks.0.norm.query_norm.scale"),
    ("single_transformer_blocks.0.attn.norm_k.weight", "single_blocks.0.norm.key_norm.scale"),
    ("single_transformer_blocks.0.proj_out", "single_blocks.0.linear2"),
    ("transformer_blocks.0.norm1.linear", "double_blocks.0.img_mod.lin"),
    ("transformer_blocks.0.norm1_context.linear", "double_blocks.0.txt_mod.lin"),
    ("transformer_blocks.0.attn.norm_q.weight", "double_blocks.0.img_attn.norm.query_norm.scale"),
    ("transformer_blocks.0.attn.norm_k.weight", "double_blocks.0.img_attn.norm.key_norm.scale"),
    ("transformer_blocks.0.attn.norm_added_q.weight", "double_blocks.0.txt_attn.norm.query_norm.scale"),
    ("transformer_blocks.0.attn.norm_added_k.weight", "double_blocks.0.txt_attn.norm.key_norm.scale"),
    ("transformer_blocks.0.attn.to_out.0", "double_blocks.0.img_attn.proj"),
    ("transformer_blocks.0.attn.to_add_out", "double_blocks.0.txt_attn.proj"),
    ("transformer_blocks.0.ff.net.0.proj", "double_blocks.0.img_mlp.0"),
    ("transformer_blocks.0.ff.net.2", "double_blocks.0.img_mlp.2"),
    ("transformer_blocks.0.ff_context.net.0.proj", "double_blocks.0.txt_mlp.0"),
    ("transformer_blocks.0.ff_context.net.2", "double_blocks.0.txt_mlp.2"),
    ("context_embedder", "txt_in"),
    ("x_embedder", "img_in"),
    ("proj_out", "final_layer.linear"),
    ("norm_out.linear", "final_layer.adaLN_modulation.1"),
]
FLUX_JOINED = {
    "double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.to_{part}" for part in "qkv"],
    "double_blocks.0.txt_attn.qkv": [f"transformer_blocks.0.attn.add_{part}_proj" for part in "qkv"],
    "single_blocks.0.linear1": [
        *(f"single_transformer_blocks.0.attn.to_{part}" for part in "qkv"),
        "single_transformer_blocks.0.proj_mlp",
    ],
}


def in_flux_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """diffusers' names → the original code's."""
    left = dict(tensors)
    renamed = {}
    for joined, parts in FLUX_JOINED.items():
        for kind in ("weight", "bias"):
            renamed[f"{joined}.{kind}"] = torch.cat([left.pop(f"{part}.{kind}") for part in parts])
    for name, tensor in left.items():
        before, now = next((b, n) for b, n in FLUX_NAMES if name.startswith(b))
        renamed[name.replace(before, now, 1)] = tensor
    for kind in ("weight", "bias"):
        name = f"final_layer.adaLN_modulation.1.{kind}"
        scale, shift = renamed[name].chunk(2)
        renamed[name] = torch.cat([shift, scale])
    return renamed


def in_z_image_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        if ".attention.to_q." in name:
            parts = [tensors[name.replace("to_q", f"to_{part}")] for part in "qkv"]
            renamed[name.replace("to_q", "qkv")] = torch.cat(parts)
        elif not re.search(r"\.attention\.to_[kv]\.", name):
            name = name.replace("all_final_layer.2-1.", "final_layer.").replace(
                "all_x_embedder.2-1.", "x_embedder."
            )
            name = re.sub(r"\.attention\.norm_([kq])\.", r".attention.\1_norm.", name)
            renamed[name.replace(".attention.to_out.0.", ".attention.out.")] = tensor
    return renamed


FAMILIES: dict[str, Any] = {
    "flux": (write_tiny_flux, in_flux_names, {"guidance_scale": 3.5}),
    "z-image": (write_tiny_z_image, in_z_image_names, {"guidance_scale": 2.0}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write(tmp_path_factory.mktemp(name)) for name, (write, _, _) in FAMILIES.items()}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def save(tensors: dict[str, torch.Tensor], file: Path) -> Path:
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata={"format": "pt"}
    )
    return file


@pytest.mark.parametrize("kind", ["diffusers' names", "original names", "all in one"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_makes_the_pictures_of_its_folder(
    folders: dict[str, Path], tmp_path: Path, family: str, kind: str
) -> None:
    folder, (_, rename, options) = folders[family], FAMILIES[family]
    tensors = weights(folder)
    if kind != "diffusers' names":
        tensors = rename(tensors)
    if kind == "all in one":
        tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in tensors.items()}
        tensors |= {
            "vae.decoder.conv_in.weight": torch.zeros(2),
            "text_encoders.clip_l.logit_scale": torch.zeros(1),
        }
    file = save(tensors, tmp_path / "file.safetensors")
    config = EngineConfig(model_config_dir=folder)
    info, whole = read_model(str(file), config), read_model(str(folder), config)
    assert (info.family, info.guidance, info.size_multiple) == (family, whole.guidance, whole.size_multiple)
    assert info.title == "file"
    assert info.operations == DRAWING
    footprint = measure(file, torch.float32, config)
    assert footprint.whole == pytest.approx(measure(folder, torch.float32, config).whole, rel=0.001)
    pictures = [
        Bench(path, dtype="float32", model_config_dir=folder)
        .run(make_request(path, sampler="flow_euler", seeds=(5,), **options))["one"]
        .pixels[0]
        for path in (file, folder)
    ]
    assert np.array_equal(*pictures)


def test_the_conversion_is_that_of_diffusers_at_the_published_width() -> None:
    with torch.device("meta"):
        model = diffusers.FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    original = in_flux_names(dict(model.state_dict()))
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

    ours = {name: tuple(tensor.shape) for name, tensor in flux_in_diffusers_names(original).items()}
    theirs = convert_flux_transformer_checkpoint_to_diffusers(dict(original))
    assert ours == {name: tuple(tensor.shape) for name, tensor in theirs.items()} == wanted


def test_schnell_and_dev_are_told_apart(folders: dict[str, Path], tmp_path: Path) -> None:
    schnell = write_tiny_flux(tmp_path / "schnell", guidance_embeds=False)
    file = save(in_flux_names(weights(schnell)), tmp_path / "schnell.safetensors")
    assert read_model(str(file), EngineConfig(model_config_dir=schnell)).guidance is Guidance.NONE
    with pytest.raises(ModelUnavailable, match="guidance scale") as caught:
        read_model(str(file), EngineConfig(model_config_dir=folders["flux"]))
    assert caught.value.code == "model_config_mismatch"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_transformer_needs_the_rest_of_its_model(
    folders: dict[str, Path], tmp_path: Path, family: str, tiny_model: Path
) -> None:
    file = save(weights(folders[family]), tmp_path / "file.safetensors")
    with pytest.raises(ModelUnavailable, match="FOURFOLD_MODEL_CONFIG is not set") as caught:
        read_model(str(file), EngineConfig())
    assert caught.value.code == "model_incomplete"
    bare = shutil.copytree(folders[family], tmp_path / "bare")
    (bare / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="holds no vae"):
        read_model(str(file), EngineConfig(model_config_dir=bare))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_transformer_of_which_a_layer_is_missing(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    tensors = weights(folders[family])
    last = sorted(name for name in tensors if "norm" in name)[-1]
    del tensors[last]
    file = save(tensors, tmp_path / "file.safetensors")
    with pytest.raises(ModelUnavailable) as caught:
        Bench(file, model_config_dir=folders[family])
    assert caught.value.code == "model_config_mismatch"
    assert last in str(caught.value)


@pytest.mark.parametrize("lacks", [("cond_stage_model", "conditioner.embedders.0"), ("first_stage_model",)])
@pytest.mark.parametrize("xl", [False, True])
def test_a_checkpoint_without_a_part_takes_it_from_the_folder(
    tiny_model: Path, tmp_path: Path, xl: bool, lacks: tuple[str, ...]
) -> None:
    folder = write_tiny_xl(tmp_path / "xl") if xl else tiny_model
    file = (write_single_xl_file if xl else write_single_file)(folder, tmp_path / "whole.safetensors")
    left = {name: tensor for name, tensor in load_file(file).items() if not name.startswith(lacks)}
    part = save(left, tmp_path / "part.safetensors")
    request = {"seeds": (5,), "sampler": "euler"}
    pictures = [
        Bench(path, dtype="float32", model_config_dir=folder)
        .run(make_request(path, **request))["one"]
        .pixels[0]
        for path in (part, folder)
    ]
    assert np.array_equal(*pictures)


def test_a_checkpoint_made_for_inpainting(tmp_path: Path, tiny_model: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", in_channels=9)
    file = write_single_file(folder, tmp_path / "file.safetensors")
    assert read_model(str(file), EngineConfig(model_config_dir=folder)).operations == (Operation.INPAINT,)
    files = write_picture_and_mask(tmp_path, SIDE)
    pictures = [
        Bench(path, dtype="float32", model_config_dir=folder)
        .run(make_request(path, seeds=(5,), **files))["one"]
        .pixels[0]
        for path in (file, folder)
    ]
    assert np.array_equal(*pictures)
    with pytest.raises(ModelUnavailable, match="so many channels: 9; the configuration"):
        read_model(str(file), EngineConfig(model_config_dir=tiny_model))
