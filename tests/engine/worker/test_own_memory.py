"""What becomes of a file after it was read is nothing to whoever holds its weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import EngineConfig
from engine.worker.autoencoder_store import AutoencoderStore
from engine.worker.file_cache import read_tensors
from engine.worker.loader import load_components
from tests.engine.bench import Bench
from tests.engine.ldm import write_single_file

CPU = torch.device("cpu")


def overwrite(file: Path) -> None:
    """In place, past the header: a cut would end the process where something still looks at the file."""
    size = file.stat().st_size
    with file.open("r+b") as open_file:
        open_file.seek(size // 2)
        open_file.write(bytes(size - size // 2))


@pytest.mark.parametrize("offloaded", [False, True])
@pytest.mark.parametrize("kind", ["folder", "single file"])
def test_a_loaded_model_does_not_change_with_its_files(
    tiny_model: Path, tmp_path: Path, kind: str, offloaded: bool
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder if kind == "folder" else write_single_file(folder, tmp_path / "tiny.safetensors")
    config = EngineConfig(model_config_dir=folder)
    parts = load_components(str(path), config, CPU, torch.float32, lambda _: None, offloaded=offloaded)
    tensors = [tensor for module in parts.modules().values() for tensor in module.state_dict().values()]
    before = [tensor.clone() for tensor in tensors]
    for file in (*folder.rglob("*.safetensors"), *tmp_path.glob("*.safetensors")):
        overwrite(file)
    assert all(map(torch.equal, tensors, before))


def test_what_a_request_names_does_not_change_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    save_file({"weight": torch.ones(20_000)}, file)
    tensors, _ = read_tensors(file, "adapter")
    overwrite(file)
    assert torch.equal(tensors["weight"], torch.ones(20_000))


def test_another_autoencoder_does_not_change_with_its_file(tiny_model: Path, tmp_path: Path) -> None:
    stage = Bench(tiny_model, dtype="float32").stage
    folder = shutil.copytree(tiny_model / "vae", tmp_path / "vae")
    vae = AutoencoderStore(stage._autoencoder, heeds_upcast=False).load(folder).vae
    tensors = list(vae.state_dict().values())
    before = [tensor.clone() for tensor in tensors]
    overwrite(folder / "diffusion_pytorch_model.safetensors")
    assert all(map(torch.equal, tensors, before))
