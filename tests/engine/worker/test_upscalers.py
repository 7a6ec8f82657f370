"""Networks of others: what is read without spandrel, what with it, and what is said where it is missing."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine import EngineConfig, ModelUnavailable, UpscaleRequest
from engine.worker.components import read_folder
from engine.worker.load_errors import check_weights
from engine.worker.super_resolution import CompactUpscaler, upscale
from engine.worker.upscalers import read_upscaler
from engine.worker.worker import Worker
from tests.engine.bench import Bench, Result
from tests.engine.tiny_upscaler import smooth, tiny_network, write_smooth, write_tiny_upscaler

CPU = torch.device("cpu")


def read(path: Path, dtype: torch.dtype = torch.float32) -> Any:
    return read_upscaler(str(path), path, dtype, CPU)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_compact_networks_need_no_spandrel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: int
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    folder = write_tiny_upscaler(tmp_path / "ours", scale)
    file = shutil.copy(folder / "model.safetensors", tmp_path / "x.safetensors")
    picture = smooth(20, 30)
    assert torch.equal(upscale(read(file), picture), upscale(read(folder), picture))


def test_what_to_do_without_spandrel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    save_file({"conv_first.weight": torch.zeros(2, 2)}, tmp_path / "x4.safetensors")
    worker = Worker(EngineConfig(models=(), device="cpu"))
    with pytest.raises(ModelUnavailable, match=r"pip install -e '\.\[upscalers\]'") as caught:
        worker.load(str(tmp_path / "x4.safetensors"), lambda _: None)
    assert caught.value.code == "spandrel_missing"


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_upscaler(tmp_path)
    save_file(CompactUpscaler(4, 2, 4).state_dict(), folder / "model.safetensors")
    with pytest.raises(ModelUnavailable, match="damaged, or not what they should be"):
        read(folder)


def test_a_network_of_a_scale_that_divides_nothing(tmp_path: Path) -> None:
    """Three times, twice: what is nine times as large is scaled down in the end."""
    folder = write_tiny_upscaler(tmp_path / "ours", 3)
    found = enlarged(folder, write_smooth(tmp_path / "small.png", 21, 10), 4)
    assert found.pixels[0].shape == (40, 84, 3)


@pytest.fixture(scope="module")
def spandrel() -> Any:
    try:
        return importlib.import_module("spandrel")
    except (ImportError, RuntimeError) as error:
        pytest.skip(
            f"spandrel is an optional extra, and is not here with a torchvision for this torch: {error}"
        )


def enlarged(network: Path, picture: Path, scale: int) -> Result:
    request = UpscaleRequest(
        request_id="one", model=str(network), images=(picture,), scale=scale, submitted_at=0.0
    )
    found = Bench(network, dtype="float32", upscaler=str(network)).run(request)["one"]
    assert found.failure is None
    return found


def test_our_own_file_loads_through_spandrel(spandrel: Any, tmp_path: Path) -> None:
    """Its parameters are called as Real-ESRGAN's are."""
    folder = write_tiny_upscaler(tmp_path)
    theirs = spandrel.ModelLoader().load_from_file(folder / "model.safetensors")
    assert (theirs.architecture.id, theirs.scale) == ("Compact", 4)
    picture = smooth(20, 30)[None]
    with torch.inference_mode():
        assert torch.equal(theirs(picture), tiny_network()(picture).clamp(0, 1))


def test_esrgan(spandrel: Any, tmp_path: Path) -> None:
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    network = ESRGAN(num_filters=8, num_blocks=1, scale=4).eval()
    file = tmp_path / "esrgan.safetensors"
    save_file(network.state_dict(), file)
    found = enlarged(file, write_smooth(tmp_path / "small.png", 31, 17), 4)
    pixels = np.array(Image.open(tmp_path / "small.png"))
    picture = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    with torch.inference_mode():
        torch.testing.assert_close(found.latents[0], network(picture[None]).clamp(0, 1))


def test_swinir_is_filled_up_to_its_windows(spandrel: Any, tmp_path: Path) -> None:
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    network = SwinIR(
        upscale=2,
        img_size=16,
        window_size=8,
        embed_dim=12,
        depths=[2],
        num_heads=[2],
        upsampler="pixelshuffledirect",
    )
    file = tmp_path / "swinir.safetensors"
    save_file({name: tensor.clone() for name, tensor in network.state_dict().items()}, file)
    found = enlarged(file, write_smooth(tmp_path / "small.png", 31, 17), 8)
    assert found.pixels[0].shape == (8 * 17, 8 * 31, 3)


def test_what_is_no_upscaler_is_refused(spandrel: Any, tmp_path: Path) -> None:
    from spandrel.architectures.DnCNN import DnCNN

    save_file(DnCNN(in_nc=3, out_nc=3, nc=8, nb=4).state_dict(), tmp_path / "denoiser.safetensors")
    with pytest.raises(ModelUnavailable, match="at least twice as large"):
        read(tmp_path / "denoiser.safetensors")
    save_file({"unheard.weight": torch.zeros(2, 2)}, tmp_path / "unheard.safetensors")
    with pytest.raises(ModelUnavailable, match="no super-resolution network that spandrel knows"):
        read(tmp_path / "unheard.safetensors")


@pytest.mark.parametrize("shared", [False, True])
def test_a_part_of_another_model(tmp_path: Path, shared: bool) -> None:
    """Families whose pictures it enlarges in the end find it among their parts, or share the embedded one's folder."""
    folder = tmp_path / "cascade"
    part = write_tiny_upscaler(tmp_path / "upscaler" if shared else folder / "super_resolution")
    index = {"_class_name": "UnCLIPPipeline", "super_resolution": ["fourfold", "CompactUpscaler"]}
    folder.mkdir(exist_ok=True)
    index |= {"_shared": {"super_resolution": "upscaler"}} if shared else {}
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    network = read_folder("cascade", folder, torch.float64)["super_resolution"]
    picture = smooth(20, 30).double()
    assert torch.equal(upscale(network, picture), upscale(tiny_network().double(), picture))
    check_weights(folder)
    (part / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="are missing"):
        check_weights(folder)
