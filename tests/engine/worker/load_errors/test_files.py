"""Files that are missing, cut short, or hold something else: named, and everybody else goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from engine import EngineConfig, FinishReason, GenerationFailed, ModelUnavailable
from engine.launch import launch_engine
from engine.worker.residency import Residency
from tests.engine.bench import make_request
from tests.engine.ldm import write_single_file
from tests.engine.test_async_engine import read
from tests.engine.worker.load_errors.damage import WEIGHTS, cut_short, try_to_load


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("moment", ["before", "between"])
@pytest.mark.parametrize("component", WEIGHTS)
@pytest.mark.parametrize(
    ("damage", "code"),
    [(Path.unlink, "model_incomplete"), (cut_short, "model_unreadable"), (empty, "model_unreadable")],
)
def test_damage_to_any_part_is_named(
    model: Path, component: str, damage: Callable[[Path], None], code: str, moment: str
) -> None:
    """Also where it comes after the files have been looked at."""
    file = model / component / WEIGHTS[component]
    if moment == "before":
        damage(file)
    error = try_to_load(model, between=(lambda: damage(file)) if moment == "between" else lambda: None)
    assert error.code == code
    assert str(file.parent) in str(error)
    assert "again" in str(error)


@pytest.mark.parametrize("moment", ["before", "between"])
def test_damage_to_a_single_file_is_named(tiny_model: Path, tmp_path: Path, moment: str) -> None:
    file = write_single_file(tiny_model, tmp_path / "tiny.safetensors")
    if moment == "before":
        cut_short(file)
    error = try_to_load(
        file,
        between=(lambda: cut_short(file)) if moment == "between" else lambda: None,
        model_config_dir=tiny_model,
    )
    assert error.code == "model_unreadable"
    assert "cut short" in str(error)


def test_a_single_file_that_is_gone_is_named(tiny_model: Path, tmp_path: Path) -> None:
    file = write_single_file(tiny_model, tmp_path / "tiny.safetensors")
    error = try_to_load(file, between=file.unlink, model_config_dir=tiny_model)
    assert error.code == "model_path_missing"


def test_a_missing_part_of_several_is_named(model: Path) -> None:
    tensors = load_file(model / "unet" / WEIGHTS["unet"])
    names = sorted(tensors)
    index: dict[str, str] = {}
    for part, chosen in enumerate((names[::2], names[1::2]), start=1):
        file = f"diffusion_pytorch_model-0000{part}-of-00002.safetensors"
        save_file({name: tensors[name] for name in chosen}, model / "unet" / file, metadata={"format": "pt"})
        index |= dict.fromkeys(chosen, file)
    (model / "unet" / WEIGHTS["unet"]).unlink()
    (model / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    residency = Residency(EngineConfig(models=(str(model),), device="cpu", dtype="float32"))
    residency.load(str(model), lambda _: None)
    (model / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    assert "00002-of-00002" in str(try_to_load(model))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer/vocab.json", "{"),
        ("tokenizer/tokenizer.json", "{"),
        ("unet/config.json", '{"block_out_channels": "x"}'),
        ("vae/config.json", '{"block_out_channels": [8, 8], "down_block_types": ["Nope"]}'),
        ("text_encoder/config.json", '{"hidden_size": "x", "model_type": "clip_text_model"}'),
        ("scheduler/scheduler_config.json", "["),
    ],
)
def test_damaged_configurations_are_named(model: Path, file: str, content: str) -> None:
    def damage() -> None:
        (model / file).write_text(content)
        if file.endswith("vocab.json"):
            (model / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)

    error = try_to_load(model, between=damage)
    assert error.code == "model_unreadable"
    assert str((model / file).parent) in str(error)
    assert "Download the model again" in str(error)


def test_a_folder_that_lost_its_index_is_said(model: Path) -> None:
    error = try_to_load(model, between=(model / "model_index.json").unlink)
    assert isinstance(error, ModelUnavailable)
    assert "model_index.json" in str(error)


async def test_others_go_on_and_a_mended_model_loads(tiny_model: Path, model: Path) -> None:
    file = model / "vae" / WEIGHTS["vae"]
    whole = file.read_bytes()
    config = EngineConfig(models=(str(tiny_model), str(model)), device="cpu", preview_interval=1e9)
    async with launch_engine(config) as engine:
        first = engine.submit(make_request(tiny_model, "first", num_inference_steps=30))
        cut_short(file)
        _, failed = await read(engine.submit(make_request(model, "damaged")))
        assert failed.error is not None
        assert failed.error.code == "model_unreadable"
        assert isinstance(failed.error, GenerationFailed)
        assert (await read(first))[1].finish_reason is FinishReason.COMPLETED
        assert (await read(engine.submit(make_request(tiny_model, "next"))))[1].error is None
        file.unlink()
        _, failed = await read(engine.submit(make_request(model, "missing")))
        assert failed.error is not None
        assert failed.error.code == "model_incomplete"
        file.write_bytes(whole)
        _, mended = await read(engine.submit(make_request(model, "mended")))
        assert mended.finish_reason is FinishReason.COMPLETED
