"""What is read of a model without loading it, and the sentences for what cannot be read."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import EMBEDDED_MODEL, EngineConfig, ModelUnavailable, Operation
from engine.catalog import (
    EMBEDDED_DIR,
    FAMILIES,
    configured_models,
    list_models,
    read_header,
    read_model,
    unknown_words,
)
from engine.catalog.families import DRAWING
from engine.worker.ddpm_sampler import DDPM
from engine.worker.registry import FAMILY_CLASSES
from engine.worker.samplers import SAMPLERS
from engine.worker.unclip_sampler import UNCLIP
from tests.engine.tiny import SIDE

CONFIG = EngineConfig(cache_dir=Path("nowhere"))


def write_safetensors(path: Path, tensors: dict[str, tuple[int, ...]]) -> Path:
    """A valid file of zeros in float16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(end))
    return path


def checkpoint(path: Path, text_width: int = 768, channels: int = 4, **more: tuple[int, ...]) -> Path:
    """The tensors that tell one single-file checkpoint from another."""
    unet = "model.diffusion_model.input_blocks"
    return write_safetensors(
        path,
        {
            f"{unet}.0.0.weight": (4, channels, 3, 3),
            f"{unet}.1.1.transformer_blocks.0.attn2.to_k.weight": (4, text_width),
            "cond_stage_model.bias": (1,),
            "first_stage_model.bias": (1,),
            **more,
        },
    )


def test_a_diffusers_folder(tiny_model: Path) -> None:
    info = read_model(str(tiny_model), CONFIG)
    assert info.family == "stable-diffusion"
    assert (info.native_width, info.native_height) == (SIDE, SIDE)
    assert (info.size_multiple, info.min_side, info.max_side) == (8, 8, 2 * SIDE)
    assert info.operations == DRAWING
    assert info.default_sampler == "ddim", "the sampler of the model's own scheduler"
    assert info.present
    assert info.vocabulary is None
    stored = sum(file.stat().st_size for file in tiny_model.rglob("*.safetensors"))
    assert 0.5 * stored < info.memory_bytes < stored


def test_the_hash_names_the_weights(tiny_model: Path, tiny_v_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    first, same, other = (read_model(str(path), CONFIG).hash for path in (tiny_model, copy, tiny_v_model))
    assert first == same != other
    assert len(first) == 10
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-5] ^= 1
    weights.write_bytes(changed)
    assert read_model(str(copy), CONFIG).hash != first, "a fine-tune has the same header"


def test_a_card_overrides_what_is_assumed(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    card = {
        "title": "Mini",
        "licence": "MIT",
        "native_size": [16, 32],
        "defaults": {"num_inference_steps": 12, "guidance_scale": 3, "sampler": "euler"},
        "vocabulary": {"subjects": ["Cat", "dog"], "colours": ["red"]},
    }
    (folder / "fourfold.json").write_text(json.dumps(card))
    info = read_model(str(folder), CONFIG)
    assert (info.title, info.licence) == ("Mini", "MIT")
    assert (info.native_width, info.native_height) == (16, 32)
    assert (info.default_steps, info.default_guidance_scale, info.default_sampler) == (12, 3.0, "euler")
    assert info.vocabulary == {"cat", "dog", "red"}


def test_a_folder_names_its_few_step_variant(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    fast = shutil.copytree(tiny_model, tmp_path / "fast")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"fast_variant": str(fast)}))
    config = EngineConfig(models=(str(folder),))
    offered = configured_models(config)
    assert offered[0].fast == str(fast)
    assert [model.name for model in offered][:2] == [str(folder), str(fast)]
    shutil.rmtree(fast)
    assert str(fast) not in [model.name for model in configured_models(config)]


@pytest.mark.parametrize(("text_width", "side"), [(768, 512), (1024, 768)])
def test_a_single_file(tmp_path: Path, text_width: int, side: int) -> None:
    info = read_model(str(checkpoint(tmp_path / "dream.safetensors", text_width)), CONFIG)
    assert (info.title, info.native_width, info.present) == ("dream", side, True)
    assert info.memory_bytes == 2 * (4 * 4 * 9 + 4 * text_width + 2)


def test_a_single_file_with_two_text_encoders(tmp_path: Path) -> None:
    second: dict[str, Any] = {f"conditioner.embedders.{index}.model.bias": (2,) for index in range(2)}
    info = read_model(str(checkpoint(tmp_path / "dream.safetensors", 2048, **second)), CONFIG)
    assert (info.family, info.native_width) == ("stable-diffusion-xl", 1024)


def test_a_single_file_made_for_inpainting(tmp_path: Path) -> None:
    info = read_model(str(checkpoint(tmp_path / "dream.safetensors", channels=9)), CONFIG)
    assert info.operations == (Operation.INPAINT,)


def test_a_single_file_without_its_autoencoder(tmp_path: Path, tiny_model: Path) -> None:
    """The folder has to have what the file has not; a folder of configurations alone is not enough."""
    names = ("0.0.weight", "1.1.transformer_blocks.0.attn2.to_k.weight")
    shapes = ((4, 4, 3, 3), (4, 768))
    tensors = {
        f"model.diffusion_model.input_blocks.{name}": shape for name, shape in zip(names, shapes, strict=True)
    }
    file = write_safetensors(tmp_path / "unet.safetensors", tensors)
    with pytest.raises(
        ModelUnavailable, match="no text_encoder and no vae, and FOURFOLD_MODEL_CONFIG"
    ) as caught:
        read_model(str(file), EngineConfig(cache_dir=tmp_path, models=(str(file),)))
    assert caught.value.code == "model_incomplete"
    tensors["model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"] = (4, 16)
    file = write_safetensors(tmp_path / "tiny.safetensors", tensors)
    assert read_model(str(file), EngineConfig(model_config_dir=tiny_model)).memory_bytes > 10_000
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    (bare / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=r"holds no vae, and .* has no weights of it either"):
        read_model(str(file), EngineConfig(model_config_dir=bare))


def test_a_renamed_pickle_is_refused_as_one(tmp_path: Path) -> None:
    for new in (True, False):
        file = tmp_path / f"{new}.safetensors"
        torch.save({"weight": torch.zeros(2)}, file, _use_new_zipfile_serialization=new)
        with pytest.raises(ModelUnavailable, match="pickled checkpoint that was renamed") as caught:
            read_model(str(file), CONFIG)
        assert caught.value.code == "model_pickled"


def test_a_single_file_with_a_configuration(tmp_path: Path, tiny_model: Path) -> None:
    file = checkpoint(tmp_path / "tiny.safetensors", text_width=16)
    info = read_model(str(file), EngineConfig(model_config_dir=tiny_model))
    assert info.native_width == SIDE
    other = checkpoint(tmp_path / "other.safetensors", text_width=768)
    with pytest.raises(ModelUnavailable, match="FOURFOLD_MODEL_CONFIG"):
        read_model(str(other), EngineConfig(model_config_dir=tiny_model))


def test_a_hub_model_that_is_not_here_is_assumed(tmp_path: Path) -> None:
    info = read_model("owner/name", EngineConfig(cache_dir=tmp_path))
    assert not info.present
    assert (info.title, info.hash, info.memory_bytes) == ("name", "", 0)


def test_a_hub_model_in_the_cache_is_read(tmp_path: Path, tiny_model: Path) -> None:
    cached = tmp_path / "models--owner--name"
    shutil.copytree(tiny_model, cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    config = EngineConfig(models=(str(tiny_model),), cache_dir=tmp_path)
    info = read_model("owner/name", config)
    assert info.present
    assert info.native_width == SIDE
    embedded = [path.parent.name for path in EMBEDDED_DIR.glob("*/model_index.json")]
    assert [model.name for model in list_models(config)] == [str(tiny_model), *sorted(embedded), "owner/name"]


def test_an_interrupted_download_does_not_count_as_present(tmp_path: Path, tiny_model: Path) -> None:
    cached = tmp_path / "models--owner--name"
    shutil.copytree(tiny_model, cached / "snapshots" / "abc", ignore=shutil.ignore_patterns("vae"))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    assert not read_model("owner/name", EngineConfig(cache_dir=tmp_path)).present


def break_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def change_pipeline(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "StableVideoDiffusionPipeline"}')


def change_unet(folder: Path) -> None:
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"addition_embed_type": "image"}))


def drop_weights(folder: Path) -> None:
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))


def cut_weights(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def drop_vocabulary(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "merges.txt").unlink()


def empty_config(folder: Path) -> None:
    (folder / "text_encoder" / "config.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "code", "says"),
    [
        (break_index, "model_unreadable", "model_index.json"),
        (change_pipeline, "model_unsupported", "StableVideoDiffusionPipeline.*StableDiffusionPipeline"),
        (change_unet, "model_unsupported", "image conditions"),
        (drop_weights, "model_without_safetensors", "pickled"),
        (cut_weights, "model_unreadable", "cut short"),
        (drop_vocabulary, "model_incomplete", "tokenizer holds no vocabulary"),
        (empty_config, "model_incomplete", "text_encoder.config.json is empty"),
    ],
)
def test_folders_that_cannot_be_used(
    tiny_model: Path, tmp_path: Path, damage: Any, code: str, says: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelUnavailable, match=f"(?s){says}") as caught:
        read_model(str(folder), CONFIG)
    assert caught.value.code == code


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no model")
    for name, code in [
        ("no-such-model", "model_unknown"),
        (str(tmp_path / "missing"), "model_path_missing"),
        (str(tmp_path / "missing.safetensors"), "model_path_missing"),
        (str(tmp_path / "empty"), "model_not_diffusers"),
        (str(tmp_path / "text.txt"), "model_not_safetensors"),
        *(
            (str(tmp_path / f"old.{ending}"), "model_pickled")
            for ending in ("ckpt", "pt", "pth", "bin", "PKL")
        ),
        ("owner/model.bin", "model_pickled"),
    ]:
        with pytest.raises(ModelUnavailable) as caught:
            read_model(name, CONFIG)
        assert caught.value.code == code, name


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text_width": 100}, "100 numbers"),
        ({"channels": 8}, "8 channels"),
        ({"text_width": 768, "conditioner.embedders.1.model.ln_final.weight": (2,)}, "768 numbers"),
    ],
)
def test_single_files_of_other_families(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelUnavailable, match=says):
        read_model(str(checkpoint(tmp_path / "model.safetensors", **changes)), CONFIG)


def test_a_lora_is_not_a_checkpoint(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "lora.safetensors", {"lora_unet.alpha": (1,)})
    with pytest.raises(ModelUnavailable, match="not a whole"):
        read_model(str(file), CONFIG)


@pytest.mark.parametrize("content", [b"", b"short", struct.pack("<Q", 2**40), struct.pack("<Q", 4) + b"[{}]"])
def test_headers_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelUnavailable, match="safetensors"):
        read_header(tmp_path / "model.safetensors")


def test_families_registry_and_samplers_agree() -> None:
    assert FAMILIES.keys() == FAMILY_CLASSES.keys()
    for family in FAMILIES.values():
        assert set(family.samplers) <= SAMPLERS.keys() | {"flow_euler", "own", UNCLIP, DDPM}
        assert family.default_sampler in family.samplers


def test_unknown_words() -> None:
    vocabulary = frozenset({"a", "red", "sail", "boat", "cat's", "half-moon"})
    assert unknown_words("A red sail-boat, half a moon, a CAT’S blue-ish dragon; 3 dragons!", vocabulary) == (
        "blue-ish",
        "dragon",
        "dragons",
    )
    assert unknown_words("anything", None) == ()


@pytest.mark.skipif(
    not (EMBEDDED_DIR / EMBEDDED_MODEL / "model_index.json").is_file(),
    reason="the embedded model is not there",
)
def test_the_embedded_model() -> None:
    info = read_model(EMBEDDED_MODEL, CONFIG)
    assert info.present
    assert info.vocabulary
    assert info.default_sampler in info.samplers
    assert info.memory_bytes <= 32 * 2**20


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("unet/config.json", {"sample_size": "x"}, "unet/config.json"),
        ("unet/config.json", {"sample_size": [16]}, "unet/config.json"),
        ("unet/config.json", {"sample_size": -16}, "-16 is no length"),
        ("vae/config.json", {"block_out_channels": 8}, "model"),
        ("scheduler/scheduler_config.json", {"_class_name": ["x"]}, "model"),
        ("fourfold.json", {"native_size": "x", "defaults": []}, "fourfold.json"),
        ("fourfold.json", {"defaults": []}, "fourfold.json"),
        ("fourfold.json", {"defaults": {"sampler": "magic"}}, "magic"),
        ("fourfold.json", {"defaults": {"num_inference_steps": "many"}}, "many"),
        ("fourfold.json", {"min_side": None}, "fourfold.json"),
        ("fourfold.json", {"vocabulary": [1]}, "fourfold.json"),
    ],
)
def test_values_that_cannot_be_are_named_with_their_file(
    tiny_model: Path, tmp_path: Path, file: str, content: dict[str, object], words: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    here = json.loads((folder / file).read_text()) if (folder / file).is_file() else {}
    (folder / file).write_text(json.dumps(here | content))
    with pytest.raises(ModelUnavailable) as caught:
        read_model(str(folder), EngineConfig())
    assert caught.value.code == "model_unreadable"
    assert words in str(caught.value)


def test_an_index_that_says_nothing_is_no_model_of_the_class_none(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match="does not say which pipeline") as caught:
        read_model(str(tmp_path), EngineConfig())
    assert caught.value.code == "model_unreadable"


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"adapter": "gone.safetensors"}, False),
        ({"adapter": "../few.safetensors"}, True),
        ({"adapter": "few.bin"}, False),
        ({"sampler": "flow_euler"}, False),
        ({"num_inference_steps": "four"}, False),
    ],
)
def test_a_few_step_variant_is_a_lora_of_the_folder(
    tiny_model: Path, tmp_path: Path, changes: dict[str, object], fits: bool
) -> None:
    """A path that leads elsewhere means the file of its name in the folder."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    for name in ("few.safetensors", "few.bin"):
        (folder / name).write_bytes(b"")
    said = {"adapter": "few.safetensors", "num_inference_steps": 4, "guidance_scale": 1.0, "sampler": "lcm"}
    (folder / "fourfold.json").write_text(json.dumps({"few_steps": said | changes}))
    config = EngineConfig(models=(str(folder),))
    if fits:
        few = read_model(str(folder), config).few_steps
        assert few is not None
        assert (few.adapter, few.num_inference_steps, few.sampler) == (folder / "few.safetensors", 4, "lcm")
    else:
        with pytest.raises(ModelUnavailable) as refused:
            read_model(str(folder), config)
        assert refused.value.code == "model_unreadable"
