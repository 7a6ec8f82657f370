"""Files that are missing, cut short, or do not fit on the disk: what is said, and that everybody else goes on."""

from __future__ import annotations

import errno
import json
import shutil
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine import EngineConfig, EngineError, FinishReason, GenerationFailed, ModelUnavailable
from engine.launch import launch_engine
from engine.worker import loader
from engine.worker import residency as residency_module
from engine.worker.residency import Residency
from tests.engine.bench import make_request
from tests.engine.ldm import write_single_file
from tests.engine.test_async_engine import read
from tests.engine.tiny import write_tiny_model
from tests.engine.tiny_transformers import (
    autoencoder,
    write_tiny_aura_flow,
    write_tiny_chroma,
    write_tiny_flux,
    write_tiny_pixart,
    write_tiny_stable_diffusion_3,
    write_tiny_z_image,
)
from tests.engine.tiny_xl import write_tiny_xl

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def try_to_load(model: Path, *, between: Callable[[], Any] = lambda: None, **config: Any) -> EngineError:
    """What fetching or loading says; `between` happens after the fetch."""
    residency = Residency(EngineConfig(models=(str(model),), device="cpu", dtype="float32", **config))

    def both() -> None:
        residency.fetch(str(model), lambda _: None)
        between()
        residency.load(str(model), lambda _: None)

    with pytest.raises(EngineError) as caught:
        both()
    assert not residency.holds(str(model))
    return caught.value


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "model")


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


def change(file: Path, how: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    tensors = how(load_file(file))
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata={"format": "pt"}
    )


def without(word: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if word not in name}


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


def other_vae(model: Path) -> None:
    autoencoder(8).save_pretrained(model / "vae")


def other_text_encoder(model: Path) -> None:
    config = transformers.CLIPTextConfig.from_pretrained(model / "text_encoder")
    config.hidden_size = 24
    transformers.CLIPTextModel(config).save_pretrained(model / "text_encoder")


def other_t5(model: Path, part: str = "text_encoder") -> None:
    config = transformers.T5Config.from_pretrained(model / part)
    config.d_model = 48
    transformers.T5EncoderModel(config).save_pretrained(model / part)


def other_clip(model: Path) -> None:
    config = transformers.CLIPTextConfig.from_pretrained(model / "text_encoder_2")
    config.projection_dim = 48
    transformers.CLIPTextModelWithProjection(config).save_pretrained(model / "text_encoder_2")


@pytest.mark.parametrize(
    ("write", "exchange", "words"),
    [
        (write_tiny_model, other_vae, ("vae", "unet", "8", "4")),
        (write_tiny_model, other_text_encoder, ("text_encoder", "unet", "24", "16")),
        (write_tiny_xl, other_vae, ("vae", "unet", "8", "4")),
        (write_tiny_xl, other_text_encoder, ("text encoders", "unet")),
        (write_tiny_flux, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_flux, other_text_encoder, ("text_encoder", "transformer", "24", "16")),
        (
            write_tiny_flux,
            partial(other_t5, part="text_encoder_2"),
            ("text_encoder_2", "transformer", "48", "32"),
        ),
        (write_tiny_z_image, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_pixart, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_pixart, other_t5, ("text_encoder", "transformer", "48", "32")),
        (write_tiny_chroma, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_chroma, other_t5, ("text_encoder", "transformer", "48", "32")),
        (write_tiny_aura_flow, other_t5, ("text_encoder", "transformer", "48", "32")),
        (write_tiny_stable_diffusion_3, other_clip, ("pair of text encoders", "80", "64")),
        (write_tiny_stable_diffusion_3, partial(other_t5, part="text_encoder_3"), ("text_encoder_3", "48")),
    ],
)
def test_parts_that_do_not_belong_together_are_named(
    tmp_path: Path,
    write: Callable[[Path], Path],
    exchange: Callable[[Path], None],
    words: tuple[str, ...],
) -> None:
    folder = write(tmp_path / "model")
    exchange(folder)
    error = try_to_load(folder)
    assert error.code == "model_unreadable"
    assert "do not belong together" in str(error)
    assert all(word in str(error) for word in words)


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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_while_downloading_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    files = {"unet/diffusion_pytorch_model.safetensors": 3_400_000_000, "model_index.json": 500}
    listed = [SimpleNamespace(filename=name, file_size=size) for name, size in files.items()]

    def fail(*args: Any, **options: Any) -> Any:
        try:
            raise OSError(number, "No space left on device")
        except OSError as error:
            raise RuntimeError("Data processing error") from error

    monkeypatch.setattr(loader, "snapshot_download", lambda *args, **options: listed)
    monkeypatch.setattr(loader, "hf_hub_download", fail)
    with pytest.raises(GenerationFailed, match=r"disk is full.*3\.4 GB.*Free some space") as caught:
        loader.fetch_model("owner/name", EngineConfig(cache_dir=tmp_path), lambda _: None)
    assert caught.value.code == "disk_full"


def test_a_disk_that_is_full_while_loading_is_said(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("diffusers.UNet2DConditionModel.from_pretrained", fail)
    error = try_to_load(model)
    assert error.code == "disk_full"
    assert str(model) in str(error)


ON_CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    ("raised", "card", "memory", "offload"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True, "memory of cpu", True),
        (RuntimeError(ON_CPU), True, "machine's memory", False),
        (RuntimeError(ON_CPU), False, "machine's memory", False),
        (MemoryError(), False, "machine's memory", False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), False, "machine's memory", False),
    ],
)
def test_memory_that_runs_out_while_loading_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, card: bool, memory: str, offload: bool
) -> None:
    """`card`: whether the device plays one with a memory of its own."""
    monkeypatch.setattr(residency_module, "can_offload", lambda device: card)
    kept: list[weakref.ref[Any]] = []

    def fail(*args: Any, **options: Any) -> Any:
        loaded = torch.nn.Linear(1, 1)
        kept.append(weakref.ref(loaded))
        try:
            raise raised
        except Exception as error:
            raise OSError(f"Unable to load weights: {error}") from error  # As libraries do.

    monkeypatch.setattr("diffusers.UNet2DConditionModel.from_pretrained", fail)
    error = try_to_load(model)
    assert error.code == "model_too_large"
    assert memory in str(error)
    assert ("FOURFOLD_OFFLOAD" in str(error)) is offload
    assert "smaller models" in str(error)
    assert kept
    assert not any(each() is not None for each in kept), "what was loaded so far is let go"


@pytest.mark.parametrize("moment", ["looking", "loading"])
@pytest.mark.parametrize(
    ("number", "todo"),
    [(errno.EACCES, "Let the user"), (errno.EMFILE, "ulimit"), (errno.EIO, "look after the disk")],
)
def test_what_the_system_refuses_is_not_downloaded_again(
    model: Path, monkeypatch: pytest.MonkeyPatch, number: int, todo: str, moment: str
) -> None:
    def fail(path: Any, *args: Any, **options: Any) -> Any:
        raise OSError(number, "No", str(path))

    if moment == "loading":
        monkeypatch.setattr("diffusers.UNet2DConditionModel.from_pretrained", fail)
    else:
        usual = Path.open
        monkeypatch.setattr(
            Path,
            "open",
            lambda path, *args, **options: (
                fail(path) if path.suffix == ".safetensors" else usual(path, *args, **options)
            ),
        )
    error = try_to_load(model)
    assert error.code == "model_load_failed"
    assert todo in str(error)
    assert str(model) in str(error)
    assert "ownload" not in str(error)


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
