"""What importing the engine costs."""

from __future__ import annotations

import subprocess
import sys

from engine import EngineConfig


def test_importing_the_front_door_loads_no_torch() -> None:
    """In a process of its own, because this one has surely imported it."""
    heavy = "{'torch', 'diffusers', 'transformers'}"
    code = f"import sys, engine, engine.launch; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert EngineConfig().models
