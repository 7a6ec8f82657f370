"""Every way a model gets onto the device ends in the same pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import DryRunError
from safetensors.torch import load_file, save_file

from engine import EngineConfig, GenerationFailed, Loading, ModelUnavailable
from engine.catalog import locate_model
from engine.worker import loader
from engine.worker.device import resolve_device, resolve_dtype
from engine.worker.loader import load_components
from tests.engine.bench import Bench, make_request
from tests.engine.ldm import write_single_file, write_single_xl_file
from tests.engine.tiny import write_tiny_model
from tests.engine.tiny_xl import write_tiny_xl

CPU = torch.device("cpu")


def pictures(folder: Path, **config: Any) -> list[np.ndarray]:
    bench = Bench(folder, dtype="float32", **config)
    return list(bench.run(make_request(folder, seeds=(5,)))["one"].pixels.values())


def test_a_single_file_makes_the_pictures_of_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    file = write_single_file(tiny_model, tmp_path / "tiny.safetensors")
    assert np.array_equal(pictures(file, model_config_dir=tiny_model), pictures(tiny_model))


def test_a_single_xl_file_makes_the_pictures_of_its_folder(tmp_path: Path) -> None:
    folder = write_tiny_xl(tmp_path / "model")
    file = write_single_xl_file(folder, tmp_path / "tiny.safetensors")
    assert np.array_equal(pictures(file, model_config_dir=folder), pictures(folder))


def test_a_single_file_offline_needs_a_configuration(tiny_model: Path, tmp_path: Path) -> None:
    file = write_single_file(tiny_model, tmp_path / "tiny.safetensors")
    config = EngineConfig(models=(str(file),), offline=True)
    with pytest.raises(ModelUnavailable, match="FOURFOLD_MODEL_CONFIG"):
        load_components(str(file), config, CPU, torch.float32, lambda _: None)


def test_a_single_file_whose_configuration_cannot_be_fetched(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network the hub's own sentence would not say what helps."""

    def unreachable(*args: Any, **options: Any) -> Any:
        raise OSError("the hub is out of reach")

    file = write_single_file(tiny_model, tmp_path / "tiny.safetensors")
    monkeypatch.setattr(loader.diffusers.StableDiffusionPipeline, "from_single_file", unreachable)
    with pytest.raises(GenerationFailed, match=r"out of reach.*FOURFOLD_MODEL_CONFIG") as caught:
        load_components(str(file), EngineConfig(), CPU, torch.float32, lambda _: None)
    assert caught.value.code == "download_failed"


def test_half_precision_files_are_upcast(tiny_model: Path, tmp_path: Path) -> None:
    """A folder that ships only fp16 variants, as the embedded model and many on the hub do."""
    folder = shutil.copytree(tiny_model, tmp_path / "half")
    for file in folder.rglob("*.safetensors"):
        halved = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(halved, file.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})
        file.unlink()
    parts = load_components(str(folder), EngineConfig(), CPU, torch.float32, lambda _: None)
    for module in (parts.unet, parts.vae, parts.text_encoder):
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
        assert not module.training
    assert np.abs(np.subtract(pictures(folder)[0].astype(int), pictures(tiny_model)[0])).mean() < 2


class Hub:
    """Stands for the two calls into huggingface_hub; its files are those of a local folder."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.snapshot = cache / "models--owner--name" / "snapshots" / "abc"
        self.fetched: list[str] = []
        self.error: Exception | None = None
        self.files_until_error = 0

    def snapshot_download(self, name: str, **options: Any) -> list[Any]:
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        return [
            SimpleNamespace(filename=file.relative_to(self.folder).as_posix(), file_size=file.stat().st_size)
            for file in files
        ]

    def hf_hub_download(self, name: str, file: str, *, tqdm_class: Any, **options: Any) -> str:
        if self.error is not None and len(self.fetched) >= self.files_until_error:
            raise self.error
        target = self.snapshot / file
        target.parent.mkdir(parents=True, exist_ok=True)
        content = (self.folder / file).read_bytes()
        with tqdm_class(total=len(content), initial=0) as bar:
            bar.update(len(content) // 2)
            bar.update(len(content) - len(content) // 2)
        target.write_bytes(content)
        self.fetched.append(file)
        reference = self.snapshot.parents[1] / "refs" / "main"
        reference.parent.mkdir(exist_ok=True)
        reference.write_text("abc")
        return str(target)


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    folder = shutil.copytree(tiny_model, tmp_path / "hub")
    (folder / "README.md").write_text("not needed")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickled")
    (folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors").write_bytes(b"not needed")
    hub = Hub(folder, tmp_path / "cache")
    monkeypatch.setattr(loader, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(loader, "hf_hub_download", hub.hf_hub_download)
    return hub


def test_a_hub_model_is_downloaded_with_progress_once(hub: Hub, tmp_path: Path) -> None:
    config = EngineConfig(cache_dir=tmp_path / "cache")
    reports: list[Loading] = []
    load_components("owner/name", config, CPU, torch.float32, reports.append)
    needed = {f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")}
    assert needed | {"model_index.json", "text_encoder/model.safetensors"} <= set(hub.fetched)
    assert not [file for file in hub.fetched if file.endswith((".bin", ".md")) or "non_ema" in file]
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    byte_reports = [report for report in reports if report.total_bytes]
    assert byte_reports[-1].done_bytes == byte_reports[-1].total_bytes > 100_000
    hub.fetched.clear()
    load_components("owner/name", config, CPU, torch.float32, reports.append)
    assert not hub.fetched


def test_an_offline_engine_downloads_nothing(hub: Hub, tmp_path: Path) -> None:
    config = EngineConfig(cache_dir=tmp_path / "cache", offline=True)
    with pytest.raises(ModelUnavailable, match="offline"):
        load_components("owner/name", config, CPU, torch.float32, lambda _: None)


class ClientError(Exception):
    """As the HTTP client's timeouts, which are no OSErrors."""


@pytest.mark.parametrize("kind", [ConnectionResetError, ClientError])
def test_a_download_that_breaks_off_may_be_tried_again(
    hub: Hub, tmp_path: Path, kind: type[Exception]
) -> None:
    hub.error = kind("the network is down")
    with pytest.raises(GenerationFailed, match="network is down") as caught:
        load_components(
            "owner/name", EngineConfig(cache_dir=tmp_path / "cache"), CPU, torch.float32, lambda _: None
        )
    assert caught.value.code == "download_failed"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionResetError("The network is down.\nCall the function again."), "The network is down"),
        (ConnectionResetError(), "ConnectionResetError"),
        (None, "the hub cannot be reached"),
    ],
)
def test_a_failed_download_gives_its_reason_in_one_plain_sentence(
    hub: Hub, tmp_path: Path, cause: Exception | None, reason: str
) -> None:
    hub.error = DryRunError("Dry run cannot be performed.")
    hub.error.__cause__ = cause
    with pytest.raises(GenerationFailed) as caught:
        load_components(
            "owner/name", EngineConfig(cache_dir=tmp_path / "cache"), CPU, torch.float32, lambda _: None
        )
    assert f"could not be downloaded: {reason}. Check the name" in str(caught.value)


def test_a_half_downloaded_model_is_not_taken_for_a_whole_one(hub: Hub, tmp_path: Path) -> None:
    """Wherever it breaks off, the next try fetches what is missing instead of loading what is there."""
    config = EngineConfig(cache_dir=tmp_path / "cache")
    load_components("owner/name", config, CPU, torch.float32, lambda _: None)
    hub.files_until_error = len(hub.fetched)
    while hub.files_until_error:
        shutil.rmtree(config.cache_dir)
        hub.fetched.clear()
        hub.files_until_error -= 1
        hub.error = ConnectionResetError("the network is down")
        with pytest.raises(GenerationFailed):
            load_components("owner/name", config, CPU, torch.float32, lambda _: None)
        assert locate_model("owner/name", config) is None, hub.fetched
    hub.error = None
    load_components("owner/name", config, CPU, torch.float32, lambda _: None)


def test_the_two_bars_of_one_file_are_not_added_up() -> None:
    seen: list[float] = []
    bar = loader._bar_class(seen.append)
    received, written = bar(total=10), bar(total=10)
    received.update(10)
    written.update(4)
    written.update(6)
    assert seen == [10, 10, 10]


@pytest.mark.parametrize("safety_checker", [True, False])
def test_a_safety_checker_is_loaded_where_there_is_one(tmp_path: Path, safety_checker: bool) -> None:
    folder = write_tiny_model(tmp_path / "model", safety_checker=safety_checker)
    parts = load_components(str(folder), EngineConfig(), CPU, torch.float32, lambda _: None)
    assert (parts.safety_checker is not None) == safety_checker


def test_unknown_parts_are_named(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("AutoencoderKL", "AsymmetricAutoencoderKL"))
    with pytest.raises(ModelUnavailable, match="AsymmetricAutoencoderKL"):
        load_components(str(folder), EngineConfig(), CPU, torch.float32, lambda _: None)


def test_devices_and_dtypes() -> None:
    assert resolve_device("cpu") == CPU
    with pytest.raises(ModelUnavailable, match="cuda:77"):
        resolve_device("cuda:77")
    native = torch.cpu.get_capabilities()
    fast = native.get("avx512_bf16") or native.get("amx_bf16")
    assert resolve_dtype(EngineConfig(), CPU) is (torch.bfloat16 if fast else torch.float32)
    assert resolve_dtype(EngineConfig(exact=True), CPU) is torch.float32
    assert resolve_dtype(EngineConfig(), torch.device("mps")) is torch.float32
    assert resolve_dtype(EngineConfig(dtype="bfloat16"), CPU) is torch.bfloat16
    assert resolve_dtype(EngineConfig(dtype="bfloat16", exact=True), CPU) is torch.float32
    assert resolve_dtype(EngineConfig(dtype="float64", exact=True), CPU) is torch.float64
