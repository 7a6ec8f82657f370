"""However loads overlap and end, torch's default dtype is afterwards what it was before."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from engine import EngineConfig
from engine.executor import EngineClosing
from engine.worker import worker as module
from engine.worker.default_dtype import default_dtype_kept
from engine.worker.worker import Worker


def test_loads_side_by_side() -> None:
    inside = threading.Barrier(4)

    def load(dtype: torch.dtype) -> None:
        inside.wait(60)
        with default_dtype_kept():
            before = torch.get_default_dtype()
            torch.set_default_dtype(dtype)
            assert before is torch.float32
            torch.set_default_dtype(before)

    threads = [
        threading.Thread(target=load, args=(dtype,))
        for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.bfloat16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert torch.get_default_dtype() is torch.float32


def test_a_load_that_is_ended(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine closes while transformers has the default dtype changed."""
    worker = Worker(EngineConfig(models=(str(tiny_model),), device="cpu", dtype="bfloat16"))
    ended: list[BaseException] = []

    def load(*_: object) -> None:
        torch.set_default_dtype(torch.bfloat16)
        worker._background.close()
        str.upper("a")
        (lambda: None)()

    def run() -> None:
        try:
            worker.load(str(tiny_model), lambda _: None)
        except EngineClosing as error:
            ended.append(error)

    monkeypatch.setattr(module.Residency, "load", load)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert ended
    assert torch.get_default_dtype() is torch.float32
