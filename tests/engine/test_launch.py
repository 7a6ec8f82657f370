"""What can be said of this machine without building an engine."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import psutil
import pytest

from engine import EngineConfig, launch


def test_the_device_is_described() -> None:
    report = launch.describe_device(EngineConfig(device="cpu", dtype="float32"))
    assert (report.device, report.name, report.dtype, report.error) == ("cpu", "cpu", "float32", None)
    assert report.torch_version == metadata.version("torch")


def test_a_device_that_is_not_there_is_an_error_and_no_exception() -> None:
    report = launch.describe_device(EngineConfig(device="cuda:77"))
    assert report.error is not None
    assert "cuda:77" in report.error
    assert "auto" in report.error


def test_the_configured_dtype_is_described() -> None:
    report = launch.describe_device(EngineConfig(device="cpu", dtype="bfloat16"))
    assert report.dtype == "bfloat16"


@pytest.mark.parametrize("device", ["banana", "cuda:77"])
def test_the_devices_that_are_there_are_listed(device: str) -> None:
    report = launch.describe_device(EngineConfig(device=device))
    assert report.error is not None
    assert "Use auto, or one that is here: cpu" in report.error
    assert ".." not in report.error


def test_a_device_without_memory_of_its_own_has_the_machines() -> None:
    report = launch.describe_device(EngineConfig(device="cpu"))
    assert report.memory_bytes == psutil.virtual_memory().total


def plant_torchvision(site: Path, source: str, *, metadata: bool = True) -> None:
    """A torchvision that is found before any other, and says nothing of the torch that it was built for."""
    for module in ("torchvision", "torchvision/io", "torchvision/transforms", "torchvision/transforms/v2"):
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").touch()
    (site / "torchvision" / "__init__.py").write_text(source)
    if metadata:
        (site / "torchvision-0.28.0.dist-info").mkdir()
        (site / "torchvision-0.28.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n"
        )


BROKEN = 'raise RuntimeError("operator torchvision::nms does not exist")\n'


@pytest.mark.parametrize(
    ("source", "metadata", "says"),
    [
        ("", True, None),
        (BROKEN, True, "torchvision 0.28.0 cannot be imported"),
        (BROKEN, False, "RuntimeError: operator torchvision::nms does not exist."),
        ("import os; os._exit(3)", True, "status 3"),
    ],
)
def test_a_torchvision_that_cannot_be_imported_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, metadata: bool, says: str | None
) -> None:
    plant_torchvision(tmp_path, source, metadata=metadata)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    sentence = launch.torchvision_error()
    if says is None:
        assert sentence is None
    else:
        assert sentence is not None
        assert says in sentence
        assert "pip uninstall torchvision" in sentence


def test_a_torchvision_that_takes_for_ever_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant_torchvision(tmp_path, "import threading; threading.Event().wait()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(launch, "_IMPORT_SECONDS", 1)
    assert "longer than 1 seconds" in (launch.torchvision_error() or "")
