"""Which files and folders are known to enlarge pictures, without loading any."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import EngineConfig, ModelUnavailable, Operation
from engine.catalog import configured_models, read_model
from engine.config import EMBEDDED_UPSCALER
from engine.launch import launch_engine
from engine.worker.footprint import measure
from tests.engine.tiny_upscaler import tiny_network, write_tiny_upscaler

KNOWN = {
    "ESRGAN": "conv_first.weight",
    "ESRGAN in its first form": "model.1.sub.0.RDB1.conv1.0.weight",
    "SwinIR for real pictures": "conv_first.1.weight",
    "SPAN": "conv_1.sk.weight",
    "saved while training": "module.conv_first.weight",
}


def write(path: Path, *names: str) -> Path:
    save_file({name: torch.zeros(2, 2) for name in names}, path)
    return path


@pytest.mark.parametrize("name", KNOWN.values(), ids=KNOWN)
def test_networks_are_told_by_their_tensors(tmp_path: Path, name: str) -> None:
    info = read_model(str(write(tmp_path / "x4.safetensors", name, "other.weight")), EngineConfig())
    assert (info.family, info.operations, info.title) == ("super-resolution", (Operation.UPSCALE,), "x4")
    assert info.memory_bytes == 32


def test_any_other_file_is_one_where_it_is_named_so(tmp_path: Path) -> None:
    """spandrel knows more networks than are told here."""
    file = write(tmp_path / "new.safetensors", "stem.weight")
    assert read_model(str(file), EngineConfig(upscaler=str(file))).family == "super-resolution"
    with pytest.raises(ModelUnavailable, match="not a whole Stable Diffusion checkpoint"):
        read_model(str(file), EngineConfig())


def test_a_folder_of_our_own(tmp_path: Path) -> None:
    folder = write_tiny_upscaler(tmp_path / "ours")
    info = read_model(str(folder), EngineConfig())
    assert (info.family, info.title, info.present) == ("super-resolution", "ours", True)
    assert info.hash
    count = sum(parameter.numel() for parameter in tiny_network().parameters())
    assert info.memory_bytes == measure(folder, torch.float32).whole == 4 * count
    assert measure(folder, torch.float64).whole == 8 * count


@pytest.mark.parametrize("change", [{"features": "many"}, {"scale": 1}, {"depth": 0}])
def test_a_configuration_that_cannot_be(tmp_path: Path, change: dict[str, object]) -> None:
    folder = write_tiny_upscaler(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=next(iter(change))):
        read_model(str(folder), EngineConfig())


def test_another_architecture_is_no_model(tmp_path: Path) -> None:
    folder = write_tiny_upscaler(tmp_path)
    (folder / "config.json").write_text(json.dumps({"architecture": "unheard"}), encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=r"model_index\.json"):
        read_model(str(folder), EngineConfig())


def names(config: EngineConfig) -> list[str]:
    return [model.name for model in configured_models(config)]


def test_the_upscaler_is_among_the_models(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded one where it is there; a file of the host's in its place; none twice."""
    for module in ("location", "models"):
        monkeypatch.setattr(f"engine.catalog.{module}.EMBEDDED_DIR", tmp_path / "embedded")
    model = str(tiny_model)
    assert names(EngineConfig(models=(model,))) == [model]
    write_tiny_upscaler(tmp_path / "embedded" / EMBEDDED_UPSCALER)
    assert names(EngineConfig(models=(model,))) == [model, EMBEDDED_UPSCALER]
    assert names(EngineConfig(models=(model, EMBEDDED_UPSCALER))) == [model, EMBEDDED_UPSCALER]
    file = str(write(tmp_path / "x4.safetensors", "conv_first.weight"))
    assert names(EngineConfig(models=(model,), upscaler=file)) == [model, file]


async def test_what_enlarges_nothing_is_refused_before_anything_starts(
    tmp_path: Path, tiny_model: Path
) -> None:
    checkpoint = shutil.copytree(tiny_model, tmp_path / "sd")
    (tmp_path / "x4.pth").write_bytes(b"PK")
    for upscaler, code, sentence in (
        (str(checkpoint), "upscaler_unfit", "FOURFOLD_UPSCALER names .* enlarges nothing"),
        ("owner/name", "upscaler_unfit", "in one .safetensors file"),
        (str(tmp_path / "x4.pth"), "model_pickled", "refused"),
        (str(tmp_path / "x4.safetensors"), "model_path_missing", "Check FOURFOLD_UPSCALER"),
        ("unheard", "model_unknown", "no model called unheard"),
    ):
        config = EngineConfig(models=(str(tiny_model),), upscaler=upscaler, cache_dir=tmp_path)
        with pytest.raises(ModelUnavailable, match=sentence) as caught:
            async with launch_engine(config):
                pass
        assert caught.value.code == code
