"""A disk or a memory that is full, and files that the system refuses: what to do about it."""

from __future__ import annotations

import errno
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine import EngineConfig, GenerationFailed
from engine.worker import loader
from engine.worker import residency as residency_module
from tests.engine.worker.load_errors.damage import try_to_load


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
