"""What can be said of this machine without building an engine."""

from __future__ import annotations

from importlib import metadata

import pytest

from engine import EngineConfig, launch


def test_the_device_is_described() -> None:
    report = launch.describe_device(EngineConfig(device="cpu"))
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


@pytest.mark.parametrize(
    ("wanted", "torch", "matches"),
    [
        ("torch==2.13.0", "2.13.0+cpu", True),
        ("torch==2.12.0", "2.13.0", False),
    ],
)
def test_a_torchvision_for_another_torch_is_noticed(
    monkeypatch: pytest.MonkeyPatch, wanted: str, torch: str, matches: bool
) -> None:
    versions = {"torchvision": "0.27.0", "torch": torch}
    monkeypatch.setattr(launch.metadata, "version", versions.__getitem__)
    monkeypatch.setattr(launch.metadata, "requires", lambda _: ["numpy", wanted])
    sentence = launch.torchvision_error()
    assert (sentence is None) == matches
    if sentence:
        assert "Uninstall torchvision" in sentence
